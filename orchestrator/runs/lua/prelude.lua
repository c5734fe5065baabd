-- Prepended to every transition: the keys, the clock, and functions that read and write records of nodes.
--
-- KEYS: the common prefix of the run's keys. All keys are built from it, since passing each would double the
-- size of a call. Keys of other runs and lists over all runs are not used: they are in other hash slots.
--
-- Times are microseconds since 1970 by Redis's clock, the only clock that all machines share; they are stored
-- as strings because cjson rounds numbers to 14 digits.
local BASE = KEYS[1]
local META, NODES, LEASES, EVENTS = BASE .. 'meta', BASE .. 'nodes', BASE .. 'leases', BASE .. 'events'
local TRACEBACKS, MEMORY, TAKEN = BASE .. 'tracebacks', BASE .. 'memory', BASE .. 'taken'
-- Deliveries whose attempt was taken over or cancelled: their workers kill the processes that still run them.
local REVOKED = BASE .. 'revoked'
-- MISSING: number of missing inputs by node. DUE: nodes with all inputs, by the time since when they are
-- unclaimed. ALONE: nodes that the canvas no longer sends, because it was left before them.
local MISSING, DUE, ALONE = BASE .. 'missing', BASE .. 'due', BASE .. 'alone'
-- PROGRESS: how far a running attempt has come, by node.
local PROGRESS = BASE .. 'progress'
local KEPT = {META, NODES, EVENTS, TRACEBACKS, MEMORY, REVOKED} -- until the run expires
local OPEN = {LEASES, TAKEN, MISSING, DUE, ALONE, PROGRESS} -- while the run is open

local clock = redis.call('TIME')
local NOW = string.format('%d%06d', clock[1], clock[2])
local NOW_MS = clock[1] * 1000 + math.floor(clock[2] / 1000)

local OVER = {succeeded = true, failed = true, skipped = true, upstream_failed = true, cancelled = true}

-- The name of an item: `fit[3]`; of the map `train_one.fit`, which a mapped pipeline calls, `train_one[3].fit`; and of
-- that, if it is a map, too, `train_one[3].fit[0]`.
local function item_of(map, index)
  local head, tail = string.match(map, '^(.-[^%]])(%..*)$')
  return (head or map) .. '[' .. index .. ']' .. (tail or '')
end

-- The number of indexes of an item; 0 for a node's own name.
local function depth_of(name)
  local _, count = string.gsub(name, '%[', '')
  return count
end

-- The item of a node that has the indexes of another name.
local function item_like(node, name)
  for index in string.gmatch(name, '%[(%d+)%]') do node = item_of(node, index) end
  return node
end

-- The map and the index of an item; the name itself, and nothing, for any other node.
local function map_and_index(name)
  local head, index, tail = string.match(name, '^(.*)%[(%d+)%]([^%[%]]*)$')
  if head then return head .. tail, index end
  return name
end

local function load_node(name)
  local text = redis.call('HGET', NODES, name)
  if text then return cjson.decode(text) end
  return {state = 'waiting'}
end

local function save_node(name, record)
  redis.call('HSET', NODES, name, cjson.encode(record))
end

local function emit(node, state, detail)
  redis.call('XADD', EVENTS, 'MAXLEN', '~', 20000, '*', 'node', node, 'state', state, 'detail', detail or '')
end

-- Whether a token belongs to the running attempt: its own token, or the delivery that holds it.
local function speaks_for(record, token)
  return record.state == 'running' and (record.token == token or record.holder == token)
end

-- Whether a delivery still holds a node. An expired lease counts until the supervisor removes it: it may have
-- expired only because Redis was unavailable and it could not be renewed.
local function is_held(record)
  return record.holder and redis.call('ZSCORE', LEASES, record.holder)
end

-- The time some microseconds ago, as a string.
local function ago(microseconds)
  return string.format('%.0f', tonumber(NOW) - tonumber(microseconds))
end

local function open_attempt(record, token, holder, worker)
  record.attempts = record.attempts or {}
  local number = #record.attempts + 1
  record.attempts[number] = {number = number, worker = worker, started = NOW}
  record.state = 'running'
  record.token = token
  record.holder = holder
  record.started = record.started or NOW
  return number
end

