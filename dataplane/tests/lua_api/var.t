=== request variables
--- content
ngx.say(ngx.var.request_method, " ", ngx.var.uri, " ", ngx.var.args, " ", ngx.var.is_args, " ", ngx.var.request_uri)
ngx.say(ngx.var.document_uri, " ", ngx.var.query_string, " ", ngx.var.scheme, " [", ngx.var.https, "]")
--- request
POST /a/b%20c?x=1&y=%20
--- response_body
POST /a/b c x=1&y=%20 ? /a/b%20c?x=1&y=%20
/a/b c x=1&y=%20 http []

=== no query string
--- content
ngx.say(ngx.var.args, " [", ngx.var.is_args, "] ", ngx.var.query_string, " ", ngx.var.arg_x)
--- response_body
nil [] nil nil

=== an empty query string
--- content
ngx.say("[", ngx.var.args, "] [", ngx.var.is_args, "]")
--- request
GET /?
--- response_body
[nil] []

=== arguments by name
--- content
ngx.say(ngx.var.arg_a, " ", ngx.var.arg_B, " ", ngx.var.arg_c, " ", ngx.var.arg_d, " [", ngx.var.arg_e, "] ", ngx.var.arg_none)
--- request
GET /?A=1&b=%20x&c=2&c=3&d&e=
--- response_body
1 %20x 2 nil [] nil

=== request headers by name
--- content
ngx.say(ngx.var.http_x_one, " ", ngx.var.http_X_ONE, " ", ngx.var.http_user_agent, " ", ngx.var.http_none)
--- request
GET /
X-One: a
User-Agent: test/1
--- response_body
a a test/1 nil

=== several headers of one name are joined
--- content
ngx.say(ngx.var.http_x_one)
ngx.say(ngx.var.http_cookie)
--- request
GET /
X-One: a
X-One: b
Cookie: c=1
Cookie: d=2
--- response_body
a, b
c=1; d=2

=== cookies by name
--- content
ngx.say(ngx.var.cookie_a, " ", ngx.var.cookie_B, " ", ngx.var.cookie_c, " ", ngx.var.cookie_d)
--- request
GET /
Cookie: a=1; b=two; c="q"
--- response_body
1 two "q" nil

=== host, server name
--- content
ngx.say(ngx.var.host == ngx.var.http_host, " ", ngx.var.server_name == ngx.var.host, " ", ngx.var.server_protocol)
--- response_body
true true HTTP/1.1

