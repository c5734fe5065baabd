-- Put a message back where its queue is served next, unless it is gone from those that were fetched.
-- Kombu's keys share no hash tag: with cluster mode on, neither this nor kombu itself works; our own keys do.
-- KEYS: unacked, index, queue. ARGV: delivery tag, the message. Reply: 1 if this call did it, else 0.
-- Atomic, because its worker may acknowledge it meanwhile: it would be delivered once more.
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('RPUSH', KEYS[3], ARGV[2])
return 1
