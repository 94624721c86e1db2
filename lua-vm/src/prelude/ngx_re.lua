-- `ngx.re.*` and the module `ngx.re`, over `regex/ffi.rs`. Needs no host: works in every phase.
--
-- Calls by FFI (`re` is the VM's `mg_re`; a text is in `re.p`, `re.n`, the last match's offsets in `re.offsets`):
--   re_compile(re, pattern, n, opts, n)  the regex's number; -1, -2: a text to return, to raise
--   re_name(re, id, i)                   number of the i-th named group and its name as text; 0: no more
--   re_release(re)                       frees a long text
--   re_exec(re, id, subject, n, start)   PCRE2's result; STALE: evicted
--   re_sub(re, id, subject, n, replacement, n, global)   the count and the text
--
-- A compiled pattern here is a table `{id, captures, names, numbers, ...}`. It must not reach a script: with a wrong
-- `captures` the offsets would be read out of bounds.
local P = ...
setfenv(1, P.env)
local F, ffi, ngx = P.F, P.ffi, P.ngx
local ffi_string = ffi.string
local re = ffi.cast("mg_re *", P.re)
local re_compile, re_name, re_exec, re_sub = F.re_compile, F.re_name, F.re_exec, F.re_sub
local re_jit_stack, re_cached, re_release = F.re_jit_stack, F.re_cached, F.re_release
local type, error, tostring, setmetatable, floor = type, error, tostring, setmetatable, math.floor
local rawget, rawset = rawget, rawset
local sub, byte, concat = string.sub, string.byte, table.concat
local new_tab = require "table.new"

local NO_MATCH, STALE, TEMPLATE, MEMORY = -1, -1000, -1001, -1002
-- Compiled patterns that this table finds without a call, at most: twice what Rust keeps by default; beyond them each look-up is a call.
local MAX_KNOWN = 2048
-- A longer result is not kept in Rust once it was taken.
local KEPT = 65536

local known, known_count = {}, 0

local function text()
  local s = ffi_string(re.p, re.n)
  return s
end

