-- A run is to stop: nothing of it starts any more, and what runs cannot commit.
-- Reply: {cancelled | over, deliveries that are at work, …}
local state = redis.call('HGET', META, 'state')
if not state or OVER[state] then return {'over'} end
local reply = {'cancelled'}
for _, delivery in ipairs(stop_all()) do table.insert(reply, delivery) end
end_run('cancelled')
return reply
