-- The `ngx` table: constants, what all its parts use, `ngx.ctx`, `ngx.status`. Accessors check types, call the host, and
-- never end in a tail call to a builtin or cdata function. The parts are in `ngx_*.lua`.
local P = ...
setfenv(1, P.env)
local F, ctx = P.F, P.ctx
local ffi = P.ffi
local ffi_string, cast, err_text = ffi.string, ffi.cast, P.err_text
local type, error, tostring, tonumber, setmetatable, rawset = type, error, tostring, tonumber, setmetatable, rawset
local band = bit.band
local new_tab = require "table.new"

local ngx = {
  OK = 0, ERROR = -1, AGAIN = -2, DONE = -4, DECLINED = -5,
  null = P.null,
  STDERR = 0, EMERG = 1, ALERT = 2, CRIT = 3, ERR = 4, WARN = 5, NOTICE = 6, INFO = 7, DEBUG = 8,

  HTTP_GET = 2, HTTP_HEAD = 4, HTTP_POST = 8, HTTP_PUT = 16, HTTP_DELETE = 32, HTTP_MKCOL = 64, HTTP_COPY = 128,
  HTTP_MOVE = 256, HTTP_OPTIONS = 512, HTTP_PROPFIND = 1024, HTTP_PROPPATCH = 2048, HTTP_LOCK = 4096,
  HTTP_UNLOCK = 8192, HTTP_PATCH = 16384, HTTP_TRACE = 32768,

  HTTP_CONTINUE = 100, HTTP_SWITCHING_PROTOCOLS = 101,
  HTTP_OK = 200, HTTP_CREATED = 201, HTTP_ACCEPTED = 202, HTTP_NO_CONTENT = 204, HTTP_PARTIAL_CONTENT = 206,
  HTTP_SPECIAL_RESPONSE = 300, HTTP_MOVED_PERMANENTLY = 301, HTTP_MOVED_TEMPORARILY = 302, HTTP_SEE_OTHER = 303,
  HTTP_NOT_MODIFIED = 304, HTTP_TEMPORARY_REDIRECT = 307, HTTP_PERMANENT_REDIRECT = 308,
  HTTP_BAD_REQUEST = 400, HTTP_UNAUTHORIZED = 401, HTTP_PAYMENT_REQUIRED = 402, HTTP_FORBIDDEN = 403,
  HTTP_NOT_FOUND = 404, HTTP_NOT_ALLOWED = 405, HTTP_NOT_ACCEPTABLE = 406, HTTP_REQUEST_TIMEOUT = 408,
  HTTP_CONFLICT = 409, HTTP_GONE = 410, HTTP_UPGRADE_REQUIRED = 426, HTTP_TOO_MANY_REQUESTS = 429,
  HTTP_CLOSE = 444, HTTP_ILLEGAL = 451,
  HTTP_INTERNAL_SERVER_ERROR = 500, HTTP_METHOD_NOT_IMPLEMENTED = 501, HTTP_NOT_IMPLEMENTED = 501,
  HTTP_BAD_GATEWAY = 502, HTTP_SERVICE_UNAVAILABLE = 503, HTTP_GATEWAY_TIMEOUT = 504,
  HTTP_VERSION_NOT_SUPPORTED = 505, HTTP_INSUFFICIENT_STORAGE = 507,
}
P.ngx = ngx
_G.ngx = ngx
P.env.ngx = ngx
package.loaded.ngx = ngx

-- What libraries may test for: the lua-resty-core whose behaviour this is.
P.core_version = "0.1.33"

-- What all parts use ------------------------------------------------------------------------------------------------

-- Phases with a request, and those that may answer it.
local real = P.phases("server_rewrite", "rewrite", "access", "content", "balancer", "header_filter", "body_filter", "log")
P.real = real
P.may_answer = P.phases("server_rewrite", "rewrite", "access", "content")

-- Raises what a function says that needs a request: `if not real[ctx.phase] then no_request() end`.
function P.no_request(level)
  if ctx.phase == 0 then error("no request found", level or 3) end
  error("API disabled in the current context", level or 3)
end
local no_request = P.no_request

-- Raises what a function says that the phase may not use; `missing` is its text where there is no request at all.
local contexts = P.phase_contexts
function P.not_here(missing)
  if ctx.phase == 0 then error(missing or "no request found", 3) end
  error("API disabled in the context of " .. contexts[ctx.phase], 3)
end

-- The text of a wrong argument as Lua's own library writes it.
function P.bad_argument(n, name, expected, got, level)
  error("bad argument #" .. n .. " to '" .. name .. "' (" .. expected .. " expected, got "
    .. (got == nil and "nil" or type(got)) .. ")", level or 3)
