=== escape_uri
--- content
ngx.say(ngx.escape_uri("a b/c?d=e&f+g%é~-_."))
ngx.say(ngx.escape_uri("a b/c?d=e#f%", 0))
ngx.say(ngx.escape_uri(nil), "|", ngx.escape_uri(12), "|", ngx.escape_uri(""))
ngx.say(select(2, pcall(ngx.escape_uri, "x", "y")))
ngx.say(select(2, pcall(ngx.escape_uri, "x", 7)))
--- response_body
a%20b%2Fc%3Fd%3De%26f%2Bg%25%C3%A9~-_.
a%20b/c%3Fd=e%23f%25
|12|
content:4: "type" is not a number
content:5: "type" 7 out of range

=== unescape_uri
--- content
ngx.say(ngx.unescape_uri("a%20b+c%2F%zz%4"), "|", ngx.unescape_uri(nil), "|", ngx.unescape_uri(1))
--- response_body
a b c/%zz%4||1

=== base64
--- content
ngx.say(ngx.encode_base64("hello"), " ", ngx.encode_base64("hello", true), " ", ngx.encode_base64(nil), "|", ngx.encode_base64(12))
ngx.say(ngx.decode_base64("aGVsbG8="), " ", ngx.decode_base64("aGVsbG8"), " ", ngx.decode_base64("!!!"))
ngx.say(ngx.decode_base64mime("aGVs\nbG8="))
ngx.say(select(2, pcall(ngx.decode_base64, nil)))
ngx.say(select(2, pcall(ngx.encode_base64, "x", 1)))
--- response_body
aGVsbG8= aGVsbG8 |MTI=
hello hello nil
hello
string argument only
bad no_padding: boolean expected, got number

=== base64url
--- content
local b = require "ngx.base64"
ngx.say(b.encode_base64url("\255\239\254"), " ", b.decode_base64url("_-_-") == "\255\239\254")
ngx.say(b.encode_base64url(1))
ngx.say(b.decode_base64url("+/"))
--- response_body
_-_- true
nilmust provide a string
nilinvalid input

=== hashes
--- content
ngx.say(ngx.md5("hello"), " ", #ngx.md5_bin("hello"), " ", ngx.md5(nil))
ngx.say(ngx.encode_base64(ngx.sha1_bin("hello")))
ngx.say(ngx.encode_base64(ngx.hmac_sha1("thisisverysecretstuff", "some string we want to sign")))
ngx.say(ngx.crc32_short("hello, world"), " ", ngx.crc32_long("hello, world"), " ", ngx.crc32_long(""))
--- response_body
5d41402abc4b2a76b9719d911017c592 16 d41d8cd98f00b204e9800998ecf8427e
qvTGHdzF6KLavt4PO0gs2a6pQ00=
R/pvxzHC4NLtj7S+kXFg/NePTmk=
4289425978 4289425978 0

=== what hmac_sha1 and quote_sql_str do not take
--- content
ngx.say(select(2, pcall(function() ngx.hmac_sha1("x") end)))
ngx.say(select(2, pcall(function() ngx.hmac_sha1(nil, "x") end)))
ngx.say(select(2, pcall(function() ngx.quote_sql_str() end)))
ngx.say(ngx.quote_sql_str("a'b\"c\\d\n\r\0\26"))
--- response_body
content:1: expecting 2 arguments, but got 1
content:2: bad argument #1 to 'hmac_sha1' (string expected, got nil)
content:3: expecting one argument
'a\'b\"c\\d\n\r\0\Z'

=== constants
--- content
ngx.say(ngx.OK, ngx.ERROR, ngx.AGAIN, ngx.DONE, ngx.DECLINED)
ngx.say(ngx.HTTP_GET, " ", ngx.HTTP_TRACE, " ", ngx.HTTP_OK, " ", ngx.HTTP_TOO_MANY_REQUESTS, " ", ngx.HTTP_GATEWAY_TIMEOUT)
ngx.say(type(ngx.null), " ", tostring(ngx.null), " ", ngx.null == ngx.null)
ngx.say(ngx.STDERR, ngx.DEBUG)
--- response_body
0-1-2-4-5
2 32768 200 429 504
userdata userdata: NULL true
08
