-- Skip a node whose condition is false, and everything downstream of it.
-- ARGV: node, token, all nodes downstream
-- Reply: {skipped | lost, state of the run}
local node, token = ARGV[1], ARGV[2]
local record = load_node(node)
if not speaks_for(record, token) then return refuse(node, record, token, 'skipped') end
undo_attempt(record)
record.started = nil
grant(record, token, 'skipped')
record.state = 'skipped'
save_node(node, record)
emit(node, 'skipped')
return {'skipped', settle(1 + close_unrun(ARGV, 3, 'skipped'))}
