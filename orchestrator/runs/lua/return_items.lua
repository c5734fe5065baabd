-- Return items that a worker has not begun, because another item takes long, so that others can take them.
-- ARGV: map, token, indexes
-- Reply: {given, number of items, number of the message that is to call a worker to them}
local group, token = ARGV[1], ARGV[2]
local map = load_node(group)
local back, count = map.back or {}, 0
for index = 3, #ARGV do
  local name = item_of(group, ARGV[index])
  local record = load_node(name)
  if speaks_for(record, token) then
    table.remove(record.attempts)
    if #record.attempts == 0 then record.attempts = nil record.started = nil end
    record.token = nil
    record.holder = nil
    record.state = 'queued'
    save_node(name, record)
    emit(name, 'queued')
    table.insert(back, tonumber(ARGV[index]))
    count = count + 1
  end
end
if count > 0 then
  map.back, map.called, map.awaited = back, (map.called or 0) + 1, true
  save_node(group, map)
  redis.call('ZADD', DUE, NOW_MS, group)
end
return {'given', count, count > 0 and map.called or 0}
