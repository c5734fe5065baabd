-- A coordinator releases the lead if it holds it. Loaded without the prelude.
-- KEYS: leader. ARGV: name. Reply: 1 if it led, else 0.
-- Atomic, because its lead may expire, and another coordinator's begin, between the read and the deletion.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
