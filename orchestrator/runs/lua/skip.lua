-- Skip a node whose condition is false, and everything downstream of it. An item of a map is skipped with the same
-- items of the maps that follow it; the map leaves it out.
-- ARGV: node, token, map that it is an item of (or empty), number of the map's successors, those successors, then all
--       nodes downstream of a node
-- Reply: {skipped | lost, state of the run, then successors that are due because a map has succeeded with that (name,
--        sent alone, …)}
local node, token, group, followers = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local record = load_node(node)
local function answer(word, state)
  local reply = {word, state}
  if word == 'skipped' and group ~= '' then
    tell_due(reply, ARGV, 5, 4 + followers)
    tell_ended(reply)
  end
  return reply
end
if not speaks_for(record, token) then return answer(unpack(refuse(node, record, token, 'skipped'))) end
if group == '' then redis.call('ZREM', LEASES, record.holder) end -- else it may be running other items
record.attempts = nil
record.started = nil
clear_holder(record)
grant(record, token, 'skipped')
record.state = 'skipped'
save_node(node, record)
emit(node, 'skipped')
if group == '' then return answer('skipped', settle(1 + close_unrun(ARGV, 5 + followers, 'skipped'))) end
local _, index = map_and_index(node)
settle_items(group, 1, ARGV, 5, 4 + followers)
close_followers(group, index, 'skipped', true, false)
return answer('skipped', settle(1))
