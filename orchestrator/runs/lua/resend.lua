-- The message of a due node is nowhere: it is to be sent once more, unless somebody has done so or claimed the node.
-- ARGV: node, milliseconds for which it has to have been due
-- Reply: {due | not_due, ''}
local since = redis.call('ZSCORE', DUE, ARGV[1])
if not since or tonumber(since) > NOW_MS - tonumber(ARGV[2]) then return {'not_due', ''} end
redis.call('ZADD', DUE, NOW_MS, ARGV[1])
return {'due', ''}
