=== a body filter sees pieces and the end
--- content
ngx.print("a") ngx.print("b")
--- body_filter
ngx.arg[1] = ngx.arg[1]:upper() .. (ngx.arg[2] and "!" or "")
--- response_body chomp
AB!

=== a body filter of an upstream's response
--- header_filter
ngx.header.content_length = nil
--- body_filter
ngx.ctx.body = (ngx.ctx.body or "") .. ngx.arg[1]
if ngx.arg[2] then
  ngx.arg[1] = "seen " .. (ngx.ctx.body:find("GET / HTTP/1.1", 1, true) or "nothing")
else
  ngx.arg[1] = nil
end
--- response_body chomp
seen 1

=== the end, early
--- content
ngx.print("one") ngx.print("two")
--- body_filter
ngx.arg[2] = true
--- response_body chomp
one

=== what a piece may be
--- content
ngx.print("x")
--- body_filter
if ngx.arg[1] ~= "" then
  ngx.arg[1] = { "a", { "b", 1 }, 2 }
end
--- response_body chomp
ab12

=== a number and nothing
--- content
ngx.print("x") ngx.print("y")
--- body_filter
if ngx.arg[1] == "x" then ngx.arg[1] = 42 elseif ngx.arg[1] == "y" then ngx.arg[1] = nil end
--- response_body chomp
42

=== what a piece may not be
--- content
ngx.print("x")
--- body_filter
if not ngx.arg[2] then
  ngx.log(ngx.ERR, "e1 ", select(2, pcall(function() ngx.arg[1] = true end)))
  ngx.log(ngx.ERR, "e2 ", select(2, pcall(function() ngx.arg[3] = "x" end)))
  ngx.log(ngx.ERR, "e3 ", select(2, pcall(function() ngx.arg[1] = { true } end)))
  ngx.log(ngx.ERR, "e4 ", ngx.arg[3])
end
--- error_log
e1 body_filter:2: bad chunk data type: boolean
e2 body_filter:3: bad index: 3
e3 body_filter:4: bad argument #3 to '__newindex' (bad data type boolean found)
e4 nil

=== ngx.arg elsewhere
--- content
ngx.say(select(2, pcall(function() return ngx.arg[1] end)))
ngx.say(select(2, pcall(function() ngx.arg[1] = "x" end)))
--- response_body
content:1: API disabled in the current context
content:2: API disabled in the context of content_by_lua*

=== a failing body filter cuts the response
--- content
ngx.say("x")
--- body_filter
error("bad filter")
--- cut
--- error_log: failed to run body_filter_by_lua*: body_filter:1: bad filter

=== header_filter changes the status
--- header_filter
ngx.status = 201
ngx.header["X-Was"] = "200"
--- status: 201
--- header: X-Was: 200

=== filters run for errors too
--- access
ngx.exit(403)
--- header_filter
ngx.header["X-Status"] = ngx.status
--- status: 403
--- header: X-Status: 403
