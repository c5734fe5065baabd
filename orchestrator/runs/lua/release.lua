-- A worker lost the child process that ran a node: the attempt is over, the node is up for the next claim.
-- ARGV: node, holder, error
-- Reply: {released | lost, ''}
local node = ARGV[1]
local record = load_node(node)
if not speaks_for(record, ARGV[2]) then return {'lost', ''} end
close_attempt(record, ARGV[3])
record.state = 'queued'
save_node(node, record)
redis.call('ZREM', LEASES, node)
emit(node, 'queued', ARGV[3])
return {'released', ''}
