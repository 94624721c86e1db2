-- Encodings and hashes, and the module ngx.base64
local P = ...
setfenv(1, P.env)
local F, ctx = P.F, P.ctx
local ffi_string, out = P.ffi.string, P.ctx.out
local check_string, bad_argument, max_of, unpack_pairs = P.check_string, P.bad_argument, P.max_of, P.unpack_pairs
local type, error, tostring, next, select, concat = type, error, tostring, next, select, table.concat
local ngx = P.ngx

-- What these functions take for text: nil and false are empty, the rest as `tostring` has it.
local function text_of(s)
  if type(s) == "string" then return s end
  if not s then return "" end
  local text = tostring(s)
  return text
end

-- The VM has no room for the answer.
local function no_memory()
  error("not enough memory", 0)
end

local escape_uri, unescape_uri = F.escape_uri, F.unescape_uri

local function escape(s)
  if escape_uri(ctx, s, #s, 2) ~= 1 then no_memory() end
  local r = ffi_string(out.p, out.n)
  return r
end

function ngx.escape_uri(s, kind)
  s = text_of(s)
  if kind == nil then
    kind = 2
  elseif type(kind) ~= "number" then
    error("\"type\" is not a number", 3)
  elseif kind < 0 or kind > 6 then
    error("\"type\" " .. kind .. " out of range", 3)
  end
  if escape_uri(ctx, s, #s, kind) ~= 1 then no_memory() end
  local r = ffi_string(out.p, out.n)
  return r
end

function ngx.unescape_uri(s)
  s = text_of(s)
  if unescape_uri(ctx, s, #s) ~= 1 then no_memory() end
  local r = ffi_string(out.p, out.n)
  return r
end

-- One pair of a query string.
local function add_pair(parts, key, v)
  local kind = type(v)
  if kind == "boolean" then
    if v then parts[#parts + 1] = key end
  elseif kind == "string" or kind == "number" then
    if kind == "number" then v = tostring(v) end
    parts[#parts + 1] = key .. "=" .. escape(v)
  else
    error("attempt to use " .. kind .. " as query arg value", 4)
  end
end

-- As `ngx.encode_args`, for `ngx.req.set_uri_args` too.
function P.encode_args(t)
  local parts = {}
  for k, v in next, t do
    if type(k) ~= "string" then error("attempt to use a non-string key in the \"args\" option table", 3) end
    local key = escape(k)
    if type(v) == "table" then
      for _, item in next, v do
        add_pair(parts, key, item)
      end
    else
      add_pair(parts, key, v)
    end
  end
  local s = concat(parts, "&")
  return s
end

function ngx.encode_args(...)
  if select("#", ...) ~= 1 then error("expecting 1 argument but seen " .. select("#", ...), 2) end
  local t = ...
  if type(t) ~= "table" then bad_argument(1, "encode_args", "table", t) end
  local s = P.encode_args(t)
  return s
end

local decode_args = F.decode_args

function ngx.decode_args(...)
  local n = select("#", ...)
  if n ~= 1 and n ~= 2 then error("expecting 1 or 2 arguments but seen " .. n, 2) end
  local s, max = ...
  s = check_string(1, "decode_args", s)
  max = max_of(2, "decode_args", max)
  local t = {}
  if decode_args(ctx, s, #s, max) ~= 1 then no_memory() end
  if unpack_pairs(t) then return t, "truncated" end
  return t
end

-- Base64 --------------------------------------------------------------------------------------------------------------

local encode_base64, decode_base64 = F.encode_base64, F.decode_base64

function ngx.encode_base64(s, no_padding)
  s = text_of(s)
  local kind = 0
  if no_padding then
    if no_padding ~= true then error("bad no_padding: boolean expected, got " .. type(no_padding), 2) end
    kind = 1
  end
  if encode_base64(ctx, s, #s, kind) ~= 1 then no_memory() end
  local r = ffi_string(out.p, out.n)
  return r
end

function ngx.decode_base64(s)
  if type(s) ~= "string" then error("string argument only", 2) end
  if decode_base64(ctx, s, #s, 0) ~= 1 then return nil end
  local r = ffi_string(out.p, out.n)
  return r
end

function ngx.decode_base64mime(s)
  if type(s) ~= "string" then error("string argument only", 2) end
  if decode_base64(ctx, s, #s, 2) ~= 1 then return nil end
  local r = ffi_string(out.p, out.n)
  return r
end

P.ours["ngx.base64"] = function()
  return {
    version = P.core_version,
    encode_base64url = function(s)
      if type(s) ~= "string" then return nil, "must provide a string" end
      if encode_base64(ctx, s, #s, 2) ~= 1 then no_memory() end
      local r = ffi_string(out.p, out.n)
      return r
    end,
    decode_base64url = function(s)
      if type(s) ~= "string" then return nil, "must provide a string" end
      if decode_base64(ctx, s, #s, 1) ~= 1 then return nil, "invalid input" end
      local r = ffi_string(out.p, out.n)
      return r
    end,
  }
end

-- Hashes --------------------------------------------------------------------------------------------------------------

local md5, sha1, hmac_sha1, crc32, quote_sql = F.md5, F.sha1, F.hmac_sha1, F.crc32, F.quote_sql

function ngx.md5(s)
  s = text_of(s)
  if md5(ctx, s, #s, true) ~= 1 then no_memory() end
  local r = ffi_string(out.p, out.n)
  return r
end

function ngx.md5_bin(s)
  s = text_of(s)
  if md5(ctx, s, #s, false) ~= 1 then no_memory() end
  local r = ffi_string(out.p, out.n)
  return r
end

function ngx.sha1_bin(s)
  s = text_of(s)
  if sha1(ctx, s, #s) ~= 1 then no_memory() end
  local r = ffi_string(out.p, out.n)
  return r
end

function ngx.crc32_short(s)
  s = text_of(s)
  local n = crc32(ctx, s, #s)
  return n
end
ngx.crc32_long = ngx.crc32_short

function ngx.hmac_sha1(...)
  if select("#", ...) ~= 2 then error("expecting 2 arguments, but got " .. select("#", ...), 2) end
  local key, s = ...
  key, s = check_string(1, "hmac_sha1", key), check_string(2, "hmac_sha1", s)
  if hmac_sha1(ctx, key, #key, s, #s) ~= 1 then no_memory() end
  local r = ffi_string(out.p, out.n)
  return r
end

function ngx.quote_sql_str(...)
  if select("#", ...) ~= 1 then error("expecting one argument", 2) end
  local s = check_string(1, "quote_sql_str", (...))
  if quote_sql(ctx, s, #s) ~= 1 then no_memory() end
  local r = ffi_string(out.p, out.n)
  return r
end
