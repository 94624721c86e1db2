# Host memory that scripts cause counts against the namespace's 32 MiB; the request fails, the VM goes on.

=== output that is gathered from one string many times
--- content
local s = ("x"):rep(1e6)
local t = {}
for i = 1, 100 do t[i] = s end
local ok, err = pcall(ngx.print, t)
ngx.say(ok, " ", err)
--- response_body
false not enough memory

=== the error ends the request
--- content
local s = ("x"):rep(1e6)
local t = {}
for i = 1, 100 do t[i] = s end
ngx.print(t)
--- status: 500
--- error_log
not enough memory

=== the VM goes on
--- content
ngx.say(#("x"):rep(1e6))
--- response_body
1000000

=== response headers
--- content
local s = ("x"):rep(1e5)
for i = 1, 1000 do
  local ok, err = pcall(function() ngx.header["X-" .. i] = s end)
  if not ok then
    ngx.log(ngx.ERR, i > 100, " ", err)
    error(err, 0)
  end
end
--- status: 500
--- error_log
true content:3: not enough memory

=== request headers, from an error that nobody catches
--- access
local s = ("x"):rep(1e5)
for i = 1, 1000 do ngx.req.set_header("X-" .. i, s) end
--- status: 500
--- error_log
access:2: not enough memory

=== a filter that makes much of little
--- content
ngx.say("x")
--- body_filter
if ngx.arg[1] ~= "" then
  local s = ("x"):rep(1e6)
  local t = {}
  for i = 1, 100 do t[i] = s end
  ngx.arg[1] = t
end
--- cut
--- error_log
failed to run body_filter_by_lua*: not enough memory

=== what grows while it is encoded
--- content
local s = ("\255"):rep(4e6)
ngx.say(pcall(ngx.escape_uri, s .. s))
s = ("a&"):rep(1e6)
ngx.say(pcall(ngx.decode_args, s, 0))
--- response_body
falsenot enough memory
falsenot enough memory

=== patterns that compile to much make room for each other
--- content
local err
for i = 1, 1000 do
  local m
  m, err = ngx.re.match("x", ("(?:(a|b)(c|d))?"):rep(200) .. i, "jo")
  if err then break end
end
ngx.say(err)
--- response_body
nil

=== what a filter's failed ngx.log gathered is given back
--- content
for i = 1, 100 do ngx.print("x") end
ngx.print("last")
--- body_filter
local _, err = pcall(ngx.log, ngx.ERR, ("x"):rep(1e6), {})
ngx.arg[1] = ngx.arg[1] == "last" and err or ""
--- response_body chomp
bad argument #2 to '?' (expected table to have __tostring metamethod)

=== a body that a script builds without end
--- access
ngx.req.read_body()
ngx.req.init_body()
local s = ("x"):rep(1e6)
local ok, err
for i = 1, 100 do
  ok, err = pcall(ngx.req.append_body, s)
  if not ok then break end
end
ngx.say(ok, " ", err)
--- response_body
false request body built by a script is over the limit of 64 MiB

=== a body longer than its length is told once
--- content
ngx.header.content_length = 2
ngx.print("abc")
ngx.print("def")
ngx.print("ghi")
--- response_body chomp
ab
--- error_log
the response body is longer than its Content-Length of 2; the rest is cut
