-- Libraries that are C functions of ours. Made when they are first required.
local P = ...
setfenv(1, P.env)
local cjson_open, ours = P.C.cjson_open, P.ours

ours.cjson = function()
  local module = cjson_open(false)
  return module
end
ours["cjson.safe"] = function()
  local module = cjson_open(true)
  return module
end
