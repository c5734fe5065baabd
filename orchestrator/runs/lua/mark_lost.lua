-- End the attempts of a delivery whose process is lost, so that its nodes can be claimed again.
-- ARGV: holder, error, spared (1 if the loss does not count against the node, since its worker was stopped;
--       else 0), time in ms until which the call is valid (empty if the worker itself calls; otherwise only
--       an expired lease ends, and the delivery is revoked, in case its process is still alive)
-- Reply: {released, number of nodes}
local holder, count, until_ms = ARGV[1], 0, tonumber(ARGV[4])
if until_ms and (NOW_MS > until_ms or tonumber(redis.call('ZSCORE', LEASES, holder) or 0) > NOW_MS) then
  return {'released', 0}
end
local run_state = redis.call('HGET', META, 'state')
if not run_state or OVER[run_state] then return {'released', 0} end
for _, name in ipairs(redis.call('HKEYS', NODES)) do
  local record = load_node(name)
  if record.state == 'running' and record.holder == holder then
    lose_attempt(name, record, ARGV[2], ARGV[3] == '1')
    record.state = 'queued'
    save_node(name, record)
    emit(name, 'queued', ARGV[2])
    count = count + 1
    local group, index = map_and_index(name)
    local map = load_node(group)
    if index and map.next then
      map.back = map.back or {}
      table.insert(map.back, tonumber(index))
      save_node(group, map)
      redis.call('ZADD', DUE, NOW_MS, group)
    else
      redis.call('ZADD', DUE, NOW_MS, name)
    end
  end
end
redis.call('ZREM', LEASES, holder)
if until_ms then redis.call('SADD', REVOKED, holder) end
return {'released', count}
