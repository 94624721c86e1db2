# A script that fails, in each phase: what the client gets, what is logged, and what the policy to ignore it makes of it.
# `server_rewrite` runs for every host of a file, so it goes by a header here.

=== server_rewrite
--- server_rewrite
if ngx.var.http_x_fail == "server" then error("bad server_rewrite") end
--- request
GET /
X-Fail: server
--- status: 500
--- response_body
500 Internal Server Error
--- no_header: X-Up
--- error_log
lua entry thread aborted: runtime error: server_rewrite:1: bad server_rewrite
coroutine 0:

=== server_rewrite, ignored
--- ignore
--- server_rewrite
if ngx.var.http_x_fail == "ignored" then
  ngx.req.set_header("X-Before", "1")
  error("bad server_rewrite")
end
--- request
GET /
X-Fail: ignored
--- body_has
GET / HTTP/1.1
X-Before: 1
--- error_log: lua entry thread aborted: runtime error: server_rewrite:3: bad server_rewrite

=== rewrite
--- rewrite
error("bad rewrite")
--- access
ngx.log(ngx.ERR, "access runs")
--- log
ngx.log(ngx.ERR, "logged ", ngx.status)
--- status: 500
--- response_body
500 Internal Server Error
--- error_log
lua entry thread aborted: runtime error: rewrite:1: bad rewrite
coroutine 0:
logged 500
--- no_error_log: access runs

=== rewrite, ignored
--- ignore
--- rewrite
error("bad rewrite")
--- access
ngx.req.set_header("X-After", "access")
--- body_has: X-After: access
--- error_log: lua entry thread aborted: runtime error: rewrite:1: bad rewrite

=== what an ignored script held back is not sent
--- ignore
--- access
ngx.status = 403
ngx.header["Content-Length"] = 100
local t = nil
t.x = 1
--- body_has: GET / HTTP/1.1
--- error_log: access:4: attempt to index local 't' (a nil value)

=== content
--- content
error("bad content")
--- status: 500
--- response_body
500 Internal Server Error
--- error_log: lua entry thread aborted: runtime error: content:1: bad content

=== content, ignored: the upstream answers
--- ignore
--- content
ngx.status = 403
ngx.header["X-Left"] = "1"
error("bad content")
--- header: X-Up: 1
--- body_has: GET / HTTP/1.1
--- error_log: lua entry thread aborted: runtime error: content:3: bad content

=== balancer, ignored
--- ignore
--- balancer
error("bad balancer")
--- body_has: GET / HTTP/1.1
--- error_log: failed to run balancer_by_lua*: balancer:1: bad balancer

=== header_filter of an upstream's response
--- header_filter
error("bad header_filter")
--- body_filter
ngx.log(ngx.ERR, "body_filter runs")
--- log
ngx.log(ngx.ERR, "logged ", ngx.status)
--- status: 500
--- response_body
500 Internal Server Error
--- no_header: X-Up
--- error_log
failed to run header_filter_by_lua*: header_filter:1: bad header_filter
logged 500
--- no_error_log: body_filter runs

=== header_filter, ignored
--- ignore
--- header_filter
ngx.header["X-Before"] = "1"
error("bad header_filter")
--- body_filter
if ngx.arg[2] then ngx.log(ngx.ERR, "body_filter runs") end
--- body_has: GET / HTTP/1.1
--- header
X-Up: 1
X-Before: 1
--- error_log
failed to run header_filter_by_lua*: header_filter:2: bad header_filter
body_filter runs

=== header_filter under a script's own output, which is aborted, as in OpenResty
--- content
ngx.say("x")
--- header_filter
error("bad header_filter")
--- status: 0
--- cut
--- error_log: failed to run header_filter_by_lua*: header_filter:1: bad header_filter

=== header_filter of a refusal, which is aborted, as in OpenResty
--- access
ngx.exit(403)
--- header_filter
error("bad header_filter")
--- status: 0
--- cut
--- error_log: failed to run header_filter_by_lua*: header_filter:1: bad header_filter

=== body_filter of an upstream's response
--- body_filter
error("bad body_filter")
--- log
ngx.log(ngx.ERR, "logged ", ngx.status)
--- cut
--- header: X-Up: 1
--- body_lacks: GET
--- error_log
failed to run body_filter_by_lua*: body_filter:1: bad body_filter
logged 200

=== body_filter, ignored
--- ignore
--- body_filter
error("bad body_filter")
--- body_has: GET / HTTP/1.1
--- error_log: failed to run body_filter_by_lua*: body_filter:1: bad body_filter

=== log
--- log
error("bad log")
--- body_has: GET / HTTP/1.1
--- error_log: failed to run log_by_lua*: log:1: bad log

=== log, ignored
--- ignore
--- log
error("bad log")
--- body_has: GET / HTTP/1.1
--- error_log: failed to run log_by_lua*: log:1: bad log
