-- Time functions
local P = ...
setfenv(1, P.env)
local F, ctx = P.F, P.ctx
local ffi_string, out = P.ffi.string, P.ctx.out
local type, error = type, error
local ngx = P.ngx
local now, time, update_time = F.now, F.time, F.update_time
local time_text, http_time, cookie_time, parse_http_time = F.time_text, F.http_time, F.cookie_time, F.parse_http_time

function ngx.now()
  local t = now(ctx)
  return t
end

function ngx.time()
  local t = time(ctx)
  return t
end

function ngx.update_time()
  update_time(ctx)
end

function ngx.today()
  time_text(ctx, 0)
  local s = ffi_string(out.p, out.n)
  return s
end

function ngx.localtime()
  time_text(ctx, 1)
  local s = ffi_string(out.p, out.n)
  return s
end

function ngx.utctime()
  time_text(ctx, 2)
  local s = ffi_string(out.p, out.n)
  return s
end

function ngx.http_time(seconds)
  if type(seconds) ~= "number" then error("number argument only", 2) end
  http_time(ctx, seconds)
  local s = ffi_string(out.p, out.n)
  return s
end

function ngx.cookie_time(seconds)
  if type(seconds) ~= "number" then error("number argument only", 2) end
  cookie_time(ctx, seconds)
  local s = ffi_string(out.p, out.n)
  return s
end

function ngx.parse_http_time(text)
  if type(text) ~= "string" then error("string argument only", 2) end
  local t = parse_http_time(ctx, text, #text)
  if t < 0 then return nil end
  return t
end
