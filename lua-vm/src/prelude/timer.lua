-- The host's entry for timers: it keeps (id, premature), the function and its arguments stay here.
local P = ...
setfenv(1, P.env)
local unpack = unpack

local timers = {}
P.timers = timers

-- timers[id] = { n = number of arguments, f = function, every = true when it stays, ... }
function P.timer(id, premature)
  local t = timers[id]
  if not t then return end
  if not t.every or premature then timers[id] = nil end
  t.f(premature, unpack(t, 1, t.n))
end
