-- ngx.exit, ngx.redirect, ngx.sleep, ngx.timer, and what is not supported yet
local P = ...
setfenv(1, P.env)
local F, ctx, err_text = P.F, P.ctx, P.err_text
local not_here, bad_argument, check_number, check_string = P.not_here, P.bad_argument, P.check_number, P.check_string
local type, error, tostring, select, setmetatable, unpack = type, error, tostring, select, setmetatable, unpack
local getinfo = debug.getinfo
local host_yield = P.C.host_yield
local ngx, may_answer, may_wait = P.ngx, P.may_answer, P.may_wait

local exit, redirect, sleep = F.exit, F.redirect, F.sleep
local may_exit = P.phases("server_rewrite", "rewrite", "access", "content", "timer", "header_filter", "balancer")

function ngx.exit(code)
  if type(code) ~= "number" then code = check_number(1, "exit", code) end
  if code == -2 or code == -4 then error("bad argument to 'ngx.exit': does not accept NGX_AGAIN or NGX_DONE", 2) end
  if not may_exit[ctx.phase] then not_here() end
  local rc = exit(ctx, code)
  if rc < 0 then error(err_text(), 2) end
  if rc == 0 then host_yield() end
end

function ngx.redirect(...)
  local n = select("#", ...)
  if n ~= 1 and n ~= 2 then error("expecting one or two arguments", 2) end
  local uri, status = ...
  uri = check_string(1, "redirect", uri)
  status = n == 2 and check_number(2, "redirect", status) or 302
  if not may_answer[ctx.phase] then not_here("no request object found") end
  if redirect(ctx, uri, #uri, status) < 0 then error(err_text(), 2) end
  host_yield()
end

function ngx.sleep(...)
  local n = select("#", ...)
  if n ~= 1 then error("attempt to pass " .. n .. " arguments, but accepted 1", 2) end
  local seconds = check_number(1, "sleep", (...))
  if not (seconds >= 0) then error("invalid sleep duration \"" .. tostring(seconds * 1000) .. "\"", 2) end
  if not may_wait[ctx.phase] then not_here() end
  local rc = sleep(ctx, seconds)
  if rc < 0 then error(err_text(), 2) end
  if rc == 1 then host_yield() end
end

-- ngx.timer -----------------------------------------------------------------------------------------------------------

-- timers[id] = { n = number of arguments, f = function, every = true when it stays, ... }
local timers = {}
local timer_add, timer_count = F.timer_add, F.timer_count
local DROP = 2

-- The host's entry: 0 runs the function, 1 runs it with `premature`, 2 only forgets it.
function P.timer(id, mode)
  local t = timers[id]
  if not t then return end
  if not t.every or mode ~= 0 then timers[id] = nil end
  if mode == DROP then return end
  -- A tail call, so that the log shows no name of ours for the function.
  return t.f(mode == 1, unpack(t, 1, t.n))
end

-- Called as a tail call, so that errors are told of its caller.
local function add(name, every, ...)
  local n = select("#", ...)
  if n < 2 then error("expecting at least 2 arguments but got " .. n, 2) end
  local delay, f = ...
  delay = check_number(1, name, delay)
  if every and delay < 0.001 then error("delay cannot be zero", 2) end
  -- A negative delay wraps to a time that never comes in nginx; it is a mistake in any case.
  if not (delay >= 0) then error("bad argument #1 to '" .. name .. "' (delay cannot be negative)", 2) end
  local info = type(f) == "function" and getinfo(f, "S")
  if not info or info.what == "C" then error("bad argument #2 to '" .. name .. "' (Lua function expected)", 2) end
  if ctx.phase == 0 then error("no request", 2) end
  local place = info.source .. ":" .. info.linedefined
  local id = timer_add(ctx, delay, every, place, #place)
  if id < 0 then return nil, err_text() end
  timers[id] = { n = n - 2, f = f, every = every, select(3, ...) }
  return 1
end

ngx.timer = {}

function ngx.timer.at(...)
  return add("at", false, ...)
end

function ngx.timer.every(...)
  return add("every", true, ...)
end

function ngx.timer.running_count()
  if ctx.phase == 0 then error("no request", 2) end
  local n = timer_count(ctx, true)
  return n
end

function ngx.timer.pending_count()
  if ctx.phase == 0 then error("no request", 2) end
  local n = timer_count(ctx, false)
  return n
end

-- Not yet -------------------------------------------------------------------------------------------------------------

local function later(name)
  return function()
    error(name .. " is not supported yet", 2)
  end
end

ngx.exec = later("ngx.exec")
ngx.on_abort = later("ngx.on_abort")
ngx.run_worker_thread = later("ngx.run_worker_thread")
ngx.location = { capture = later("ngx.location.capture"), capture_multi = later("ngx.location.capture_multi") }
ngx.thread = { spawn = later("ngx.thread.spawn"), wait = later("ngx.thread.wait"), kill = later("ngx.thread.kill") }
ngx.socket = {
  tcp = later("ngx.socket.tcp"), stream = later("ngx.socket.stream"), connect = later("ngx.socket.connect"),
  udp = later("ngx.socket.udp"),
}
ngx.req.socket = later("ngx.req.socket")

for module, names in next, {
  ["ngx.semaphore"] = { "new" },
  ["ngx.pipe"] = { "spawn" },
} do
  P.ours[module] = function()
    local m = { version = P.core_version }
    for _, name in next, names do
      m[name] = later(module .. "." .. name)
    end
    return m
  end
end
