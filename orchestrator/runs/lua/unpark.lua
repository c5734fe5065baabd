-- Parked messages were published again: forget them.
-- ARGV: nodes
-- Reply: {unparked, ''}
redis.call('HDEL', PARKED, unpack(ARGV))
return {'unparked', ''}
