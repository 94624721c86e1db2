=== a header is set
--- content
ngx.header["X-A"] = "1"
ngx.header.x_b = 2
ngx.header["X-C"] = true
ngx.say(ngx.header["x-a"], " ", ngx.header.x_b, " ", ngx.header["X_B"], " ", ngx.header.none)
--- header
X-A: 1
x-b: 2
X-C: true
--- response_body
1 2 2 nil

=== several values
--- content
ngx.header["Set-Cookie"] = {"a=1", "b=2"}
local t = ngx.header.set_cookie
ngx.say(type(t), " ", table.concat(t, " "))
--- header
Set-Cookie: a=1
Set-Cookie: b=2
--- response_body
table a=1 b=2

=== a table of one value reads as a string
--- content
ngx.header["X-A"] = {"only"}
ngx.say(ngx.header.x_a)
--- response_body
only

=== a header is removed
--- content
ngx.header["X-A"] = "1"
ngx.header["X-B"] = "1"
ngx.header["X-C"] = "1"
ngx.header["X-A"] = nil
ngx.header["X-B"] = {}
ngx.header["X-C"] = ""
ngx.say(ngx.header.x_a, ngx.header.x_b, ngx.header.x_c)
--- no_header
X-A
X-B
X-C
--- response_body
nilnilnil

=== of a single-valued header the last value stays
--- content
ngx.header["Location"] = {"/a", "/b"}
ngx.header["ETag"] = {"1", "2"}
ngx.say(ngx.header.location, " ", ngx.header.etag)
--- response_body
/b 2

=== Content-Type
--- content
ngx.header.content_type = "application/json; charset=utf-8"
ngx.say(ngx.header["Content-Type"])
--- header: Content-Type: application/json; charset=utf-8
--- response_body
application/json; charset=utf-8

=== Content-Type when none is set
--- content
ngx.say(ngx.header.content_type)
--- header: Content-Type: text/plain
--- response_body
nil

=== Content-Length
--- content
ngx.header.content_length = 5
ngx.say(ngx.header.content_length)
ngx.print("xyz")
--- header: Content-Length: 5
--- no_header: Transfer-Encoding
--- response_body chomp
5
xyz

=== a Content-Length that is none
--- content
ngx.say(select(2, pcall(function() ngx.header.content_length = "five" end)))
--- response_body
content:1: failed to set header

=== Transfer-Encoding is ours
--- content
ngx.header["Transfer-Encoding"] = "gzip"
ngx.say("x")
--- header: Transfer-Encoding: chunked
--- response_body
x

=== unsafe bytes are escaped
--- content
ngx.header["X-A"] = "a\r\nX-Evil: 1\tb"
ngx.header["X\r\nB"] = "c"
ngx.say(ngx.header["X-A"])
--- header
X-A: a%0D%0AX-Evil: 1	b
X%0D%0AB: c
--- no_header: X-Evil
--- response_body
a%0D%0AX-Evil: 1	b

=== after the head was sent
--- content
ngx.say("x")
ngx.header["X-A"] = "1"
ngx.status = 404
ngx.say(ngx.headers_sent)
--- no_header: X-A
--- response_body
x
true
--- error_log
attempt to set ngx.header.HEADER after sending out response headers
attempt to set ngx.status after sending out response headers

=== status
--- content
ngx.say_before = ngx.status
ngx.status = 418
ngx.say(ngx.say_before, " ", ngx.status)
--- status: 418
--- response_body
0 418

=== a status as a string
--- content
ngx.status = "201"
ngx.say(ngx.status)
--- status: 201
--- response_body
201

=== a status that is none
--- content
ngx.status = 42
ngx.say(ngx.status)
--- response_body
0
--- error_log
invalid HTTP status code 42

=== headers_sent
--- content
local before = ngx.headers_sent
ngx.send_headers()
ngx.say(before, " ", ngx.headers_sent)
--- response_body
false true

=== all response headers
--- content
ngx.header["X-A"] = {"1", "2"}
ngx.header["X-B"] = "3"
local h = ngx.resp.get_headers()
ngx.say(table.concat(h["x-a"], ","), " ", h["X-B"], " ", h.x_b, " ", h.connection)
--- response_body
1,2 3 3 close

=== raw response headers
--- content
ngx.header["X-aBc"] = "1"
local h = ngx.resp.get_headers(0, true)
ngx.say(h["X-aBc"], " ", h["x-abc"])
--- response_body
1 nil

=== so many response headers
--- content
for i = 1, 5 do ngx.header["X-" .. i] = i end
local h, err = ngx.resp.get_headers(3)
local n = 0
for _ in pairs(h) do n = n + 1 end
ngx.say(n, " ", err)
--- response_body
3 truncated

=== add_header
--- content
local resp = require "ngx.resp"
ngx.header["X-A"] = "1"
resp.add_header("X-A", "2")
resp.add_header("X-A", {"3", "4"})
ngx.say(table.concat(ngx.header.x_a, ","))
ngx.say(select(2, pcall(resp.add_header, "X-A", nil)))
--- header
X-A: 1
X-A: 4
--- response_body
1,2,3,4
invalid header value

=== a status with a reason
--- content
require("ngx.resp").set_status(299, "Odd")
ngx.say(ngx.status)
--- status: 299
--- response_body
299

=== the upstream's headers in header_filter
--- header_filter
ngx.header["X-Up"] = ngx.header["X-Up"] .. "!"
ngx.header["X-Type"] = ngx.header.content_type
ngx.header["X-Cookies"] = #ngx.header["Set-Cookie"]
ngx.header["X-Length"] = tonumber(ngx.header.content_length) > 20 and "yes" or "no"
--- header
X-Up: 1!
X-Type: text/echo
X-Cookies: 2
X-Length: yes

=== headers in a timer
--- content
ngx.timer.at(0, function() ngx.header["X-A"] = 1 end)
ngx.say("x")
--- error_log
lua entry thread aborted: runtime error: content:1: API disabled in the current context
