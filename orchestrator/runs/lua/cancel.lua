-- A run is to stop: nothing of it starts any more, and what runs cannot commit.
-- ARGV: run id
-- Reply: {cancelled | over, deliveries that are at work, …}
local state = redis.call('HGET', META, 'state')
if not state or OVER[state] then return {'over'} end
local reply = {'cancelled'}
for _, delivery in ipairs(stop_all()) do table.insert(reply, delivery) end
redis.call('HSET', META, 'state', 'cancelled', 'ended', NOW)
redis.call('SREM', OPEN_RUNS, ARGV[1])
emit('', 'cancelled')
return reply
