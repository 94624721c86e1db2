=== now and time
--- content
local now = ngx.now()
ngx.say(math.abs(now - os.time()) < 5, " ", math.floor(now * 1000) / 1000 == now or math.abs(now * 1000 - math.floor(now * 1000 + 0.5)) < 0.01)
ngx.say(ngx.time() == math.floor(ngx.time()), " ", ngx.update_time())
--- response_body
true true
true 

=== texts
--- content
ngx.say(ngx.today():find("^%d%d%d%d%-%d%d%-%d%d$") ~= nil, " ", ngx.localtime():find("^%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d$") ~= nil)
ngx.say(ngx.utctime() >= os.date("!%Y-%m-%d %H:%M:%S", ngx.time() - 1))
--- response_body
true true
true

=== times as HTTP has them
--- content
ngx.say(ngx.http_time(1290079655))
ngx.say(ngx.cookie_time(1290079655))
ngx.say(ngx.cookie_time(2169266400))
ngx.say(ngx.parse_http_time("Thu, 18 Nov 2010 11:27:35 GMT"), " ", ngx.parse_http_time("nonsense"))
ngx.say(select(2, pcall(ngx.http_time, "x")))
ngx.say(select(2, pcall(ngx.cookie_time)))
ngx.say(select(2, pcall(ngx.parse_http_time, 1)))
--- response_body
Thu, 18 Nov 2010 11:27:35 GMT
Thu, 18-Nov-10 11:27:35 GMT
Tue, 28-Sep-2038 06:00:00 GMT
1290079655 nil
number argument only
number argument only
string argument only
