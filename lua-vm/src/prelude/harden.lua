-- Leaves _G as a namespace's whole world: no ffi, io, jit, bytecode, loadlib, raw buffer pointers; of debug only
-- traceback and a safe getinfo. Runs after the prelude has taken what it needs.
local P = ...
setfenv(1, P.env)
local G = _G
local rawget, rawset, type, error, next, tostring = rawget, rawset, type, error, next, tostring
local bounded = P.bounded

-- string.buffer: ref, reserve and the like give pointers that can be indexed without ffi.
local buffer = require "string.buffer"
local methods = debug.getmetatable(buffer.new()).__index
for _, name in next, { "ref", "reserve", "commit", "putcdata", "set" } do
  methods[name] = nil
end
buffer.encode, methods.encode = bounded.encode(buffer.encode), bounded.encode(methods.encode, true)

local new = {}
for _, name in next, {
  "assert", "error", "ipairs", "next", "pairs", "pcall", "print", "rawequal", "rawget", "rawset", "rawlen", "select",
  "setmetatable", "getmetatable", "tonumber", "tostring", "type", "unpack", "xpcall", "_VERSION", "_G", "ngx",
} do
  new[name] = rawget(G, name)
end
-- Copies: what a script does to its libraries must not reach the prelude, which goes on using the originals.
for _, name in next, { "coroutine", "table", "math", "bit", "string" } do
  local copy = {}
  for k, v in next, rawget(G, name) do
    copy[k] = v
  end
  new[name] = copy
end
new.load, new.loadstring = bounded.load, bounded.loadstring
new.table.sort = bounded.sort
new.string.dump = nil
for name, f in next, P.bounded_string do
  new.string[name] = f
end

local gc = collectgarbage
function new.collectgarbage(what)
  if what == "count" then
    local n = gc("count")
    return n
  end
  return 0
end

new.os = { time = os.time, clock = os.clock, date = bounded.date, difftime = os.difftime }

-- Of functions that are not a script's own the environment is never shown nor changed.
local getfenv0, setfenv0, getinfo0, traceback = getfenv, setfenv, debug.getinfo, debug.traceback
local function own(f)
  local what = getinfo0(f, "S").what
  return what ~= "C" and not rawget(getfenv0(f), "__private")
end
-- A level counts from the caller of getfenv or setfenv; 0, and whatever is not a script's, is the globals.
local function target(f)
  if type(f) == "number" then
    local info = f > 0 and getinfo0(f + 2, "f")
    return info and info.func
  end
  return f
end
function new.getfenv(f)
  f = target(f == nil and 1 or f)
  if type(f) == "function" and own(f) then
    local env = getfenv0(f)
    return env
  end
  return G
end
function new.setfenv(f, env)
  if type(env) ~= "table" then error("bad argument #2 to 'setfenv' (table expected, got " .. type(env) .. ")", 2) end
  f = target(f)
  if type(f) ~= "function" or not own(f) then error("'setfenv' cannot change environment of given object", 2) end
  setfenv0(f, env)
  return f
end

local info_fields = { "source", "short_src", "what", "currentline", "linedefined", "lastlinedefined", "name", "namewhat",
  "nups", "nparams", "isvararg" }
new.debug = {
  traceback = function(...)
    local s = traceback(...)
    return s
  end,
  -- Never `func`: it could be one of ours.
  getinfo = function(f, what)
    if type(f) == "number" then f = f + 1 elseif type(f) ~= "function" then
      error("bad argument #1 to 'getinfo' (function or level expected)", 2)
    end
    local info = getinfo0(f, "nSlu")
    if info == nil then return nil end
    local safe = {}
    for _, name in next, info_fields do
      safe[name] = info[name]
    end
    return safe
  end,
}

-- Methods of strings are the script's copy; the metatable cannot be reached or changed.
local strings = debug.getmetatable("")
strings.__index, strings.__metatable = new.string, false

-- `require` finds the namespace's modules and what is safe of ours.
local loaded, preload, ours = package.loaded, package.preload, P.ours
for name in next, loaded do
  loaded[name] = nil
end
for name in next, preload do
  preload[name] = nil
end
for _, name in next, { "string", "table", "math", "bit", "coroutine", "ngx", "os", "debug" } do
  loaded[name] = new[name]
end
loaded["_G"] = G
loaded["string.buffer"] = buffer
ours["string.buffer"] = nil
ours.ffi = nil
local refusal = "is not available to the Lua of a namespace: "
P.refused = {
  ffi = "ffi " .. refusal .. "it reads and writes any memory of the process",
  io = "io " .. refusal .. "it reads and writes files",
  jit = "jit " .. refusal .. "it changes the compiler for the whole VM",
}
P.refused["jit.util"], P.refused["jit.opt"], P.refused["jit.profile"] = P.refused.jit, P.refused.jit, P.refused.jit
local find = string.find
for name in next, ours do
  if find(name, "^jit%.") then ours[name] = nil end
end
new.package = { loaded = loaded, preload = preload, path = "", cpath = "" }
new.require = P.require

local gone = {}
for name in next, G do
  gone[#gone + 1] = name
end
for _, name in next, gone do
  rawset(G, name, nil)
end
for name, value in next, new do
  rawset(G, name, value)
end
