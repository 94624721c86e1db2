//! Every annotation of ingress-nginx (1.14), by its own groups.

/// What becomes of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does what it does in ingress-nginx.
    Full,
    /// It is reported and ignored.
    None,
    /// It decides who is let in; since it is not applied, nobody is.
    Restricts,
    /// The same when its text [`restricts`] access.
    MayRestrict,
}

/// One annotation.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Without the prefix.
    pub name: &'static str,
    /// What becomes of it.
    pub support: Support,
    /// Values, in lower case, with which it asks for nothing that does not happen anyway.
    pub idle: &'static [&'static str],
    /// What does the same here; empty when nothing does.
    pub instead: &'static str,
}

/// The annotation of a name.
pub fn find(name: &str) -> Option<&'static Known> {
    ALL.iter().find(|known| known.name == name)
}

/// Whether a snippet of nginx configuration may decide who is let in: it names a directive or a status that does.
pub fn restricts(snippet: &str) -> bool {
    const WORDS: [&str; 14] = [
        "deny",
        "allow",
        "auth_basic",
        "auth_request",
        "auth_jwt",
        "satisfy",
        "limit_except",
        "valid_referers",
        "internal",
        "access_by_lua",
        "modsecurity",
        "secure_link",
        "ssl_verify_client",
        "ngx.exit",
    ];
    let between = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
    let mut before = "";
    snippet.split(between).filter(|word| !word.is_empty()).any(|word| {
        // A redirect is no restriction; `return 403` is.
        let refuses = before == "return" && word.starts_with(['4', '5']);
        before = word;
        refuses || WORDS.iter().any(|known| word.starts_with(known))
    })
}

