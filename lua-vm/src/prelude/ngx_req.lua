-- ngx.req, and the module ngx.req
local P = ...
setfenv(1, P.env)
local F, ctx, real, no_request, err_text = P.F, P.ctx, P.real, P.no_request, P.err_text
local ffi_string, out = P.ffi.string, P.ctx.out
local unpack_pairs, packed_count, max_of, bad_argument = P.unpack_pairs, P.packed_count, P.max_of, P.bad_argument
local check_string, check_number = P.check_string, P.check_number
local type, error, tostring, select, next = type, error, tostring, select, next
local rawget, setmetatable = rawget, setmetatable
local lower, gsub, find = string.lower, string.gsub, string.find
local new_tab, clear_tab = require "table.new", require "table.clear"
local host_yield = P.C.host_yield
local may_answer, not_here = P.may_answer, P.not_here

local req = {}
P.ngx.req = req

-- Headers -------------------------------------------------------------------------------------------------------------

-- Tables of headers have lower-case names, and find them however they are written.
local headers_mt = {
  __index = function(t, k)
    if type(k) ~= "string" then return nil end
    local name = lower(k)
    local v = rawget(t, name)
    if v == nil and find(name, "_", 1, true) then
      v = rawget(t, (gsub(name, "_", "-")))
    end
    return v
  end,
}
P.headers_mt = headers_mt

local req_headers, header_set = F.req_headers, F.req_header_set

function req.get_headers(max, raw)
  if not real[ctx.phase] then no_request() end
  max = max_of(1, "get_headers", max)
  if req_headers(ctx, max, raw and true or false) ~= 1 then
    return setmetatable({}, headers_mt)
  end
  local t = new_tab(0, packed_count())
  local truncated = unpack_pairs(t)
  if not raw then setmetatable(t, headers_mt) end
  if truncated then return t, "truncated" end
  return t
end

