-- `require` in Lua, so that a module's top level may wait, which a C function below it would forbid.
-- Order: loaded, the VM's modules, package.preload (ours), and in a trusted VM package.path before ours, so that a
-- user's own copy of a library wins. `resty.core` and `ngx.*` are always ours: others call C functions of nginx.
local P = ...
setfenv(1, P.env)
local module_source, load_source, trusted, ctx = P.C.module_source, P.C.load_source, P.trusted, P.ctx
local type, error, tostring, setfenv = type, error, tostring, setfenv
local package, loaded, preload, loaders = package, package.loaded, package.preload, package.loaders
local G = _G

if P.package_path then package.path = P.package_path end
local ours = {}
for name, loader in next, preload do
  ours[name] = loader
end
P.ours = ours

local sub = string.sub

local function is_core(name)
  return sub(name, 1, 10) == "resty.core" or sub(name, 1, 4) == "ngx."
end

local function find(name)
  if ours[name] and is_core(name) then return ours[name] end
  local source = module_source(name)
  if source then
    local f, err = load_source(source, "=" .. name)
    if not f then error("error loading module '" .. name .. "':\n\t" .. err, 0) end
    return setfenv(f, G)
  end
  local loader = preload[name]
  if loader and loader ~= ours[name] then return loader end
  local tried = "\n\tno field package.preload['" .. name .. "']"
  if trusted then
    for i = 2, #loaders do
      local f = loaders[i](name)
      if type(f) == "function" then return f end
      if type(f) == "string" then tried = tried .. f end
    end
  end
  loader = ours[name]
  if loader then return loader end
  local why = P.refused and P.refused[name]
  error("module '" .. name .. "' not found:" .. (why and " " .. why or tried), 0)
end

-- What stands in `loaded` while a module is loaded, and after an error in it, as in Lua's own. But a module whose loading
-- was cut short, by a limit or since its request ended, is loaded anew: else each later request would fail. So there is
-- another mark once anything was cut; those before it say nothing.
local mark, cut, marks = {}, 0, setmetatable({}, { __mode = "k" })
marks[mark] = true

local function current_mark()
  local now = ctx.cut[0]
  if now ~= cut then
    local new = {}
    marks[new] = true
    cut, mark = now, new
  end
  return mark
end

local function require(name)
  local t = type(name)
  if t == "number" then name = tostring(name) elseif t ~= "string" then
    error("bad argument #1 to 'require' (string expected, got " .. (name == nil and "no value" or t) .. ")", 2)
  end
  local module = loaded[name]
  if module ~= nil and not marks[module] then return module end
  local own = current_mark()
  if module == own then error("loop or previous error loading module '" .. name .. "'", 2) end
  local loader = find(name)
  loaded[name] = own
  local result = loader(name)
  if result ~= nil then
    loaded[name] = result
  elseif loaded[name] == own then
    loaded[name] = true
  end
  local module = loaded[name]
  return module
end
P.require = require
G.require = require
