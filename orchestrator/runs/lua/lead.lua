-- A coordinator asks to lead, or to go on leading. Stands alone: no run's keys are touched, the prelude is not loaded.
-- KEYS: leader. ARGV: name, lifetime in ms. Reply: 1 for the one that leads, else 0.
-- Atomic, because between a look at the key and a write another coordinator may take the lead.
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
