-- A map turns into its items. Its own attempt ends here; it succeeds with its last item.
-- ARGV: node, token, number of items
-- Reply: {expanded | lost, ''}
local node, token = ARGV[1], ARGV[2]
local record = load_node(node)
if not speaks_for(record, token) then return {'lost', ''} end
local items = tonumber(ARGV[3])
record.attempts = nil
record.token = nil
redis.call('ZREM', LEASES, record.holder)
record.holder = nil
record.items = items
record.left = items
record.next = 0
save_node(node, record)
redis.call('HINCRBY', META, 'open', items - 1)
emit(node, 'expanded', items)
return {'expanded', ''}
