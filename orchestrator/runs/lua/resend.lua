-- Allow the lost message of a due node to be sent again, unless it was already sent or the node claimed.
-- ARGV: node, minimum milliseconds that it must have been due
-- Reply: {due | not_due, ''}
local since = redis.call('ZSCORE', DUE, ARGV[1])
if not since or tonumber(since) > NOW_MS - tonumber(ARGV[2]) then return {'not_due', ''} end
redis.call('ZADD', DUE, NOW_MS, ARGV[1])
return {'due', ''}
