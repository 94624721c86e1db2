//! What a resource of the table says. Plain data: parsed and valid by construction, in the controller.
//!
//! Durations are in milliseconds (`_ms`), sizes in bytes. Peers of the next and the last version read and write these
//! types too: a field that comes later has a default, and what must not be ignored is a feature ([`crate::wire::needs()`]).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::key::{BindingKey, ChainKey, ObjectName, PluginKey};
use crate::secret::PrivateBytes;

/// The value of a [`crate::Key`]; the variant is the key's section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// For `Key::Settings`.
    Settings(Box<Settings>),
    /// For `Key::Host`.
    Host(Host),
    /// For `Key::Route`.
    Route(Route),
    /// For `Key::Chain`.
    Chain(Chain),
    /// For `Key::Binding`.
    Binding(Binding),
    /// For `Key::Plugin`.
    Plugin(Plugin),
    /// For `Key::Script`: Lua source.
    Script(String),
    /// For `Key::Upstream`.
    Upstream(Upstream),
    /// For `Key::Endpoints`.
    Endpoints(Endpoints),
    /// For `Key::Certificate`.
    Certificate(Certificate),
    /// For `Key::Namespace`.
    Namespace(Namespace),
}

/// What holds for the whole table. `Default` is what an absent MoongateConfig means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Limits and time-outs of HTTP; `MoongateConfig.spec.http`.
    pub http: Http,
    /// `MoongateConfig.spec.tls`.
    pub tls: Tls,
    /// `MoongateConfig.spec.lua`.
    pub lua: Lua,
    /// The Secret of `--default-ssl-certificate`; none: a self-signed one is made.
    pub default_certificate: Option<ObjectName>,
    /// Chains that run before the route is chosen (`serverRewrite` of plugins bound to an IngressClass).
    pub server_chains: Vec<ChainKey>,
}

/// nginx's and ingress-nginx's settings; the defaults are ingress-nginx's where it has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Http {
    /// A request head beyond this is answered 431 (nginx: `large_client_header_buffers 4 8k`).
    pub request_head_bytes_max: u32,
    /// More header fields than this are answered 431.
    pub request_headers_max: u32,
    /// An upstream's response head beyond this is a 502.
    pub response_head_bytes_max: u32,
    /// From the first byte of a request (or the connection's start) to the end of its head; then 408.
    pub client_header_timeout_ms: u64,
    /// Between two reads of a request body; then 408.
    pub client_body_timeout_ms: u64,
    /// Between two writes to the client; then the connection is closed.
    pub send_timeout_ms: u64,
    /// An idle client connection is closed after this.
    pub keepalive_timeout_ms: u64,
    /// Requests a client connection may carry (ingress-nginx: `keep-alive-requests`).
    pub keepalive_requests: u64,
    /// Concurrent streams of an HTTP/2 connection.
    pub http2_streams_max: u32,
    /// Drop request headers whose name has an underscore, as nginx does by default.
    pub underscores_in_headers: bool,
    /// `//` in a path is matched as `/`.
    pub merge_slashes: bool,
    /// Take the client's address and scheme from X-Forwarded-* of peers in `trusted_proxies`.
    pub use_forwarded_headers: bool,
    /// Who may say so.
    pub trusted_proxies: Vec<Cidr>,
    /// Idle connections kept per upstream and worker.
    pub upstream_keepalive_connections: u32,
    /// An idle upstream connection is closed after this.
    pub upstream_keepalive_timeout_ms: u64,
    /// Requests an upstream connection may carry.
    pub upstream_keepalive_requests: u64,
    /// The `Server` header of responses that have none; empty: none.
    pub server_header: String,
    /// What routes have unless they say otherwise.
    pub route: RoutePolicy,
    /// Whether requests are logged at all.
    pub access_log: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            request_head_bytes_max: 32 * 1024,
            request_headers_max: 100,
            response_head_bytes_max: 64 * 1024,
            client_header_timeout_ms: 60_000,
            client_body_timeout_ms: 60_000,
            send_timeout_ms: 60_000,
            keepalive_timeout_ms: 75_000,
            keepalive_requests: 1000,
            http2_streams_max: 128,
            underscores_in_headers: false,
            merge_slashes: true,
            use_forwarded_headers: false,
            trusted_proxies: Vec::new(),
            upstream_keepalive_connections: 320,
            upstream_keepalive_timeout_ms: 60_000,
            upstream_keepalive_requests: 10_000,
            server_header: "moongate".into(),
            route: RoutePolicy::default(),
            access_log: true,
        }
    }
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// Oldest protocol version offered.
    pub min_version: TlsVersion,
    /// HTTP to HTTPS redirect (308) for hosts with TLS; ingress-nginx's `ssl-redirect`, on by default.
    pub redirect: bool,
    /// Port named in redirects when it is not 443.
    pub redirect_port: Option<u16>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { min_version: TlsVersion::Tls12, redirect: true, redirect_port: None }
    }
}