-- Begin an attempt of a node that nobody runs and that misses nothing, under a lease.
local function begin_attempt(name, record, token, holder, worker, lease_ms)
  local number = open_attempt(record, token, holder, worker)
  save_node(name, record)
  redis.call('ZADD', LEASES, NOW_MS + tonumber(lease_ms), holder)
  redis.call('ZREM', DUE, name)
  redis.call('SREM', ALONE, name)
  emit(name, 'running', number)
end

-- The id of this start of the Redis server. A restarted Redis may have lost its last writes.
local function this_start()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
end

-- 1 if Redis may have lost a claim and commit of a node, so that a claim must check the store; else 0.
local function may_have_forgotten()
  return redis.call('HGET', META, 'start') == this_start() and 0 or 1
end

-- The counts in a claim's reply: the attempt's number, the tries that the policy counts, the lost attempts,
-- and when it was claimed. Tries exclude earlier rounds and attempts whose worker died. Lost attempts exclude
-- those whose worker was stopped (`spared`).
local function attempt_counts(record)
  local lost, spared, base = 0, 0, record.base or 0
  for number, attempt in ipairs(record.attempts) do
    if number > base and attempt.spared then spared = spared + 1
    elseif number > base and attempt.lost then lost = lost + 1 end
  end
  local number = #record.attempts
  return number, number - base - lost - spared, lost, record.attempts[number].started
end

-- Clear token and holder of a node that is not running any more.
local function clear_holder(record)
  record.token = nil
  record.holder = nil
end

-- Remove a node's only attempt: the node is a map that was expanded, or is skipped.
local function undo_attempt(record)
  redis.call('ZREM', LEASES, record.holder)
  record.attempts = nil
  clear_holder(record)
end