const fn known(name: &'static str, support: Support, idle: &'static [&'static str], instead: &'static str) -> Known {
    Known { name, support, idle, instead }
}

/// Names that ingress-nginx had, or that people believe it has, and what to do.
pub const GONE: &[(&str, &str)] = &[
    ("global-rate-limit", "the plugin rate-limit limits requests"),
    ("global-rate-limit-window", "the plugin rate-limit limits requests"),
    ("global-rate-limit-key", "the plugin rate-limit limits requests"),
    ("global-rate-limit-ignored-cidrs", "the plugin rate-limit limits requests"),
    ("enable-opentracing", "OpenTelemetry took its place"),
    ("opentracing-trust-incoming-span", "OpenTelemetry took its place"),
    ("lua-resty-waf", "it was removed long ago"),
    ("secure-backends", "write backend-protocol: HTTPS"),
    ("grpc-backend", "write backend-protocol: GRPC"),
    ("session-cookie-hash", "it was removed long ago"),
    ("enable-influxdb", "it was removed long ago"),
    ("mirror-uri", "mirror-target took its place"),
    ("enable-websockets", "WebSockets work without a setting"),
    ("websocket-services", "WebSockets work without a setting"),
    ("use-forwarded-headers", "it is spec.http.useForwardedHeaders of MoongateConfig"),
    ("hsts", "the plugin headers can send Strict-Transport-Security"),
];

/// All annotations.
pub const ALL: &[Known] = &[
    // Aliases
    known("server-alias", Support::None, &[], ""),
    // Allowlist
    known("allowlist-source-range", Support::Restricts, &[], "the plugin ip-restriction does it"),
    known("whitelist-source-range", Support::Restricts, &[], "the plugin ip-restriction does it"),
    // BackendProtocol
    known("backend-protocol", Support::Full, &[], ""),
    // BasicDigestAuth
    known("auth-realm", Support::Restricts, &[], "the plugin basic-auth does it"),
    known("auth-secret", Support::Restricts, &[], "the plugin basic-auth does it"),
    known("auth-secret-type", Support::Restricts, &[], "the plugin basic-auth does it"),
    known("auth-type", Support::Restricts, &[], "the plugin basic-auth does it"),
    // Canary
    known("canary", Support::None, &["false"], ""),
    known("canary-by-cookie", Support::None, &[], ""),
    known("canary-by-header", Support::None, &[], ""),
    known("canary-by-header-pattern", Support::None, &[], ""),
    known("canary-by-header-value", Support::None, &[], ""),
    known("canary-weight", Support::None, &[], ""),
    known("canary-weight-total", Support::None, &[], ""),
    // CertificateAuth
    known("auth-tls-error-page", Support::Restricts, &[], ""),
    known("auth-tls-match-cn", Support::Restricts, &[], ""),
    known("auth-tls-pass-certificate-to-upstream", Support::Restricts, &[], ""),
    known("auth-tls-secret", Support::Restricts, &[], ""),
    known("auth-tls-verify-client", Support::Restricts, &["off"], ""),
    known("auth-tls-verify-depth", Support::Restricts, &[], ""),
    // ClientBodyBufferSize
    known("client-body-buffer-size", Support::None, &[], "bodies are streamed"),
    // ConfigurationSnippet
    known("configuration-snippet", Support::MayRestrict, &[], "a LuaPlugin can do what it does"),
    // Connection
    known("connection-proxy-header", Support::None, &[], ""),
    // CorsConfig
    known("cors-allow-credentials", Support::None, &[], "the plugin cors does it"),
    known("cors-allow-headers", Support::None, &[], "the plugin cors does it"),
    known("cors-allow-methods", Support::None, &[], "the plugin cors does it"),
    known("cors-allow-origin", Support::None, &[], "the plugin cors does it"),
    known("cors-expose-headers", Support::None, &[], "the plugin cors does it"),
    known("cors-max-age", Support::None, &[], "the plugin cors does it"),
    known("enable-cors", Support::None, &["false"], "the plugin cors does it"),
    // CustomHTTPErrors
    known("custom-http-errors", Support::None, &[], "a LuaPlugin can do it in headerFilter and bodyFilter"),
    // CustomHeaders
    known("custom-headers", Support::None, &[], "the plugin headers does it"),
    // DefaultBackend
    known("default-backend", Support::None, &[], ""),
    // Denylist
    known("denylist-source-range", Support::Restricts, &[], "the plugin ip-restriction does it"),
    // DisableProxyInterceptErrors
    known("disable-proxy-intercept-errors", Support::None, &["true", "false"], ""),
    // EnableGlobalAuth
    known("enable-global-auth", Support::Restricts, &["false"], ""),
    // ExternalAuth
    known("auth-always-set-cookie", Support::Restricts, &[], "a LuaPlugin can do it"),
    known("auth-cache-duration", Support::Restricts, &[], "a LuaPlugin can do it"),
    known("auth-cache-key", Support::Restricts, &[], "a LuaPlugin can do it"),
    known("auth-keepalive", Support::Restricts, &[], "a LuaPlugin can do it"),
    known("auth-keepalive-requests", Support::Restricts, &[], "a LuaPlugin can do it"),
    known("auth-keepalive-share-vars", Support::Restricts, &[], "a LuaPlugin can do it"),
    known("auth-keepalive-timeout", Support::Restricts, &[], "a LuaPlugin can do it"),
    known("auth-method", Support::Restricts, &[], "a LuaPlugin can do it"),
    known("auth-proxy-set-headers", Support::Restricts, &[], "a LuaPlugin can do it"),
    known("auth-request-redirect", Support::Restricts, &[], "a LuaPlugin can do it"),
    known("auth-response-headers", Support::Restricts, &[], "a LuaPlugin can do it"),
    known("auth-signin", Support::Restricts, &[], "a LuaPlugin can do it"),
    known("auth-signin-redirect-param", Support::Restricts, &[], "a LuaPlugin can do it"),
    known("auth-snippet", Support::Restricts, &[], "a LuaPlugin can do it"),
    known("auth-url", Support::Restricts, &[], "a LuaPlugin can do it"),
    // FastCGI
    known("fastcgi-index", Support::None, &[], ""),
    known("fastcgi-params-configmap", Support::None, &[], ""),
    // HTTP2PushPreload
    known("http2-push-preload", Support::None, &["false"], "browsers have dropped HTTP/2 push"),
    // LoadBalancing
    known("load-balance", Support::None, &["round_robin"], ""),
    // Logs
    known("enable-access-log", Support::None, &["true"], ""),
    known("enable-rewrite-log", Support::None, &["false"], ""),
    // Mirror
    known("mirror-host", Support::None, &[], ""),
    known("mirror-request-body", Support::None, &["off"], ""),
    known("mirror-target", Support::None, &[], ""),
    // ModSecurity
    known("enable-modsecurity", Support::Restricts, &["false"], ""),
    known("enable-owasp-core-rules", Support::Restricts, &["false"], ""),
    known("modsecurity-snippet", Support::Restricts, &[], ""),
    known("modsecurity-transaction-id", Support::None, &[], ""),
    // Opentelemetry
    known("enable-opentelemetry", Support::None, &["false"], ""),
    known("opentelemetry-operation-name", Support::None, &[], ""),
    known("opentelemetry-trust-incoming-span", Support::None, &[], ""),
    // Proxy
    known("proxy-body-size", Support::Full, &[], ""),
    known(
        "proxy-buffer-size",
        Support::None,
        &[],
        "response heads may have 64 KiB: spec.http.upstreamHeaderMaxSize of MoongateConfig",
    ),
    known("proxy-buffering", Support::None, &["off"], "responses are streamed"),
    known("proxy-buffers-number", Support::None, &[], "responses are streamed"),
    known("proxy-busy-buffers-size", Support::None, &[], "responses are streamed"),
    known("proxy-connect-timeout", Support::Full, &[], ""),
    known("proxy-cookie-domain", Support::None, &["off"], ""),
    known("proxy-cookie-path", Support::None, &["off"], ""),
    known("proxy-http-version", Support::None, &["1.1"], ""),
    known("proxy-max-temp-file-size", Support::None, &[], "responses are streamed"),
    known("proxy-next-upstream", Support::None, &["error timeout"], ""),
    known("proxy-next-upstream-timeout", Support::None, &["0"], ""),
    known("proxy-next-upstream-tries", Support::Full, &[], ""),
    known("proxy-read-timeout", Support::Full, &[], ""),
    known("proxy-redirect-from", Support::None, &["off", "default"], ""),
    known("proxy-redirect-to", Support::None, &[], ""),
    known("proxy-request-buffering", Support::Full, &[], ""),
    known("proxy-send-timeout", Support::Full, &[], ""),
    // ProxySSL
    known("proxy-ssl-ciphers", Support::None, &[], ""),
    known("proxy-ssl-name", Support::None, &[], ""),
    known("proxy-ssl-protocols", Support::None, &[], ""),
    known("proxy-ssl-secret", Support::None, &[], ""),
    known("proxy-ssl-server-name", Support::None, &["on"], ""),
    known("proxy-ssl-verify", Support::None, &["off"], ""),
    known("proxy-ssl-verify-depth", Support::None, &[], ""),
    // RateLimit
    known("limit-allowlist", Support::None, &[], "the plugin rate-limit limits requests"),
    known("limit-burst-multiplier", Support::None, &[], "the plugin rate-limit limits requests"),
    known("limit-connections", Support::None, &[], ""),
    known("limit-rate", Support::None, &[], ""),
    known("limit-rate-after", Support::None, &[], ""),
    known("limit-rpm", Support::None, &[], "the plugin rate-limit limits requests"),
    known("limit-rps", Support::None, &[], "the plugin rate-limit limits requests"),
    // Redirect
    known("from-to-www-redirect", Support::None, &["false"], "a LuaPlugin can do it: ngx.redirect in rewrite"),
    known("permanent-redirect", Support::None, &[], "a LuaPlugin can do it: ngx.redirect in rewrite"),
    known("permanent-redirect-code", Support::None, &[], "a LuaPlugin can do it: ngx.redirect in rewrite"),
    known("relative-redirects", Support::None, &["false"], ""),
    known("temporal-redirect", Support::None, &[], "a LuaPlugin can do it: ngx.redirect in rewrite"),
    known("temporal-redirect-code", Support::None, &[], "a LuaPlugin can do it: ngx.redirect in rewrite"),
    // Rewrite
    known("app-root", Support::None, &[], "a LuaPlugin can do it: ngx.req.set_uri in rewrite"),
    known("force-ssl-redirect", Support::Full, &[], ""),
    known("preserve-trailing-slash", Support::None, &["false"], ""),
    known("rewrite-target", Support::None, &[], "a LuaPlugin can do it: ngx.req.set_uri in rewrite"),
    known("ssl-redirect", Support::Full, &[], ""),
    known("use-regex", Support::None, &["false"], ""),
    // SSLCipher
    known("ssl-ciphers", Support::None, &[], ""),
    known("ssl-prefer-server-ciphers", Support::None, &[], ""),
    // SSLPassthrough
    known("ssl-passthrough", Support::None, &["false"], ""),
    // Satisfy
    known("satisfy", Support::None, &["all"], ""),
    // ServerSnippet
    known("server-snippet", Support::MayRestrict, &[], "a LuaPlugin can do what it does"),
    // ServiceUpstream
    known("service-upstream", Support::None, &["false"], ""),
    // SessionAffinity
    known("affinity", Support::None, &[], ""),
    known("affinity-canary-behavior", Support::None, &[], ""),
    known("affinity-mode", Support::None, &[], ""),
    known("session-cookie-change-on-failure", Support::None, &["false"], ""),
    known("session-cookie-conditional-samesite-none", Support::None, &["false"], ""),
    known("session-cookie-domain", Support::None, &[], ""),
    known("session-cookie-expires", Support::None, &[], ""),
    known("session-cookie-max-age", Support::None, &[], ""),
    known("session-cookie-name", Support::None, &[], ""),
    known("session-cookie-path", Support::None, &[], ""),
    known("session-cookie-samesite", Support::None, &[], ""),
    known("session-cookie-secure", Support::None, &[], ""),
    // StreamSnippet
    known("stream-snippet", Support::None, &[], ""),
    // UpstreamHashBy
    known("upstream-hash-by", Support::None, &[], ""),
    known("upstream-hash-by-subset", Support::None, &["false"], ""),
    known("upstream-hash-by-subset-size", Support::None, &[], ""),
    // UpstreamVhost
    known("upstream-vhost", Support::None, &[], "a LuaPlugin can do it: ngx.req.set_header(\"Host\", ...) in rewrite"),
    // UsePortInRedirects
    known("use-port-in-redirects", Support::None, &["false"], ""),
    // XForwardedPrefix
    known("x-forwarded-prefix", Support::None, &[], "the plugin headers does it"),
    // RateLimit
    known("limit-whitelist", Support::None, &[], "the plugin rate-limit limits requests"),
];
