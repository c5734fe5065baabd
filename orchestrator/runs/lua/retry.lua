-- Record a failed attempt; the next one is due later. A map item's lease stays: its delivery may run others.
-- ARGV: node, token, error, traceback, milliseconds until the next attempt
-- Reply: {retrying | lost, ''}
local node, token = ARGV[1], ARGV[2]
local record = load_node(node)
if not speaks_for(record, token) then return {refuse(node, record, token, 'retrying')[1], ''} end
redis.call('HSET', TRACEBACKS, node .. '#' .. #record.attempts, ARGV[4])
if not select(2, map_and_index(node)) then redis.call('ZREM', LEASES, record.holder) end
close_attempt(record, ARGV[3])
grant(record, token, 'retrying')
record.state = 'retrying'
save_node(node, record)
redis.call('ZADD', DUE, NOW_MS + tonumber(ARGV[5]), node)
emit(node, 'retrying', string.format('%.1f s', ARGV[5] / 1000))
return {'retrying', ''}
