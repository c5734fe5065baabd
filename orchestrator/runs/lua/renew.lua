-- A worker says that it still works on a delivery.
-- ARGV: holder, lease in ms
-- Reply: {renewed | revoked, ''}; a delivery that holds nothing (yet, or any more) has nothing to be renewed
if redis.call('SISMEMBER', REVOKED, ARGV[1]) == 1 then return {'revoked', ''} end
redis.call('ZADD', LEASES, 'XX', NOW_MS + tonumber(ARGV[2]), ARGV[1])
return {'renewed', ''}