/// A TLS protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2
    Tls12,
    /// TLS 1.3
    Tls13,
}

/// The `lua_*` directives, with OpenResty's defaults, and the limits per namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lua {
    /// `lua_max_pending_timers`, per VM.
    pub max_pending_timers: u32,
    /// `lua_max_running_timers`, per VM.
    pub max_running_timers: u32,
    /// `lua_regex_cache_max_entries`, per worker.
    pub regex_cache_max_entries: u32,
    /// `lua_regex_match_limit`; 0 in the operator VM means PCRE2's own, namespaces always have one.
    pub regex_match_limit: u32,
    /// `lua_check_client_abort`.
    pub check_client_abort: bool,
    /// `lua_transform_underscores_in_response_headers`.
    pub transform_underscores_in_response_headers: bool,
    /// The operator VM's limits.
    pub operator: LuaLimits,
    /// The highest `limits.cpu` that a plugin may ask for.
    pub cpu_per_resume_max_ms: u64,
    /// What all VMs of a process may hold together; none: half of what the process may use.
    pub memory_budget_bytes: Option<u64>,
}

impl Default for Lua {
    fn default() -> Self {
        Self {
            max_pending_timers: 1024,
            max_running_timers: 256,
            regex_cache_max_entries: 1024,
            regex_match_limit: 100_000,
            check_client_abort: false,
            transform_underscores_in_response_headers: true,
            operator: LuaLimits {
                memory_bytes: 512 * 1024 * 1024,
                cpu_per_resume_ms: 1000,
                cpu_per_request_ms: 10_000,
                shared_dict_bytes: 1024 * 1024 * 1024,
                worker_share_percent: 100,
            },
            cpu_per_resume_max_ms: 100,
            memory_budget_bytes: None,
        }
    }
}

/// What the Lua of a VM may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LuaLimits {
    /// Heap of one VM and what the host holds for it.
    pub memory_bytes: u64,
    /// CPU time of one resume.
    pub cpu_per_resume_ms: u64,
    /// CPU time of all resumes of a request.
    pub cpu_per_request_ms: u64,
    /// All shared dicts of the namespace together.
    pub shared_dict_bytes: u64,
    /// Worker time while others wait.
    pub worker_share_percent: u8,
}

impl Default for LuaLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 32 * 1024 * 1024,
            cpu_per_resume_ms: 20,
            cpu_per_request_ms: 100,
            shared_dict_bytes: 64 * 1024 * 1024,
            worker_share_percent: 25,
        }
    }
}

/// What holds for a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// The certificate served for it; none: the default one.
    pub certificate: Option<ObjectName>,
    /// The host is named in some Ingress's `tls`, so plain HTTP may be redirected.
    pub tls: bool,
}

/// A route: one host, path kind and path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// The Ingress that it is from (the oldest that claims it).
    pub ingress: ObjectName,
    /// Of the rule, for `ngx.var.service_name` and logs; empty without a Service.
    pub service: String,
    /// What is done with its requests.
    pub action: Action,
    /// Its plugin chains, in the order in which they run on the request.
    pub chains: Vec<ChainKey>,
    /// Its limits, where they differ from the table's.
    pub policy: RoutePolicyOverrides,
}

/// What is done with the requests of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Sent to one of these, by weight (all weights 0 counts as none).
    Forward(Vec<Backend>),
    /// Answered with this status and nothing else: an access restriction that could not be applied (fail closed), or
    /// no backend.
    Refuse {
        /// 503, usually.
        status: u16,
        /// Why; for the log, never for the client.
        reason: String,
    },
}

/// One weighted upstream of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// The key of the upstream.
    pub upstream: String,
    /// Its share among the route's backends.
    pub weight: u32,
}

/// Limits of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoutePolicy {
    /// A request body beyond this is answered 413; 0: no limit (`proxy-body-size`).
    pub client_max_body_bytes: u64,
    /// HTTP to HTTPS redirect for this route.
    pub ssl_redirect: bool,
    /// The same even where the host has no TLS (behind a TLS-terminating load balancer).
    pub force_ssl_redirect: bool,
    /// `proxy-connect-timeout`.
    pub connect_timeout_ms: u64,
    /// Between two reads of a response (`proxy-read-timeout`).
    pub read_timeout_ms: u64,
    /// Between two writes of a request (`proxy-send-timeout`).
    pub send_timeout_ms: u64,
    /// Tries in all (`proxy-next-upstream-tries`).
    pub tries: u32,
    /// The whole request body is read before the upstream is asked (`proxy-request-buffering`).
    pub request_buffering: bool,
}

