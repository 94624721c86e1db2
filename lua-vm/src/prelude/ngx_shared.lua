-- ngx.shared
local P = ...
setfenv(1, P.env)
local F, ctx, err_text = P.F, P.ctx, P.err_text
local ffi_string, cast, out = P.ffi.string, P.ffi.cast, P.ctx.out
local unpack_values, bad_argument = P.unpack_values, P.bad_argument
local type, error, tostring, tonumber, setmetatable = type, error, tostring, tonumber, setmetatable
local int_p, double_p = P.ffi.typeof("const int *"), P.ffi.typeof("const double *")

local NIL, BOOL, NUMBER, STRING = 0, 1, 3, 4
local MAX_KEY = 65535
local store_errors = { "not found", "exists", "no memory", "bad value type" }

-- A dict's number at the host. A weak table and not a field: a script could make a dict of another number.
local numbers = setmetatable({}, { __mode = "k" })
local names = setmetatable({}, { __mode = "k" })
local dict_open = F.dict_open

-- Opened when first used: a VM's scope is known to the host only while a script runs.
local function number_of(self)
  local n = numbers[self]
  if n then return n end
  local name = names[self]
  if not name then error("bad \"zone\" argument", 3) end
  n = dict_open(ctx, name, #name)
  if n < 0 then error("bad \"zone\" argument", 3) end
  numbers[self] = n
  return n
end

-- The key as a string, or nil and what is wrong with it.
local function key_of(key)
  if type(key) ~= "string" then
    if key == nil then return nil, "nil key" end
    key = tostring(key)
  end
  local n = #key
  if n == 0 then return nil, "empty key" end
  if n > MAX_KEY then return nil, "key too long" end
  return key
end

-- The value in `out`: head {kind, flags, stale, -, number}, then the bytes.
local function value_of()
  local p = out.p
  local kind = cast(int_p, p)[0]
  if kind == STRING then
    local s = ffi_string(p + 24, out.n - 24)
    return s
  end
  local number = cast(double_p, p + 16)[0]
  if kind == BOOL then return number ~= 0 end
  return number
end

local methods = {}
methods.__index = methods

-- Reading -------------------------------------------------------------------------------------------------------------

local dict_get = F.dict_get

function methods.get(self, key)
  local dict = numbers[self] or number_of(self)
  local k, err = key_of(key)
  if not k then return nil, err end
  local rc = dict_get(ctx, dict, k, #k, false)
  if rc < 0 then return nil, err_text() end
  if rc == 0 then return nil end
  local flags = cast(int_p, out.p)[1]
  local value = value_of()
  if flags ~= 0 then return value, flags end
  return value
end

function methods.get_stale(self, key)
  local dict = numbers[self] or number_of(self)
  local k, err = key_of(key)
  if not k then return nil, err end
  local rc = dict_get(ctx, dict, k, #k, true)
  if rc < 0 then return nil, err_text() end
  if rc == 0 then return nil end
  local head = cast(int_p, out.p)
  local flags, stale = head[1], head[2] ~= 0
  local value = value_of()
  if flags ~= 0 then return value, flags, stale end
  return value, nil, stale
end

-- Writing -------------------------------------------------------------------------------------------------------------

local dict_store, dict_delete = F.dict_store, F.dict_delete

-- Called as a tail call, so that errors are told of its caller; so are `push` and `pop`.
local function store(how, self, key, value, exptime, flags)
  local dict = numbers[self] or number_of(self)
  if not exptime then
    exptime = 0
  else
    exptime = tonumber(exptime)
    if not exptime or exptime < 0 then error("bad \"exptime\" argument", 2) end
  end
  if not flags then
    flags = 0
  else
    flags = tonumber(flags)
    if not flags then error("bad \"flags\" argument", 2) end
  end
  local k, err = key_of(key)
  if not k then return nil, err end
  local kind, text, number = type(value), "", 0
  if kind == "string" then
    kind, text = STRING, value
  elseif kind == "number" then
    kind, number = NUMBER, value
  elseif kind == "boolean" then
    kind, number = BOOL, value and 1 or 0
  elseif kind == "nil" then
    if how >= 2 then return false, "attempt to add or replace nil values", false end
    kind = NIL
  else
    return nil, "bad value type"
  end
  local rc = dict_store(ctx, dict, how, k, #k, kind, text, #text, number, exptime, flags)
  local forcible = rc % 2 == 1
  if rc < 2 then return true, nil, forcible end
  return false, store_errors[(rc - rc % 2) / 2], forcible
end

function methods.set(self, key, value, exptime, flags)
  return store(0, self, key, value, exptime, flags)
end

function methods.safe_set(self, key, value, exptime, flags)
  return store(1, self, key, value, exptime, flags)
end

function methods.add(self, key, value, exptime, flags)
  return store(2, self, key, value, exptime, flags)
end

function methods.safe_add(self, key, value, exptime, flags)
  return store(3, self, key, value, exptime, flags)
end

function methods.replace(self, key, value, exptime, flags)
  return store(4, self, key, value, exptime, flags)
end

function methods.delete(self, key)
  local dict = numbers[self] or number_of(self)
  local k, err = key_of(key)
  if not k then return nil, err end
  dict_delete(ctx, dict, k, #k)
  return true
end

local dict_incr = F.dict_incr

function methods.incr(self, key, by, init, init_ttl)
  local dict = numbers[self] or number_of(self)
  local k, err = key_of(key)
  if not k then return nil, err end
  if type(by) ~= "number" then
    local number = tonumber(by)
    if not number then error("bad value arg: number expected, got " .. type(by), 2) end
    by = number
  end
  local has_init, first = init ~= nil and init ~= false, 0
  if has_init then
    first = tonumber(init)
    if not first then error("bad init arg: number expected, got " .. type(init), 2) end
  end
  local ttl = 0
  if init_ttl ~= nil then
    ttl = tonumber(init_ttl)
    if not ttl then error("bad init_ttl arg: number expected, got " .. type(init_ttl), 2) end
    if ttl < 0 then error("bad \"init_ttl\" argument", 2) end
    if not has_init then error("must provide \"init\" when providing \"init_ttl\"", 2) end
  end
  local rc = dict_incr(ctx, dict, k, #k, by, has_init, first, ttl)
  if rc < 0 then return nil, err_text() end
  local forcible = cast(int_p, out.p)[1] ~= 0
  local value = value_of()
  if has_init then return value, nil, forcible end
  return value
end

-- Lists ---------------------------------------------------------------------------------------------------------------

local dict_push, dict_pop, dict_llen = F.dict_push, F.dict_pop, F.dict_llen

local function push(self, left, key, value)
  local dict = numbers[self] or number_of(self)
  local k, err = key_of(key)
  if not k then return nil, err end
  local rc
  if type(value) == "string" then
    rc = dict_push(ctx, dict, left, k, #k, STRING, value, #value, 0)
  elseif type(value) == "number" then
    rc = dict_push(ctx, dict, left, k, #k, NUMBER, "", 0, value)
  else
    return nil, "bad value type"
  end
  if rc < 0 then return nil, err_text() end
  return rc
end

local function pop(self, left, key)
  local dict = numbers[self] or number_of(self)
  local k, err = key_of(key)
  if not k then return nil, err end
  local rc = dict_pop(ctx, dict, left, k, #k)
  if rc < 0 then return nil, err_text() end
  if rc == 0 then return nil end
  local value = value_of()
  return value
end

function methods.lpush(self, key, value)
  return push(self, true, key, value)
end

function methods.rpush(self, key, value)
  return push(self, false, key, value)
end

function methods.lpop(self, key)
  return pop(self, true, key)
end

function methods.rpop(self, key)
  return pop(self, false, key)
end

function methods.llen(self, key)
  local dict = numbers[self] or number_of(self)
  local k, err = key_of(key)
  if not k then return nil, err end
  local n = dict_llen(ctx, dict, k, #k)
  if n < 0 then return nil, err_text() end
  return n
end

-- Time, space ---------------------------------------------------------------------------------------------------------

local dict_ttl, dict_expire, dict_flush_all = F.dict_ttl, F.dict_expire, F.dict_flush_all
local dict_flush_expired, dict_keys, dict_space = F.dict_flush_expired, F.dict_keys, F.dict_space

function methods.ttl(self, key)
  local dict = numbers[self] or number_of(self)
  local k, err = key_of(key)
  if not k then return nil, err end
  local ttl = dict_ttl(ctx, dict, k, #k)
  if ttl ~= ttl then return nil, "not found" end
  return ttl
end

function methods.expire(self, key, exptime)
  local dict = numbers[self] or number_of(self)
  if type(exptime) ~= "number" then bad_argument(2, "expire", "number", exptime) end
  if exptime < 0 then error("bad \"exptime\" argument", 2) end
  local k, err = key_of(key)
  if not k then return nil, err end
  if not dict_expire(ctx, dict, k, #k, exptime) then return nil, "not found" end
  return true
end

function methods.flush_all(self)
  local dict = numbers[self] or number_of(self)
  dict_flush_all(ctx, dict)
end

local function count_of(name, v, default)
  if v == nil then return default end
  if type(v) ~= "number" then bad_argument(1, name, "number", v, 4) end
  if v < 0 or v > 1e9 then return 0 end
  return v
end

function methods.flush_expired(self, max)
  local dict = numbers[self] or number_of(self)
  local n = dict_flush_expired(ctx, dict, count_of("flush_expired", max, 0))
  return n
end

function methods.get_keys(self, max)
  local dict = numbers[self] or number_of(self)
  if dict_keys(ctx, dict, count_of("get_keys", max, 1024)) ~= 1 then error("not enough memory", 0) end
  local keys = unpack_values()
  return keys
end

function methods.capacity(self)
  local dict = numbers[self] or number_of(self)
  local n = dict_space(ctx, dict, false)
  return n
end

function methods.free_space(self)
  local dict = numbers[self] or number_of(self)
  local n = dict_space(ctx, dict, true)
  return n
end

local shared = {}
for _, name in ipairs(P.dicts) do
  local dict = setmetatable({}, methods)
  names[dict] = name
  shared[name] = dict
end
P.ngx.shared = shared
