=== a peer
--- access
ngx.ctx.port = 1
--- balancer
local b = require "ngx.balancer"
ngx.log(ngx.ERR, "phase ", ngx.get_phase(), " failure ", b.get_last_failure())
local address = ngx.ctx.address
--- body_has: GET / HTTP/1.1
--- error_log: phase balancer failure nil

=== an address that the namespace may not reach
--- balancer
local b = require "ngx.balancer"
ngx.log(ngx.ERR, "peer: ", select(2, b.set_current_peer("127.0.0.1", 1)))
ngx.log(ngx.ERR, "name: ", select(2, b.set_current_peer("example.com", 80)))
ngx.log(ngx.ERR, "port: ", select(2, b.set_current_peer("192.0.2.1")))
--- error_log
peer: the address is not reachable for the Lua of a namespace
name: no host allowed
port: invalid port

=== a dead peer and another try
--- operator
--- balancer
local b = require "ngx.balancer"
local state, status = b.get_last_failure()
if not state then
  assert(b.set_more_tries(1))
  assert(b.set_timeouts(0.5, 0.5, 0.5))
  assert(b.set_current_peer("127.0.0.1", 1))
else
  ngx.log(ngx.ERR, "second try after ", state, " ", status)
end
--- body_has: GET / HTTP/1.1
--- error_log: second try after failed 502

=== the balancer's functions elsewhere
--- content
local b = require "ngx.balancer"
ngx.say(b.set_current_peer("127.0.0.1", 80))
ngx.say(b.set_more_tries(1))
ngx.say(b.get_last_failure())
ngx.say(b.set_timeouts(1, 1, 1))
ngx.say(select(2, pcall(b.set_timeouts, -1)))
ngx.say(select(2, pcall(b.set_timeouts, 1, "x")))
ngx.say(select(2, pcall(b.set_current_peer, nil)))
--- response_body
nilno upstream found
nilno upstream found
nilnilno upstream found
falseno upstream found
bad connect timeout
bad send timeout
bad argument #1 to 'set_current_peer' (string expected, got nil)

=== exit in the balancer
--- balancer
ngx.exit(503)
--- status: 503

=== an error in the balancer
--- balancer
error("no peer")
--- status: 500
--- error_log: failed to run balancer_by_lua*: balancer:1: no peer
