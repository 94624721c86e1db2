=== say and print
--- content
ngx.say("a", 1, 1.5, -0.25, true, nil, ngx.null, {"x", {1, 2}, false})
ngx.print("b", "c")
ngx.say()
ngx.print()
ngx.print("")
--- response_body
a11.5-0.25truenilnullx12false
bc

=== what say answers
--- content
local ok, err = ngx.say("x")
ngx.say(ok, " ", err)
--- response_body
x
1 nil

=== what say does not take
--- content
ngx.say(select(2, pcall(function() ngx.say(print) end)))
ngx.say(select(2, pcall(function() ngx.say("a", {a = 1}) end)))
ngx.say(select(2, pcall(function() ngx.print({{print}}) end)))
--- response_body
content:1: bad argument #1 to 'say' (string, number, boolean, nil, ngx.null, or array table expected, but got function)
content:2: bad argument #2 to 'say' (non-array table found)
content:3: bad argument #1 to 'print' (bad data type function found)

=== HEAD has a head only
--- content
local ok, err = ngx.say("x")
ngx.log(ngx.ERR, "first: ", ok, " ", err)
local ok, err = ngx.say("y")
ngx.log(ngx.ERR, "second: ", ok, " ", err)
local ok, err = ngx.flush()
ngx.log(ngx.ERR, "flush: ", ok, " ", err)
--- request
HEAD /
--- response_body
--- error_log
first: 1 nil
second: nil header only
flush: nil header only

=== after eof
--- content
ngx.say("x")
local ok, err = ngx.eof()
ngx.log(ngx.ERR, "eof: ", ok, " ", err)
local ok, err = ngx.say("y")
ngx.log(ngx.ERR, "say: ", ok, " ", err)
local ok, err = ngx.flush(true)
ngx.log(ngx.ERR, "flush: ", ok, " ", err)
local ok, err = ngx.eof()
ngx.log(ngx.ERR, "again: ", ok, " ", err)
--- response_body
x
--- error_log
eof: 1 nil
say: nil seen eof
flush: nil seen eof
again: nil seen eof

=== the script goes on after eof
--- content
ngx.say("x")
ngx.eof()
ngx.sleep(0.01)
ngx.log(ngx.ERR, "still here")
--- response_body
x
--- error_log: still here

=== flush
--- content
local ok, err = ngx.flush()
ngx.say(ok, " ", err)
local ok, err = ngx.flush(true)
ngx.say(ok, " ", err)
ngx.say(ngx.flush())
--- response_body
nil nothing to flush
1 nil
1

=== what flush and eof do not take
--- content
ngx.say(select(2, pcall(function() ngx.flush(1, 2) end)))
ngx.say(select(2, pcall(function() ngx.flush(1) end)))
ngx.say(select(2, pcall(function() ngx.eof(1) end)))
--- response_body
content:1: attempt to pass 2 arguments, but accepted 0 or 1
content:2: bad argument #1 to 'flush' (boolean expected, got number)
content:3: no argument is expected

=== much output
--- content
local piece = ("x"):rep(10000)
for i = 1, 50 do
  assert(ngx.print(piece) == 1)
end
--- header_filter
ngx.header["X-Filtered"] = "1"
--- header: X-Filtered: 1

=== output in access is the answer
--- access
ngx.say("from access")
--- content
ngx.say("from content")
--- response_body
from access

=== output in rewrite is the answer
--- rewrite
ngx.status = 202
ngx.say("from rewrite")
--- access
ngx.say("from access")
--- status: 202
--- response_body
from rewrite

=== output that a filter refuses
--- content
local ok, err = ngx.say("x")
ngx.log(ngx.ERR, "say: ", ok, " ", err)
--- header_filter
error("no")
--- error_log
say: nil nginx output filter error
failed to run header_filter_by_lua*: header_filter:1: no
--- status: 0
--- cut

=== send_headers
--- content
ngx.header["X-A"] = "1"
local ok, err = ngx.send_headers()
ngx.say(ok, " ", err, " ", ngx.send_headers())
--- header: X-A: 1
--- response_body
1 nil 1

=== no output
--- content
local x = 1
--- response_body

=== output may not come from log
--- log
ngx.log(ngx.ERR, select(2, pcall(ngx.say, "x")))
ngx.log(ngx.ERR, select(2, pcall(ngx.flush)))
ngx.log(ngx.ERR, select(2, pcall(ngx.eof)))
ngx.log(ngx.ERR, select(2, pcall(ngx.send_headers)))
--- error_log
log:1: API disabled in the context of log_by_lua*
log:2: API disabled in the context of log_by_lua*
log:3: API disabled in the context of log_by_lua*
log:4: API disabled in the context of log_by_lua*
