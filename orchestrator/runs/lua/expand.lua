-- A map turns into its items, of which an earlier round may have done some, or all. Its own attempt ends here; it
-- succeeds with its last item.
-- ARGV: node, token, number of items, nodes that it may wake if all are done
-- Reply: {expanded | lost, state of the run, ready messages (name, message, …)}
local node, token = ARGV[1], ARGV[2]
local record = load_node(node)
if not speaks_for(record, token) then
  local reply = refuse(node, record, token, 'expanded')
  if reply[1] == 'expanded' then
    tell_ready(reply, ARGV, 4)
  end
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
if record.left == 0 then emit(node, 'succeeded') end
redis.call('HINCRBY', META, 'open', items - done)
local reply = {'expanded', settle(1)}
tell_ready(reply, ARGV, 4)
return reply
