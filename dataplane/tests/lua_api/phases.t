=== names of phases
--- server_rewrite
ngx.ctx.phases = ngx.get_phase()
--- rewrite
ngx.ctx.phases = (ngx.ctx.phases or "") .. " " .. ngx.get_phase()
--- access
ngx.ctx.phases = ngx.ctx.phases .. " " .. ngx.get_phase()
--- content
ngx.say(ngx.ctx.phases, " ", ngx.get_phase())
--- header_filter
ngx.ctx.seen = ngx.get_phase()
--- body_filter
ngx.ctx.seen = ngx.ctx.seen .. " " .. ngx.get_phase()
--- log
ngx.log(ngx.ERR, ngx.ctx.seen, " ", ngx.get_phase())
--- body_has
 rewrite access content
--- error_log
header_filter body_filter
 log

=== init runs without a request
--- init
inited = { ngx.get_phase(), select(2, pcall(function() return ngx.var.uri end)), select(2, pcall(function() return ngx.ctx end)),
  select(2, pcall(ngx.say, "x")), select(2, pcall(ngx.exit, 0)), select(2, pcall(ngx.timer.at, 0, function() end)),
  select(2, pcall(ngx.req.get_headers)), select(2, pcall(ngx.redirect, "/")) }
--- content
for i = 1, #inited do ngx.say(inited[i]) end
--- response_body
init
init:1: no request found
init:1: no request found
no request object found
no request found
no request
no request found
no request object found

=== init_worker may start timers
--- init_worker
worker_started = ngx.get_phase()
local ok, err = ngx.timer.at(0, function() started_by_worker = true end)
worker_timer = ok
worker_var = select(2, pcall(function() return ngx.var.uri end))
--- content
ngx.say(worker_started, " ", worker_timer, " ", worker_var)
ngx.sleep(0.01)
ngx.say(started_by_worker)
--- response_body
init_worker 1 init_worker:4: API disabled in the current context
true

=== each phase sees the request
--- rewrite
ngx.req.set_header("X-Phases", "rewrite")
--- access
ngx.req.set_header("X-Phases", ngx.req.get_headers()["X-Phases"] .. " access")
--- body_has: X-Phases: rewrite access

=== config and meta are arguments
--- config
{"limit": 3, "list": [1, null], "deep": {"a": "b"}}
--- content
local config, meta = ...
ngx.say(config.limit, " ", config.list[1], " ", config.list[2] == ngx.null, " ", config.deep.a, " ", type(meta))
--- response_body
3 1 true b table

=== what is not there yet says so
--- content
for _, f in ipairs { ngx.exec, ngx.location.capture, ngx.thread.spawn, ngx.socket.tcp, ngx.req.socket, require("ngx.semaphore").new } do
  ngx.say(select(2, pcall(f)))
end
--- response_body
ngx.exec is not supported yet
ngx.location.capture is not supported yet
ngx.thread.spawn is not supported yet
ngx.socket.tcp is not supported yet
ngx.req.socket is not supported yet
ngx.semaphore.new is not supported yet

=== the context of a phase in errors
--- header_filter
ngx.header["X-Body"] = select(2, pcall(ngx.req.read_body))
--- header: X-Body: API disabled in the context of header_filter_by_lua*
