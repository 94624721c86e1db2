-- What OpenResty's branch of LuaJIT adds to `table`, and `thread.exdata`.
local P = ...
setfenv(1, P.env)
local next, type, floor = next, type, math.floor
local preload, ctx = package.preload, P.ctx

local function check(t, name)
  if type(t) ~= "table" then
    error("bad argument #1 to '" .. name .. "' (table expected, got " .. (t == nil and "no value" or type(t)) .. ")", 3)
  end
end

local add = {}

function add.isempty(t)
  check(t, "isempty")
  return next(t) == nil
end

-- True when every key is a positive integer (also of a sparse table, as there).
function add.isarray(t)
  check(t, "isarray")
  for k in next, t do
    if type(k) ~= "number" or k <= 0 or floor(k) ~= k then return false end
  end
  return true
end

function add.nkeys(t)
  check(t, "nkeys")
  local n = 0
  for _ in next, t do
    n = n + 1
  end
  return n
end

-- A shallow copy without the metatable.
function add.clone(t)
  check(t, "clone")
  local copy = {}
  for k, v in next, t do
    copy[k] = v
  end
  return copy
end

for name, f in next, add do
  table[name] = f
  preload["table." .. name] = function() return f end
end
table.new = require "table.new"
table.clear = require "table.clear"

-- There: a pointer of the request. Here: its number in this VM, as nothing that a script holds is a pointer.
local function exdata()
  if ctx.session == nil then return nil end
  local id = ctx.session.ctx_id
  return id
end
preload["thread.exdata"] = function() return exdata end
