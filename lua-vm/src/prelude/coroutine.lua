-- Coroutines that are flat where the host schedules them (cfun/coroutine.rs).
local P = ...
setfenv(1, P.env)
local C, ctx = P.C, P.ctx
local co_resume, co_yield, at_entry, host_yield, sleep = C.co_resume, C.co_yield, C.co_at_entry, C.host_yield, P.F.sleep
local create, error = coroutine.create, error

-- The coroutines of the host: scripts see them by `coroutine.running`, and must not resume them.
P.sealed = setmetatable({}, { __mode = "k" })
-- The main state: filters see it by `coroutine.running`.
P.sealed[coroutine.running()] = true

coroutine.resume = co_resume
coroutine.status = C.co_status

-- Of the entry itself: lets other requests run.
function coroutine.yield(...)
  if at_entry() then
    if sleep(ctx, 0) == 1 then host_yield() end
    return
  end
  return co_yield(...)
end

local function finish(ok, ...)
  if not ok then error((...), 0) end
  return ...
end

function coroutine.wrap(f)
  local co = create(f)
  return function(...)
    return finish(co_resume(co, ...))
  end
end
