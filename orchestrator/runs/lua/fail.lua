-- Fail a node and everything downstream of it; with fail_fast, stop all other nodes too. A map item fails
-- alone as long as the share of failed items is tolerated.
-- ARGV: node, token, error, traceback, map that it is an item of (or empty), tolerated share,
--       number of the map's successors, those successors, then all nodes downstream; of an item without those that
--       follow item by item
-- Reply: {failed | lost, state of the run, number of deliveries to terminate, those, then successors that are
--        due because the map, or one behind it, has succeeded all the same (name, sent alone, …)}
local node, token, group, followers = ARGV[1], ARGV[2], ARGV[5], tonumber(ARGV[7])
local record = load_node(node)
local function answer(word, state, at_work)
  local reply = {word, state, #at_work}
  for _, delivery in ipairs(at_work) do table.insert(reply, delivery) end
  if word == 'failed' and group ~= '' then
    tell_due(reply, ARGV, 8, 7 + followers)
    tell_ended(reply)
  end
  return reply
end
if not speaks_for(record, token) then
  local word, state = unpack(refuse(node, record, token, 'failed'))
  return answer(word, state, word == 'failed' and stopped_by(token) or {})
end
local own = record.holder
local number = #record.attempts
if group == '' then redis.call('ZREM', LEASES, record.holder) end -- else it may be running other items
close_attempt(record, ARGV[3])
grant(record, token, 'failed')
record.state = 'failed'
record.ended = NOW
save_node(node, record)
redis.call('HSET', TRACEBACKS, node .. '#' .. number, ARGV[4])
emit(node, 'failed', ARGV[3])
local tolerated = false
if group ~= '' then
  local whole = load_node(group)
  whole.failed = (whole.failed or 0) + 1
  tolerated = whole.failed <= whole.items * tonumber(ARGV[6]) + 1e-9 -- 100 * 0.29 is 28.999…
  save_node(group, whole)
  if not tolerated then fail_map(group, node .. ' failed') end
  settle_items(group, 1, ARGV, 8, 7 + followers)
end
local settled, at_work = 1, {}
if group ~= '' then
  local _, index = map_and_index(node)
  close_followers(group, index, 'upstream_failed', tolerated, false)
end
if not tolerated then
  redis.call('HSETNX', META, 'error', node .. ': ' .. ARGV[3])
  settled = settled + close_unrun(ARGV, 8 + followers, 'upstream_failed')
  if redis.call('HGET', META, 'fail_fast') == '1' and redis.call('HEXISTS', META, 'handling') == 0 then
    at_work, settled = stop_all(token, own), 0
  end
end
return answer('failed', settle(settled), at_work)
