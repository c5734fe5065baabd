-- All about a run's end is written down: Redis may forget the run after a while. Atomic, because the run may
-- have been carried on meanwhile, or be unknown to a Redis that was wiped.
-- ARGV: the end that was written down, as `ended` has it; id of the MLflow run or ''; seconds until Redis forgets
-- Reply: 1, or 0 if that is not how the run stands
if redis.call('HGET', META, 'ended') ~= ARGV[1] then return 0 end
redis.call('HSET', META, 'concluded', 1)
if ARGV[2] ~= '' then redis.call('HSET', META, 'mlflow_run_id', ARGV[2]) end
for _, key in ipairs(KEPT) do redis.call('EXPIRE', key, ARGV[3]) end
return 1
