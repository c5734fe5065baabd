-- Register a run. Atomic, so that a run is never seen incomplete.
-- ARGV: run id, number of nodes, pipeline, parameters (JSON), fail_fast (0/1), failure handlers (JSON list),
--       number of maps with items in the canvas, token of the caller, for each map those that follow it item by
--       item (JSON), alternating the maps in the canvas and their numbers of items, then alternating all nodes
--       and their numbers of inputs
-- Reply: 1 if the run is new, 0 if a run has this id already.
if redis.call('EXISTS', META) == 1 then
  return redis.call('HGET', META, 'submission') == ARGV[8] and 1 or 0 -- the first reply was lost
end
local open = tonumber(ARGV[2])
local first_node = 10 + 2 * tonumber(ARGV[7])
for index = 10, first_node - 1, 2 do
  local items = tonumber(ARGV[index + 1])
  open = open + items - 1
  save_node(ARGV[index], {state = 'running', items = items, left = items})
end
expect(ARGV, first_node)
redis.call('HSET', META, 'id', ARGV[1], 'pipeline', ARGV[3], 'parameters', ARGV[4])
redis.call('HSET', META, 'open', open, 'state', 'pending', 'submitted', NOW, 'start', this_start(), 'submission', ARGV[8])
redis.call('HSET', META, 'fail_fast', ARGV[5], 'handlers', ARGV[6], 'item_followers', ARGV[9])
emit('', 'pending')
return 1
