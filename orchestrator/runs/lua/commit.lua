-- An attempt's outputs are written and its manifest exists. Refused when the lease has moved.
-- ARGV: node, token, value (JSON, or empty), reused (0/1), why (or empty), map it is an item of (or empty), the nodes
--       that need it, or that need the map
-- Reply: {committed | lost, state of the run, nodes that are due by it (name, sent alone, …)}
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
