-- Remove a concluded run. Atomic, because the run may be resumed meanwhile.
-- Reply: 1 if nothing of it is left, 0 if it is not concluded
if redis.call('EXISTS', META) == 1 and not redis.call('HGET', META, 'concluded') then return 0 end
for _, keys in ipairs({KEPT, OPEN}) do
  for _, key in ipairs(keys) do redis.call('DEL', key) end
end
return 1
