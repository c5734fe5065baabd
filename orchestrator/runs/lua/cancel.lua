-- A run is to stop: nothing of it starts any more, and what runs cannot commit.
-- ARGV: why it failed (empty: it did not, somebody wanted it to stop)
-- Reply: {cancelled | over, deliveries that are at work, …}
local state = redis.call('HGET', META, 'state')
if not state or OVER[state] then return {'over'} end
local reply = {'cancelled'}
for _, delivery in ipairs(stop_all()) do table.insert(reply, delivery) end
if ARGV[1] == '' then
  end_run('cancelled')
else
  redis.call('HSETNX', META, 'error', ARGV[1])
  end_run('failed')
end
return reply
