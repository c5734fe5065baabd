-- A run is to stop: nothing of it starts any more, and what runs cannot commit.
-- ARGV: run id, why it failed (empty: it did not, somebody wanted it to stop)
-- Reply: {cancelled | over, deliveries that are at work, …}
local state = redis.call('HGET', META, 'state')
if not state or OVER[state] then return {'over'} end
local reply = {'cancelled'}
for _, delivery in ipairs(stop_all()) do table.insert(reply, delivery) end
local ends_as = ARGV[2] == '' and 'cancelled' or 'failed'
if ends_as == 'failed' then redis.call('HSETNX', META, 'error', ARGV[2]) end
redis.call('HSET', META, 'state', ends_as, 'ended', NOW)
redis.call('SREM', OPEN_RUNS, ARGV[1])
emit('', ends_as)
return reply