-- The number of a pattern, compiled anew if need be; or nil and the error.
local function number(regex, opts, level)
  local id = re_compile(re, regex, #regex, opts, #opts)
  if id >= 0 then return id end
  if id == -1 then return nil, text() end
  if id == MEMORY then error("not enough memory", 0) end
  error(text(), level)
end

-- `level` is that of the script, for errors.
local function check(regex, opts, name, level)
  if type(regex) ~= "string" then
    if type(regex) ~= "number" then
      error("bad argument #2 to '" .. name .. "' (string expected, got " .. type(regex) .. ")", level)
    end
    regex = tostring(regex)
  end
  if opts == nil then
    opts = ""
  elseif type(opts) ~= "string" then
    error("bad argument #3 to '" .. name .. "' (string expected, got " .. type(opts) .. ")", level)
  end
  return regex, opts
end

local function compile_new(regex, opts, name, level)
  regex, opts = check(regex, opts, name, level)
  local by_regex = known[opts]
  if by_regex and by_regex[regex] then return by_regex[regex] end
  local id, err = number(regex, opts, level)
  if not id then return nil, err end
  local names, numbers = false, false
  local compiled = { id = id, regex = regex, opts = opts, captures = re.captures, dup = re.dup_names == 1, utf = re.utf == 1 }
  if re.names > 0 then
    names, numbers = {}, {}
    for i = 1, re.names do
      local n = re_name(re, id, i - 1)
      if n <= 0 then break end
      numbers[i] = n
      names[i] = text()
    end
  end
  compiled.names, compiled.numbers = names, numbers
  if known_count >= MAX_KNOWN then
    known, known_count = {}, 0
  end
  known_count = known_count + 1
  by_regex = known[opts]
  if not by_regex then
    by_regex = {}
    known[opts] = by_regex
  end
  by_regex[regex] = compiled
  return compiled
end

-- The compiled pattern; or nil and the error.
local function compile(regex, opts, name, level)
  local by_regex = known[opts == nil and "" or opts]
  local compiled = by_regex and regex ~= nil and by_regex[regex]
  if compiled then return compiled end
  local err
  compiled, err = compile_new(regex, opts, name, level)
  return compiled, err
end

local function exec(compiled, subj, pos)
  local rc = re_exec(re, compiled.id, subj, #subj, pos)
  if rc == STALE then
    local id = number(compiled.regex, compiled.opts, 0)
    -- What compiled once fails for lack of memory only: PCRE2's code for that.
    if not id then return -48 end
    compiled.id = id
    rc = re_exec(re, id, subj, #subj, pos)
  end
  return rc
end

local function exec_error(rc)
  local s = "pcre_exec() failed: " .. rc
  return s
end

local function collect_named(compiled, res)
  local names, numbers, dup = compiled.names, compiled.numbers, compiled.dup
  for i = 1, #names do
    local name, capture = names[i], rawget(res, numbers[i])
    if not dup then
      rawset(res, name, capture)
    elseif capture then
      local old = rawget(res, name)
      if old then old[#old + 1] = capture else rawset(res, name, { capture }) end
    end
  end
end

-- The table of captures of the last match. Raw, since `res` may be the script's: a metamethod could match something else,
-- and `offsets` would be read beyond what it left.
local function collect(compiled, subj, res)
  local offsets, captures, names = re.offsets, compiled.captures, compiled.names
  if not res then res = new_tab(captures, names and #names + 1 or 1) end
  for i = 0, captures do
    local from = offsets[2 * i]
    if from >= 0 then
      rawset(res, i, sub(subj, from + 1, offsets[2 * i + 1]))
    else
      rawset(res, i, false)
    end
  end
  if names and captures > 0 then collect_named(compiled, res) end
  return res
end

-- Where a match begins: `ctx.pos` counts from 1.
local function start_of(ctx, name)
  if type(ctx) ~= "table" then
    error("bad argument #4 to '" .. name .. "' (table expected, got " .. type(ctx) .. ")", 3)
  end
  local pos = ctx.pos
  if not pos then return 0 end
  if type(pos) ~= "number" then error("bad argument #4 to '" .. name .. "' (ctx.pos is no number)", 3) end
  if not (pos > 1) then return 0 end
  if pos > 2147483647 then return 2147483646 end
  return floor(pos) - 1
end

local api = {}

function api.match(subj, regex, opts, ctx, res)
  if type(subj) ~= "string" then subj = tostring(subj) end
  local compiled, err = compile(regex, opts, "match", 5)
  if not compiled then return nil, err end
  local pos = 0
  if ctx then pos = start_of(ctx, "match") end
  if res and type(res) ~= "table" then
    error("bad argument #5 to 'match' (table expected, got " .. type(res) .. ")", 2)
  end
  local rc = exec(compiled, subj, pos)
  if rc < 0 then
    if rc == NO_MATCH then return nil end
    return nil, exec_error(rc)
  end
  local next_pos = re.offsets[1] + 1
  local captures = collect(compiled, subj, res)
  if ctx then ctx.pos = next_pos end
  return captures
end

function api.find(subj, regex, opts, ctx, nth)
  if type(subj) ~= "string" then subj = tostring(subj) end
  local compiled, err = compile(regex, opts, "find", 5)
  if not compiled then return nil, nil, err end
  local pos = 0
  if ctx then pos = start_of(ctx, "find") end
  if nth and type(nth) ~= "number" then
    error("bad argument #5 to 'find' (number expected, got " .. type(nth) .. ")", 2)
  end
  local rc = exec(compiled, subj, pos)
  if rc < 0 then
    if rc == NO_MATCH then return nil end
    return nil, nil, exec_error(rc)
  end
  local offsets = re.offsets
  local next_pos, from, to = offsets[1] + 1, nil, nil
  if not nth or not (nth >= 0) then nth = 0 end
  nth = floor(nth)
  if nth <= compiled.captures then
    from, to = offsets[2 * nth] + 1, offsets[2 * nth + 1]
  end
  if ctx then ctx.pos = next_pos end
  if not from then return nil, nil, "nth out of bound" end
  if from < 1 or to < 0 then return nil, nil end
  return from, to
end

-- Where to go on after a match from `from` to `to`: behind a character when it was empty.
local function next_pos(compiled, subj, from, to)
  if to > from then return to end
  to = to + 1
  if compiled.utf then
    local b = byte(subj, to + 1)
    while b and b >= 0x80 and b < 0xc0 do
      to = to + 1
      b = byte(subj, to + 1)
    end
  end
  return to
end

-- The state of iterators, which scripts must not see.
local states = setmetatable({}, { __mode = "k" })

local iterator_mt = {
  __call = function(self)
    local state = states[self]
    if not state then return nil end
    local compiled, subj = state.compiled, state.subj
    local rc = exec(compiled, subj, state.pos)
    if rc < 0 then
      states[self] = nil
      if rc == NO_MATCH then return nil end
      return nil, exec_error(rc)
    end
    local offsets = re.offsets
    local pos = next_pos(compiled, subj, offsets[0], offsets[1])
    if pos > #subj then
      -- An empty match at the end: there is no other behind it.
      states[self] = nil
    else
      state.pos = pos
    end
    local captures = collect(compiled, subj)
    return captures
  end,
  __metatable = false,
}

function api.gmatch(subj, regex, opts)
  if type(subj) ~= "string" then subj = tostring(subj) end
  local compiled, err = compile(regex, opts, "gmatch", 5)
  if not compiled then return nil, err end
  local iterator = setmetatable({}, iterator_mt)
  states[iterator] = { compiled = compiled, subj = subj, pos = 0 }
  return iterator
end

-- The replacement function may wait, raise, or use ngx.re itself: nothing is held in `re` across its call.
local function sub_func(subj, compiled, replace, global)
  local pieces, n, count, pos, copied, len = {}, 0, 0, 0, 0, #subj
  while pos <= len do
    local rc = exec(compiled, subj, pos)
    if rc == NO_MATCH then break end
    if rc < 0 then return nil, nil, exec_error(rc) end
    count = count + 1
    local offsets = re.offsets
    local from, to = offsets[0], offsets[1]
    if from > copied then
      n = n + 1
      pieces[n] = sub(subj, copied + 1, from)
    end
    n = n + 1
    pieces[n] = tostring(replace(collect(compiled, subj)))
    if to > copied then copied = to end
    pos = next_pos(compiled, subj, from, to)
    if not global then break end
  end
  if count == 0 then return subj, 0 end
  if copied < len then
    n = n + 1
    pieces[n] = sub(subj, copied + 1)
  end
  local s = concat(pieces, "", 1, n)
  return s, count
end

local function sub_str(subj, compiled, replace, global)
  local count = re_sub(re, compiled.id, subj, #subj, replace, #replace, global)
  if count == STALE then
    local id = number(compiled.regex, compiled.opts, 0)
    if not id then return nil, nil, exec_error(-48) end
    compiled.id = id
    count = re_sub(re, id, subj, #subj, replace, #replace, global)
  end
  if count == 0 then return subj, 0 end
  if count > 0 then
    local n = re.n
    local s = ffi_string(re.p, n)
    if n > KEPT then re_release(re) end
    return s, count
  end
  if count == TEMPLATE then return nil, nil, "failed to compile the replacement template" end
  if count == MEMORY then error("not enough memory", 0) end
  return nil, nil, exec_error(count)
end

local function sub_helper(subj, regex, replace, opts, global, name)
  if opts ~= nil and type(opts) ~= "string" then
    error("bad argument #4 to '" .. name .. "' (string expected, got " .. type(opts) .. ")", 3)
  end
  local compiled, err = compile(regex, opts, name, 6)
  if not compiled then return nil, nil, err end
  if type(subj) ~= "string" then subj = tostring(subj) end
  local s, count
  if type(replace) == "function" then
    s, count, err = sub_func(subj, compiled, replace, global)
  else
    if type(replace) ~= "string" then replace = tostring(replace) end
    s, count, err = sub_str(subj, compiled, replace, global)
  end
  if err then return s, count, err end
  return s, count
end

function api.sub(subj, regex, replace, opts)
  local s, count, err = sub_helper(subj, regex, replace, opts, false, "sub")
  if err then return s, count, err end
  return s, count
end

function api.gsub(subj, regex, replace, opts)
  local s, count, err = sub_helper(subj, regex, replace, opts, true, "gsub")
  if err then return s, count, err end
  return s, count
end

ngx.re = api

function P.regex_cached()
  local n = re_cached(re)
  return n
end

-- The module `ngx.re` --------------------------------------------------------------------------------------------------

local module = {}

-- `split`: the next separator from `pos` (from 0) on: its begin and end in Lua's counting, its first capture, and where
-- to search on. Nil when there is none; and the error.
local function separator(subj, compiled, pos)
  local rc = exec(compiled, subj, pos)
  if rc == NO_MATCH then return nil end
  if rc < 0 then return nil, nil, nil, nil, exec_error(rc) end
  local offsets = re.offsets
  local from, to, capture = offsets[0], offsets[1], nil
  if compiled.captures > 0 and rc > 1 and offsets[2] >= 0 then
    capture = sub(subj, offsets[2] + 1, offsets[3])
  end
  return from + 1, to + 1, capture, from == to and to + 1 or to
end

function module.split(subj, regex, opts, ctx, max, res)
  if type(subj) ~= "string" then subj = tostring(subj) end
  if res == nil then
    res = {}
  elseif type(res) ~= "table" then
    error("res is not a table", 2)
  end
  max = max or 0
  local begin = 1
  if ctx then
    if type(ctx) ~= "table" then error("bad argument #4 to 'split' (table expected, got " .. type(ctx) .. ")", 2) end
    if ctx.pos then begin = start_of(ctx, "split") + 1 end
  end
  local len = #subj
  if begin > len then
    res[1] = nil
    return res
  end
  local compiled, err = compile(regex, opts, "split", 5)
  if not compiled then return nil, err end
  local pos, n, count, last_empty = begin - 1, 0, 1, nil
  -- With `max`, its last part takes the rest.
  while (max <= 0 or count < max) and begin <= len do
    local from, to, capture, after, exec_err = separator(subj, compiled, pos)
    if exec_err then return nil, exec_err end
    if not from then break end
    pos = after
    if last_empty then begin = last_empty end
    if from == to then last_empty = from end
    if from > begin or not last_empty then
      count = count + 1
      n = n + 1
      res[n] = sub(subj, begin, from - 1)
      if capture then
        n = n + 1
        res[n] = capture
      end
      begin = to
    end
  end
  if ctx then ctx.pos = pos end
  if max <= 0 and begin > len then
    -- Empty parts at the end are dropped.
    while n > 0 and res[n] == "" do
      res[n] = nil
      n = n - 1
    end
  else
    n = n + 1
    res[n] = sub(subj, begin)
  end
  res[n + 1] = nil
  return res
end

function module.opt(option, value)
  if option ~= "jit_stack_size" then error("unrecognized option name", 2) end
  if type(value) ~= "number" then
    error("bad argument #2 to 'opt' (number expected, got " .. type(value) .. ")", 2)
  end
  if re_cached(re) > 0 then
    error("changing jit stack size is not allowed when some regexs have already been compiled and cached", 2)
  end
  if re_jit_stack(re, value) == 0 then error("pcre jit stack allocation failed", 2) end
end

P.ours["ngx.re"] = function() return module end
