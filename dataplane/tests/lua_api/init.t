# `init` and `initWorker` code that fails is its plugin's alone: the blocks share one VM.

=== init fails: the plugin's routes do
--- init
local x = 1
error("not today")
--- access
ngx.say("never")
--- status: 500
--- error_log
init of LuaPlugin t/block-0 fails: init:2: not today
--- no_error_log
never

=== another plugin of the namespace goes on
--- init
fine = "fine"
--- content
ngx.say(fine)
--- response_body
fine

=== init_worker fails
--- init_worker
local function f() error({}) end
nothing.at_all()
--- content
ngx.say("never")
--- status: 500
--- error_log
init_worker of LuaPlugin t/block-2 fails: init_worker:2: attempt to index global 'nothing' (a nil value)

=== what may be left out is
--- ignore
--- init
error("not today")
--- access
ngx.exit(403)
--- body_has
GET / HTTP/1.1
--- error_log
init of LuaPlugin t/block-3 fails

=== code after the failing one runs, init before init_worker
--- init
order = "init"
--- init_worker
order = order .. " init_worker"
--- content
ngx.say(order)
--- response_body
init init_worker

=== init in the operator's VM
--- operator
--- init
ready = true
--- content
ngx.say(ready)
--- response_body
true

=== an endless loop in init ends by the plugin's own limit, and with it the plugin
--- cpu: 20
--- init
while true do end
--- content
ngx.say("not reached")
--- status: 500
--- error_log
init of LuaPlugin
