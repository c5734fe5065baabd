-- Make a run known. Atomic, so that a run is never seen half-made.
-- ARGV: run id, number of nodes, pipeline, parameters (JSON), whether the first failure stops the run (0/1), nodes
--       that run after a failure (JSON list), number of maps that the canvas writes out, token of who submits, those
--       maps with how many items each has in turn, then all nodes with how many others each needs in turn
-- Reply: 1 if it is new, 0 if there is a run of this id.
if redis.call('EXISTS', META) == 1 then
  return redis.call('HGET', META, 'submission') == ARGV[8] and 1 or 0 -- the first reply was lost
end
local open = tonumber(ARGV[2])
local first_node = 9 + 2 * tonumber(ARGV[7])
for index = 9, first_node - 1, 2 do
  local items = tonumber(ARGV[index + 1])
  open = open + items - 1
  save_node(ARGV[index], {state = 'running', items = items, left = items})
end
expect(ARGV, first_node)
redis.call('HSET', META, 'id', ARGV[1], 'pipeline', ARGV[3], 'parameters', ARGV[4])
redis.call('HSET', META, 'open', open, 'state', 'pending', 'submitted', NOW, 'start', this_start(), 'submission', ARGV[8])
redis.call('HSET', META, 'fail_fast', ARGV[5], 'handlers', ARGV[6])
emit('', 'pending')
return 1
