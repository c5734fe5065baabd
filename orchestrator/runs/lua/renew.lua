-- A worker says that it still runs a node.
-- ARGV: node, holder, lease in ms
-- Reply: {renewed | lost, ''}
local record = load_node(ARGV[1])
if not speaks_for(record, ARGV[2]) then return {'lost', ''} end
redis.call('ZADD', LEASES, 'XX', NOW_MS + tonumber(ARGV[3]), ARGV[1])
return {'renewed', ''}
