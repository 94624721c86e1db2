=== a timer runs
--- content
local ok, err = ngx.timer.at(0.01, function(premature, a, b, c)
  ngx.log(ngx.ERR, "fired: ", premature, " ", a, " ", b, " ", c, " ", ngx.get_phase())
end, "x", nil, 3)
ngx.say(ok, " ", err)
--- response_body
1 nil
--- error_log
fired: false x nil 3 timer, context: ngx.timer

=== at once
--- access
ngx.timer.at(0, function() ngx.log(ngx.ERR, "at once") end)
--- content
ngx.say("x")
--- error_log: at once

=== again and again
--- content
local n = 0
ngx.timer.every(0.005, function() n = n + 1 ngx.shared.dogs:set("n", n) if n == 3 then ngx.log(ngx.ERR, "third") end end)
ngx.say("x")
--- error_log: third

=== a timer sleeps, counts and starts timers
--- content
ngx.timer.at(0, function()
  ngx.sleep(0.005)
  ngx.log(ngx.ERR, "running ", ngx.timer.running_count() >= 1)
  ngx.timer.at(0, function() ngx.log(ngx.ERR, "from within") end)
end)
ngx.say(ngx.timer.pending_count() >= 1)
--- response_body
true
--- error_log
running true
from within

=== an error in a timer
--- content
ngx.timer.at(0, function() error("bad timer") end)
ngx.say("x")
--- error_log
lua entry thread aborted: runtime error: content:1: bad timer
context: ngx.timer

=== exit in a timer
--- content
ngx.timer.at(0, function() ngx.log(ngx.ERR, "before") ngx.exit(0) ngx.log(ngx.ERR, "after") end)
ngx.timer.at(0.03, function() ngx.log(ngx.ERR, "end") end)
ngx.say("x")
--- error_log
before
end
--- no_error_log: after

=== what timers do not take
--- content
ngx.say(select(2, pcall(function() ngx.timer.at(1) end)))
ngx.say(select(2, pcall(function() ngx.timer.at("x", print) end)))
ngx.say(select(2, pcall(function() ngx.timer.at(0, print) end)))
ngx.say(select(2, pcall(function() ngx.timer.at(0, "x") end)))
ngx.say(select(2, pcall(function() ngx.timer.every(0, function() end) end)))
ngx.say(select(2, pcall(function() ngx.timer.at(-1, function() end) end)))
--- response_body
content:1: expecting at least 2 arguments but got 1
content:2: bad argument #1 to 'at' (number expected, got string)
content:3: bad argument #2 to 'at' (Lua function expected)
content:4: bad argument #2 to 'at' (Lua function expected)
content:5: delay cannot be zero
content:6: bad argument #1 to 'at' (delay cannot be negative)

=== requests' functions are not there
--- content
ngx.timer.at(0, function()
  ngx.log(ngx.ERR, "say: ", select(2, pcall(ngx.say, "x")))
  ngx.log(ngx.ERR, "body: ", select(2, pcall(ngx.req.read_body)))
  ngx.log(ngx.ERR, "status: ", select(2, pcall(function() return ngx.status end)))
  ngx.log(ngx.ERR, "redirect: ", select(2, pcall(ngx.redirect, "/")))
end)
ngx.say("x")
--- error_log
say: API disabled in the context of ngx.timer
body: API disabled in the context of ngx.timer
status: content:4: API disabled in the current context
redirect: API disabled in the context of ngx.timer

=== a timer has a context of its own
--- content
ngx.ctx.a = 1
ngx.timer.at(0, function() ngx.log(ngx.ERR, "a is ", ngx.ctx.a) ngx.ctx.b = 2 ngx.log(ngx.ERR, "b is ", ngx.ctx.b) end)
ngx.say("x")
--- error_log
a is nil
b is 2

=== timers from log
--- content
ngx.say("x")
--- log
ngx.timer.at(0, function() ngx.log(ngx.ERR, "after the log phase") end)
--- error_log: after the log phase

=== a timer that loops ends by its plugin's own limit
--- cpu: 20
--- content
ngx.timer.at(0, function() while true do end end)
ngx.say("x")
--- error_log
lua entry thread aborted: runtime error: CPU time limit exceeded
