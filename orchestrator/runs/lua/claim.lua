-- A worker asks for a node. Atomic, because two workers may hold a message for it.
-- ARGV: node, token, holder (the delivery that asks), worker (its name), lease in ms, the message's round,
--       number of waits, the waits, then nodes that this one may wake
-- Reply: {verdict, number of the attempt, …}; for claimed also its tries and how many attempts were lost
--   claimed: it is this worker's; done: committed before, followed by ready messages (name, message, …)
--   expanded: a map that became items before; the number is how many
--   early: an awaited node is missing; held: another live worker has it; over: it is not to run; gone: no such run
--   outdated: a later round of the run sends it, or had no need to
local node, token, holder, worker = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local run_state = redis.call('HGET', META, 'state')
if not run_state then return {'gone', 0} end
if is_outdated(ARGV[6]) then return {'outdated', 0} end
local record = load_node(node)
local waits = tonumber(ARGV[7])
if record.state == 'succeeded' then
  local reply = {'done', 0}
  tell_ready(reply, ARGV, 8 + waits)
  return reply
end
if OVER[record.state] or OVER[run_state] or is_too_late(node) or is_too_soon(node) then return {'over', 0} end
if record.items then return {'expanded', record.items} end
for index = 8, 7 + waits do
  if load_node(ARGV[index]).state ~= 'succeeded' then return {'early', 0} end
end
if record.state == 'running' then
  if record.token == token then return {'claimed', standing(record)} end -- the first reply was lost
  if is_held(record) then return {'held', 0} end
  lose_attempt(record, 'its worker was lost')
end
local number = open_attempt(record, token, holder, worker)
save_node(node, record)
redis.call('ZADD', LEASES, NOW_MS + tonumber(ARGV[5]), holder)
redis.call('HDEL', PARKED, node)
if run_state == 'pending' then
  redis.call('HSET', META, 'state', 'running', 'started', NOW)
  emit('', 'running')
end
emit(node, 'running', number)
return {'claimed', standing(record)}
