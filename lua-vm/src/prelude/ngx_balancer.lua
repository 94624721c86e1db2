-- The module ngx.balancer
local P = ...
setfenv(1, P.env)
local F, ctx, err_text, bad_argument = P.F, P.ctx, P.err_text, P.bad_argument
local type, error, tonumber = type, error, tonumber
local set_peer, more_tries, last_failure, set_timeouts = F.balancer_peer, F.balancer_more_tries, F.balancer_last_failure,
  F.balancer_timeouts
local BALANCER, TIMER = 6, 10
local states = { [2] = "next", [4] = "failed" }

-- What each function says outside of the balancer phase, nil where it may go on.
local function elsewhere()
  if ctx.phase == BALANCER then return nil end
  if ctx.phase == 0 then error("no request found", 3) end
  if ctx.phase > BALANCER and ctx.phase ~= TIMER then return "API disabled in the current context" end
  return "no upstream found"
end

-- Seconds of a time-out, 0 where there is none.
local function seconds(v, name)
  if not v then return 0 end
  if type(v) ~= "number" or v <= 0 then error("bad " .. name .. " timeout", 3) end
  return v
end

local balancer = { version = P.core_version }

function balancer.set_current_peer(address, port, host)
  if type(address) ~= "string" then bad_argument(1, "set_current_peer", "string", address) end
  if host ~= nil and type(host) ~= "string" then
    error("bad argument #3 to 'set_current_peer' (string expected, got " .. type(host) .. ")", 2)
  end
  local wrong = elsewhere()
  if wrong then return nil, wrong end
  if set_peer(ctx, address, #address, tonumber(port) or 0) < 0 then return nil, err_text() end
  return true
end

function balancer.set_more_tries(count)
  if type(count) ~= "number" then bad_argument(1, "set_more_tries", "number", count) end
  local wrong = elsewhere()
  if wrong then return nil, wrong end
  if more_tries(ctx, count) then return true, "reduced tries due to limit" end
  return true
end

function balancer.get_last_failure()
  local wrong = elsewhere()
  if wrong then return nil, nil, wrong end
  local code = last_failure(ctx)
  if code == 0 then return nil end
  local state = code % 256
  return states[state] or "unknown", (code - state) / 256
end

function balancer.set_timeouts(connect, send, read)
  connect, send, read = seconds(connect, "connect"), seconds(send, "send"), seconds(read, "read")
  local wrong = elsewhere()
  if wrong then return false, wrong end
  set_timeouts(ctx, connect, send, read)
  return true
end

for _, name in next, { "enable_keepalive", "recreate_request", "set_upstream_tls", "bind_to_local_addr" } do
  balancer[name] = function()
    error("ngx.balancer." .. name .. " is not supported yet", 2)
  end
end

P.ours["ngx.balancer"] = function() return balancer end
