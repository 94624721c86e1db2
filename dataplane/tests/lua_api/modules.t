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

=== resty.core
--- content
require "resty.core"
require("resty.core.response").set_resp_header(nil, "X-A", "1")
local base = require "resty.core.base"
local t = base.new_tab(2, 2)
t[1] = 1
base.clear_tab(t)
ngx.say(#t, " ", base.version == require("resty.core").version, " ", base.get_request() ~= nil, " ", base.FFI_OK)
for name in ("base64 coroutine ctx exit hash misc ndk param phase regex request response shdict socket time uri utils var worker"):gmatch("%S+") do
  assert(type(require("resty.core." .. name)) == "table", name)
end
local free = {}
local one, two = base.ref_in_table(free, "one"), base.ref_in_table(free, "two")
ngx.say(one, " ", two, " ", base.ref_in_table(free, nil), " ", free[two])
local time = require "resty.core.time"
local a, b = time.monotonic_time(), time.monotonic_msec()
ngx.say(a >= 0 and a * 1000 <= b + 1, " ", require("resty.core.utils").str_replace_char("a-b-c", "-", "%"))
require("resty.core.misc").register_ngx_magic_key_getter("magic", function() return "yes" end)
ngx.say(ngx.magic, " ", require("resty.core.ctx").get_ctx_table({a = 1}).a, " ", ngx.ctx.a)
ngx.say(type(require "table.new"), " ", type(require "table.clear"), " ", type(require "thread.exdata"))
local ok, err = pcall(base.get_size_ptr)
ngx.say(type(err))
--- response_body
0 true true 0
1 2 -1 two
true a%b%c
yes 1 1
function function function
string
--- header
X-A: 1

=== resty.core in the operator VM
--- operator
--- content
require "resty.core"
require("resty.core.response").set_resp_header(nil, "X-A", "1")
local base = require "resty.core.base"
local t = base.new_tab(2, 2)
t[1] = 1
base.clear_tab(t)
ngx.say(#t, " ", base.version == require("resty.core").version, " ", base.get_request() ~= nil, " ", base.FFI_OK)
for name in ("base64 coroutine ctx exit hash misc ndk param phase regex request response shdict socket time uri utils var worker"):gmatch("%S+") do
  assert(type(require("resty.core." .. name)) == "table", name)
end
local free = {}
local one, two = base.ref_in_table(free, "one"), base.ref_in_table(free, "two")
ngx.say(one, " ", two, " ", base.ref_in_table(free, nil), " ", free[two])
local time = require "resty.core.time"
local a, b = time.monotonic_time(), time.monotonic_msec()
ngx.say(a >= 0 and a * 1000 <= b + 1, " ", require("resty.core.utils").str_replace_char("a-b-c", "-", "%"))
require("resty.core.misc").register_ngx_magic_key_getter("magic", function() return "yes" end)
ngx.say(ngx.magic, " ", require("resty.core.ctx").get_ctx_table({a = 1}).a, " ", ngx.ctx.a)
ngx.say(type(require "table.new"), " ", type(require "table.clear"), " ", type(require "thread.exdata"))
local ok, err = pcall(base.get_size_ptr)
ngx.say(type(err))
--- response_body
0 true true 0
1 2 -1 two
true a%b%c
yes 1 1
function function function
cdata
--- header
X-A: 1

=== a copy on package.path does not hide what only we can be
--- operator
--- content
local path = package.path
package.path = "/nowhere/?.lua"
package.preload["resty.core.base"] = function() return "theirs" end
package.preload["my.lib"] = function() return "theirs" end
ngx.say(type(require "resty.core.base"), " ", type(require "ngx.re"), " ", require "my.lib")
package.path = path
--- response_body
table table theirs