impl Default for RoutePolicy {
    fn default() -> Self {
        Self {
            client_max_body_bytes: 1024 * 1024,
            ssl_redirect: true,
            force_ssl_redirect: false,
            connect_timeout_ms: 5_000,
            read_timeout_ms: 60_000,
            send_timeout_ms: 60_000,
            tries: 3,
            request_buffering: false,
        }
    }
}

/// The fields of [`RoutePolicy`] that a route's annotations set; the others are the table's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoutePolicyOverrides {
    /// See [`RoutePolicy::client_max_body_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_max_body_bytes: Option<u64>,
    /// See [`RoutePolicy::ssl_redirect`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_redirect: Option<bool>,
    /// See [`RoutePolicy::force_ssl_redirect`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_ssl_redirect: Option<bool>,
    /// See [`RoutePolicy::connect_timeout_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout_ms: Option<u64>,
    /// See [`RoutePolicy::read_timeout_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_timeout_ms: Option<u64>,
    /// See [`RoutePolicy::send_timeout_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_timeout_ms: Option<u64>,
    /// See [`RoutePolicy::tries`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// See [`RoutePolicy::request_buffering`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_buffering: Option<bool>,
}

impl RoutePolicyOverrides {
    /// The policy of a route: these fields where they are set, else the table's.
    pub fn over(&self, table: &RoutePolicy) -> RoutePolicy {
        RoutePolicy {
            client_max_body_bytes: self.client_max_body_bytes.unwrap_or(table.client_max_body_bytes),
            ssl_redirect: self.ssl_redirect.unwrap_or(table.ssl_redirect),
            force_ssl_redirect: self.force_ssl_redirect.unwrap_or(table.force_ssl_redirect),
            connect_timeout_ms: self.connect_timeout_ms.unwrap_or(table.connect_timeout_ms),
            read_timeout_ms: self.read_timeout_ms.unwrap_or(table.read_timeout_ms),
            send_timeout_ms: self.send_timeout_ms.unwrap_or(table.send_timeout_ms),
            tries: self.tries.unwrap_or(table.tries),
            request_buffering: self.request_buffering.unwrap_or(table.request_buffering),
        }
    }
}

/// The plugin uses of one attachment point, in the order in which they run on the request. A plugin that a broader
/// chain of the same route names too runs once, there, with the config of the most specific chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chain {
    /// In running order.
    pub uses: Vec<Use>,
    /// For who may have an earlier version of what the controller cannot tell: the same uses in the same order, with those
    /// that such a version would mend. Where both plugin and config of one are there, it runs; else it is as `uses` says,
    /// or left out where that says nothing of it. Empty: `uses` says it all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub if_held: Vec<Use>,
}

/// One use of a plugin in a chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Use {
    /// The plugin.
    pub plugin: PluginKey,
    /// Its config.
    pub binding: BindingKey,
    /// Set where the plugin is missing, invalid or unresolved: the route answers 503 unless the plugin's failure
    /// policy is Ignore. Why; for the log.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub broken: Option<String>,
}

/// A plugin's use with its config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Binding {
    /// The plugin.
    pub plugin: PluginKey,
    /// Checked against the plugin's schema, defaults applied, without the secrets.
    pub config: serde_json::Value,
    /// Where secrets go into the config: a path of keys, and the bytes.
    pub secrets: Vec<(Vec<String>, PrivateBytes)>,
}

/// The phases that a plugin can have code for; the variants stand in the order of a request's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Once per VM.
    Init,
    /// Once per VM, after `init`; may start timers.
    InitWorker,
    /// Before the route is chosen.
    ServerRewrite,
    /// After the route is chosen.
    Rewrite,
    /// May refuse the request.
    Access,
    /// Answers instead of an upstream.
    Content,
    /// Chooses the upstream's endpoint, once per try.
    Balancer,
    /// Before the response head is sent.
    HeaderFilter,
    /// For each piece of the response body.
    BodyFilter,
    /// After the response.
    Log,
}

/// What a request gets when a plugin's script is missing, broken or fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailurePolicy {
    /// 500, or 503 where the plugin cannot be had at all.
    #[default]
    Fail,
    /// The request goes on without it.
    Ignore,
}

/// A plugin's code and rights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plugin {
    /// Higher runs first within an attachment level.
    pub priority: i32,
    /// The script of each phase.
    pub phases: BTreeMap<Phase, Hash>,
    /// Module name to script: what `require` finds besides the bundled libraries.
    pub modules: BTreeMap<String, Hash>,
    /// Name to bytes: its `ngx.shared` dicts, scoped to the plugin's namespace.
    pub shared_dicts: BTreeMap<String, u64>,
    /// Variables it may read and write, with their initial values.
    pub variables: BTreeMap<String, String>,
    /// CPU of one resume; none: the VM's.
    pub cpu_per_resume_ms: Option<u64>,
    /// What a request gets when it fails.
    pub failure_policy: FailurePolicy,
}

