-- Mark a join whose branch has left the canvas: the worker that ends its last input sends it,
-- since no chord does.
-- ARGV: join
-- Reply: {detached, ''}
local run_state = redis.call('HGET', META, 'state')
if run_state and not OVER[run_state] then redis.call('SADD', ALONE, ARGV[1]) end
return {'detached', ''}
