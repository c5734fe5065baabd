-- Record a node as succeeded; its outputs and manifest are written. Refused if the lease is lost. In the same
-- step, the delivery may claim one of the nodes that this made due.
-- ARGV: node, token, value (JSON, or empty), reused (0/1), why (or empty), map that it is an item of (or
--       empty), join whose chord counts the delivery (or empty), 1 if that chord does not count it any more
--       (else only if it continues), number of nodes that it would continue with; unless 0: token for that
--       node, holder, worker, lease in ms, and those nodes; then the successors of the node, or of the map
-- Reply: {committed | lost, state of the run, the node claimed (or empty), its counts as in a claim's reply,
--         successors that are due now (name, sent alone, …), maps that need a message for their items, as those of
--         the item (name, its number, …)}
local node, token, join, left, wanted = ARGV[1], ARGV[2], ARGV[7], ARGV[8] == '1', tonumber(ARGV[9])
local successors = wanted == 0 and 10 or 14 + wanted

local function is_free(name, record)
  return redis.call('ZSCORE', DUE, name) and (record.state == 'waiting' or record.state == 'queued')
    and not record.items and missing(name) == 0 and not is_too_late(name)
end

-- Append the claim of a wanted node to the reply: one that this call made before, or else of the first one
-- that is free, if `fresh`.
local function continue(reply, fresh)
  for at = 14, 13 + wanted do
    local name = ARGV[at]
    local record = load_node(name)
    local repeated = record.state == 'running' and record.token == ARGV[10] -- the first reply was lost
    if repeated or fresh and is_free(name, record) then
      if not repeated then begin_attempt(name, record, ARGV[10], ARGV[11], ARGV[12], ARGV[13]) end
      for _, part in ipairs({name, attempt_counts(record)}) do table.insert(reply, part) end
      table.insert(reply, may_have_forgotten())
      return name
    end
  end
  for _, part in ipairs({'', 0, 0, 0, 0, 0}) do table.insert(reply, part) end
end

local record = load_node(node)
local reply
local fresh = speaks_for(record, token)
if fresh then
  redis.call('ZREM', LEASES, record.holder)
  close_attempt(record, '')
  grant(record, token, 'committed')
  record.state = 'succeeded'
  record.ended = NOW
  if ARGV[3] ~= '' then record.value = ARGV[3] end
  if ARGV[4] == '1' then record.reused = true end
  if ARGV[5] ~= '' then record.why = ARGV[5] end
  save_node(node, record)
  emit(node, 'succeeded')
  if ARGV[6] == '' then satisfy(ARGV, successors) else settle_items(ARGV[6], 1, ARGV, successors) end
  reply = {'committed', settle(1)}
else
  reply = refuse(node, record, token, 'committed')
  if reply[1] == 'lost' then return reply end
end
local claimed = continue(reply, fresh)
if join ~= '' and join ~= claimed and (claimed or left) and missing(join) + (is_due(join) and 1 or 0) > 0 then
  redis.call('SADD', ALONE, join)
end
tell_due(reply, ARGV, successors)
if ARGV[6] ~= '' then feed(reply, ARGV[6], fresh and {select(2, map_and_index(node))} or {}, not fresh) end
tell_ended(reply)
return reply