/// A Service's port under one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// The key of its endpoints.
    pub endpoints: String,
    /// The Service, for logs and `ngx.var.service_name`.
    pub service: ObjectName,
    /// The Service's port, for logs.
    pub port: u16,
    /// How it is spoken to.
    pub protocol: UpstreamProtocol,
    /// How an endpoint is chosen.
    pub balance: Balance,
}

/// How an upstream is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpstreamProtocol {
    /// HTTP/1.1
    Http,
    /// HTTP/2 without TLS (`appProtocol: kubernetes.io/h2c`, gRPC).
    H2c,
    /// HTTP/1.1 over TLS; certificates are verified when `verify` is set (ingress-nginx: off by default).
    Https {
        /// Sent as SNI and verified; none: the request's host.
        server_name: Option<String>,
        /// Verify against the system's roots.
        verify: bool,
    },
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Balance {
    /// In turn, from a random start in each worker.
    #[default]
    RoundRobin,
}

/// Where an upstream's requests go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoints {
    /// Sorted, without duplicates.
    pub addresses: Vec<Endpoint>,
    /// An ExternalName Service: `name:port`, resolved by the data plane; then `addresses` is empty.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub external: Option<String>,
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// The pod's address and port.
    pub address: SocketAddr,
    /// Its zone, when the slice says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub zone: Option<String>,
    /// Whether new requests go there.
    pub state: EndpointState,
}

/// Whether new requests go to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EndpointState {
    /// Yes.
    Ready,
    /// Serving and terminating: only when no other is ready.
    Draining,
}

/// A TLS Secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// PEM, leaf first.
    pub chain_pem: String,
    /// PEM.
    pub key_pem: PrivateBytes,
    /// Lower-case DNS names of the leaf's SAN.
    pub names: Vec<String>,
    /// From when on it is valid, in seconds since the epoch.
    #[serde(default)]
    pub not_before: i64,
    /// Until when it is valid, in seconds since the epoch.
    pub not_after: i64,
}

/// What a namespace's Lua may have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Its VMs' limits.
    pub limits: LuaLimits,
    /// Addresses of its own Services and endpoints, which its scripts may connect to.
    pub own_addresses: Vec<IpAddr>,
    /// Further ranges that MoongateConfig allows it.
    pub allowed: Vec<Cidr>,
}

/// An address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// A text that is not an address or an address range.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is neither an IP address nor a CIDR range such as 10.0.0.0/8")]
pub struct NotACidr(String);

impl Cidr {
    /// Whether the range has this address. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.prefix);
                u32::from(net).checked_shr(shift).unwrap_or(0) == u32::from(ip).checked_shr(shift).unwrap_or(0)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.prefix);
                u128::from(net).checked_shr(shift).unwrap_or(0) == u128::from(ip).checked_shr(shift).unwrap_or(0)
            }
            _ => false,
        }
    }
}

impl std::str::FromStr for Cidr {
    type Err = NotACidr;

    fn from_str(s: &str) -> Result<Self, NotACidr> {
        let wrong = || NotACidr(s.to_owned());
        let (address, prefix) = match s.split_once('/') {
            Some((a, p)) => (a, Some(p)),
            None => (s, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(p) => p.trim().parse::<u8>().ok().filter(|p| *p <= bits).ok_or_else(wrong)?,
            None => bits,
        };
        Ok(Self { address, prefix })
    }
}

impl TryFrom<String> for Cidr {
    type Error = NotACidr;

    fn try_from(s: String) -> Result<Self, NotACidr> {
        s.parse()
    }
}

impl From<Cidr> for String {
    fn from(c: Cidr) -> Self {
        format!("{}/{}", c.address, c.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cidr, RoutePolicy, RoutePolicyOverrides};

    #[test]
    fn a_range_has_its_addresses_and_no_others() {
        let check = |range: &str, ip: &str, is: bool| {
            let range: Cidr = range.parse().unwrap();
            assert_eq!(range.contains(ip.parse().unwrap()), is, "{range:?} {ip}");
        };
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.1.2.3", "10.1.2.3", true);
        check("0.0.0.0/0", "192.0.2.1", true);
        check("::/0", "2001:db8::1", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("10.0.0.0/8", "::ffff:10.1.1.1", true);
        check("2001:db8::/32", "2001:db8:1::1", true);
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "x", "::/129", "1.2.3.4/-1"] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_route_overrides_only_what_it_sets() {
        let own = RoutePolicyOverrides { tries: Some(1), ..Default::default() };
        let policy = own.over(&RoutePolicy { read_timeout_ms: 7, ..Default::default() });
        assert_eq!((policy.tries, policy.read_timeout_ms), (1, 7));
    }
}
