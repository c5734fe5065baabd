-- A message came before all that its node waits for: keep it, unless the last of them came in meanwhile, the
-- run is over or has come to what runs after a failure, or a later round parks a message of its own.
-- ARGV: node, message (JSON), its round, waits
-- Reply: {parked | ready, ''}
local waits = {}
for index = 4, #ARGV do table.insert(waits, ARGV[index]) end
local complete = true
for _, need in ipairs(waits) do
  if load_node(need).state ~= 'succeeded' then complete = false break end
end
local run_state = redis.call('HGET', META, 'state')
local is_over = not run_state or OVER[run_state] or OVER[load_node(ARGV[1]).state] or is_too_late(ARGV[1])
if complete or is_over or is_outdated(ARGV[3]) then
  return {'ready', ''}
end
redis.call('HSET', PARKED, ARGV[1], cjson.encode({waits = waits, message = ARGV[2]}))
emit(ARGV[1], 'waiting')
return {'parked', ''}
