-- Make a run known. Atomic, so that a run is never seen half-made.
-- ARGV: run id, number of nodes, then the fields of its meta hash, name and value in turn
-- Reply: 1 if it is new, 0 if there is a run of this id.
if redis.call('EXISTS', META) == 1 then return 0 end
redis.call('HSET', META, 'id', ARGV[1], 'open', ARGV[2], 'state', 'pending', 'submitted', NOW, unpack(ARGV, 3))
redis.call('SADD', OPEN_RUNS, ARGV[1])
emit('', 'pending')
return 1