=== addresses
--- content
ngx.say(ngx.var.remote_addr, " ", ngx.var.server_addr, " ", #ngx.var.binary_remote_addr, " ", tonumber(ngx.var.remote_port) > 0)
ngx.say(ngx.var.realip_remote_addr, " ", ngx.var.the_real_ip, " ", tonumber(ngx.var.server_port) > 0)
--- response_body
127.0.0.1 127.0.0.1 4 true
127.0.0.1 127.0.0.1 true

=== X-Forwarded-For with the client's address
--- content
ngx.say(ngx.var.proxy_add_x_forwarded_for)
--- request
GET /
X-Forwarded-For: 192.0.2.1
--- response_body
192.0.2.1, 127.0.0.1

=== body facts
--- content
ngx.say(ngx.var.content_type, " ", ngx.var.content_length, " ", ngx.var.request_body)
ngx.req.read_body()
ngx.say(ngx.var.request_body)
--- request
POST /
Content-Type: text/x

hello
--- response_body
text/x 5 nil
hello

=== the request line
--- content
ngx.say(ngx.var.request)
--- request
GET /x?y=1
--- response_body
GET /x?y=1 HTTP/1.1

=== basic credentials
--- content
ngx.say(ngx.var.remote_user)
--- request
GET /
Authorization: Basic am9lOnNlY3JldA==
--- response_body
joe

=== ids
--- content
local id = ngx.var.request_id
ngx.say(#id, " ", id == ngx.var.request_id, " ", id == ngx.var.req_id, " ", id:find("^%x+$") ~= nil)
--- response_body
32 true true true

=== the client's request id is taken over
--- content
ngx.say(ngx.var.req_id)
--- request
GET /
X-Request-ID: abc-1
--- response_body
abc-1

=== clocks
--- content
ngx.say(ngx.var.msec:find("^%d+%.%d%d%d$") ~= nil, " ", ngx.var.request_time:find("^%d+%.%d%d%d$") ~= nil)
ngx.say(ngx.var.time_local:find("^%d%d/%a%a%a/%d%d%d%d:%d%d:%d%d:%d%d [+-]%d%d%d%d$") ~= nil)
ngx.say(ngx.var.time_iso8601:find("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d[+-]%d%d:%d%d$") ~= nil)
--- response_body
true true
true
true

=== status and bytes
--- content
ngx.say(ngx.var.status, " ", ngx.var.body_bytes_sent)
ngx.say(ngx.var.status, " ", ngx.var.body_bytes_sent, " ", tonumber(ngx.var.bytes_sent) > 50)
--- response_body
000 0
200 6 true

=== the connection
--- content
ngx.say(tonumber(ngx.var.connection) > 0, " ", ngx.var.connection_requests, " ", ngx.var.pid == tostring(ngx.worker.pid()))
ngx.say(ngx.var.nginx_version ~= nil, " ", ngx.var.hostname ~= nil, " ", ngx.var.pipe, " ", ngx.var.request_length)
--- response_body
true 1 true
true true . 56

=== variables of the Ingress
--- content
ngx.say(ngx.var.namespace, " ", ngx.var.ingress_name:find("^block%-%d+$") ~= nil, " ", ngx.var.service_name, " ", ngx.var.service_port)
ngx.say(ngx.var.location_path, " ", ngx.var.proxy_upstream_name, " ", ngx.var.pass_access_scheme, " ", ngx.var.best_http_host == ngx.var.host)
--- response_body
t true echo 80
/ t-echo-80 http true

=== an unknown variable reads nil
--- content
ngx.say(ngx.var.no_such_thing, " ", ngx.var.HTTP_, " ", ngx.var[1])
--- response_body
nil nil nil

=== a variable's name must be a string
--- content
ngx.say(select(2, pcall(function() return ngx.var[{}] end)))
ngx.say(select(2, pcall(function() ngx.var[1] = 2 end)))
--- response_body
content:1: bad variable name
content:2: bad variable name

=== args may be written
--- access
ngx.var.args = "q=new&r"
--- body_has
GET /p?q=new&r HTTP/1.1
--- request
GET /p?old=1

=== args may be cleared
--- content
ngx.var.args = nil
ngx.say(ngx.var.args, " [", ngx.var.is_args, "]")
--- request
GET /?a
--- response_body
nil []

=== a builtin variable is not changeable
--- content
ngx.say(select(2, pcall(function() ngx.var.uri = "/x" end)))
ngx.say(select(2, pcall(function() ngx.var.Host = "x" end)))
--- response_body
content:1: variable "uri" not changeable
content:2: variable "host" not changeable

=== an undeclared variable cannot be written
--- content
ngx.say(select(2, pcall(function() ngx.var.foo = 1 end)))
ngx.say(select(2, pcall(function() ngx.var.http_foo = 1 end)))
--- response_body
content:1: variable "foo" not found for writing; maybe it is a built-in variable that is not changeable or you forgot to use "set $foo '';" in the config file to define it first
content:2: variable "http_foo" not found for writing; maybe it is a built-in variable that is not changeable or you forgot to use "set $http_foo '';" in the config file to define it first

=== declared variables
--- variables
{"tier": "free", "empty": ""}
--- access
ngx.var.Tier = "gold"
ngx.var.empty = 7
--- content
ngx.say(ngx.var.tier, " ", ngx.var.empty)
ngx.var.tier = nil
ngx.say(ngx.var.tier)
ngx.var.tier = true
ngx.say(ngx.var.tier)
--- response_body
gold 7
nil
true

=== a declared variable begins with its value
--- variables
{"tier": "free"}
--- content
ngx.say(ngx.var.tier)
--- response_body
free

=== upstream variables
--- log
local a, s, t = ngx.var.upstream_addr, ngx.var.upstream_status, ngx.var.upstream_response_time
ngx.log(ngx.ERR, "addr ", a:find("^127%.0%.0%.1:%d+$") ~= nil, " status ", s, " time ", t:find("^%d+%.%d%d%d$") ~= nil)
ngx.log(ngx.ERR, "x-up ", ngx.var.upstream_http_x_up, " cookie ", ngx.var.upstream_cookie_b, " completion ", ngx.var.request_completion)
--- error_log
addr true status 200 time true
x-up 1 cookie 2 completion OK

=== without an upstream there is nothing of it
--- content
ngx.say(ngx.var.upstream_addr, ngx.var.upstream_status, ngx.var.upstream_http_x_up)
--- response_body
nilnilnil

=== response headers by name
--- content
ngx.header["X-A"] = "1"
ngx.header["X-B"] = {"2", "3"}
ngx.say(ngx.var.sent_http_x_a, " ", ngx.var.sent_http_x_b, " ", ngx.var.sent_http_none)
--- response_body
1 2, 3 nil

=== ngx.var needs a request
--- access
local ok, err
ngx.timer.at(0, function() ok, err = pcall(function() return ngx.var.uri end) ngx.log(ngx.ERR, "in a timer: ", err) end)
--- error_log
in a timer: access:2: API disabled in the current context
