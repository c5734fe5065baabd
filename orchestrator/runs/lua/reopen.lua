-- A run goes on in a new round: what is done stays, everything else is up again.
-- ARGV: run id, pipeline, parameters (JSON), number of open nodes (maps count as their open items, or as one),
--       number of done nodes and items, their names and values in turn,
--       then maps that are done or that the canvas writes out: name, items, items that are left
-- Reply: {reopened, ''}
local done, count = {}, tonumber(ARGV[5])

local function end_attempt(attempts)
  local last = attempts and attempts[#attempts]
  if last and not last.ended then last.ended = NOW last.lost = true end
end

for at = 6, 5 + 2 * count, 2 do
  done[ARGV[at]] = true
  local record = load_node(ARGV[at])
  if record.state ~= 'succeeded' then
    end_attempt(record.attempts)
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
      end_attempt(attempts)
      save_node(name, {state = 'waiting', attempts = attempts, base = #attempts})
    else
      redis.call('HDEL', NODES, name)
    end
  end
end
for at = 6 + 2 * count, #ARGV, 3 do
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
redis.call('HDEL', META, 'error', 'ended', 'concluded')
redis.call('HSET', META, 'state', 'running', 'open', ARGV[4])
for _, key in ipairs({META, NODES, LEASES, EVENTS, PARKED, TRACEBACKS, MEMORY}) do redis.call('PERSIST', key) end
redis.call('SADD', OPEN_RUNS, ARGV[1])
emit('', 'running', 'resumed')
return {'reopened', ''}
