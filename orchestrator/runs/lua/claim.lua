-- A worker asks for a node. Atomic, because two workers may hold a message for it.
-- ARGV: node, token, holder (the delivery that asks), worker (its name), lease in ms, the message's round, then
--       the nodes that need this one
-- Reply: {verdict, number of the attempt, …}; for claimed also its tries, how many attempts were lost, when it was
--         claimed, and 1 where Redis may have forgotten an attempt
--   claimed: it is this worker's; done: committed before, followed by nodes that are due (name, sent alone, …)
--   expanded: a map that became items before; the number is how many, or 0 where none is left to be taken
--   early: it misses something, and is sent once that is there; held: another live worker has it; over: it is not to run; gone: no such run
--   outdated: a later round of the run sends it, or had no need to
local node, token, holder, worker = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local run_state = redis.call('HGET', META, 'state')
if not run_state then return {'gone', 0} end
if is_outdated(ARGV[6]) then return {'outdated', 0} end
local record = load_node(node)
if record.state == 'succeeded' then
  local reply = {'done', 0}
  tell_due(reply, ARGV, 7)
  return reply
end
if OVER[run_state] or is_too_late(node) or is_too_soon(node) then return {'over', 0} end
-- even of a map that has failed: what is left of its items is to end, too
if record.items then return {'expanded', redis.call('ZSCORE', DUE, node) and record.items or 0} end
if OVER[record.state] then return {'over', 0} end
if missing(node) > 0 then
  redis.call('SADD', ALONE, node)
  return {'early', 0}
end
local function claimed(own)
  local reply = {'claimed', attempt_counts(own)}
  table.insert(reply, may_have_forgotten())
  return reply
end
if record.state == 'running' then
  if record.token == token then return claimed(record) end -- the first reply was lost
  if is_held(record) then return {'held', 0} end
  take_over(record, holder)
end
local number = open_attempt(record, token, holder, worker)
save_node(node, record)
redis.call('ZADD', LEASES, NOW_MS + tonumber(ARGV[5]), holder)
redis.call('ZREM', DUE, node)
redis.call('SREM', ALONE, node)
if run_state == 'pending' then
  redis.call('HSET', META, 'state', 'running', 'started', NOW)
  emit('', 'running')
end
emit(node, 'running', number)
return claimed(record)