end
local bad_argument = P.bad_argument

-- A string argument, numbers taken as Lua's library takes them.
function P.check_string(n, name, v)
  if type(v) == "string" then return v end
  if type(v) == "number" then
    local s = tostring(v)
    return s
  end
  bad_argument(n, name, "string", v, 4)
end

-- A number argument, or nil where `optional`.
function P.check_number(n, name, v, optional)
  if type(v) == "number" or (optional and v == nil) then return v end
  if type(v) == "string" then
    local number = tonumber(v)
    if number then return number end
  end
  bad_argument(n, name, "number", v, 4)
end

-- The most entries that a packed table gets: 100 unless the script says so, 0 for all of them.
function P.max_of(n, name, v)
  if v == nil then return 100 end
  if type(v) ~= "number" then bad_argument(n, name, "number", v, 4) end
  if v < 0 then return 100 end
  if v > 1e9 then return 0 end
  return v
end

local out = ctx.out
local int_p = ffi.typeof("const int *")

-- Reads the packed pairs in `out` (`dataplane/src/lua/host/pack.rs`): repeated keys become arrays. Returns whether more
-- was there.
function P.unpack_pairs(t)
  local p = out.p
  local head = cast(int_p, p)
  local n, truncated = head[0], head[1] ~= 0
  local at = 8
  for _ = 1, n do
    local lengths = cast(int_p, p + at)
    local kn, vn = lengths[0], lengths[1]
    local key = ffi_string(p + at + 8, kn)
    local value = true
    if vn >= 0 then
      value = ffi_string(p + at + 8 + kn, vn)
      kn = kn + vn
    end
    at = band(at + 8 + kn + 3, -4)
    local old = t[key]
    if old == nil then
      t[key] = value
    elseif type(old) == "table" then
      old[#old + 1] = value
    else
      t[key] = { old, value }
    end
  end
  return truncated
end

-- Reads the packed values in `out` into an array.
function P.unpack_values()
  local p = out.p
  local n = cast(int_p, p)[0]
  local t = new_tab(n, 0)
  local at = 8
  for i = 1, n do
    local lengths = cast(int_p, p + at)
    local kn, vn = lengths[0], lengths[1]
    t[i] = ffi_string(p + at + 8 + kn, vn)
    at = band(at + 8 + kn + vn + 3, -4)
  end
  return t
end

-- How many pairs are packed in `out`, to size their table.
function P.packed_count()
  local n = cast(int_p, out.p)[0]
  return n
end

-- Fields that are computed ------------------------------------------------------------------------------------------

-- Name to getter, name to setter. Other files add theirs.
local get, set = {}, {}
P.get, P.set = get, set

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

-- ngx.ctx: one table per request and VM, made when first asked for.
local ctxs = {}
P.ctxs = ctxs

function P.has_ctx()
  local session = ctx.session
  return session ~= nil and ctxs[session.ctx_id] ~= nil
end

function get.ctx()
  local session = ctx.session
  if session == nil or ctx.phase == 0 then error("no request found", 3) end
  local id = session.ctx_id
  local t = ctxs[id]
  if t == nil then
    t = new_tab(0, 8)
    ctxs[id] = t
    session.ctx_used = 1
  end
  return t
end

function set.ctx(t)
  if type(t) ~= "table" then error("ctx should be a table while getting a " .. type(t), 3) end
  local session = ctx.session
  if session == nil or ctx.phase == 0 then error("no request found", 3) end
  ctxs[session.ctx_id] = t
  session.ctx_used = 1
end

-- ngx.status
local status_get, status_set = F.status_get, F.status_set

function get.status()
  if not real[ctx.phase] then no_request(4) end
  local status = status_get(ctx)
  return status
end

function set.status(v)
  if not real[ctx.phase] then no_request(4) end
  local status = tonumber(v)
  if status == nil then error("bad argument #1 to 'status' (number expected, got " .. type(v) .. ")", 3) end
  if status_set(ctx, status) < 0 then error(err_text(), 3) end
end

-- ngx.headers_sent, ngx.is_subrequest
local headers_sent = F.headers_sent

function get.headers_sent()
  if not real[ctx.phase] then no_request(4) end
  local sent = headers_sent(ctx)
  return sent
end

function get.is_subrequest()
  if not real[ctx.phase] then no_request(4) end
  return false
end

local phase_names = P.phase_names
function ngx.get_phase()
  local name = phase_names[ctx.phase]
  return name
end
