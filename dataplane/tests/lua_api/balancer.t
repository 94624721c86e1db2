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

=== what a namespace may reach
--- balancer
local b = require "ngx.balancer"
for _, address in ipairs {
  "10.1.2.3", "::ffff:10.1.2.3", "10.20.30.40", "8.8.8.8", "2606:4700::1111",
  "10.1.2.4", "10.21.0.1", "169.254.169.254", "192.168.0.1", "100.64.0.1", "172.16.0.1", "0.0.0.0", "::1", "::",
  "::ffff:127.0.0.1", "fe80::1", "fd00::1", "64:ff9b::7f00:1", "2002:7f00:1::1",
} do
  ngx.ctx[#ngx.ctx + 1] = address .. "=" .. tostring((b.set_current_peer(address, 80)))
end
ngx.log(ngx.ERR, "reached: ", table.concat(ngx.ctx, " "))
ngx.exit(503)
--- status: 503
--- error_log
reached: 10.1.2.3=true ::ffff:10.1.2.3=true 10.20.30.40=true 8.8.8.8=true 2606:4700::1111=true 10.1.2.4=nil 10.21.0.1=nil 169.254.169.254=nil 192.168.0.1=nil 100.64.0.1=nil 172.16.0.1=nil 0.0.0.0=nil ::1=nil ::=nil ::ffff:127.0.0.1=nil fe80::1=nil fd00::1=nil 64:ff9b::7f00:1=nil 2002:7f00:1::1=nil

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
