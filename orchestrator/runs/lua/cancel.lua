-- Cancel a run: no node of it starts any more, and running attempts cannot commit. A repeated call on a
-- cancelled run gets the same reply.
-- ARGV: error (empty: cancelled on request; else the run fails with it), token of the caller
-- Reply: {cancelled | over | unknown, running deliveries, …}
local reply = {'cancelled'}
local state = redis.call('HGET', META, 'state')
local at_work = stopped_by(state ~= 'cancelled' and ARGV[2] or nil)
if not at_work then
  if not state then return {'unknown'} end
  if OVER[state] then return {'over'} end
  at_work = stop_all(ARGV[2])
  if ARGV[1] == '' then
    end_run('cancelled')
  else
    redis.call('HSETNX', META, 'error', ARGV[1])
    end_run('failed')
  end
end
for _, delivery in ipairs(at_work) do table.insert(reply, delivery) end
return reply
