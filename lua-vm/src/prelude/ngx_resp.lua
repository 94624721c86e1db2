-- ngx.header, ngx.resp, the module ngx.resp, ngx.arg, and output
local P = ...
setfenv(1, P.env)
local F, C, ctx, real, no_request, err_text = P.F, P.C, P.ctx, P.real, P.no_request, P.err_text
local ffi_string, out = P.ffi.string, P.ctx.out
local unpack_pairs, unpack_values, packed_count, max_of = P.unpack_pairs, P.unpack_values, P.packed_count, P.max_of
local bad_argument, not_here, may_answer = P.bad_argument, P.not_here, P.may_answer
local type, error, tostring, tonumber, select, next = type, error, tostring, tonumber, select, next
local setmetatable, floor, concat = setmetatable, math.floor, table.concat
local new_tab = require "table.new"
local ngx, headers_mt = P.ngx, P.headers_mt

-- ngx.header ----------------------------------------------------------------------------------------------------------

local header_get, header_all, header_set = F.resp_header_get, F.resp_header_all, F.resp_header_set

local function set_header(k, v, add)
  if not real[ctx.phase] then
    if ctx.phase == 0 then error("no request found", 3) end
    error("API disabled in the current context", 3)
  end
  if type(k) ~= "string" then k = tostring(k) end
  local rc = 0
  if v == nil then
    if add then error("invalid header value", 3) end
    rc = header_set(ctx, k, #k, nil, 0, false)
  elseif type(v) == "table" then
    local n = #v
    if n == 0 and not add then rc = header_set(ctx, k, #k, nil, 0, false) end
    for i = 1, n do
      local s = v[i]
      if type(s) ~= "string" then s = tostring(s) end
      rc = header_set(ctx, k, #k, s, #s, add or i > 1)
      if rc < 0 then break end
    end
  else
    if type(v) ~= "string" then v = tostring(v) end
    rc = header_set(ctx, k, #k, v, #v, add)
  end
  if rc < 0 then error(err_text(), 3) end
end

ngx.header = setmetatable({}, {
  __index = function(_, k)
    if not real[ctx.phase] then no_request() end
    if type(k) ~= "string" then k = tostring(k) end
    if header_get(ctx, k, #k) == 1 then
      local s = ffi_string(out.p, out.n)
      return s
    end
    if header_all(ctx, k, #k) == 1 then
      local t = unpack_values()
      return t
    end
    return nil
  end,
  __newindex = function(_, k, v)
    set_header(k, v, false)
  end,
})

-- ngx.resp ------------------------------------------------------------------------------------------------------------

local resp = {}
ngx.resp = resp
local resp_headers, status_set, reason_set = F.resp_headers, F.status_set, F.reason_set

function resp.get_headers(max, raw)
  if not real[ctx.phase] then no_request() end
  max = max_of(1, "get_headers", max)
  if resp_headers(ctx, max, raw and true or false) ~= 1 then
    return setmetatable({}, headers_mt)
  end
  local t = new_tab(0, packed_count())
  local truncated = unpack_pairs(t)
  if not raw then setmetatable(t, headers_mt) end
  if truncated then return t, "truncated" end
  return t
end

P.ours["ngx.resp"] = function()
  return {
    version = P.core_version,
    add_header = function(k, v)
      set_header(k, v, true)
    end,
    set_status = function(status, reason)
      if not real[ctx.phase] then no_request() end
      status = tonumber(status)
      if status == nil then error("bad argument #1 to 'set_status' (number expected)", 2) end
      if type(reason) ~= "string" then bad_argument(2, "set_status", "string", reason) end
      if status_set(ctx, status) < 0 then error(err_text(), 2) end
      reason_set(ctx, reason, #reason)
    end,
    -- Conditional requests are the upstream's to answer: there are no checks to pass by.
    bypass_if_checks = function()
      if not real[ctx.phase] then no_request() end
    end,
  }
end

-- ngx.arg -------------------------------------------------------------------------------------------------------------

local arg_data, arg_eof, arg_set_data, arg_set_eof = F.arg_data, F.arg_eof, F.arg_set_data, F.arg_set_eof
local BODY_FILTER = 8

-- Nested arrays of strings and numbers, flattened into `parts`; what else is in it is returned as an error.
local function flatten(t, parts, depth)
  local max = 0
  for k in next, t do
    if type(k) ~= "number" or k < 1 or floor(k) ~= k then return "non-array table found" end
    if k > max then max = k end
  end
  if max > #t or depth > 50 then return "bad data type nil found" end
  for i = 1, max do
    local v = t[i]
    local kind = type(v)
    if kind == "table" then
      local wrong = flatten(v, parts, depth + 1)
      if wrong then return wrong end
    elseif kind == "string" or kind == "number" then
      parts[#parts + 1] = v
    else
      return "bad data type " .. kind .. " found"
    end
  end
  return nil
end

ngx.arg = setmetatable({}, {
  __index = function(_, k)
    if ctx.phase ~= BODY_FILTER then
      if ctx.phase == 0 then error("no request found", 2) end
      error("API disabled in the current context", 2)
    end
    if k == 1 then
      if arg_data(ctx) == 1 then
        local s = ffi_string(out.p, out.n)
        return s
      end
      return ""
    end
    if k == 2 then
      local eof = arg_eof(ctx)
      return eof
    end
    return nil
  end,
  __newindex = function(_, k, v)
    if ctx.phase ~= BODY_FILTER then not_here() end
    local index = tonumber(k)
    if index == nil then bad_argument(2, "__newindex", "number", k) end
    if index == 2 then
      arg_set_eof(ctx, v and true or false)
    elseif index == 1 then
      local kind, rc = type(v), 0
      if kind == "string" then
        rc = arg_set_data(ctx, v, #v)
      elseif kind == "nil" then
        rc = arg_set_data(ctx, nil, 0)
      elseif kind == "number" then
        v = tostring(v)
        rc = arg_set_data(ctx, v, #v)
      elseif kind == "table" then
        local parts = {}
        local wrong = flatten(v, parts, 0)
        if wrong then error("bad argument #3 to '__newindex' (" .. wrong .. ")", 2) end
        v = concat(parts)
        rc = arg_set_data(ctx, v, #v)
      else
        error("bad chunk data type: " .. kind, 2)
      end
      if rc < 0 then error(err_text(), 2) end
    else
      error("bad index: " .. tostring(k), 2)
    end
  end,
})

-- Output --------------------------------------------------------------------------------------------------------------

-- These run the filters, so they are C functions; the host checks the phase.
ngx.say, ngx.print, ngx.send_headers, ngx.log = C.say, C.print, C.send_headers, C.log

local flush, eof = C.flush, C.eof

function ngx.flush(...)
  local n = select("#", ...)
  if n > 1 then error("attempt to pass " .. n .. " arguments, but accepted 0 or 1", 2) end
  local wait = ...
  if n == 1 and type(wait) ~= "boolean" then bad_argument(1, "flush", "boolean", wait) end
  if not may_answer[ctx.phase] then not_here("no request object found") end
  local ok, err = flush(wait or false)
  if ok then return ok end
  return ok, err
end

function ngx.eof(...)
  if select("#", ...) ~= 0 then error("no argument is expected", 2) end
  if not may_answer[ctx.phase] then not_here("no request object found") end
  local ok, err = eof()
  if ok then return ok end
  return ok, err
end

-- The standard print goes to the log, as in OpenResty.
_G.print = C.notice
P.env.print = C.notice
