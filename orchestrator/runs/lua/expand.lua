-- Expand a map into its items; an earlier round may have done some or all of them. The map's own attempt ends
-- here; it succeeds with its last item. The worker that records that item sends the map's successors.
-- ARGV: node, token, number of items, join whose chord would count the message (or empty), whose items its own wait for
--       (JSON: maps whose items have to succeed, and maps whose items have to be expanded), the map's successors
-- Reply: {expanded | lost, state of the run, due successors if all items are done or cannot run (name, sent alone, …)}
local node, token = ARGV[1], ARGV[2]
local record = load_node(node)
if not speaks_for(record, token) then
  local reply = refuse(node, record, token, 'expanded')
  if reply[1] == 'expanded' then tell_due(reply, ARGV, 6) end
  return reply
end
local items = tonumber(ARGV[3])
local whole, place = map_and_index(node)
if place then record.attempts = nil clear_holder(record) else undo_attempt(record) end
grant(record, token, 'expanded')
local done = 0
for index = 0, items - 1 do
  if load_node(item_of(node, index)).state == 'succeeded' then done = done + 1 end
end
record.items = items
record.left = items - done
record.next = 0
record.awaited = true -- the caller sends a message for its items
local waits_for, unfed = cjson.decode(ARGV[5]), {}
if #waits_for[1] + #waits_for[2] > 0 then
  record.follows, record.opens = waits_for[1], waits_for[2]
  record.next, record.back, record.needed_by = items, {}, {}
  for at = 6, #ARGV do table.insert(record.needed_by, ARGV[at]) end
  for index = items - 1, 0, -1 do
    local fed, ends, left_out = is_fed(record, index)
    if ends then table.insert(unfed, {index, ends, left_out})
    elseif fed and not OVER[load_node(item_of(node, index)).state] then table.insert(record.back, index) end
  end
  if #record.back == 0 then record.back = nil end
end
if items == 0 then record.value = '[]' end
save_node(node, record)
emit(node, 'expanded', items)
if ARGV[4] ~= '' then redis.call('SADD', ALONE, ARGV[4]) end
if not place then
  for _, follower in ipairs(item_followers(node)) do
    satisfy_one(follower[1])
    if missing(follower[1]) > 0 then redis.call('SADD', ALONE, follower[1]) end -- what stands before it does not bring it
  end
end
if record.left == 0 then settle_items(node, 0, ARGV, 6)
elseif record.back or record.next < items then redis.call('ZADD', DUE, NOW_MS, node) end
redis.call('HINCRBY', META, 'open', items - done)
for _, each in ipairs(unfed) do close_item(node, unpack(each)) end
local reply = {'expanded', settle(1)}
tell_due(reply, ARGV, 6)
tell_ended(reply)
if place then feed(reply, whole, {place}, false, true) end
return reply
