=== exit with a status
--- access
ngx.exit(403)
--- content
ngx.say("no")
--- status: 403
--- body_lacks: no

=== exit with OK goes on
--- access
ngx.exit(ngx.OK)
ngx.say("no")
--- content
ngx.say("content")
--- response_body
content

=== exit with DECLINED goes on
--- rewrite
ngx.exit(ngx.DECLINED)
--- content
ngx.say("content")
--- response_body
content

=== a status of 200 ends the request
--- access
ngx.exit(200)
--- content
ngx.say("no")
--- response_body

=== a status that was set wins over 200
--- content
ngx.status = 410
ngx.say("gone")
ngx.exit(200)
--- status: 410
--- response_body
gone

=== a status set before exit wins without output
--- content
ngx.status = 410
ngx.exit(ngx.HTTP_OK)
--- status: 410
--- response_body

=== exit with ERROR
--- content
ngx.exit(ngx.ERROR)
--- status: 0
--- cut

=== exit with 444
--- content
ngx.exit(444)
--- status: 0
--- cut

=== exit after output
--- content
ngx.say("x")
ngx.exit(500)
--- response_body
x
--- error_log
attempt to set status 500 via ngx.exit after sending out the response status 200

=== exit in a coroutine and in pcall
--- access
pcall(function() coroutine.wrap(function() ngx.exit(429) end)() end)
ngx.say("no")
--- status: 429

=== what exit does not take
--- content
ngx.say(select(2, pcall(function() ngx.exit(ngx.AGAIN) end)))
ngx.say(select(2, pcall(function() ngx.exit(ngx.DONE) end)))
ngx.say(select(2, pcall(function() ngx.exit("x") end)))
ngx.say(select(2, pcall(function() ngx.exit() end)))
--- response_body
content:1: bad argument to 'ngx.exit': does not accept NGX_AGAIN or NGX_DONE
content:2: bad argument to 'ngx.exit': does not accept NGX_AGAIN or NGX_DONE
content:3: bad argument #1 to 'exit' (number expected, got string)
content:4: bad argument #1 to 'exit' (number expected, got nil)

=== exit in header_filter goes on
--- content
ngx.say("x")
--- header_filter
ngx.exit(ngx.OK)
ngx.header["X-After"] = "1"
--- header: X-After: 1
--- response_body
x

=== exit with a status in header_filter replaces the response
--- header_filter
ngx.exit(502)
--- status: 502

=== exit is not for log and body_filter
--- content
ngx.say("x")
--- body_filter
if ngx.arg[2] then ngx.log(ngx.ERR, select(2, pcall(ngx.exit, 403))) end
--- log
ngx.log(ngx.ERR, select(2, pcall(ngx.exit, 403)))
--- error_log
[lua] body_filter:1: API disabled in the context of body_filter_by_lua*
[lua] log:1: API disabled in the context of log_by_lua*

=== redirect
--- access
ngx.redirect("/foo?a=1")
--- status: 302
--- header: Location: /foo?a=1

=== redirect with a status
--- content
return ngx.redirect("https://example.com/x", 308)
--- status: 308
--- header: Location: https://example.com/x

=== what redirect does not take
--- content
ngx.say(select(2, pcall(function() ngx.redirect() end)))
ngx.say(select(2, pcall(function() ngx.redirect("/x", 200) end)))
ngx.say(select(2, pcall(function() ngx.redirect({}) end)))
ngx.say(select(2, pcall(function() ngx.redirect("/x") end)))
--- response_body
content:1: expecting one or two arguments
content:2: only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, ngx.HTTP_PERMANENT_REDIRECT, ngx.HTTP_SEE_OTHER, and ngx.HTTP_TEMPORARY_REDIRECT are allowed
content:3: bad argument #1 to 'redirect' (string expected, got table)
content:4: attempt to call ngx.redirect after sending out the headers

=== a redirect with unsafe bytes
--- access
local _, err = pcall(function() ngx.redirect("/x\r\nSet-Cookie: a=1") end)
ngx.say(err)
--- response_body
access:1: unsafe byte "0x0d" in redirect uri "/x\x0D\x0ASet-Cookie: a=1"
--- no_header: Set-Cookie

=== redirect is not for header_filter
--- content
ngx.say("x")
--- header_filter
ngx.header["X-Err"] = select(2, pcall(ngx.redirect, "/x"))
--- header: X-Err: API disabled in the context of header_filter_by_lua*

=== sleep
--- content
local t = ngx.now()
ngx.sleep(0.02)
ngx.say(ngx.now() - t >= 0.02, " ", ngx.sleep(0))
--- response_body
true 

=== what sleep does not take
--- content
ngx.say(select(2, pcall(function() ngx.sleep() end)))
ngx.say(select(2, pcall(function() ngx.sleep(-1) end)))
ngx.say(select(2, pcall(function() ngx.sleep("x") end)))
ngx.sleep("0.001")
--- response_body
content:1: attempt to pass 0 arguments, but accepted 1
content:2: invalid sleep duration "-1000"
content:3: bad argument #1 to 'sleep' (number expected, got string)

=== sleep is not for filters and log
--- content
ngx.say("x")
--- header_filter
ngx.header["X-Err"] = select(2, pcall(ngx.sleep, 1))
--- body_filter
if ngx.arg[2] then ngx.log(ngx.ERR, select(2, pcall(ngx.sleep, 1))) end
--- log
ngx.log(ngx.ERR, select(2, pcall(ngx.sleep, 1)))
--- header: X-Err: API disabled in the context of header_filter_by_lua*
--- error_log
[lua] body_filter:1: API disabled in the context of body_filter_by_lua*
[lua] log:1: API disabled in the context of log_by_lua*

=== an error is a 500
--- access
error("wrong")
--- status: 500
--- error_log
lua entry thread aborted: runtime error: access:1: wrong
coroutine 0:

=== an error with the policy to ignore it
--- ignore
--- access
error("wrong")
--- content
ngx.say("content")
--- response_body
content
--- error_log: access:1: wrong

=== an error after output cuts the response
--- content
ngx.say("x")
error("late")
--- cut
--- body_has: x
--- error_log: content:2: late

=== an error object that is no string
--- content
error({})
--- status: 500
--- error_log: unknown reason
