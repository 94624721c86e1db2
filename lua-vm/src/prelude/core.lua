-- Casts the host's functions and opens the private environment of the prelude.
-- P is the table that all files share; nothing in it ever reaches a script, but for what a file exports on purpose.
local P = ...
local ffi = require "ffi"

ffi.cdef(P.cdef)
local F = {}
for name, entry in pairs(P.api) do
  F[name] = ffi.cast(entry.ctype, entry.address)
end
P.api = nil
P.F = F
P.ffi = ffi
local ctx = ffi.cast("mg_ctx *", P.ctx)
P.ctx = ctx

-- As OpenResty's branch of LuaJIT sets it. Machine code is not in the VM's account, so a namespace gets little of it.
jit.opt.start("minstitch=3", "maxtrace=8000", "maxrecord=16000", P.trusted and "maxmcode=8192" or "maxmcode=512")

-- The prelude's functions keep these globals whatever is done to _G later; `getfenv` in hardened VMs knows them by
-- `__private`.
local env = { __private = true }
for k, v in pairs(_G) do
  env[k] = v
end
P.env = env

-- LuaJIT does not check what a script's `__tostring` returns. The prelude passes strings to the FFI, which would take a
-- userdata for a pointer.
local tostring0, type, error = tostring, type, error
function env.tostring(v)
  local s = tostring0(v)
  if type(s) ~= "string" then error("'tostring' must return a string", 2) end
  return s
end

-- Uses the FFI, in the interpreter: see `full_collection` in limits.rs.
local sizeof, int = ffi.sizeof, ffi.typeof "int"
function P.touch()
  sizeof(int)
end
jit.off(P.touch)

local ffi_string = ffi.string

-- The text that the last function left which answered -1.
function P.err_text()
  local s = ffi_string(ctx.err.p, ctx.err.n)
  return s
end

-- The phases by the number that the host knows them by, and as OpenResty's texts name them.
P.phase_names = {
  [0] = "init", "init_worker", "server_rewrite", "rewrite", "access", "content", "balancer",
  "header_filter", "body_filter", "log", "timer",
}
P.phase_contexts = {
  [0] = "init_by_lua*", "init_worker_by_lua*", "server_rewrite_by_lua*", "rewrite_by_lua*", "access_by_lua*",
  "content_by_lua*", "balancer_by_lua*", "header_filter_by_lua*", "body_filter_by_lua*", "log_by_lua*", "ngx.timer",
}
local contexts = P.phase_contexts

-- Raises OpenResty's error for a function that the current phase may not use.
function P.disabled()
  error("API disabled in the context of " .. contexts[ctx.phase], 3)
end

-- A set of phases for `if not allowed[ctx.phase] then disabled() end`.
function P.phases(...)
  local set = {}
  for _, name in ipairs { ... } do
    for i = 0, #P.phase_names do
      if P.phase_names[i] == name then set[i] = true end
    end
  end
  return set
end
-- Where a script runs in a coroutine of the host and may wait.
P.may_wait = P.phases("server_rewrite", "rewrite", "access", "content", "timer")
