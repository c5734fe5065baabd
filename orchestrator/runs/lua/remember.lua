-- Store a value for a run: the id of an external object, or why the run is not concluded yet. It expires with
-- the run, or after a day (86,400 s) if Redis does not know the run (any more).
-- ARGV: field, value, replace (1: overwrite an existing value; 0: keep it)
-- Reply: the stored value
if ARGV[3] == '1' then redis.call('HSET', MEMORY, ARGV[1], ARGV[2]) else redis.call('HSETNX', MEMORY, ARGV[1], ARGV[2]) end
local left = redis.call('PTTL', META)
if left == -2 then left = 86400000 end
if left > 0 then redis.call('PEXPIRE', MEMORY, left) end
return redis.call('HGET', MEMORY, ARGV[1])
