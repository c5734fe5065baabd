-- A run is to stop: nothing of it starts any more, and what runs cannot commit.
-- ARGV: run id, why it failed (empty: it did not, somebody wanted it to stop)
-- Reply: {cancelled | over, deliveries that are at work, …}
local state = redis.call('HGET', META, 'state')
if not state or OVER[state] then return {'over'} end
local reply = {'cancelled'}
for _, name in ipairs(redis.call('HKEYS', NODES)) do
  local record = load_node(name)
  if not OVER[record.state] then
    if record.state == 'running' and record.holder then
      table.insert(reply, record.holder)
      close_attempt(record, 'cancelled')
    end
    record.state = 'cancelled'
    record.ended = NOW
    save_node(name, record)
    emit(name, 'cancelled')
  end
end
redis.call('DEL', PARKED, LEASES)
local ends_as = ARGV[2] == '' and 'cancelled' or 'failed'
if ends_as == 'failed' then redis.call('HSETNX', META, 'error', ARGV[2]) end
redis.call('HSET', META, 'state', ends_as, 'ended', NOW, 'open', 0)
redis.call('SREM', OPEN_RUNS, ARGV[1])
emit('', ends_as)
return reply
