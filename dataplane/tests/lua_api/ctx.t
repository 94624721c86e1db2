=== a table through the phases
--- rewrite
ngx.ctx.n = 1
--- access
ngx.ctx.n = ngx.ctx.n + 1
--- content
ngx.say(ngx.ctx.n, " ", ngx.ctx.none)
--- response_body
2 nil

=== another table
--- rewrite
ngx.ctx = { a = 1 }
--- content
ngx.say(ngx.ctx.a)
--- response_body
1

=== it must be a table
--- content
ngx.say(select(2, pcall(function() ngx.ctx = 1 end)))
--- response_body
content:1: ctx should be a table while getting a number

=== each request has its own
--- content
ngx.say(ngx.ctx.n)
--- response_body
nil

=== it reaches the log phase
--- content
ngx.ctx.x = "seen"
ngx.say("x")
--- log
ngx.log(ngx.ERR, "ctx ", ngx.ctx.x)
--- error_log: ctx seen
