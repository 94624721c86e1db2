=== headers as a table
--- content
local h = ngx.req.get_headers()
ngx.say(h["x-one"], " ", h["X-One"], " ", h.x_one, " ", h.X_ONE, " ", h.none)
--- request
GET /
X-One: a
--- response_body
a a a a nil

=== several values become an array
--- content
local h = ngx.req.get_headers()
ngx.say(type(h["x-a"]), " ", table.concat(h["x-a"], ","))
--- request
GET /
X-A: 1
x-a: 2
X-A: 3
--- response_body
table 1,2,3

=== raw names
--- content
local h = ngx.req.get_headers(nil, true)
ngx.say(h["X-OnE"], " ", h["x-one"], " ", getmetatable(h))
--- request
GET /
X-OnE: a
--- response_body
a nil nil

=== at most so many
--- content
local h, err = ngx.req.get_headers(2)
local n = 0
for _ in pairs(h) do n = n + 1 end
ngx.say(n, " ", err)
local h, err = ngx.req.get_headers(0)
ngx.say(h["x-3"], " ", err)
local h, err = ngx.req.get_headers(5)
ngx.say(h["x-3"], " ", err)
--- request
GET /
X-1: 1
X-2: 2
X-3: 3
--- response_body
2 truncated
3 nil
3 nil

=== a header is set
--- access
ngx.req.set_header("X-New", "v")
ngx.req.set_header("X-Old", "changed")
ngx.req.set_header("X-Num", 12)
--- request
GET /
X-Old: a
X-Old: b
--- body_has
X-New: v
X-Old: changed
X-Num: 12
--- body_lacks
X-Old: a
X-Old: b

=== a header is set to several values
--- access
ngx.req.set_header("X-M", {"a", "b", 3})
ngx.say(table.concat(ngx.req.get_headers()["x-m"], ","))
--- response_body
a,b,3

=== an empty table and nil clear
--- content
ngx.req.set_header("X-A", {})
ngx.req.set_header("X-B", nil)
ngx.req.clear_header("x-c")
ngx.req.set_header("X-D", "")
local h = ngx.req.get_headers()
ngx.say(h.x_a, h.x_b, h.x_c, h.x_d)
--- request
GET /
X-A: 1
X-B: 1
X-C: 1
X-C: 2
X-D: 1
--- response_body
nilnilnilnil

=== the Host header changes $host
--- content
ngx.req.set_header("Host", "Other.example.com:8080")
ngx.say(ngx.var.host, " ", ngx.var.http_host)
--- response_body
other.example.com Other.example.com:8080

=== unsafe bytes are escaped
--- access
ngx.req.set_header("X-A", "a\r\nX-Evil: 1")
ngx.req.set_header("X B:", "c")
--- body_has
X-A: a%0D%0AX-Evil: 1
X%20B%3A: c

=== add_header
--- content
local add = require("ngx.req").add_header
add("X-A", "2")
add("X-A", {"3", "4"})
add("X-New", "n")
local h = ngx.req.get_headers()
ngx.say(table.concat(h.x_a, ","), " ", h.x_new)
ngx.say(select(2, pcall(add, "X", nil)))
ngx.say(select(2, pcall(add, "X", {})))
ngx.say(select(2, pcall(add, nil, "x")))
--- request
GET /
X-A: 1
--- response_body
1,2,3,4 n
bad 'value' argument: string or table expected, got nil
bad 'value' argument: non-empty table expected
bad 'name' argument: string expected, got nil

=== a name is needed
--- content
ngx.say(select(2, pcall(function() ngx.req.set_header(nil, "x") end)))
--- response_body
content:1: bad 'name' argument: string expected, got nil

=== method
--- content
ngx.say(ngx.req.get_method())
ngx.req.set_method(ngx.HTTP_PUT)
ngx.say(ngx.req.get_method(), " ", ngx.var.request_method)
ngx.req.set_method(ngx.HTTP_PROPFIND)
ngx.say(ngx.req.get_method())
ngx.say(select(2, pcall(function() ngx.req.set_method("PUT") end)))
ngx.say(select(2, pcall(function() ngx.req.set_method(3) end)))
--- request
DELETE /
--- response_body
DELETE
PUT PUT
PROPFIND
content:6: bad method number
content:7: unsupported HTTP method: 3

=== the method goes upstream
--- access
ngx.req.set_method(ngx.HTTP_POST)
--- body_has
POST / HTTP/1.1

=== version, start, internal
--- content
ngx.say(ngx.req.http_version(), " ", math.abs(ngx.now() - ngx.req.start_time()) < 5, " ", ngx.req.is_internal())
ngx.req.set_uri("/x")
ngx.say(ngx.req.is_internal(), " ", ngx.is_subrequest)
--- response_body
1.1 true false
true false

=== HTTP/1.0
--- content
ngx.say(ngx.req.http_version(), " ", ngx.var.server_protocol)
--- request
GET / HTTP/1.0
--- response_body
1 HTTP/1.0

=== the raw head
--- content
local raw = ngx.req.raw_header()
ngx.say(raw:find("^GET /x%?y HTTP/1.1\r\nHost: [^\r]+\r\nConnection: close\r\nX%-oDD:  spaced\r\n\r\n$") ~= nil)
--- request
GET /x?y HTTP/1.1
X-oDD:  spaced
--- response_body
true

=== the raw head without its first line
--- content
local raw = ngx.req.raw_header(true)
ngx.say(raw:sub(1, 6))
--- response_body
Host: 

=== headers cannot be read in a timer
--- content
ngx.timer.at(0, function() ngx.log(ngx.ERR, select(2, pcall(ngx.req.get_headers))) end)
ngx.timer.at(0, function() ngx.log(ngx.ERR, select(2, pcall(ngx.req.set_header, "a", "b"))) end)
--- response_body
--- error_log
API disabled in the current context

=== set after reading
--- rewrite
ngx.req.set_header("X-A", "new")
--- content
ngx.say(ngx.req.get_headers()["X-A"], " ", ngx.var.http_x_a)
--- request
GET /
X-A: old
--- response_body
new new
