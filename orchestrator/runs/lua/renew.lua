-- Renew the lease of a running delivery.
-- ARGV: holder, lease in ms, the node that it is at, or '' where its progress is not wanted
-- Reply: {renewed | revoked, the node's progress as JSON or ''}; no lease is created for a delivery that holds
--         nothing (yet, or any more)
if redis.call('SISMEMBER', REVOKED, ARGV[1]) == 1 then return {'revoked', ''} end
redis.call('ZADD', LEASES, 'XX', NOW_MS + tonumber(ARGV[2]), ARGV[1])
return {'renewed', ARGV[3] ~= '' and redis.call('HGET', PROGRESS, ARGV[3]) or ''}
