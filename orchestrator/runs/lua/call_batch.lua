-- A batch of a map asks whether it has to call another worker: at any time one message of the map waits for the
-- next worker that is free, and whoever takes it sends the one that follows. So a map has one place in the
-- queue, however many items it has.
-- ARGV: map, number of the batch's message (0: it begins anew), token of its delivery, 1 if it was delivered
--       again
-- Reply: {number of the message to send, or 0 for none}
local map, number = load_node(ARGV[1]), tonumber(ARGV[2])
if not map.next or map.state == 'cancelled' then return {0} end -- a map that has failed goes on with the rest
local called = map.called or 0
if map.caller == ARGV[3] then return {called} end -- the first reply was lost
local is_latest = number == 0 or number >= called
if not map.back and map.next >= map.items then
  if is_latest and map.awaited then map.awaited = nil save_node(ARGV[1], map) end
  return {0}
end
if is_latest then
  map.called, map.caller, map.awaited = math.max(called, number) + 1, ARGV[3], true
  save_node(ARGV[1], map)
  return {map.called}
end
-- the earlier delivery may have died before it sent the message
if ARGV[4] == '1' and number + 1 == called then return {called} end
return {0}
