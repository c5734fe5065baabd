-- Prepended to every transition: the keys, the clock, and how a node's record is read and written.
--
-- KEYS: the beginning that all keys of the run share. They are made from it: naming all of them would double the
-- size of each call. None of another run, and no list over all runs, is touched: it lives in another hash slot.
--
-- Times are microseconds since 1970 by Redis's own clock, the one clock that all machines share; they are
-- kept as strings because cjson rounds numbers to 14 digits.
local BASE = KEYS[1]
local META, NODES, LEASES, EVENTS = BASE .. 'meta', BASE .. 'nodes', BASE .. 'leases', BASE .. 'events'
local TRACEBACKS, MEMORY, TAKEN = BASE .. 'tracebacks', BASE .. 'memory', BASE .. 'taken'
-- Deliveries that an attempt was taken from: their workers end the processes that are still at work on them.
local REVOKED = BASE .. 'revoked'
-- How many needs a node still misses; since when nodes with all they need have not been claimed; nodes whose
-- message nobody sends by itself, since the canvas was left before it.
local MISSING, DUE, ALONE = BASE .. 'missing', BASE .. 'due', BASE .. 'alone'
local KEPT = {META, NODES, EVENTS, TRACEBACKS, MEMORY, REVOKED} -- as long as the run is remembered
local OPEN = {LEASES, TAKEN, MISSING, DUE, ALONE} -- as long as it is open

local clock = redis.call('TIME')
local NOW = string.format('%d%06d', clock[1], clock[2])
local NOW_MS = clock[1] * 1000 + math.floor(clock[2] / 1000)

local OVER = {succeeded = true, failed = true, skipped = true, upstream_failed = true, cancelled = true}

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

-- Whether a token speaks for the running attempt: its own, or that of the delivery that holds it.
local function speaks_for(record, token)
  return record.state == 'running' and (record.token == token or record.holder == token)
end

-- Whether a delivery may still run a node. A lease that is over counts until the supervisor ends it: it may be
-- over only because Redis was away, and nobody could renew it.
local function is_held(record)
  return record.holder and redis.call('ZSCORE', LEASES, record.holder)
end

-- A moment some microseconds ago, as a string.
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

-- Which start of Redis this is. One that came back may have forgotten the last that it was told.
local function this_start()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
end

-- Whether a node may have been claimed, and done, in a way that Redis has forgotten: who claims it looks in the store.
local function may_have_forgotten()
  return redis.call('HGET', META, 'start') == this_start() and 0 or 1
end

-- What a claim is told: the attempt's number, how many tries the policy counts, how many attempts were lost, when
-- it was claimed. Tries of an earlier round and attempts whose worker died are not held against a node, and those
-- whose worker was stopped (`spared`) do not make it suspect either.
local function attempt_counts(record)
  local lost, spared, base = 0, 0, record.base or 0
  for number, attempt in ipairs(record.attempts) do
    if number > base and attempt.spared then spared = spared + 1
    elseif number > base and attempt.lost then lost = lost + 1 end
  end
  local number = #record.attempts
  return number, number - base - lost - spared, lost, record.attempts[number].started
end

-- Nobody works on a node any more.
local function clear_holder(record)
  record.token = nil
  record.holder = nil
end

-- A node's only attempt was none: it had not to run itself, or not at all.
local function undo_attempt(record)
  redis.call('ZREM', LEASES, record.holder)
  record.attempts = nil
  clear_holder(record)
end

