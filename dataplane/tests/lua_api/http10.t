# Clients of HTTP/1.0: `lua_http10_buffering`, which is on.

=== the whole output is sent with its length
--- request: GET / HTTP/1.0
--- content
ngx.say("one")
ngx.log(ngx.ERR, "sent: ", ngx.headers_sent, " flush: ", select(2, ngx.flush(true)))
ngx.header["X-Late"] = "1"
ngx.say("two")
--- response_body
one
two
--- header
Content-Length: 8
X-Late: 1
--- no_header
Transfer-Encoding
--- error_log
sent: false flush: buffering

=== eof ends it
--- request: GET / HTTP/1.0
--- content
ngx.say("one")
ngx.log(ngx.ERR, "eof: ", ngx.eof(), " ", select(2, ngx.say("two")))
--- response_body
one
--- header
Content-Length: 4
--- error_log
eof: 1 seen eof

=== not once the head is sent
--- request: GET / HTTP/1.0
--- content
ngx.send_headers()
ngx.say("one")
ngx.log(ngx.ERR, "sent: ", ngx.headers_sent)
--- response_body
one
--- no_header
Content-Length
--- error_log
sent: true

=== not where the script says the length
--- request: GET / HTTP/1.0
--- content
ngx.header.content_length = 4
ngx.say("one")
ngx.log(ngx.ERR, "sent: ", ngx.headers_sent)
--- response_body
one
--- error_log
sent: true

=== an error takes its place
--- request: GET / HTTP/1.0
--- content
ngx.say("one")
error("x")
--- status: 500
--- body_lacks
one

=== and so does another status
--- request: GET / HTTP/1.0
--- access
ngx.say("one")
ngx.exit(403)
--- status: 403
--- body_lacks
one

=== output in access is the answer
--- request: GET / HTTP/1.0
--- access
ngx.say("one")
--- response_body
one
--- header
Content-Length: 4

=== it passes the filters
--- request: GET / HTTP/1.0
--- content
ngx.say("one")
ngx.say("two")
--- header_filter
ngx.header.content_length = nil
--- body_filter
ngx.arg[1] = ngx.arg[1]:upper()
--- response_body
ONE
TWO

=== of a response without a body too
--- request: HEAD / HTTP/1.0
--- content
ngx.say("one")
--- header
Content-Length: 4
--- response_body

=== more than is held back is charged
--- request: GET / HTTP/1.0
--- content
local s = ("x"):rep(1e6)
for i = 1, 100 do ngx.print(s) end
--- status: 500
--- error_log
not enough memory
