-- A coordinator leaves the lead, if it holds it. Stands alone: the prelude is not loaded.
-- KEYS: leader. ARGV: name. Reply: 1 if it led, else 0.
-- Atomic, because its lead may end, and another's begin, between a look and the deletion.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