local function lose_attempt(record, failure, spared)
  local attempt = record.attempts[#record.attempts]
  attempt.lost = true
  if spared then attempt.spared = true end
  attempt.ended = NOW
  attempt.error = failure
  clear_holder(record)
end

-- A delivery takes a node over whose lease is gone: the one that had it ends, if it is there after all.
local function take_over(record, holder)
  if record.holder ~= holder then redis.call('SADD', REVOKED, record.holder) end
  lose_attempt(record, 'its worker was lost')
end

local function close_attempt(record, failure, ended)
  local attempt = record.attempts[#record.attempts]
  attempt.ended = ended or NOW
  if failure ~= '' then attempt.error = failure end
  clear_holder(record)
end

-- Put a node to rest without running; returns how many open ones it counted for. A map that the canvas writes
-- out counts as its items, which rest with it.
local function rest_one(name, state)
  local record = load_node(name)
  if OVER[record.state] then return 0 end
  record.state = state
  save_node(name, record)
  redis.call('ZREM', DUE, name)
  emit(name, state)
  if not record.items then return 1 end
  local count = 0
  for index = 0, record.items - 1 do count = count + rest_one(name .. '[' .. index .. ']', state) end
  return count
end

-- The same for nodes that need one which does not succeed.
local function close_unrun(names, first, state)
  local count = 0
  for index = first, #names do count = count + rest_one(names[index], state) end
  return count
end

-- The nodes that run once the run has failed, as a set of their names.
local function handlers()
  local names = cjson.decode(redis.call('HGET', META, 'handlers') or '[]')
  local set = {}
  for _, name in ipairs(names) do set[name] = true end
  return set, names
end

-- Nothing of the run starts or commits any more, but for what is to run after a failure: open nodes are cancelled.
-- Returns the deliveries that were at work, each once, but for the `own` one of who asks. They are kept for the
-- case that the token asks again: nobody else knows which processes are to be ended.
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

-- The deliveries that were at work when this token (or whoever it was) stopped the run; nil if it did not, or
-- another one did later.
local function stopped_by(token)
  local stopped = cjson.decode(redis.call('HGET', META, 'stopped') or '{}')
  if not token or stopped.token == token then return stopped.at_work end
end

-- The run has failed: what is to run then is due, once in a round. Returns whether there is any.
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

-- Once what runs after a failure is due, nothing else of the run starts.
local function is_too_late(name)
  return redis.call('HEXISTS', META, 'handling') == 1 and not handlers()[name]
end

-- What runs after a failure does not start before: Redis may have forgotten that it was due.
local function is_too_soon(name)
  return redis.call('HEXISTS', META, 'handling') == 0 and handlers()[name]
end

-- Whether a message is an earlier round's than the run's. Such a one starts nothing and waits for nothing:
-- reopening puts down all that is open, and its round sends all of it itself, so nothing is lost with the message.
-- A later round's counts, though: Redis has then forgotten the reopening, and there may be no other message.
local function is_outdated(round)
  return tonumber(round) < tonumber(redis.call('HGET', META, 'round') or 0)
end

-- The run is over, and nobody works on it or waits in it any more: it is to be written down.
local function end_run(state)
  redis.call('HSET', META, 'state', state, 'ended', NOW)
  redis.call('DEL', unpack(OPEN))
  emit('', state)
end

-- Keep which transition a token was granted, for the case that it asks again.
local function grant(record, token, word)
  record.settled = {token = token, word = word}
end

local function was_granted(record, token, word)
  return record.settled and record.settled.token == token and record.settled.word == word
end

-- The run's state, as it concerns who asks again after a node.
local function state_after(name)
  local state = redis.call('HGET', META, 'state')
  if not OVER[state] and is_too_late(name) then return 'handling' end
  return state
end

-- The reply to a token that speaks for no attempt: `lost`, or else what it was told before. A transition is
-- asked for twice when its first reply was lost together with the connection. One that asks for something else
-- than it was granted is lost: whose attempt was failed by its parent, or cancelled, has not committed.
local function refuse(name, record, token, word)
  if not was_granted(record, token, word) then return {'lost', ''} end
  return {word, state_after(name)}
end

-- Take nodes off the count of open ones; the last of them ends the run. Returns the run's state, or `handling`
-- where what is to run after a failure has become due.
local function settle(count)
  local open = redis.call('HINCRBY', META, 'open', string.format('%d', -count))
  if open > 0 then return 'running' end
  local state = 'succeeded'
  if redis.call('HEXISTS', META, 'error') == 1 then
    if release_handlers() then return 'handling' end
    state = 'failed'
  end
  end_run(state)
  return state
end

-- A node has all it needs: it is due until somebody claims it. A map that the canvas writes out is so item by item.
local function make_due(name)
  local record = load_node(name)
  if OVER[record.state] then return end
  if not record.items or record.next then redis.call('ZADD', DUE, NOW_MS, name) return end
  for index = 0, record.items - 1 do
    local item = name .. '[' .. index .. ']'
    if not OVER[load_node(item).state] then redis.call('ZADD', DUE, NOW_MS, item) end
  end
end

-- Nodes begin: names and how many others each needs, in turn, from `first` on. Those that need none are due.
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
    if redis.call('ZSCORE', DUE, name .. '[' .. index .. ']') then return true end
  end
  return false
end

-- How many needs a node, or the map that it is an item of, still misses.
local function missing(name)
  return tonumber(redis.call('HGET', MISSING, string.match(name, '^(.*)%[%d+%]$') or name) or 0)
end

-- The end of a reply: those of `names`, from `first` to `last`, that are due, and whether nobody else sends them.
local function tell_due(reply, names, first, last)
  for index = first, last or #names do
    local name = names[index]
    if missing(name) == 0 and is_due(name) then
      table.insert(reply, name)
      table.insert(reply, redis.call('SISMEMBER', ALONE, name))
    end
  end
end

-- A node has succeeded, which these nodes need: they miss one less.
local function satisfy(names, first, last)
  for index = first, last or #names do
    local name = names[index]
    if missing(name) > 0 and redis.call('HINCRBY', MISSING, name, -1) == 0 then
      redis.call('HDEL', MISSING, name)
      make_due(name)
    end
  end
end

-- Items of a map are done: the map itself is done with its last item, and what needs it misses one less.
local function settle_items(group, count, names, first, last)
  local record = load_node(group)
  record.left = record.left - count
  if record.left == 0 then redis.call('ZREM', DUE, group) end
  if record.left == 0 and record.state == 'running' then
    record.state = 'succeeded'
    record.ended = NOW
    emit(group, 'succeeded')
    satisfy(names, first, last)
  end
  save_node(group, record)
end
