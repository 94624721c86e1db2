=== arguments as a table
--- content
local a = ngx.req.get_uri_args()
ngx.say(a.a, " ", a.b, " [", a.c, "] ", tostring(a.d), " ", tostring(a.none))
--- request
GET /?a=1&b=x%20y+z&c=&d
--- response_body
1 x y z [] true nil

=== repeated arguments
--- content
local a = ngx.req.get_uri_args()
ngx.say(table.concat(a.a, ","), " ", tostring(a.b[1]), ",", a.b[2])
--- request
GET /?a=1&a=2&a=3&b&b=4
--- response_body
1,2,3 true,4

=== at most so many arguments
--- content
local a, err = ngx.req.get_uri_args(2)
ngx.say(a.a, a.b, a.c, " ", err)
local a, err = ngx.req.get_uri_args(3)
ngx.say(a.a, a.b, a.c, " ", err)
local a, err = ngx.req.get_uri_args(0)
ngx.say(a.a, a.b, a.c, " ", err)
--- request
GET /?a=1&b=2&c=3
--- response_body
12nil truncated
123 nil
123 nil

=== a hundred by default
--- content
local t = {}
for i = 1, 150 do t[i] = "k" .. i .. "=1" end
ngx.var.args = table.concat(t, "&")
local a, err = ngx.req.get_uri_args()
local n = 0
for _ in pairs(a) do n = n + 1 end
ngx.say(n, " ", err)
--- response_body
100 truncated

=== into a table of the caller
--- content
local t = {old = 1}
local a = ngx.req.get_uri_args(10, t)
ngx.say(a == t, " ", t.old, " ", t.a)
--- request
GET /?a=1
--- response_body
true nil 1

=== empty keys are left out
--- content
local a = ngx.req.get_uri_args()
local n = 0
for k in pairs(a) do n = n + 1 end
ngx.say(n, a.a)
--- request
GET /?=1&&a=2&=
--- response_body
12

=== arguments are set as a string
--- access
ngx.req.set_uri_args("a=b c&d=%20")
--- body_has
GET /?a=b%20c&d=%20 HTTP/1.1
--- request
GET /?old

=== arguments are set as a table
--- access
ngx.req.set_uri_args({a = "1 2", b = {"x", "y"}, c = true, d = false})
local t = {}
for part in ngx.var.args:gmatch("[^&]+") do t[#t + 1] = part end
table.sort(t)
ngx.say(table.concat(t, "&"))
--- response_body
a=1%202&b=x&b=y&c

=== arguments are set as a number
--- content
ngx.req.set_uri_args(42)
ngx.say(ngx.var.args)
--- response_body
42

=== what arguments cannot be
--- content
ngx.say(select(2, pcall(function() ngx.req.set_uri_args() end)))
ngx.say(select(2, pcall(function() ngx.req.set_uri_args(true) end)))
ngx.say(select(2, pcall(function() ngx.req.set_uri_args({a = print}) end)))
ngx.say(select(2, pcall(function() ngx.req.set_uri_args({"x"}) end)))
--- response_body
content:1: expecting 1 argument but seen 0
content:2: bad argument #1 to 'set_uri_args' (string, number, or table expected, but got boolean)
content:3: attempt to use function as query arg value
content:4: attempt to use a non-string key in the "args" option table

=== the path is set
--- access
ngx.req.set_uri("/new path/é")
--- body_has
GET /new%20path/%C3%A9?a=1 HTTP/1.1
--- request
GET /old?a=1

=== $uri follows, $request_uri does not
--- content
ngx.req.set_uri("/new")
ngx.say(ngx.var.uri, " ", ngx.var.request_uri)
--- request
GET /old
--- response_body
/new /old

=== what a path cannot be
--- content
ngx.say(select(2, pcall(function() ngx.req.set_uri() end)))
ngx.say(select(2, pcall(function() ngx.req.set_uri("") end)))
ngx.say(select(2, pcall(function() ngx.req.set_uri("/a\nb\"") end)))
ngx.say(select(2, pcall(function() ngx.req.set_uri("/a", 1) end)))
ngx.say(select(2, pcall(function() ngx.req.set_uri("/a", true) end)))
--- response_body
content:1: expecting 1, 2 or 3 arguments but seen 0
content:2: attempt to use zero-length uri
content:3: unsafe byte "0x0a" in uri "/a\x0Ab\x22" (maybe you want to set the 'binary' argument?)
content:4: bad argument #2 to 'set_uri' (boolean expected, got number)
content:5: API disabled in the context of content_by_lua*

=== a binary path
--- content
ngx.req.set_uri("/a\nb", false, true)
ngx.say(#ngx.var.uri)
--- response_body
4

=== decode_args and encode_args
--- content
local t = ngx.decode_args("a=1&b=%41+&c&=x")
ngx.say(t.a, " [", t.b, "] ", tostring(t.c))
ngx.say(ngx.encode_args({foo = 3, ["b r"] = "hello world"}):gsub("^(.-)&(.*)$", function(x, y) return x < y and x .. "&" .. y or y .. "&" .. x end))
ngx.say(ngx.encode_args({}), "|", ngx.encode_args({a = {}}), "|", ngx.encode_args({a = false}))
ngx.say(select(2, ngx.decode_args("a=1&b=2", 1)))
--- response_body
1 [A ] true
b%20r=hello%20world&foo=31
||
truncated

=== what encode_args does not take
--- content
ngx.say(select(2, pcall(function() ngx.encode_args() end)))
ngx.say(select(2, pcall(function() ngx.encode_args("x") end)))
ngx.say(select(2, pcall(function() ngx.encode_args({a = ngx.null}) end)))
ngx.say(select(2, pcall(function() ngx.decode_args() end)))
ngx.say(select(2, pcall(function() ngx.decode_args(nil) end)))
--- response_body
content:1: expecting 1 argument but seen 0
content:2: bad argument #1 to 'encode_args' (table expected, got string)
content:3: attempt to use userdata as query arg value
content:4: expecting 1 or 2 arguments but seen 0
content:5: bad argument #1 to 'decode_args' (string expected, got nil)
