=== worker
--- content
ngx.say(ngx.worker.id(), " ", ngx.worker.count(), " ", ngx.worker.pid() > 1, " ", ngx.worker.exiting(), " ", #ngx.worker.pids())
--- response_body
0 1 true false 1

=== config
--- content
ngx.say(ngx.config.subsystem, " ", ngx.config.debug, " ", ngx.config.ngx_lua_version >= 10011, " ", ngx.config.nginx_version >= 1009000)
ngx.say(type(ngx.config.prefix()), " ", type(ngx.config.nginx_configure()))
--- response_body
http false true true
string string

=== ngx.process
--- content
local p = require "ngx.process"
ngx.say(p.type(), " ", p.get_master_pid() == ngx.worker.pid())
ngx.say(p.enable_privileged_agent())
--- response_body
worker true
nilAPI disabled in the current context

=== ngx is a module
--- content
ngx.say(require "ngx" == ngx, " ", package.loaded.ngx == ngx)
--- response_body
true true

=== errlog without capture
--- content
ngx.say(require("ngx.errlog").get_logs())
--- response_body
nildirective "lua_capture_error_log" is not set

=== ngx.semaphore and ngx.pipe can be required
--- content
ngx.say(type(require "ngx.semaphore"), type(require "ngx.pipe"))
--- response_body
tabletable

=== a field of ngx may be set
--- content
ngx.my_field = 1
ngx.say(ngx.my_field, " ", ngx.no_field)
--- response_body
1 nil
