-- ngx.var
local P = ...
setfenv(1, P.env)
local F, ctx, real, no_request, err_text = P.F, P.ctx, P.real, P.no_request, P.err_text
local ffi_string, out = P.ffi.string, P.ctx.out
local type, error, tostring, setmetatable = type, error, tostring, setmetatable
local var_get, var_set = F.var_get, F.var_set

P.ngx.var = setmetatable({}, {
  __index = function(_, k)
    if not real[ctx.phase] then no_request() end
    if type(k) ~= "string" then
      -- A number means a capture of nginx's own regex locations: there are none.
      if type(k) == "number" then return nil end
      error("bad variable name", 2)
    end
    if var_get(ctx, k, #k) == 1 then
      local s = ffi_string(out.p, out.n)
      return s
    end
    return nil
  end,
  __newindex = function(_, k, v)
    if not real[ctx.phase] then no_request() end
    if type(k) ~= "string" then error("bad variable name", 2) end
    local rc
    if v == nil then
      rc = var_set(ctx, k, #k, nil, 0)
    else
      if type(v) ~= "string" then v = tostring(v) end
      rc = var_set(ctx, k, #k, v, #v)
    end
    if rc < 0 then error(err_text(), 2) end
  end,
})
