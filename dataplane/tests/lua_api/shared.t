=== set and get
--- content
local d = ngx.shared.dogs
d:set("a", "x") d:set("b", 1.5) d:set("c", true) d:set("d", false)
ngx.say(d:get("a"), " ", d:get("b"), " ", d:get("c"), " ", d:get("d"), " ", d:get("none"))
ngx.say(d:set("a", nil), " ", d:get("a"))
ngx.say(d.get(d, "b"))
--- response_body
x 1.5 true false nil
true nil
1.5

=== flags
--- content
local d = ngx.shared.dogs
d:set("f", "x", 0, 199)
ngx.say(d:get("f"))
d:set("f", "x")
ngx.say(d:get("f"))
--- response_body
x199
x

=== what set answers
--- content
local d = ngx.shared.dogs
local ok, err, forcible = d:set("x", 1)
ngx.say(ok, " ", err, " ", forcible)
local ok, err, forcible = d:set("x", {})
ngx.say(ok, " ", err, " ", forcible)
--- response_body
true nil false
nil bad value type nil

=== keys
--- content
local d = ngx.shared.dogs
ngx.say(d:set(nil, 1))
ngx.say(d:get(nil))
ngx.say(d:get(""))
ngx.say(d:set(("k"):rep(65536), 1))
ngx.say(d:set(("k"):rep(65535), 1))
d:set(12, "n")
ngx.say(d:get("12"))
--- response_body
nilnil key
nilnil key
nilempty key
nilkey too long
truenilfalse
n

=== add and replace
--- content
local d = ngx.shared.dogs
d:delete("k")
ngx.say(d:replace("k", 1))
ngx.say(d:add("k", 1))
ngx.say(d:add("k", 2))
ngx.say(d:replace("k", 3))
ngx.say(d:get("k"))
ngx.say(d:safe_add("k", 2))
ngx.say(d:safe_set("k", 4))
ngx.say(d:add("k", nil))
--- response_body
falsenot foundfalse
truenilfalse
falseexistsfalse
truenilfalse
3
falseexistsfalse
truenilfalse
falseattempt to add or replace nil valuesfalse

=== incr
--- content
local d = ngx.shared.dogs
d:delete("n")
ngx.say(d:incr("n", 1))
local v, err, forcible = d:incr("n", 2, 10)
ngx.say(v, " ", err, " ", forcible)
ngx.say(d:incr("n", -0.5))
d:set("n", "text")
ngx.say(d:incr("n", 1))
ngx.say(select(2, pcall(d.incr, d, "n", "x")))
ngx.say(select(2, pcall(d.incr, d, "n", 1, "x")))
ngx.say(select(2, pcall(d.incr, d, "n", 1, 1, "x")))
ngx.say(select(2, pcall(d.incr, d, "n", 1, nil, 1)))
ngx.say(select(2, pcall(d.incr, d, "n", 1, 1, -1)))
--- response_body
nilnot found
12 nil false
11.5
nilnot a number
bad value arg: number expected, got string
bad init arg: number expected, got string
bad init_ttl arg: number expected, got string
must provide "init" when providing "init_ttl"
bad "init_ttl" argument

=== time to live
--- content
local d = ngx.shared.dogs
d:set("t", 1, 0.01)
ngx.say(d:ttl("t") > 0, " ", d:get("t"))
ngx.sleep(0.03)
ngx.say(d:get("t"))
local v, flags, stale = d:get_stale("t")
ngx.say(v, " ", flags, " ", stale)
d:set("u", 1)
ngx.say(d:ttl("u"), " ", d:expire("u", 100), " ", d:ttl("u") > 90)
ngx.say(d:ttl("none"))
ngx.say(d:expire("none", 1))
ngx.say(d:get_stale("u"))
--- response_body
true 1
nil
1 nil true
0 true true
nilnot found
nilnot found
1nilfalse

=== bad times
--- content
local d = ngx.shared.dogs
ngx.say(select(2, pcall(d.set, d, "x", 1, -1)))
ngx.say(select(2, pcall(d.set, d, "x", 1, "y")))
ngx.say(select(2, pcall(d.expire, d, "x", -1)))
--- response_body
bad "exptime" argument
bad "exptime" argument
bad "exptime" argument

=== lists
--- content
local d = ngx.shared.cats
d:delete("l")
ngx.say(d:lpush("l", "a"), d:rpush("l", 2), d:lpush("l", "c"), " ", d:llen("l"))
ngx.say(d:get("l"))
ngx.say(d:lpop("l"), d:rpop("l"), d:lpop("l"), d:lpop("l"), " ", d:llen("l"))
d:set("s", 1)
ngx.say(d:lpush("s", 1))
ngx.say(d:llen("s"))
ngx.say(d:lpop("s"))
ngx.say(d:rpush("l", true))
ngx.say(d:lpush(nil, 1))
--- response_body
123 3
nilvalue is a list
c2anil 0
nilvalue not a list
nilvalue not a list
nilvalue not a list
nilbad value type
nilnil key

=== flush and keys
--- content
local d = ngx.shared.cats
d:flush_all()
d:flush_expired()
d:set("k1", 1) d:set("k2", 2) d:set("k3", 3)
local keys = d:get_keys()
table.sort(keys)
ngx.say(table.concat(keys, " "), " ", #d:get_keys(2), " ", #d:get_keys(0))
d:flush_all()
ngx.say(d:get("k1"), " ", #d:get_keys(), " ", d:flush_expired(1), " ", d:flush_expired())
--- response_body
k1 k2 k3 2 3
nil 0 0 0

=== space
--- content
local d = ngx.shared.cats
ngx.say(d:capacity(), " ", d:free_space() > 0, " ", d:free_space() <= d:capacity())
--- response_body
1048576 true true

=== what is no dict
--- content
ngx.say(ngx.shared.none)
local d = ngx.shared.dogs
ngx.say(select(2, pcall(d.get, nil, "x")))
ngx.say(select(2, pcall(d.get, {}, "x")))
ngx.say(select(2, pcall(d.set, "x", "y", 1)))
ngx.say(select(2, pcall(d.get, setmetatable({0}, getmetatable(d)), "x")))
--- response_body
nil
bad "zone" argument
bad "zone" argument
bad "zone" argument
bad "zone" argument

=== a full dict evicts
--- content
local d = ngx.shared.cats
d:flush_all() d:flush_expired()
local forced = false
for i = 1, 40 do
  local ok, err, forcible = d:set("big" .. i, ("x"):rep(100000))
  forced = forced or forcible
end
ngx.say(forced, " ", d:get("big1"), " ", #d:get("big40"))
ngx.say(d:safe_set("more", ("x"):rep(300000)))
ngx.say(d:set("huge", ("x"):rep(2000000)))
d:flush_all() d:flush_expired()
--- body_has
true nil 100000
falseno memoryfalse
falseno memory

=== shared with other blocks' scripts, not with the platform's
--- operator
--- content
ngx.say(ngx.shared.dogs:get("b"))
--- response_body
nil

=== binary keys and values
--- content
local d = ngx.shared.dogs
d:set("a\0b", "\0\255")
ngx.say(d:get("a\0b") == "\0\255", " ", d:get("a"))
--- response_body
true nil
