-- A coordinator acquires or renews the lead. Uses no keys of a run, and is loaded without the prelude.
-- KEYS: leader. ARGV: name, lifetime in ms. Reply: 1 if the caller leads, else 0.
-- Atomic, because another coordinator may take the lead between the read and the write.
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
