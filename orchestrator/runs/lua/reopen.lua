-- A run goes on in a new round: what is done stays, everything else is up again.
-- ARGV: run id, pipeline, parameters (JSON), number of open nodes (maps count as their open items, or as one),
--       whether the first failure stops the run (0/1), nodes that run after a failure (JSON list),
--       number of done nodes and items, their names and values in turn,
--       then maps that are done or that the canvas writes out: name, items, items that are left
-- Reply: {reopened, ''}
local done, count = {}, tonumber(ARGV[7])
for at = 8, 7 + 2 * count, 2 do
  done[ARGV[at]] = true
  local record = load_node(ARGV[at])
  if record.state ~= 'succeeded' then
    record = {state = 'succeeded', attempts = record.attempts, started = record.started, ended = record.ended}
    if ARGV[at + 1] ~= '' then record.value = ARGV[at + 1] end
  end
  record.reused = true
  save_node(ARGV[at], record)
end
for _, name in ipairs(redis.call('HKEYS', NODES)) do
  if not done[name] then
    local attempts = load_node(name).attempts
    if attempts then
      if not attempts[#attempts].ended then attempts[#attempts].ended = NOW attempts[#attempts].lost = true end
      save_node(name, {state = 'waiting', attempts = attempts, base = #attempts})
    else
      redis.call('HDEL', NODES, name)
    end
  end
end
for at = 8 + 2 * count, #ARGV, 3 do
  local left = tonumber(ARGV[at + 2])
  local state = left > 0 and 'running' or 'succeeded'
  save_node(ARGV[at], {state = state, items = tonumber(ARGV[at + 1]), left = left})
end
redis.call('DEL', PARKED, LEASES)
redis.call('HSETNX', META, 'id', ARGV[1])
redis.call('HSETNX', META, 'pipeline', ARGV[2])
redis.call('HSETNX', META, 'parameters', ARGV[3])
redis.call('HSETNX', META, 'submitted', NOW)
redis.call('HSETNX', META, 'started', NOW)
redis.call('HDEL', META, 'error', 'ended', 'concluded', 'handling')
redis.call('HSET', META, 'fail_fast', ARGV[5], 'handlers', ARGV[6])
redis.call('HSET', META, 'state', 'running', 'open', ARGV[4])
for _, key in ipairs({META, NODES, LEASES, EVENTS, PARKED, TRACEBACKS, MEMORY}) do redis.call('PERSIST', key) end
redis.call('SADD', OPEN_RUNS, ARGV[1])
redis.call('SREM', ENDED_RUNS, ARGV[1])
emit('', 'running', 'resumed')
return {'reopened', ''}
