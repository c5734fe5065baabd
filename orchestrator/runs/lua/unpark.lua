-- Parked messages were published again: forget them. Those that still wait are another round's.
-- ARGV: nodes
-- Reply: {unparked, ''}
local ready = ready_messages(ARGV, 1)
for index = 1, #ready, 2 do redis.call('HDEL', PARKED, ready[index]) end
return {'unparked', ''}
