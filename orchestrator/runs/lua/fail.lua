-- A node's last attempt failed: it ends, and so does all that needs it.
-- ARGV: node, token, error, traceback, map it is an item of (or empty), nodes that need it
-- Reply: {failed | lost, state of the run}
local node, token = ARGV[1], ARGV[2]
local record = load_node(node)
if not speaks_for(record, token) then return {'lost', ''} end
local number = #record.attempts
close_attempt(record, ARGV[3])
record.state = 'failed'
record.ended = NOW
save_node(node, record)
redis.call('ZREM', LEASES, node)
redis.call('HSET', TRACEBACKS, node .. '#' .. number, ARGV[4])
redis.call('HSETNX', META, 'error', node .. ': ' .. ARGV[3])
emit(node, 'failed', ARGV[3])
if ARGV[5] ~= '' then
  local group = load_node(ARGV[5])
  group.state = 'failed'
  group.ended = NOW
  save_node(ARGV[5], group)
  settle_item(ARGV[5])
end
return {'failed', settle(1 + rest(ARGV, 6, 'upstream_failed'))}
