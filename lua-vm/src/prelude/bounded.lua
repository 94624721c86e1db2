-- Replacements for the library functions that cannot be interrupted and are not linear in their input. Namespaces get
-- them (harden.lua); of the operator's VM only what compiles is replaced, since LuaJIT's parser can overflow its stack.
local P = ...
setfenv(1, P.env)
local type, error, select = type, error, select
local load_source, concat, find0 = P.C.load_source, table.concat, string.find
local setfenv0, G = setfenv, _G
local rawlen = rawlen

local bounded = {}
P.bounded = bounded

-- Sort ----------------------------------------------------------------------------------------------------------------

-- LuaJIT's is quicksort, quadratic on inputs made for it. Without a comparator it runs no Lua, so no hook can stop it;
-- up to this many elements even the worst case is a millisecond or two.
local NATIVE_SORT = 300
local sort0 = table.sort

local function less(a, b)
  return a < b
end

-- Merges t[lo..mid] and t[mid+1..hi], of which the first is copied out.
local function merge(t, tmp, lo, mid, hi, lt)
  for i = lo, mid do
    tmp[i] = t[i]
  end
  local i, j, k = lo, mid + 1, lo
  while i <= mid and j <= hi do
    if lt(t[j], tmp[i]) then
      t[k] = t[j]
      j = j + 1
    else
      t[k] = tmp[i]
      i = i + 1
    end
    k = k + 1
  end
  while i <= mid do
    t[k] = tmp[i]
    i, k = i + 1, k + 1
  end
end

local RUN = 8
local function insertion(t, lo, hi, lt)
  for i = lo + 1, hi do
    local v, j = t[i], i - 1
    while j >= lo and lt(v, t[j]) do
      t[j + 1] = t[j]
      j = j - 1
    end
    t[j + 1] = v
  end
end

-- A merge sort: at most n log n comparisons, each of which a hook can interrupt, and comparators may wait.
function bounded.sort(t, lt)
  if type(t) ~= "table" then
    error("bad argument #1 to 'sort' (table expected, got " .. (t == nil and "no value" or type(t)) .. ")", 2)
  end
  if lt ~= nil and type(lt) ~= "function" then
    error("bad argument #2 to 'sort' (function expected, got " .. type(lt) .. ")", 2)
  end
  -- Of the table itself, as LuaJIT's own does: a `__len` could say less than the native sort then works on.
  local n = rawlen(t)
  if lt == nil then
    if n <= NATIVE_SORT then
      sort0(t)
      return
    end
    lt = less
  end
  for lo = 1, n, RUN do
    local hi = lo + RUN - 1
    insertion(t, lo, hi < n and hi or n, lt)
  end
  local tmp, width = {}, RUN
  while width < n do
    for lo = 1, n - width, 2 * width do
      local hi = lo + 2 * width - 1
      merge(t, tmp, lo, lo + width - 1, hi < n and hi or n, lt)
    end
    width = 2 * width
  end
end

-- string.buffer's encode, os.date ---------------------------------------------------------------------------------------

-- It visits a table each time that it comes to it: sixty tables that each hold the next one twice are 2^60 visits, which
-- only the VM's memory ends. So they are made here first, where a hook can end them.
local next = next
local function visit(t, depth)
  -- Deeper is refused by it.
  if depth > 100 then return end
  for k, v in next, t do
    if type(k) == "table" then visit(k, depth + 1) end
    if type(v) == "table" then visit(v, depth + 1) end
  end
end

-- `encode` for values whose parts have all been visited once; `method` has the buffer before the value.
function bounded.encode(encode, method)
  if method then
    return function(buf, v)
      if type(v) == "table" then visit(v, 1) end
      local same = encode(buf, v)
      return same
    end
  end
  return function(v)
    if type(v) == "table" then visit(v, 1) end
    local s = encode(v)
    return s
  end
end

-- The system's strftime takes its time, and is called with ever larger buffers until the text fits.
local MAX_DATE_FORMAT = 1000
local date = os.date

function bounded.date(format, time)
  if type(format) == "string" and #format > MAX_DATE_FORMAT then
    error("bad argument #1 to 'date' (format longer than " .. MAX_DATE_FORMAT .. " bytes)", 2)
  end
  local s = date(format, time)
  return s
end

-- Load ----------------------------------------------------------------------------------------------------------------

local function read_all(f)
  local parts, n = {}, 0
  while true do
    local part = f()
    if part == nil or part == "" then break end
    if type(part) ~= "string" then return nil, "reader function must return a string" end
    n = n + 1
    parts[n] = part
  end
  return concat(parts)
end

-- Text only, whatever the mode says; chunks get the script's globals, or the environment that it gives.
local function load_text(what, s, name, env, has_env)
  local err
  if type(s) == "function" then
    if name == nil then name = "=(load)" end
    s, err = read_all(s)
    if s == nil then return nil, err end
  end
  if type(s) ~= "string" then
    error("bad argument #1 to '" .. what .. "' (function expected, got " .. (s == nil and "no value" or type(s)) .. ")", 3)
  end
  if name == nil then name = s end
  if type(name) ~= "string" then
    error("bad argument #2 to '" .. what .. "' (string expected, got " .. type(name) .. ")", 3)
  end
  local f
  f, err = load_source(s, name)
  if f == nil then return nil, err end
  if has_env then setfenv0(f, env == nil and {} or env) else setfenv0(f, G) end
  return f
end

function bounded.load(s, name, mode, ...)
  if select("#", ...) > 0 and (...) ~= nil and type((...)) ~= "table" then
    error("bad argument #4 to 'load' (table expected, got " .. type((...)) .. ")", 2)
  end
  if mode ~= nil and type(mode) == "string" and not find0(mode, "t", 1, true) then
    return nil, "attempt to load chunk with wrong mode"
  end
  return load_text("load", s, name, (...), select("#", ...) > 0)
end

function bounded.loadstring(s, name)
  return load_text("loadstring", s, name)
end

-- The operator's VM: the same checks before LuaJIT's parser ------------------------------------------------------------

if P.trusted then
  local open, stdin, sub, searchpath, pack = io.open, io.stdin, string.sub, package.searchpath, package

  local function read_file(path)
    if path == nil then return stdin:read("*a"), "=stdin" end
    local file, why = open(path, "rb")
    if not file then return nil, "cannot open " .. (why or path) end
    local text, reason = file:read("*a")
    file:close()
    if not text then return nil, "cannot read " .. path .. ": " .. (reason or "it is no file") end
    return text, "@" .. path
  end

  local function loadfile(path, mode, ...)
    local text, name = read_file(path)
    if not text then return nil, name end
    -- A first line for the shell; its newline stays, so that lines keep their numbers.
    if sub(text, 1, 1) == "#" then text = sub(text, find0(text, "\n", 1, true) or #text + 1) end
    return bounded.load(text, name, mode, ...)
  end

  G.load, G.loadstring, G.loadfile = bounded.load, bounded.loadstring, loadfile
  function G.dofile(path)
    local f, err = loadfile(path)
    if not f then error(err, 0) end
    return f()
  end
  pack.loaders[2] = function(name)
    local path, tried = searchpath(name, pack.path)
    if not path then return tried end
    local f, err = loadfile(path)
    if not f then error("error loading module '" .. name .. "' from file '" .. path .. "':\n\t" .. err, 0) end
    return f
  end
end
