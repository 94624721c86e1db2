-- `resty.core` and its parts. lua-resty-core replaces lua-nginx-module's functions by faster ones over the FFI; ours are
-- that already. What is left for libraries is that they can be required, and the helpers that libraries take of them.
local P = ...
setfenv(1, P.env)
local F, ctx, ffi, ours, trusted = P.F, P.ctx, P.ffi, P.ours, P.trusted
local type, error, select, ceil, next = type, error, select, math.ceil, next
local gsub, find = string.gsub, string.find
local new_tab, clear_tab, exdata = require "table.new", require "table.clear", require "thread.exdata"
local ngx, get, set, version = P.ngx, P.get, P.set, P.core_version

local function check_function(n, name, f)
  if type(f) ~= "function" then P.bad_argument(n, name, "function", f, 4) end
end

-- resty.core.base -----------------------------------------------------------------------------------------------------

local base = {
  version = version, new_tab = new_tab, clear_tab = clear_tab,
  FFI_OK = 0, FFI_NO_REQ_CTX = -100, FFI_BAD_CONTEXT = -101, FFI_ERROR = -1, FFI_AGAIN = -2, FFI_BUSY = -3,
  FFI_DONE = -4, FFI_DECLINED = -5,
}

function base.allows_subsystem(...)
  for i = 1, select("#", ...) do
    if select(i, ...) == "http" then return end
  end
  error("unsupported subsystem: http", 2)
end

-- The request's number in this VM; there it is a pointer, which only C functions of nginx could use.
function base.get_request()
  local id = exdata()
  return id
end

-- A key of the table that stands for the value; free keys are linked from field 0.
function base.ref_in_table(t, value)
  if value == nil then return -1 end
  local ref = t[0]
  if ref and ref ~= 0 then
    t[0] = t[ref]
  else
    ref = #t + 1
  end
  t[ref] = value
  return ref
end

local buffer_size = 4096

function base.get_string_buf_size()
  return buffer_size
end

function base.set_string_buf_size(size)
  if size > 0 then buffer_size = ceil(size) end
end

if trusted then
  local new, chars = ffi.new, ffi.typeof "char[?]"
  local buffer, size_ptr, errmsg

  function base.get_string_buf(size, must_alloc)
    if size > buffer_size or must_alloc then return new(chars, size) end
    if not buffer or ffi.sizeof(buffer) < buffer_size then buffer = new(chars, buffer_size) end
    return buffer
  end

  function base.get_size_ptr()
    size_ptr = size_ptr or new "size_t[1]"
    return size_ptr
  end

  function base.get_errmsg_ptr()
    errmsg = errmsg or new "char *[1]"
    return errmsg
  end
else
  -- Memory that a script may write to is for the FFI, which a namespace does not have.
  for _, name in next, { "get_string_buf", "get_size_ptr", "get_errmsg_ptr" } do
    base[name] = function()
      error("resty.core.base." .. name .. " is not available to the Lua of a namespace: it is memory for ffi", 2)
    end
  end
end

-- The others ----------------------------------------------------------------------------------------------------------

local parts = {
  base64 = {}, coroutine = {}, exit = {}, hash = {}, ndk = {}, param = {}, phase = {}, shdict = {}, socket = {},
  uri = {}, var = {}, worker = {}, time = {}, misc = {}, utils = {}, regex = {}, ctx = {}, request = {}, response = {},
}

local monotonic = F.monotonic

function parts.time.monotonic_time()
  local t = monotonic(ctx)
  return t
end

function parts.time.monotonic_msec()
  local t = monotonic(ctx)
  return ceil(t * 1000)
end

-- Fields of `ngx` that are computed.
function parts.misc.register_ngx_magic_key_getter(key, f)
  check_function(2, "register_ngx_magic_key_getter", f)
  get[key] = f
end

function parts.misc.register_ngx_magic_key_setter(key, f)
  check_function(2, "register_ngx_magic_key_setter", f)
  set[key] = f
end
parts.misc._register_ngx_magic_key_getter = parts.misc.register_ngx_magic_key_getter
parts.misc._register_ngx_magic_key_setter = parts.misc.register_ngx_magic_key_setter

function parts.utils.str_replace_char(s, char, by)
  if type(s) ~= "string" or type(char) ~= "string" or type(by) ~= "string" or #char ~= 1 then
    error("bad argument to 'str_replace_char' (strings expected, the second of one byte)", 2)
  end
  if not find(s, char, 1, true) then return s end
  local r = gsub(s, gsub(char, "%W", "%%%0"), (gsub(by, "%%", "%%%%")))
  return r
end

-- Its buffers grow as they need to.
function parts.regex.set_buf_grow_ratio() end

local cached = P.regex_cached
function parts.regex.is_regex_cache_empty()
  local n = cached()
  return n == 0
end

-- The request's `ngx.ctx`; `t` becomes it when there is none yet.
function parts.ctx.get_ctx_table(t)
  if type(t) == "table" and not P.has_ctx() then set.ctx(t) end
  local found = get.ctx()
  return found
end

function parts.request.set_req_header(name, value, override)
  if override == false then
    require "ngx.req".add_header(name, value)
  else
    ngx.req.set_header(name, value)
  end
end

function parts.response.set_resp_header(_, name, value, no_override)
  if no_override then
    require "ngx.resp".add_header(name, value)
  else
    ngx.header[name] = value
  end
end

ours["resty.core.base"] = function() return base end
for name, part in next, parts do
  part.version = version
  ours["resty.core." .. name] = function() return part end
end
parts.worker._VERSION = version
ours["resty.core"] = function() return { version = version } end
