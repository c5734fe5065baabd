-- Record items of a map, whose outputs are written, as succeeded. Items that lost their lease are skipped.
-- ARGV: map, token, number of the map's successors, those successors, then for each item: index, microseconds
--       since its start and since its end, value (or empty), reused (0/1), why (or empty)
-- Reply: {committed, state of the run, successors that are due now (name, sent alone, …), maps that follow it and
--        need a message for their items (name, its number, …)}
local group, token = ARGV[1], ARGV[2]
local followers, done, repeated = tonumber(ARGV[3]), {}, false
for at = 4 + followers, #ARGV, 6 do
  local name = item_of(group, ARGV[at])
  local record = load_node(name)
  if speaks_for(record, token) then
    record.ended = ago(ARGV[at + 2])
    record.attempts[#record.attempts].started = ago(ARGV[at + 1])
    if #record.attempts == 1 then record.started = ago(ARGV[at + 1]) end
    close_attempt(record, '', record.ended)
    grant(record, token, 'committed')
    record.state = 'succeeded'
    if ARGV[at + 3] ~= '' then record.value = ARGV[at + 3] end
    if ARGV[at + 4] == '1' then record.reused = true end
    if ARGV[at + 5] ~= '' then record.why = ARGV[at + 5] end
    save_node(name, record)
    emit(name, 'succeeded')
    table.insert(done, ARGV[at])
  elseif was_granted(record, token, 'committed') then
    repeated = true
  end
end
if #done > 0 then settle_items(group, #done, ARGV, 4, 3 + followers) end
local reply = {'committed', #done > 0 and settle(#done) or repeated and state_after(group) or ''}
tell_due(reply, ARGV, 4, 3 + followers)
feed(reply, group, done, repeated)
tell_ended(reply)
return reply
