-- A branch of a join goes on outside of the canvas: no chord sends the join, so whoever ends its last need does.
-- ARGV: join
-- Reply: {detached, ''}
local run_state = redis.call('HGET', META, 'state')
if run_state and not OVER[run_state] then redis.call('SADD', ALONE, ARGV[1]) end
return {'detached', ''}
