-- Keep a word about a run: the id of something made outside, or why its end is not written down. It goes with the run;
-- one that Redis does not know (any more) is not remembered for long.
-- ARGV: field, value, replace (1: instead of what is kept; 0: unless something is)
-- Reply: what is kept
if ARGV[3] == '1' then redis.call('HSET', MEMORY, ARGV[1], ARGV[2]) else redis.call('HSETNX', MEMORY, ARGV[1], ARGV[2]) end
local left = redis.call('PTTL', META)
if left == -2 then left = 86400000 end
if left > 0 then redis.call('PEXPIRE', MEMORY, left) end
return redis.call('HGET', MEMORY, ARGV[1])
