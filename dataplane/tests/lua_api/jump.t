# `ngx.req.set_uri(uri, true)`: the route is chosen anew, as by nginx's `rewrite ... last`.

=== rewrite runs again, with the new path and the same ctx
--- rewrite
ngx.ctx.n = (ngx.ctx.n or 0) + 1
if ngx.var.uri == "/a" then
  ngx.req.set_uri("/b c", true)
  ngx.log(ngx.ERR, "never")
end
--- request: GET /a?x=1
--- content
ngx.say(ngx.var.uri, " ", ngx.ctx.n, " ", ngx.var.args, " ", ngx.var.request_uri, " ", ngx.req.is_internal())
--- response_body
/b c 2 x=1 /a?x=1 true
--- no_error_log
never

=== the upstream gets the new path
--- rewrite
if ngx.var.uri ~= "/b" then ngx.req.set_uri("/b", true) end
--- request: GET /a
--- body_has
GET /b HTTP/1.1

=== ten jumps are allowed
--- rewrite
local n = tonumber(ngx.var.uri:match("%d+")) or 0
if n < 10 then ngx.req.set_uri("/" .. n + 1, true) end
--- content
ngx.say(ngx.var.uri)
--- response_body
/10

=== an eleventh is a cycle
--- rewrite
ngx.req.set_uri("/again", true)
--- content
ngx.say("never")
--- status: 500
--- error_log
rewrite or internal redirection cycle while processing "/again"

=== only where the route is still to be chosen
--- access
ngx.req.set_uri("/b", true)
--- status: 500
--- error_log
API disabled in the context of access_by_lua*

=== before the route is chosen
--- server_rewrite
if ngx.var.http_x_jump then ngx.req.set_uri("/from-server-rewrite", true) end
--- request
GET /a
X-Jump: 1
--- content
ngx.say(ngx.var.uri)
--- response_body
/from-server-rewrite

=== variables are there before the route is chosen, and stay
--- variables: {"tier": "free", "other": "o"}
--- server_rewrite
if ngx.var.http_x_tier then
  ngx.log(ngx.ERR, "tier before: ", ngx.var.tier)
  ngx.var.tier = "gold"
end
--- request
GET /
X-Tier: 1
--- content
ngx.say(ngx.var.tier, " ", ngx.var.other)
--- response_body
gold o
--- error_log
tier before: free

=== headers of the upstream, whatever a filter has made of them
--- header_filter
ngx.header["X-Up"] = "changed"
ngx.header["Set-Cookie"] = nil
ngx.header["X-Seen"] = ngx.var.upstream_http_x_up .. " " .. ngx.var.sent_http_x_up .. " " .. ngx.var.upstream_cookie_b
  .. " " .. tostring(ngx.var.upstream_http_server) .. " " .. ngx.var.upstream_http_connection
--- log
ngx.log(ngx.ERR, "logged: ", ngx.var.upstream_http_x_up)
--- header
X-Up: changed
X-Seen: 1 changed 2 nil close
--- error_log
logged: 1
