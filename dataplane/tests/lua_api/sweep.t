# Requests in which every allocation fails once (`sweep.rs`): together they call every function of the host.

=== to an upstream
--- server_rewrite
local try = pcall
try(ngx.req.set_header, "X-" .. tostring({}), {"a", "b" .. ngx.now()})
--- rewrite
local try = pcall
ngx.ctx.user = {name = "x" .. tostring({})}
try(function() ngx.var.args = "a=" .. tostring({}) end)
local _ = ngx.var.uri, ngx.var.http_host, ngx.var.cookie_a, ngx.var.request_id, ngx.var.remote_addr
try(ngx.req.set_method, ngx.HTTP_PUT) try(ngx.req.set_method, ngx.HTTP_POST)
try(ngx.req.set_uri_args, {a = 1, b = {"x" .. tostring({}), true}})
if not ngx.ctx.jumped then
  ngx.ctx.jumped = true
  ngx.req.set_uri("/jumped" .. #tostring({}), true)
end
--- access
local try = pcall
local _ = ngx.req.get_headers(), ngx.req.get_headers(0, true).host, ngx.req.get_uri_args(), ngx.req.get_method()
_ = ngx.req.raw_header(), ngx.req.start_time(), ngx.req.http_version(), ngx.req.is_internal()
ngx.req.read_body()
_ = ngx.req.get_body_data(), ngx.req.get_post_args(), ngx.req.get_body_file()
try(ngx.req.set_body_data, ("x"):rep(100) .. tostring({}))
try(ngx.req.set_body_file, "/nowhere")
if try(ngx.req.init_body) then
  try(ngx.req.append_body, ("y"):rep(100) .. tostring({}))
  try(ngx.req.finish_body)
end
try(ngx.timer.at, 0, function(_, t) ngx.sleep(0) ngx.log(ngx.INFO, "timer ", t, ngx.worker.exiting()) end, {})
_ = ngx.timer.running_count(), ngx.timer.pending_count()
coroutine.wrap(function() ngx.sleep(0) coroutine.yield() end)()
--- balancer
local balancer = require "ngx.balancer"
local ok, err = balancer.set_current_peer("10.255.255.255", 1)
balancer.set_more_tries(1)
balancer.set_timeouts(1, 1, 1)
local _ = balancer.get_last_failure()
ngx.ctx.peer = {ok, err}
if not ngx.ctx.tried then
  -- Nobody listens there, so that there is a failure to be told.
  ngx.ctx.tried = true
  balancer.set_current_peer("10.1.2.3", 1)
end
ngx.exit(ngx.OK)
--- header_filter
local resp = require "ngx.resp"
pcall(resp.add_header, "X-A", "a" .. tostring({}))
pcall(resp.set_status, 201, "Made " .. tostring({}))
ngx.header.content_length = nil
ngx.header["X-" .. #tostring({})] = {"1", tostring({})}
local _ = ngx.header.x_up, ngx.header.set_cookie, ngx.resp.get_headers(), ngx.status, ngx.headers_sent
--- body_filter
local data, eof = ngx.arg[1], ngx.arg[2]
ngx.ctx.n = (ngx.ctx.n or 0) + #data
ngx.arg[1] = {data:upper(), tostring({})}
if eof then ngx.arg[2] = true end
--- log
ngx.log(ngx.INFO, "logged ", ngx.var.status, " ", ngx.ctx.n, setmetatable({}, {__tostring = function() return "x" end}))
local _ = ngx.var.upstream_addr, ngx.var.upstream_status, ngx.var.bytes_sent, ngx.var.request_time
--- request
POST /x?a=1&b=%20 HTTP/1.1
Content-Type: application/x-www-form-urlencoded
Cookie: a=b

a=1&b=2&c=%41&a=3

=== answered by a script
--- content
local try, base64 = pcall, require "ngx.base64"
local text = "text " .. tostring({})
local dict = ngx.shared.dogs
ngx.status = 202
ngx.header["X-Content"] = text
try(ngx.send_headers)
ngx.say("a", {1, {true, text}}, ngx.null)
ngx.print("b" .. text)
try(ngx.say, print)
ngx.flush(true)
ngx.sleep(0) ngx.sleep(0.001)
local _ = ngx.now(), ngx.time(), ngx.update_time(), ngx.today(), ngx.localtime(), ngx.utctime()
_ = ngx.http_time(1e9), ngx.cookie_time(1e9), ngx.parse_http_time("Sun, 09 Sep 2001 01:46:40 GMT")
_ = require "resty.core.time".monotonic_time(), require "ngx.errlog".get_sys_filter_level()
_ = ngx.worker.id(), ngx.worker.count(), ngx.worker.pid()
_ = ngx.escape_uri(text), ngx.unescape_uri("%41%42" .. text), ngx.encode_args {a = text}, ngx.decode_args("a=1&b=" .. text)
_ = ngx.encode_base64(text), ngx.decode_base64("dGV4dA=="), base64.encode_base64url(text), base64.decode_base64url("dGV4dA")
_ = ngx.md5(text), ngx.md5_bin(text), ngx.sha1_bin(text), ngx.hmac_sha1("key", text), ngx.crc32_short(text)
_ = ngx.quote_sql_str("it's " .. text)
_ = dict:set("k", text), dict:get("k"), dict:get_stale("k"), dict:incr("n", 1, 0), dict:delete("none"), dict:ttl("k")
_ = dict:rpush("l", text), dict:lpush("l", 1), dict:llen("l"), dict:lpop("l"), dict:rpop("l"), dict:expire("k", 10)
_ = dict:get_keys(0), dict:capacity(), dict:free_space(), dict:add("k", 1), dict:replace("k", text), dict:flush_expired()
dict:flush_all()
ngx.log(ngx.INFO, "text ", 1.5, nil, true)
require "ngx.errlog".raw_log(ngx.INFO, text)
print("to the log", {})
_ = require "cjson".encode {a = {1, 2, {b = text}}}, require "cjson".decode '{"a": [1, {"b": "c\\u00e9"}]}'
_ = ngx.re.match("hello 1234", "([a-z]+) ([0-9]+)", "jo"), ngx.re.gsub("a,b", ",", ";" .. text, "jo")
_ = load("return ...")(1), table.concat({text, text}), text:gsub("%w", "x")
ngx.eof()
ngx.exit(ngx.OK)
--- body_filter
local t = {ngx.arg[1]}
ngx.arg[1] = t[1] .. #tostring(t)
--- log
local t = {ngx.status}

=== sent elsewhere
--- access
ngx.redirect("/elsewhere" .. #tostring({}), 301)

=== the body is not wanted
--- access
ngx.req.discard_body()
ngx.exit(403)
--- log
ngx.timer.every(3600, function() end)
--- request
POST /x HTTP/1.1

some body
