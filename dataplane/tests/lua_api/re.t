=== match
--- content
local m, err = ngx.re.match("hello, 1234", "(?<word>[a-z]+), ([0-9]+)(x)?", "jo")
ngx.say(m[0], " ", m[1], " ", m[2], " ", m.word, " ", m[3])
ngx.say(ngx.re.match("abc", "[0-9]"))
ngx.say(select(2, ngx.re.match("x", "(")) ~= nil)
--- response_body
hello, 1234 hello 1234 hello false
nil
true

=== find, from a position
--- content
local ctx = { pos = 3 }
ngx.say(ngx.re.find("a1b2c3", "[0-9]", "jo", ctx))
ngx.say(ctx.pos)
ngx.say(ngx.re.find("hello, 1234", "([a-z]+), ([0-9]+)", "jo", nil, 2))
--- response_body
44
5
811

=== gmatch
--- content
for m in ngx.re.gmatch("a=1 b=2", "([a-z])=([0-9])") do ngx.print(m[1], m[2], ";") end
--- response_body chomp
a1;b2;

=== sub and gsub
--- content
ngx.say(ngx.re.sub("hello, 1234", "([0-9])([0-9])", "[$0][$1]$2"))
ngx.say(ngx.re.gsub("hello, world", "([a-z])[a-z]+", "[$0,$1]", "i"))
ngx.say(ngx.re.gsub("abc", "[a-z]", function(m) return m[0]:upper() end))
--- response_body
hello, [12][1]2341
[hello,h], [world,w]2
ABC3

=== split
--- content
ngx.say(table.concat(require("ngx.re").split("a,b,c", ","), "|"))
--- response_body
a|b|c

=== an expensive pattern ends
--- content
local m, err = ngx.re.match(("a"):rep(40), "^(a+)+$x")
ngx.say(m, " ", err ~= nil)
--- body_has: nil
