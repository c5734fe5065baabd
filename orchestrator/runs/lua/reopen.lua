-- Reopen a run in a new round: what has succeeded stays, everything else is reset. Atomic, so that no attempt
-- keeps running a node that the round sends, and no earlier message starts one.
-- ARGV: run id, pipeline, parameters (JSON), number of open nodes (maps count as their open items, or as
--       one), fail_fast (0/1), failure handlers (JSON list), the round's number, number of (1) succeeded
--       nodes and items, of (2) nodes left with a reason, of (3) nodes that ended without success and stay
--       so, of (4) maps that have succeeded or have items in the canvas, then the run's status from which all
--       this was computed (`ended/round`; empty: it was unknown), for each map those that follow it item by item
--       (JSON); alternating names and values of (1),
--       alternating names and reasons of (2), names of (3), name, items and items left of (4), then
--       alternating nodes left and how many other nodes left each needs
-- Reply: {taken, ''} if the status has changed; else {reopened, the run's state or `handling`}: if nothing is
--        left to do, the run ends here
local known = redis.call('HMGET', META, 'state', 'ended', 'round')
local stands = known[1] and (known[2] or '') .. '/' .. (known[3] or '0') or ''
if stands ~= ARGV[12] then return {'taken', ''} end

local settled, count, reasons, kept = {}, tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local first_reason = 14 + 2 * count
local first_kept = first_reason + 2 * reasons
local first_map = first_kept + kept
local first_left = first_map + 3 * tonumber(ARGV[11])

local function end_attempt(record)
  local last = record.attempts and record.attempts[#record.attempts]
  if last and not last.ended then last.ended = NOW last.lost = true end
  if record.holder then redis.call('SADD', REVOKED, record.holder) end
end

-- Cancel an item of a map that stays as it ended: none of its items starts any more.
local function cancel_item(name)
  local record = load_node(name)
  settled[name] = true
  for index = 0, (record.items or 0) - 1 do cancel_item(item_of(name, index)) end
  if OVER[record.state] then return end
  end_attempt(record)
  save_node(name, {state = 'cancelled', attempts = record.attempts, started = record.started, ended = NOW})
end

for at = first_kept, first_map - 1 do
  settled[ARGV[at]] = true
  local record = load_node(ARGV[at])
  if not OVER[record.state] then
    record.state = 'upstream_failed'
    save_node(ARGV[at], record)
  end
  for index = 0, (load_node(ARGV[at]).items or 0) - 1 do cancel_item(item_of(ARGV[at], index)) end
end
for at = 14, first_reason - 1, 2 do
  settled[ARGV[at]] = true
  local record = load_node(ARGV[at])
  if record.state ~= 'succeeded' then
    end_attempt(record)
    record = {state = 'succeeded', attempts = record.attempts, started = record.started, ended = record.ended}
    if ARGV[at + 1] ~= '' then record.value = ARGV[at + 1] end
  end
  record.reused = true
  record.why = 'committed before the run was carried on'
  save_node(ARGV[at], record)
end
local whole = {} -- maps that have succeeded: their items stay as they are, those that were left out, too
for at = first_map, first_left - 1, 3 do whole[ARGV[at]] = ARGV[at + 2] == '0' end
for _, name in ipairs(redis.call('HKEYS', NODES)) do
  if not settled[name] and not whole[(string.gsub(name, '%[%d+%]', ''))] then
    local record = load_node(name)
    if record.attempts then
      end_attempt(record)
      save_node(name, {state = 'waiting', attempts = record.attempts, base = #record.attempts})
    else
      redis.call('HDEL', NODES, name)
    end
  end
end
for at = first_reason, first_kept - 1, 2 do
  local record = load_node(ARGV[at])
  record.why = ARGV[at + 1]
  save_node(ARGV[at], record)
end
for at = first_map, first_left - 1, 3 do
  local record, left = load_node(ARGV[at]), tonumber(ARGV[at + 2])
  local state = left > 0 and 'running' or 'succeeded'
  local items = tonumber(ARGV[at + 1])
  local value = items == 0 and '[]' or nil
  save_node(ARGV[at], {state = state, items = items, left = left, why = record.why, value = value})
end
redis.call('DEL', unpack(OPEN))
expect(ARGV, first_left)
redis.call('HSETNX', META, 'id', ARGV[1])
redis.call('HSETNX', META, 'pipeline', ARGV[2])
redis.call('HSETNX', META, 'parameters', ARGV[3])
redis.call('HSETNX', META, 'submitted', NOW)
redis.call('HSETNX', META, 'started', NOW)
redis.call('HDEL', META, 'ended', 'concluded', 'handling')
if kept == 0 then redis.call('HDEL', META, 'error') end
redis.call('HSET', META, 'fail_fast', ARGV[5], 'handlers', ARGV[6], 'item_followers', ARGV[13])
redis.call('HSET', META, 'state', 'running', 'open', ARGV[4], 'round', ARGV[7], 'start', this_start())
for _, key in ipairs(KEPT) do redis.call('PERSIST', key) end
emit('', 'running', 'resumed')
return {'reopened', settle(0)}
