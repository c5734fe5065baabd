-- A worker claims a node. Atomic, because two workers may hold a message for it.
-- ARGV: node, token, holder (the claiming delivery), worker (its name), lease in ms, the message's round,
--       number of the node's successors, those, then what else is behind it, if an earlier delivery of the
--       message may have continued there
-- Reply: {status, number of the attempt, …}; for claimed also its tries, number of lost attempts, when it was
--         claimed, and 1 if Redis may have lost an attempt
--   claimed: the caller holds the lease; done: committed before, with due successors (name, sent alone or the number of a message, …)
--   expanded: a map that was expanded before; the number is its items, or 0 if none is left to take
--   early: an input is missing, the node is sent when it is available; held: another live worker runs it
--   over: it must not run; gone: no such run; outdated: a later round has sent the node, or did not need it
local node, token, holder, worker = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local run_state = redis.call('HGET', META, 'state')
if not run_state then return {'gone', 0} end
if is_outdated(ARGV[6]) then return {'outdated', 0} end
local record = load_node(node)
if record.state == 'succeeded' then
  local reply = {'done', 0}
  local last = 7 + tonumber(ARGV[7])
  tell_due(reply, ARGV, 8, last, true)
  tell_lost(reply, ARGV, last + 1)
  return reply
end
if OVER[run_state] or is_too_late(node) or is_too_soon(node) then return {'over', 0} end
-- also for a failed map: its remaining items must still end
if record.items then
  -- or items that wait for others: whoever expanded it may have died before it sent the message that they count on
  local is_needed = redis.call('ZSCORE', DUE, node) or record.awaited and record.left > 0
  return {'expanded', is_needed and record.items or 0}
end
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
  take_over(node, record, holder)
end
if run_state == 'pending' then
  redis.call('HSET', META, 'state', 'running', 'started', NOW)
  emit('', 'running')
end
begin_attempt(node, record, token, holder, worker, ARGV[5])
return claimed(record)
