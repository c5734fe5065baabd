-- Requeue an unacknowledged message at the consuming end of its queue, unless it is no longer unacknowledged.
-- Kombu's keys share no hash tag: in cluster mode neither this script nor kombu works; our own keys do.
-- KEYS: unacked, index, queue. ARGV: delivery tag, the message. Reply: 1 if this call requeued it, else 0.
-- Atomic, because its worker may acknowledge it meanwhile, and it would be delivered again.
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('RPUSH', KEYS[3], ARGV[2])
return 1
