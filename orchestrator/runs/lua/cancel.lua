-- A run is to stop: nothing of it starts any more, and what runs cannot commit.
-- ARGV: run id
-- Reply: {cancelled | over, deliveries that are at work, …}
local state = redis.call('HGET', META, 'state')
if not state or OVER[state] then return {'over'} end
local reply, named = {'cancelled'}, {}
for _, name in ipairs(redis.call('HKEYS', NODES)) do
  local record = load_node(name)
  if not OVER[record.state] then
    if record.state == 'running' and record.holder then
      if not named[record.holder] then table.insert(reply, record.holder) end
      named[record.holder] = true
      close_attempt(record, 'cancelled')
    end
    record.state = 'cancelled'
    record.ended = NOW
    save_node(name, record)
    emit(name, 'cancelled')
  end
end
redis.call('DEL', PARKED, LEASES)
redis.call('HSET', META, 'state', 'cancelled', 'ended', NOW, 'open', 0)
redis.call('SREM', OPEN_RUNS, ARGV[1])
emit('', 'cancelled')
return reply
