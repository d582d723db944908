-- One connection for each thread, so that a thread knows which request an answer belongs to.
local threads = {}

function setup(thread)
  thread:set('user', #threads)
  table.insert(threads, thread)
end

function init(args)
  id, think = args[1], tonumber(args[2])
  n, answered, open, lost, wrong = 0, 0, nil, 0, ''
end

function delay()
  return think
end

function request()
  -- wrk says nothing when it gives a request up, but it asks for the next one. The very first one is never sent: it is
  -- what wrk looks at before it connects.
  if open and not (user == 0 and n == 1) then lost = lost + 1 end
  open = string.format('%s.%d.%d', id, user, n)
  n = n + 1
  if n % 2 == 1 then
    expected = open
    return wrk.format('GET', '/items/' .. open)
  end
  expected = 'body of ' .. open
  return wrk.format('POST', '/items/' .. open, { ['Content-Type'] = 'text/plain' }, expected)
end

function response(status, headers, body)
  if status == 200 and body == expected then
    answered = answered + 1
  else
    lost = lost + 1
    wrong = status == 200 and 'wrong body' or 'status ' .. status
  end
  open = nil
end

function done(summary, latency, requests)
  local sums, wrong = { answered = 0, lost = 0, open = 0 }, ''
  for _, thread in ipairs(threads) do
    sums.answered = sums.answered + thread:get('answered')
    sums.lost = sums.lost + thread:get('lost')
    if thread:get('open') then sums.open = sums.open + 1 end
    if thread:get('wrong') ~= '' then wrong = thread:get('wrong') end
  end
  print(string.format('\ntally {"answered":%d,"lost":%d,"wrong":"%s","open":%d}', sums.answered, sums.lost, wrong, sums.open))
end
