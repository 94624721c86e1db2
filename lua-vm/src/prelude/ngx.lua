-- The `ngx` table. Accessors check types, call the host, and never end in a tail call to a builtin or cdata function.
local P = ...
setfenv(1, P.env)
local F, C, ctx = P.F, P.C, P.ctx
local ffi_string, err_text, disabled, may_wait = P.ffi.string, P.err_text, P.disabled, P.may_wait
local type, error, tostring, setmetatable, rawset = type, error, tostring, setmetatable, rawset
local host_yield = C.host_yield

local ngx = {
  OK = 0, ERROR = -1, AGAIN = -2, DONE = -4, DECLINED = -5,
  null = P.null,
  STDERR = 0, EMERG = 1, ALERT = 2, CRIT = 3, ERR = 4, WARN = 5, NOTICE = 6, INFO = 7, DEBUG = 8,
}
P.ngx = ngx
_G.ngx = ngx

-- ngx.var -----------------------------------------------------------------------------------------------------------

local var_get, var_set = F.var_get, F.var_set
local out = ctx.out

ngx.var = setmetatable({}, {
  __index = function(_, k)
    if type(k) ~= "string" then
      if type(k) ~= "number" then error("bad variable name", 2) end
      k = tostring(k)
    end
    if var_get(ctx, k, #k) == 1 then
      local s = ffi_string(out.p, out.n)
      return s
    end
    return nil
  end,
  __newindex = function(_, k, v)
    if type(k) ~= "string" then error("bad variable name", 2) end
    local rc
    if v == nil then
      rc = var_set(ctx, k, #k, nil, 0)
    else
      if type(v) ~= "string" then v = tostring(v) end
      rc = var_set(ctx, k, #k, v, #v)
    end
    if rc < 0 then error(err_text(), 2) end
  end,
})

-- ngx.header, ngx.status --------------------------------------------------------------------------------------------

local header_get, header_set, status_get, status_set = F.resp_header_get, F.resp_header_set, F.status_get, F.status_set

local function set_header(k, v, add)
  if type(v) ~= "string" then v = tostring(v) end
  if header_set(ctx, k, #k, v, #v, add) < 0 then error(err_text(), 3) end
end

ngx.header = setmetatable({}, {
  __index = function(_, k)
    if type(k) ~= "string" then error("bad header name", 2) end
    if header_get(ctx, k, #k) == 1 then
      local s = ffi_string(out.p, out.n)
      return s
    end
    return nil
  end,
  __newindex = function(_, k, v)
    if type(k) ~= "string" then error("bad header name", 2) end
    if type(v) == "table" then
      if header_set(ctx, k, #k, nil, 0, false) < 0 then error(err_text(), 2) end
      for i = 1, #v do
        set_header(k, v[i], true)
      end
    elseif v == nil then
      if header_set(ctx, k, #k, nil, 0, false) < 0 then error(err_text(), 2) end
    else
      set_header(k, v, false)
    end
  end,
})

-- ngx.ctx -----------------------------------------------------------------------------------------------------------

local ctxs = {}
P.ctxs = ctxs
local new_tab = require "table.new"

local function get_ctx()
  local session = ctx.session
  if session == nil then error("no request ctx found", 3) end
  local t = ctxs[session.ctx_id]
  if t == nil then
    t = new_tab(0, 4)
    ctxs[session.ctx_id] = t
    session.ctx_used = 1
  end
  return t
end

local function set_ctx(t)
  if type(t) ~= "table" then error("ctx should be a table while getting a " .. type(t), 3) end
  local session = ctx.session
  if session == nil then error("no request ctx found", 3) end
  ctxs[session.ctx_id] = t
  session.ctx_used = 1
end

-- Fields of `ngx` that are computed: name to getter, name to setter. Other files add theirs.
local get, set = {}, {}
P.get, P.set = get, set
get.ctx, set.ctx = get_ctx, set_ctx
function get.status()
  local status = status_get(ctx)
  return status
end
function set.status(v)
  if type(v) ~= "number" then
    error("bad argument #1 to 'status' (number expected, got " .. type(v) .. ")", 3)
  end
  if status_set(ctx, v) < 0 then error(err_text(), 3) end
end

setmetatable(ngx, {
  __index = function(_, k)
    local f = get[k]
    if f == nil then return nil end
    local v = f()
    return v
  end,
  __newindex = function(t, k, v)
    local f = set[k]
    if f == nil then
      rawset(t, k, v)
    else
      f(v)
    end
  end,
})

-- Flow, time, output --------------------------------------------------------------------------------------------------

local exit, sleep, now, time, update_time = F.exit, F.sleep, F.now, F.time, F.update_time

function ngx.exit(code)
  if type(code) ~= "number" then
    error("bad argument #1 to 'exit' (number expected, got " .. (code == nil and "nil" or type(code)) .. ")", 2)
  end
  local rc = exit(ctx, code)
  if rc < 0 then error(err_text(), 2) end
  if rc == 0 then host_yield() end
end

function ngx.sleep(seconds)
  if type(seconds) ~= "number" then
    error("bad argument #1 to 'sleep' (number expected, got " .. (seconds == nil and "nil" or type(seconds)) .. ")", 2)
  end
  if not (seconds >= 0) then error("invalid sleep duration \"" .. tostring(seconds) .. "\"", 2) end
  if not may_wait[ctx.phase] then disabled() end
  local rc = sleep(ctx, seconds)
  if rc < 0 then error(err_text(), 2) end
  if rc == 1 then host_yield() end
end

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

local phase_names = P.phase_names
function ngx.get_phase()
  local name = phase_names[ctx.phase]
  return name
end

ngx.say, ngx.print, ngx.log = C.say, C.print, C.log

-- The standard print goes to the log, as in OpenResty.
_G.print = C.notice
