=== the body is read
--- content
ngx.say(ngx.req.get_body_data())
ngx.req.read_body()
ngx.say(ngx.req.get_body_data(), " ", ngx.req.get_body_data(3), " ", ngx.req.get_body_file())
ngx.req.read_body()
ngx.say(ngx.req.get_body_data())
--- request
POST /

hello world
--- response_body
nil
hello world hel nil
hello world

=== no body
--- content
ngx.req.read_body()
ngx.say(ngx.req.get_body_data(), ngx.req.get_body_file())
--- response_body
nilnil

=== a chunked body
--- content
ngx.req.read_body()
ngx.say(ngx.req.get_body_data())
--- request
POST /
Transfer-Encoding: chunked

5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n
--- response_body
hello you

=== a large body lies in a file
--- content
ngx.req.read_body()
ngx.say(ngx.req.get_body_data(), " ", ngx.req.get_body_file())
--- request
POST /

{64k}
--- response_body
nil nil

=== an operator's script may open the file
--- operator
--- content
ngx.req.read_body()
local f = io.open(ngx.req.get_body_file())
ngx.say(ngx.req.get_body_data(), " ", #f:read("*a"))
--- request
POST /

{64k}
--- response_body
nil 65536

=== a body that was read still goes upstream
--- access
ngx.req.read_body()
--- request
POST /

hello
--- body_has
Content-Length: 5
hello

=== a large one too
--- access
ngx.req.read_body()
--- request
POST /

{64k}
--- body_has
Content-Length: 65536

=== another body
--- access
ngx.req.read_body()
ngx.req.set_body_data("hiya, dear!")
ngx.req.set_header("X-Len", ngx.var.http_content_length)
--- request
POST /

hello
--- body_has
Content-Length: 11
X-Len: 11
hiya, dear!
--- body_lacks
hello

=== a body where there was none
--- access
ngx.req.read_body()
ngx.req.set_body_data("new")
--- body_has
Content-Length: 3
new

=== a body is read before it is replaced
--- content
ngx.say(select(2, pcall(function() ngx.req.set_body_data("x") end)))
ngx.say(select(2, pcall(function() ngx.req.init_body() end)))
ngx.say(select(2, pcall(function() ngx.req.append_body("x") end)))
ngx.say(select(2, pcall(function() ngx.req.finish_body() end)))
--- request
POST /

hello
--- response_body
content:1: request body not read yet
content:2: request body not read yet
content:3: request_body not initialized
content:4: request_body not initialized

=== a body in pieces
--- access
ngx.req.read_body()
ngx.req.init_body(100)
ngx.req.append_body("he")
ngx.req.append_body("llo ")
ngx.req.append_body(12)
ngx.req.finish_body()
--- request
POST /

old
--- body_has
Content-Length: 8
hello 12

=== a discarded body
--- content
ngx.req.discard_body()
ngx.say(ngx.req.get_body_data())
ngx.say(select(2, pcall(function() ngx.req.set_body_data("x") end)))
--- request
POST /

hello
--- response_body
nil
content:3: request body already discarded asynchronously

=== wrong arguments
--- content
ngx.say(select(2, pcall(function() ngx.req.read_body(1) end)))
ngx.say(select(2, pcall(function() ngx.req.discard_body(1) end)))
ngx.say(select(2, pcall(function() ngx.req.get_body_data(1, 2) end)))
ngx.say(select(2, pcall(function() ngx.req.get_body_data({}) end)))
ngx.say(select(2, pcall(function() ngx.req.set_body_data() end)))
ngx.say(select(2, pcall(function() ngx.req.set_body_data({}) end)))
ngx.say(select(2, pcall(function() ngx.req.init_body(-1) end)))
ngx.req.read_body()
ngx.say(select(2, pcall(function() ngx.req.init_body(-1) end)))
--- response_body
content:1: expecting 0 arguments but seen 1
content:2: expecting 0 arguments but seen 1
content:3: expecting 0 or 1 arguments but seen 2
content:4: bad argument #1 to 'get_body_data' (number expected, got table)
content:5: expecting 1 arguments but seen 0
content:6: bad argument #1 to 'set_body_data' (string expected, got table)
content:7: request body not read yet
content:9: bad size argument: -1

=== form arguments
--- content
ngx.req.read_body()
local a = ngx.req.get_post_args()
ngx.say(a.a, " ", a.b, " ", tostring(a.c))
ngx.say(select(2, ngx.req.get_post_args(1)))
--- request
POST /

a=1&b=x+y&c
--- response_body
1 x y true
truncated

=== form arguments of no body
--- content
ngx.say(select(2, pcall(function() ngx.req.get_post_args() end)))
ngx.req.read_body()
ngx.say(next(ngx.req.get_post_args()))
--- response_body
content:1: no request body found; maybe you should turn on lua_need_request_body?
nil

=== form arguments of a body in a file
--- content
ngx.req.read_body()
ngx.say(ngx.req.get_post_args())
--- request
POST /

{64k}
--- response_body
nilrequest body in temp file not supported

=== a file as the body is the operator's
--- operator
--- access
local name = os.tmpname()
local f = io.open(name, "w")
f:write("from a file")
f:close()
ngx.req.read_body()
ngx.req.set_body_file(name, true)
ngx.req.set_header("X-Gone", tostring(io.open(name) == nil))
--- body_has
from a file
Content-Length: 11
X-Gone: true

=== a namespace has no files
--- content
ngx.req.read_body()
ngx.say(select(2, pcall(function() ngx.req.set_body_file("/etc/hostname") end)))
--- response_body
content:2: files are not available to the Lua of a namespace

=== a file that is not there
--- operator
--- content
ngx.req.read_body()
ngx.say(select(2, pcall(function() ngx.req.set_body_file("/no/such/file") end)))
--- response_body
content:2: stat() "/no/such/file" failed

=== a body over the limit ends the request
--- content
ngx.req.read_body()
ngx.say("no")
--- request
POST /
Content-Length: 2000000

x
--- status: 413
--- body_lacks: no
