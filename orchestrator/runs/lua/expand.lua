-- Expand a map into its items; an earlier round may have done some or all of them. The map's own attempt ends
-- here; it succeeds with its last item. The worker that records that item sends the map's successors.
-- ARGV: node, token, number of items, join whose chord would count the message (or empty), the map's
--       successors
-- Reply: {expanded | lost, state of the run, due successors if all items are done (name, sent alone, …)}
local node, token = ARGV[1], ARGV[2]
local record = load_node(node)
if not speaks_for(record, token) then
  local reply = refuse(node, record, token, 'expanded')
  if reply[1] == 'expanded' then tell_due(reply, ARGV, 5) end
  return reply
end
local items = tonumber(ARGV[3])
undo_attempt(record)
grant(record, token, 'expanded')
local done = 0
for index = 0, items - 1 do
  if load_node(node .. '[' .. index .. ']').state == 'succeeded' then done = done + 1 end
end
record.items = items
record.left = items - done
record.next = 0
if record.left == 0 then record.state = 'succeeded' record.ended = NOW end
if items == 0 then record.value = '[]' end
save_node(node, record)
emit(node, 'expanded', items)
if ARGV[4] ~= '' then redis.call('SADD', ALONE, ARGV[4]) end
if record.left == 0 then
  emit(node, 'succeeded')
  satisfy(ARGV, 5)
else
  redis.call('ZADD', DUE, NOW_MS, node)
end
redis.call('HINCRBY', META, 'open', items - done)
local reply = {'expanded', settle(1)}
tell_due(reply, ARGV, 5)
return reply
