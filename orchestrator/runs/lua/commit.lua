-- An attempt's outputs are written and its manifest exists. Refused when the lease has moved.
-- ARGV: node, token, value (JSON, or empty), reused (0/1), why (or empty), map it is an item of (or empty), nodes it
--       may wake
-- Reply: {committed | lost, state of the run, ready messages (name, message, …)}
local node, token = ARGV[1], ARGV[2]
local record = load_node(node)
if not speaks_for(record, token) then
  local reply = refuse(node, record, token, 'committed')
  if reply[1] == 'committed' then
    tell_ready(reply, ARGV, 7)
  end
  return reply
end
redis.call('ZREM', LEASES, record.holder)
close_attempt(record, '')
grant(record, token, 'committed')
record.state = 'succeeded'
record.ended = NOW
if ARGV[3] ~= '' then record.value = ARGV[3] end
if ARGV[4] == '1' then record.reused = true end
if ARGV[5] ~= '' then record.why = ARGV[5] end
save_node(node, record)
emit(node, 'succeeded')
settle_items(ARGV[6], 1)
local reply = {'committed', settle(1)}
if redis.call('EXISTS', PARKED) == 1 then
  tell_ready(reply, ARGV, 7)
end
return reply
