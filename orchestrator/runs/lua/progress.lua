-- Record how far a running attempt has come: the latest only. Atomic, because another worker may take the node over.
-- ARGV: node, token, the progress as JSON, or '' once there is none to tell
-- Reply: 1, or 0 if the attempt does not hold the node (any more)
local node = ARGV[1]
if not speaks_for(load_node(node), ARGV[2]) then return 0 end
if ARGV[3] == '' then redis.call('HDEL', PROGRESS, node) else redis.call('HSET', PROGRESS, node, ARGV[3]) end
return 1
