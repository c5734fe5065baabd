-- Mark a run as concluded and let its keys expire. Atomic, because the run may have been resumed meanwhile,
-- or be unknown to a Redis that was wiped.
-- ARGV: the concluded end, as in the field `ended`; id of the MLflow run or ''; seconds until the keys expire
-- Reply: 1, or 0 if that is not the run's current end
if redis.call('HGET', META, 'ended') ~= ARGV[1] then return 0 end
redis.call('HSET', META, 'concluded', 1)
if ARGV[2] ~= '' then redis.call('HSET', META, 'mlflow_run_id', ARGV[2]) end
for _, key in ipairs(KEPT) do redis.call('EXPIRE', key, ARGV[3]) end
return 1