local function lose_attempt(name, record, failure, spared)
  redis.call('HDEL', PROGRESS, name)
  local attempt = record.attempts[#record.attempts]
  attempt.lost = true
  if spared then attempt.spared = true end
  attempt.ended = NOW
  attempt.error = failure
  clear_holder(record)
end

-- A delivery takes over a node whose lease is gone; the previous holder is revoked, as it may be alive.
local function take_over(name, record, holder)
  if record.holder ~= holder then redis.call('SADD', REVOKED, record.holder) end
  lose_attempt(name, record, 'its worker was lost')
end

local function close_attempt(record, failure, ended)
  local attempt = record.attempts[#record.attempts]
  attempt.ended = ended or NOW
  if failure ~= '' then attempt.error = failure end
  clear_holder(record)
end

-- End a node without running it; returns the number of open nodes that it counts for. A map with items in the
-- canvas counts as its items, which end with it.
local function rest_one(name, state)
  local record = load_node(name)
  if OVER[record.state] then return 0 end
  record.state = state
  save_node(name, record)
  redis.call('ZREM', DUE, name)
  emit(name, state)
  if not record.items then return 1 end
  local count = 0
  for index = 0, record.items - 1 do count = count + rest_one(item_of(name, index), state) end
  return count
end

-- End the nodes downstream of one that does not succeed.
local function close_unrun(names, first, state)
  local count = 0
  for index = first, #names do count = count + rest_one(names[index], state) end
  return count
end

-- The failure handlers: as a set of names, and as a list.
local function handlers()
  local names = cjson.decode(redis.call('HGET', META, 'handlers') or '[]')
  local set = {}
  for _, name in ipairs(names) do set[name] = true end
  return set, names
end

-- Cancel all open nodes of the run except failure handlers; nothing else starts or commits any more. Returns
-- the deliveries that were running, each once, without the caller's `own`. They are stored for a repeated
-- call with the same token: there is no other record of the processes to be terminated.
local function stop_all(token, own)
  local spared, seen, at_work = handlers(), {[own or ''] = true}, {}
  for _, name in ipairs(redis.call('HKEYS', NODES)) do
    local record = load_node(name)
    if not OVER[record.state] and not (spared[name] and record.state == 'waiting') then
      if record.state == 'running' and record.holder then
        if not seen[record.holder] then
          table.insert(at_work, record.holder)
          redis.call('SADD', REVOKED, record.holder)
        end
        seen[record.holder] = true
        close_attempt(record, 'cancelled')
      end
      record.state = 'cancelled'
      record.ended = NOW
      save_node(name, record)
      emit(name, 'cancelled')
    end
  end
  redis.call('DEL', unpack(OPEN))
  redis.call('HSET', META, 'open', 0, 'stopped', cjson.encode({token = token, at_work = at_work}))
  return at_work
end

-- The deliveries that were running when the run was stopped by this token, or by any if it is nil; nil if
-- this token did not stop the run, or another one did later.
local function stopped_by(token)
  local stopped = cjson.decode(redis.call('HGET', META, 'stopped') or '{}')
  if not token or stopped.token == token then return stopped.at_work end
end

-- Make the failure handlers of a failed run due, once per round. Returns whether any became due.
local function release_handlers()
  local _, names = handlers()
  if #names == 0 or redis.call('HSETNX', META, 'handling', NOW) == 0 then return false end
  for _, name in ipairs(names) do
    local record = load_node(name)
    record.state = 'queued'
    save_node(name, record)
    redis.call('ZADD', DUE, NOW_MS, name)
    emit(name, 'queued')
  end
  redis.call('HSET', META, 'open', #names)
  return true
end

-- Once the failure handlers are due, no other node of the run starts.
local function is_too_late(name)
  return redis.call('HEXISTS', META, 'handling') == 1 and not handlers()[name]
end

-- A failure handler does not start before it is due: Redis may have lost that it was.
local function is_too_soon(name)
  return redis.call('HEXISTS', META, 'handling') == 0 and handlers()[name]
end

-- Whether a message belongs to an earlier round than the run's. Such a message starts nothing, and nothing is
-- lost with it: reopening resets all open nodes, and the new round sends all of them itself. A message of a
-- later round is accepted: Redis has then lost the reopening, and there may be no other message.
local function is_outdated(round)
  return tonumber(round) < tonumber(redis.call('HGET', META, 'round') or 0)
end

-- End the run: nothing of it runs or waits any more, and it must be concluded.
local function end_run(state)
  redis.call('HSET', META, 'state', state, 'ended', NOW)
  redis.call('DEL', unpack(OPEN))
  emit('', state)
end

-- Store which transition a token was granted, so that a repeated call gets the same reply.
local function grant(record, token, word)
  record.settled = {token = token, word = word}
end

local function was_granted(record, token, word)
  return record.settled and record.settled.token == token and record.settled.word == word
end

-- The state of the run for a repeated call about a node.
local function state_after(name)
  local state = redis.call('HGET', META, 'state')
  if not OVER[state] and is_too_late(name) then return 'handling' end
  return state
end

-- The reply to a token without a running attempt: `lost`, or the earlier reply if it was granted the same
-- transition. A transition is called twice if its first reply was lost together with the connection. A call
-- of another transition than the granted one gets `lost`: an attempt that was failed by its parent, or
-- cancelled, has not committed.
local function refuse(name, record, token, word)
  if not was_granted(record, token, word) then return {'lost', ''} end
  return {word, state_after(name)}
end

-- Items that ended because of others, and were open until then.
local closed = 0

-- Decrement the count of open nodes; at zero, the run ends. Returns the run's state, or `handling` if the
-- failure handlers have become due.
local function settle(count)
  local open = redis.call('HINCRBY', META, 'open', string.format('%d', -count - closed))
  closed = 0
  if open > 0 then return 'running' end
  local state = 'succeeded'
  if redis.call('HEXISTS', META, 'error') == 1 then
    if release_handlers() then return 'handling' end
    state = 'failed'
  end
  end_run(state)
  return state
end

-- The maps that follow a map, or the map that a name is an item of, item by item: pairs of a name and of how many
-- indexes they share. An item waits for the same item of those that it follows: until that has succeeded if those are
-- all indexes that they share, else until it is expanded, as is the map itself.
local followers_by_map
local function item_followers(name)
  followers_by_map = followers_by_map or cjson.decode(redis.call('HGET', META, 'item_followers') or '{}')
  local found = followers_by_map[(string.gsub(name, '%[%d+%]', ''))] or {}
  for at, follower in ipairs(found) do
    if type(follower) == 'string' then found[at] = {follower, 1} end -- the run began before they shared several
  end
  return found
end

-- Whether the items are done, or expanded, that an item of a map waits for. If one of them has ended otherwise, also
-- how the item ends therefore, and whether the map may leave it out: that one was skipped, or its failure is tolerated.
local function is_fed(map, index)
  local fed, ends, left_out = true, nil, true
  local function look(source, expanded_counts)
    local item = load_node(item_of(source, index))
    local is_there = item.state == 'succeeded' or expanded_counts and item.items ~= nil
    fed = fed and is_there
    if is_there or not OVER[item.state] then return end
    if item.state ~= 'skipped' then
      local whole = load_node(source)
      ends, left_out = 'upstream_failed', left_out and whole.state ~= 'failed' and not whole.incomplete
    end
    ends = ends or 'skipped'
  end
  for _, source in ipairs(map.follows or {}) do look(source, false) end
  for _, source in ipairs(map.opens or {}) do look(source, true) end
  return fed, ends, left_out
end

-- Mark a node that has all inputs as due until it is claimed. A map with items in the canvas becomes due
-- item by item.
local function make_due(name)
  local record = load_node(name)
  if OVER[record.state] then return end
  if not record.items or record.next then redis.call('ZADD', DUE, NOW_MS, name) return end
  for index = 0, record.items - 1 do
    local item = item_of(name, index)
    if not OVER[load_node(item).state] then redis.call('ZADD', DUE, NOW_MS, item) end
  end
end

-- Register nodes: alternating names and numbers of inputs, from `first` on. Nodes without inputs are due.
local function expect(names, first)
  for at = first, #names, 2 do
    if names[at + 1] == '0' then make_due(names[at]) else redis.call('HSET', MISSING, names[at], names[at + 1]) end
  end
end

local function is_due(name)
  if redis.call('ZSCORE', DUE, name) then return true end
  local record = load_node(name)
  if not record.items or record.next then return false end
  for index = 0, record.items - 1 do
    if redis.call('ZSCORE', DUE, item_of(name, index)) then return true end
  end
  return false
end

-- The number of missing inputs of a node, or of an item of a map.
local function missing(name)
  local map, index = map_and_index(name)
  local count = tonumber(redis.call('HGET', MISSING, map) or 0)
  if count == 0 and index and not is_fed(load_node(map), index) then return 1 end
  return count
end

-- How a map is told that needs a message for its items: by that message's number, which makes its id.
local function batch_of(map)
  return 'b' .. string.format('%d', map.called or 0)
end

-- Append to a reply those of `names`, from `first` to `last`, that are due, each with whether it is in ALONE. An
-- expanded map has messages of its own; with `again` the latest may be lost, and it is told as in `batch_of`.
local function tell_due(reply, names, first, last, again)
  for index = first, last or #names do
    local name = names[index]
    if missing(name) == 0 and is_due(name) then
      local record = load_node(name)
      if again or not record.next then
        table.insert(reply, name)
        table.insert(reply, record.next and batch_of(record) or redis.call('SISMEMBER', ALONE, name))
      end
    end
  end
end

-- Append to a reply what is due of `names`, from `first` on, as an earlier delivery may have died before it sent
-- that; not what is to be tried later. With that, maps that are items of one of these nodes.
local function tell_lost(reply, names, first)
  if first > #names then return end
  local wanted = {}
  for at = first, #names do
    wanted[names[at]] = true
    if load_node(names[at]).state ~= 'retrying' then tell_due(reply, names, at, at, true) end
  end
  for _, name in ipairs(redis.call('ZRANGE', DUE, 0, -1)) do
    local node, indexes = string.gsub(name, '%[%d+%]', '')
    if indexes > 0 and wanted[node] and load_node(name).next then tell_due(reply, {name}, 1, 1, true) end
  end
end

local function satisfy_one(name)
  if missing(name) > 0 and redis.call('HINCRBY', MISSING, name, -1) == 0 then
    redis.call('HDEL', MISSING, name)
    make_due(name)
  end
end

-- A node has succeeded: decrement the number of missing inputs of its successors, without those that did not
-- wait for that.
local function satisfy(names, first, last, earlier)
  local skipped = {}
  for _, name in ipairs(earlier or {}) do skipped[name] = true end
  for index = first, last or #names do
    if not skipped[names[index]] then satisfy_one(names[index]) end
  end
end

-- Items of a map have succeeded, or `opened`: been expanded. The same items of the maps that follow it can be taken,
-- once those are expanded and miss nothing else. Append to a reply the maps that need a message for that, as in
-- `batch_of`; with `again` also those that were told before.
local function feed(reply, group, indexes, again, opened)
  local depth = depth_of(group) + 1
  for _, follower in ipairs(item_followers(group)) do
    local name = item_like(follower[1], group)
    local is_meant = follower[2] == depth
    if opened then is_meant = follower[2] > depth end
    local map = is_meant and load_node(name) or {}
    if (map.follows or map.opens) and map.left > 0 then
      local back = map.back or {}
      local before = #back
      for _, index in ipairs(indexes) do
        if is_fed(map, index) and load_node(item_of(name, index)).state == 'waiting' then
          table.insert(back, tonumber(index))
        end
      end
      local grown = #back > before
      local calls = grown and not map.awaited
      if calls then map.called = (map.called or 0) + 1 end
      if calls or again and #back > 0 then
        table.insert(reply, name)
        table.insert(reply, batch_of(map))
      end
      if grown then
        map.back, map.awaited = back, true
        save_node(name, map)
        redis.call('ZADD', DUE, 'NX', NOW_MS, name)
      end
    end
  end
end

-- What ended with an item, to be told in the reply: nodes that became due as a map behind it has succeeded without
-- items that cannot run, and maps that are items and have succeeded (their map, and their index).
local woken, done_maps = {}, {}

local function tell_ended(reply)
  tell_due(reply, woken, 1)
  for _, each in ipairs(done_maps) do feed(reply, each[1], {each[2]}) end
end

local close_followers

-- Record that items of a map have ended. With its last item the map succeeds, unless one of its items could not run for
-- a failure, and satisfies its successors (those of `names` from `first` on); or has ended as an item of its own map.
local function settle_items(map, count, names, first, last)
  local record = load_node(map)
  record.left = record.left - count
  local is_over, ends = record.left == 0, false
  if is_over then redis.call('ZREM', DUE, map) end
  if is_over and record.state == 'running' then
    ends = true
    record.state = record.incomplete and 'upstream_failed' or 'succeeded'
    record.ended = NOW
    emit(map, record.state)
  end
  save_node(map, record)
  local whole, index = map_and_index(map)
  if is_over and index then
    if record.state == 'succeeded' then table.insert(done_maps, {whole, index}) end
    if ends and record.incomplete then
      local parent = load_node(whole)
      parent.incomplete = true
      save_node(whole, parent)
      close_followers(whole, index, 'upstream_failed', false, true)
    end
    settle_items(whole, 1, names, first, last)
  elseif ends and not record.incomplete then
    local earlier = {}
    for _, follower in ipairs(record.next and item_followers(map) or {}) do table.insert(earlier, follower[1]) end
    if names then satisfy(names, first, last, earlier) return end
    satisfy(record.needed_by or {}, 1, nil, earlier)
    for _, name in ipairs(record.needed_by or {}) do
      redis.call('SADD', ALONE, name)
      table.insert(woken, name)
    end
  end
end

-- End an item of a map that follows others, because one that it waits for has not succeeded, and the same items of
-- the maps behind it, as far as those are expanded: others find that out then.
local function close_item(map, index, state, left_out)
  local name = item_of(map, index)
  local whole, record = load_node(map), load_node(name)
  if not (whole.follows or whole.opens) or OVER[record.state] then return end
  record.state = state
  save_node(name, record)
  emit(name, state)
  closed = closed + 1
  if not left_out then
    whole.incomplete = true
    save_node(map, whole)
  end
  settle_items(map, 1)
  close_followers(map, index, state, left_out, false)
end

-- End the same item of each map that follows a map of which an item has not succeeded. If that one is itself a map and
-- `expanded`, its own items end those of the maps that follow it further.
function close_followers(map, index, state, left_out, expanded)
  local depth = depth_of(map) + 1
  for _, follower in ipairs(item_followers(map)) do
    if follower[2] == depth or follower[2] > depth and not expanded then
      close_item(item_like(follower[1], map), index, state, left_out)
    end
  end
end

-- A map has failed with one of its items, and so has the map that it is an item of.
local function fail_map(map, why)
  local record = load_node(map)
  if record.state ~= 'running' then return end
  record.state = 'failed'
  record.ended = NOW
  save_node(map, record)
  emit(map, 'failed', why)
  local whole, index = map_and_index(map)
  if not index then return end
  fail_map(whole, why)
  close_followers(whole, index, 'upstream_failed', false, true)
end
