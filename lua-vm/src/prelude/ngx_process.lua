-- ngx.worker, ngx.config, and the modules ngx.process and ngx.errlog
local P = ...
setfenv(1, P.env)
local F, C, ctx = P.F, P.C, P.ctx
local type, error, tostring = type, error, tostring
local ngx = P.ngx

-- What libraries may test for: the versions whose behaviour this is.
ngx.config = {
  subsystem = "http",
  debug = false,
  nginx_version = 1029004,
  ngx_lua_version = 10030,
  prefix = function() return "/" end,
  nginx_configure = function() return "" end,
  is_console = false,
}

local worker_id, worker_count, worker_pid = F.worker_id, F.worker_count, F.worker_pid
local worker_exiting, log_level = F.worker_exiting, F.log_level

ngx.worker = {
  id = function()
    local n = worker_id(ctx)
    return n
  end,
  count = function()
    local n = worker_count(ctx)
    return n
  end,
  pid = function()
    local n = worker_pid(ctx)
    return n
  end,
  -- Workers are threads of one process.
  pids = function()
    if ctx.phase <= 1 then return nil, "API disabled in the current context" end
    return { (worker_pid(ctx)) }
  end,
  exiting = function()
    local exiting = worker_exiting(ctx)
    return exiting
  end,
}

P.ours["ngx.process"] = function()
  return {
    version = P.core_version,
    type = function() return "worker" end,
    get_master_pid = function()
      local n = worker_pid(ctx)
      return n
    end,
    enable_privileged_agent = function()
      if ctx.phase ~= 0 then return nil, "API disabled in the current context" end
      return nil, "there is no privileged agent"
    end,
    signal_graceful_exit = function()
      error("ngx.process.signal_graceful_exit is not supported yet", 2)
    end,
  }
end

local raw_log = C.raw_log

P.ours["ngx.errlog"] = function()
  return {
    version = P.core_version,
    get_sys_filter_level = function()
      local n = log_level(ctx)
      return n
    end,
    raw_log = function(level, message)
      if type(level) ~= "number" then error("bad argument #1 to 'raw_log' (must be a number)", 2) end
      if type(message) ~= "string" then error("bad argument #2 to 'raw_log' (must be a string)", 2) end
      if level < 0 or level > 8 then error("bad log level", 2) end
      raw_log(level, message)
    end,
    set_filter_level = function()
      return nil, "directive \"lua_capture_error_log\" is not set"
    end,
    get_logs = function()
      return nil, "directive \"lua_capture_error_log\" is not set"
    end,
  }
end
