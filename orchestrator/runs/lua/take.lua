-- Claim items of a map: returned and lost items first, then new ones in order. Towards the end a worker gets
-- fewer, so that no worker has long to go while others have none. An item whose worker died is taken alone: if it
-- is the cause, no other items are lost with it again. A caller has settled the items it took before, unless
-- that reply was lost: it then gets the same items again, since nobody else would run them.
-- ARGV: map, token, holder (the claiming delivery), worker (its name), lease in ms, the message's round,
--       number of items wanted, number that is soon done, then the node of the map, if its items are maps, and what
--       is behind it, if an earlier delivery may have died before it sent that
-- Reply: {taken | done | none, number of items, for each its index and counts as in a claim, then what is due of
--        the latter (name, sent alone or the number of a message, …)}
local group, token, holder, worker = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local run_state = redis.call('HGET', META, 'state')
if not run_state or OVER[run_state] or is_outdated(ARGV[6]) then return {'none', 0} end
local map = load_node(group)
local told, reply, given, forgotten = 0, {'taken', 0}, {}, may_have_forgotten()
local function tell(index, record)
  table.insert(reply, index)
  for _, each in ipairs({attempt_counts(record)}) do table.insert(reply, each) end
  table.insert(reply, forgotten)
  told = told + 1
end
local function finished(status)
  reply[1], reply[2] = status, told
  tell_lost(reply, ARGV, 9)
  return reply
end
if map.state == 'succeeded' then return finished('done') end
-- not expanded yet, or each item has its own message
if not map.next or map.state == 'cancelled' or is_too_late(group) then return {'none', 0} end

local earlier = redis.call('HGET', TAKEN, holder)
for position, index in ipairs(cjson.decode(earlier or '[]')) do
  local record = load_node(item_of(group, index))
  if record.state == 'running' and record.token == token then tell(index, record)
  elseif position == 1 then break end -- a settled item proves that the reply arrived
end
if told > 0 then return finished('taken') end

local function take(index)
  local name = item_of(group, index)
  local record = load_node(name)
  if OVER[record.state] or record.state == 'retrying' then return 0 end
  if record.state == 'running' then
    if is_held(record) then return 0 end
    take_over(name, record, holder)
  end
  local number = open_attempt(record, token, holder, worker)
  save_node(name, record)
  redis.call('ZREM', DUE, name)
  emit(name, 'running', number)
  tell(index, record)
  table.insert(given, index)
  return 1
end

local function is_suspect(index)
  local record = load_node(item_of(group, index))
  if not record.attempts then return false end
  local _, _, lost = attempt_counts(record)
  return lost > 0
end

local back = map.back or {}
local size = (map.follows or map.opens) and map.left or map.items - map.next + #back
local whole, place = map_and_index(group)
if place then size = size * load_node(whole).left end -- others have the maps beside it
local fair = math.max(math.ceil(size / 16), tonumber(ARGV[8]))
local wanted = math.max(1, math.min(tonumber(ARGV[7]), fair))
local taken = 0
while taken < wanted and #back > 0 do
  if is_suspect(back[#back]) then
    if taken > 0 then break end
    wanted = 1
  end
  taken = taken + take(table.remove(back))
end
while taken < wanted and map.next < map.items do
  taken = taken + take(map.next)
  map.next = map.next + 1
end
map.back = #back > 0 and back or nil
if #given == 0 and not earlier then map.awaited = nil end -- the message that was on its way came to this
save_node(group, map)
if map.back or map.next < map.items then redis.call('ZADD', DUE, NOW_MS, group) else redis.call('ZREM', DUE, group) end
if #given == 0 then
  redis.call('HDEL', TAKEN, holder)
  return finished('none')
end
redis.call('HSET', TAKEN, holder, cjson.encode(given))
redis.call('ZADD', LEASES, NOW_MS + tonumber(ARGV[5]), holder)
return finished('taken')
