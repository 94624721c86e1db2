=== the text of a line
--- access
ngx.log(ngx.ERR, "hello ", 1, " ", 1.5, " ", nil, " ", true, " ", ngx.null)
--- error_log
[error]
[lua] access:1: hello 1 1.5 nil true null, client: 127.0.0.1, server: log-0.test, request: "GET /x HTTP/1.1", host: "log-0.test"
--- request
GET /x

=== levels
--- content
ngx.log(ngx.STDERR, "l0") ngx.log(ngx.EMERG, "l1") ngx.log(ngx.ALERT, "l2") ngx.log(ngx.CRIT, "l3")
ngx.log(ngx.ERR, "l4") ngx.log(ngx.WARN, "l5") ngx.log(ngx.NOTICE, "l6") ngx.log(ngx.INFO, "l7") ngx.log(ngx.DEBUG, "l8")
ngx.say("x")
--- error_log
[stderr]
[emerg]
[alert]
[crit]
[error]
[warn]
[notice]
[info]
[debug]
[lua] content:1: l0
[lua] content:2: l8

=== the function that logs
--- content
local function f() ngx.log(ngx.ERR, "inside") end
f()
ngx.say("x")
--- error_log: [lua] content:1: f(): inside

=== print
--- content
print("printed ", 1, nil, true)
ngx.say("x")
--- error_log
[notice]
[lua] content:1: printed 1niltrue

=== a table with __tostring
--- content
ngx.log(ngx.ERR, setmetatable({}, {__tostring = function() return "shown" end}))
ngx.say("x")
--- error_log: content:1: shown

=== what log does not take
--- content
ngx.say(select(2, pcall(function() ngx.log() end)))
ngx.say(select(2, pcall(function() ngx.log("x", "y") end)))
ngx.say(select(2, pcall(function() ngx.log(9, "y") end)))
ngx.say(select(2, pcall(function() ngx.log(ngx.ERR, {}) end)))
ngx.say(select(2, pcall(function() ngx.log(ngx.ERR, "a", print) end)))
--- response_body
content:1: bad argument #1 to 'log' (number expected, got no value)
content:2: bad argument #1 to 'log' (number expected, got string)
content:3: bad argument #1 to 'log' (bad log level: 9)
content:4: bad argument #1 to 'log' (expected table to have __tostring metamethod)
content:5: bad argument #2 to 'log' (string, number, boolean, or nil expected, got function)

=== in a timer
--- content
ngx.timer.at(0, function() ngx.log(ngx.ERR, "from a timer") end)
ngx.say("x")
--- error_log
from a timer, context: ngx.timer, client: 127.0.0.1

=== raw_log
--- content
local errlog = require "ngx.errlog"
errlog.raw_log(ngx.ERR, "raw text")
ngx.say(select(2, pcall(errlog.raw_log, "x", "y")))
ngx.say(select(2, pcall(errlog.raw_log, 1, 2)))
ngx.say(select(2, pcall(errlog.raw_log, 99, "y")))
ngx.say(errlog.get_sys_filter_level())
--- response_body
bad argument #1 to 'raw_log' (must be a number)
bad argument #2 to 'raw_log' (must be a string)
bad log level
8
--- error_log: raw text, client: 127.0.0.1

=== a new global is told
--- content
some_new_global = 1
ngx.say(some_new_global)
--- response_body
1
--- error_log
writing a global Lua variable ('some_new_global') which may lead to race conditions between concurrent requests, so prefer the use of 'local' variables
