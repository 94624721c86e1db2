-- The string functions that search, for namespaces: see pattern.rs.
local P = ...
setfenv(1, P.env)
local C, type, tostring, error = P.C, type, tostring, error
local find0, find_pattern, gmatch_at = string.find, C.pattern_find, C.pattern_gmatch_at

-- Up to this length LuaJIT's plain search is kept: it compiles, and a search there is quadratic in little.
local NATIVE_FIND = 4096
-- Patterns that are known to be plain or not, at most.
local MAX_KNOWN = 1024
local known, count = {}, 0

local function is_plain(pattern)
  local plain = find0(pattern, "[%^%$%*%+%?%.%(%[%%%-]") == nil
  if count >= MAX_KNOWN then
    known, count = {}, 0
  end
  known[pattern] = plain
  count = count + 1
  return plain
end

local function find(s, pattern, init, plain)
  if type(s) == "string" and #s <= NATIVE_FIND and type(pattern) == "string" and (init == nil or type(init) == "number") then
    if not plain then
      plain = known[pattern]
      if plain == nil then plain = is_plain(pattern) end
    end
    if plain then
      local from, to = find0(s, pattern, init, true)
      if from then return from, to end
      return nil
    end
  end
  -- A tail call: errors name the script's place, and no pattern is compiled anyway.
  return find_pattern(s, pattern, init, plain)
end

local function check(v, n)
  if type(v) == "string" then return v end
  if type(v) ~= "number" then
    error("bad argument #" .. n .. " to 'gmatch' (string expected, got " .. type(v) .. ")", 3)
  end
  return tostring(v)
end

-- The iterators are Lua functions: a trace is made for a C function's identity, so that one of them for each call of
-- gmatch would leave it at once, every time.
local function gmatch(s, pattern)
  s, pattern = check(s, 1), check(pattern, 2)
  local pos = 0
  local function step(next_pos, ...)
    pos = next_pos
    return ...
  end
  return function()
    if not pos then return end
    return step(gmatch_at(s, pattern, pos))
  end
end

P.bounded_string = { find = find, match = C.pattern_match, gmatch = gmatch, gsub = C.pattern_gsub }
