-- Record a node as succeeded; its outputs and manifest are written. Refused if the lease is lost.
-- ARGV: node, token, value (JSON, or empty), reused (0/1), why (or empty), map that it is an item of (or
--       empty), the successors of the node, or of the map
-- Reply: {committed | lost, state of the run, successors that are due now (name, sent alone, …)}
local node, token = ARGV[1], ARGV[2]
local record = load_node(node)
if not speaks_for(record, token) then
  local reply = refuse(node, record, token, 'committed')
  if reply[1] == 'committed' then tell_due(reply, ARGV, 7) end
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
if ARGV[6] == '' then satisfy(ARGV, 7) else settle_items(ARGV[6], 1, ARGV, 7) end
local reply = {'committed', settle(1)}
tell_due(reply, ARGV, 7)
return reply
