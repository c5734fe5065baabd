-- A worker says that it still works on a delivery.
-- ARGV: holder, lease in ms
-- Reply: {renewed | lost, ''}
local changed = redis.call('ZADD', LEASES, 'XX', 'CH', NOW_MS + tonumber(ARGV[2]), ARGV[1])
if changed == 1 or redis.call('ZSCORE', LEASES, ARGV[1]) then return {'renewed', ''} end
return {'lost', ''}
