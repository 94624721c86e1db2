-- Tells of new globals, as OpenResty does: requests of one VM share them.
local P = ...
setfenv(1, P.env)
local ctx, log, rawset, tostring, traceback = P.ctx, P.C.log, rawset, tostring, debug.traceback
local INIT_WORKER, WARN = 1, 5

setmetatable(_G, {
  __newindex = function(t, k, v)
    if ctx.host ~= nil and ctx.phase > INIT_WORKER then
      log(WARN, traceback("writing a global Lua variable ('" .. tostring(k)
        .. "') which may lead to race conditions between concurrent requests, so prefer the use of 'local' variables", 2))
    end
    rawset(t, k, v)
  end,
})