local function set_header(name, value, add)
  if not real[ctx.phase] then
    if ctx.phase == 0 then error("no request found", 3) end
    error("API disabled in the current context", 3)
  end
  if name == nil then error("bad 'name' argument: string expected, got nil", 3) end
  if type(name) ~= "string" then name = tostring(name) end
  local rc = 0
  if value == nil then
    if add then error("bad 'value' argument: string or table expected, got nil", 3) end
    rc = header_set(ctx, name, #name, nil, 0, false)
  elseif type(value) == "table" then
    local n = #value
    if n == 0 then
      if add then error("bad 'value' argument: non-empty table expected", 3) end
      rc = header_set(ctx, name, #name, nil, 0, false)
    end
    for i = 1, n do
      local v = value[i]
      if type(v) ~= "string" then v = tostring(v) end
      rc = header_set(ctx, name, #name, v, #v, add or i > 1)
      if rc < 0 then break end
    end
  else
    if type(value) ~= "string" then value = tostring(value) end
    rc = header_set(ctx, name, #name, value, #value, add)
  end
  if rc < 0 then error(err_text(), 3) end
end

function req.set_header(name, value)
  set_header(name, value, false)
end

function req.clear_header(name)
  set_header(name, nil, false)
end

P.ours["ngx.req"] = function()
  return {
    version = P.core_version,
    add_header = function(name, value)
      set_header(name, value, true)
    end,
  }
end

-- Method, target ------------------------------------------------------------------------------------------------------

local req_method, method_set = F.req_method, F.req_method_set

function req.get_method()
  if not real[ctx.phase] then no_request() end
  if req_method(ctx) == 1 then
    local s = ffi_string(out.p, out.n)
    return s
  end
  return nil
end

function req.set_method(id)
  if not real[ctx.phase] then no_request() end
  if type(id) ~= "number" then error("bad method number", 2) end
  if not method_set(ctx, id) then error("unsupported HTTP method: " .. id, 2) end
end

local uri_set, req_jump = F.req_uri_set, F.req_jump
local may_jump = P.phases("server_rewrite", "rewrite")

function req.set_uri(...)
  local n = select("#", ...)
  if n < 1 or n > 3 then error("expecting 1, 2 or 3 arguments but seen " .. n, 2) end
  if not real[ctx.phase] then no_request() end
  local uri, jump, binary = ...
  uri = check_string(1, "set_uri", uri)
  if uri == "" then error("attempt to use zero-length uri", 2) end
  if n >= 3 and type(binary) ~= "boolean" then bad_argument(3, "set_uri", "boolean", binary) end
  if n >= 2 and type(jump) ~= "boolean" then bad_argument(2, "set_uri", "boolean", jump) end
  if jump and not may_jump[ctx.phase] then not_here() end
  if uri_set(ctx, uri, #uri, binary or false) < 0 then error(err_text(), 2) end
  if jump then
    req_jump(ctx)
    host_yield()
  end
end

local args_set = F.req_args_set

function req.set_uri_args(...)
  if select("#", ...) ~= 1 then error("expecting 1 argument but seen " .. select("#", ...), 2) end
  if not real[ctx.phase] then no_request() end
  local args = ...
  local t = type(args)
  if t == "table" then
    args = P.encode_args(args)
  elseif t == "number" then
    args = tostring(args)
  elseif t ~= "string" then
    error("bad argument #1 to 'set_uri_args' (string, number, or table expected, but got " .. t .. ")", 2)
  end
  if args_set(ctx, args, #args) < 0 then error(err_text(), 2) end
end

local uri_args = F.req_uri_args

function req.get_uri_args(max, t)
  if not real[ctx.phase] then no_request() end
  max = max_of(1, "get_uri_args", max)
  if t then clear_tab(t) end
  local rc = uri_args(ctx, max)
  if rc < 0 then error(err_text(), 2) end
  if rc == 0 then return t or {} end
  -- Into a table of our own: a metamethod of the script's could call what fills `out` anew while it is read.
  local args = new_tab(0, packed_count())
  local truncated = unpack_pairs(args)
  if t then
    for k, v in next, args do
      t[k] = v
    end
    args = t
  end
  if truncated then return args, "truncated" end
  return args
end

local raw_header = F.req_raw_header

function req.raw_header(no_request_line)
  if not real[ctx.phase] then no_request() end
  local rc = raw_header(ctx, no_request_line and true or false)
  if rc < 0 then error(err_text(), 2) end
  if rc == 0 then return "" end
  local s = ffi_string(out.p, out.n)
  return s
end

local start_time, http_version, is_internal = F.req_start_time, F.req_http_version, F.req_is_internal

function req.start_time()
  if not real[ctx.phase] then no_request() end
  local t = start_time(ctx)
  return t
end

function req.http_version()
  if not real[ctx.phase] then no_request() end
  local v = http_version(ctx)
  return v
end

function req.is_internal()
  if not real[ctx.phase] then no_request() end
  local internal = is_internal(ctx)
  return internal
end

-- Body ----------------------------------------------------------------------------------------------------------------

local body_read, body_discard, body_data, body_file = F.body_read, F.body_discard, F.body_data, F.body_file
local body_set, body_set_file = F.body_set, F.body_set_file
local body_init, body_append, body_finish = F.body_init, F.body_append, F.body_finish
local post_args = F.req_post_args

function req.read_body(...)
  if select("#", ...) ~= 0 then error("expecting 0 arguments but seen " .. select("#", ...), 2) end
  if not may_answer[ctx.phase] then not_here("request object not found") end
  local rc = body_read(ctx)
  if rc < 0 then error(err_text(), 2) end
  if rc == 1 then host_yield() end
end

function req.discard_body(...)
  if select("#", ...) ~= 0 then error("expecting 0 arguments but seen " .. select("#", ...), 2) end
  if not real[ctx.phase] then no_request() end
  body_discard(ctx)
end

function req.get_body_data(...)
  local n = select("#", ...)
  if n > 1 then error("expecting 0 or 1 arguments but seen " .. n, 2) end
  local max = 0
  if n == 1 then max = check_number(1, "get_body_data", (...)) end
  if not real[ctx.phase] then no_request() end
  if body_data(ctx, max) == 1 then
    local s = ffi_string(out.p, out.n)
    return s
  end
  return nil
end

function req.get_body_file(...)
  if select("#", ...) ~= 0 then error("expecting 0 arguments but seen " .. select("#", ...), 2) end
  if not real[ctx.phase] then no_request() end
  if body_file(ctx) == 1 then
    local s = ffi_string(out.p, out.n)
    return s
  end
  return nil
end

function req.set_body_data(...)
  if select("#", ...) ~= 1 then error("expecting 1 arguments but seen " .. select("#", ...), 2) end
  local data = check_string(1, "set_body_data", (...))
  if not real[ctx.phase] then no_request() end
  if body_set(ctx, data, #data) < 0 then error(err_text(), 2) end
end

function req.set_body_file(...)
  local n = select("#", ...)
  if n ~= 1 and n ~= 2 then error("expecting 1 or 2 arguments but seen " .. n, 2) end
  local name, clean = ...
  name = check_string(1, "set_body_file", name)
  if n == 2 and type(clean) ~= "boolean" then bad_argument(2, "set_body_file", "boolean", clean) end
  if not real[ctx.phase] then no_request() end
  if body_set_file(ctx, name, #name, clean or false) < 0 then error(err_text(), 2) end
end

-- The size is where nginx starts to use a file; ours starts at a fixed size.
function req.init_body(...)
  local n = select("#", ...)
  if n > 1 then error("expecting 0 or 1 argument but seen " .. n, 2) end
  if not real[ctx.phase] then no_request() end
  local size = 0
  if n == 1 then size = check_number(1, "init_body", (...)) end
  if body_init(ctx, size) < 0 then error(err_text(), 2) end
end

function req.append_body(...)
  if select("#", ...) ~= 1 then error("expecting 1 arguments but seen " .. select("#", ...), 2) end
  local data = check_string(1, "append_body", (...))
  if not real[ctx.phase] then no_request() end
  if body_append(ctx, data, #data) < 0 then error(err_text(), 2) end
end

function req.finish_body(...)
  if select("#", ...) ~= 0 then error("expecting 0 argument but seen " .. select("#", ...), 2) end
  if not real[ctx.phase] then no_request() end
  if body_finish(ctx) < 0 then error(err_text(), 2) end
end

function req.get_post_args(...)
  local n = select("#", ...)
  if n > 1 then error("expecting 0 or 1 arguments but seen " .. n, 2) end
  local max = max_of(1, "get_post_args", (...))
  if not real[ctx.phase] then no_request() end
  local rc = post_args(ctx, max)
  if rc < 0 then
    local text = err_text()
    -- The one that is an answer and not a mistake.
    if text == "request body in temp file not supported" then return nil, text end
    error(text, 2)
  end
  local t = {}
  if rc == 1 and unpack_pairs(t) then return t, "truncated" end
  return t
end
