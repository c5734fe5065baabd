-- A run is to stop: nothing of it starts any more, and what runs cannot commit. Who stops one that was cancelled
-- before is told the same.
-- ARGV: why it failed (empty: it did not, somebody wanted it to stop), token of who asks
-- Reply: {cancelled | over | unknown, deliveries that are at work, …}
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
