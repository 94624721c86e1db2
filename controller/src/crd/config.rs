//! `MoongateConfig`: what the platform sets.

mod settings;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigStatus, Duration, Quantity, Selector};

pub use settings::NamespaceRights;

/// Settings of the platform.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "moongate.dev",
    version = "v1alpha1",
    kind = "MoongateConfig",
    status = "ConfigStatus",
    derive = "PartialEq",
    shortname = "mgc",
    category = "moongate",
    doc = "Settings of the platform. The one that the release names (`--config`, `moongate` by default) holds for the \
           whole table; one that an IngressClass names in spec.parameters sets the per-route fields of spec.http for \
           that class, and nothing else.",
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type=='Accepted')].status"),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Programmed')].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MoongateConfigSpec {
    /// HTTP: nginx's and ingress-nginx's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpConfig>,
    /// TLS towards clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Lua: OpenResty's `lua_*` directives, and what namespaces may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lua: Option<LuaConfig>,
    /// Who may add paths, TLS or plugins to a host: `Shared` (the default) lets every namespace, as ingress-nginx does;
    /// with `Namespace` only that of the host's oldest Ingress may, unless `hostGrants` says otherwise.
    #[serde(default)]
    pub host_ownership: HostOwnership,
    /// Exceptions to `hostOwnership: Namespace`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub host_grants: Vec<HostGrant>,
    /// For moving from another ingress controller while both run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationConfig>,
}

/// For moving from another ingress controller while both run.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationConfig {
    /// Classes that are served by their name too, whatever controller their IngressClass names and also without one,
    /// such as `nginx`. The status of their Ingresses stays the other controller's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub ingress_classes: Vec<String>,
}

/// Who may add to a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum HostOwnership {
    /// Every namespace.
    #[default]
    Shared,
    /// The namespace of the host's oldest Ingress.
    Namespace,
}

/// Lets namespaces add to a host that another one owns.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostGrant {
    /// The host, as Ingresses write it: `shop.example.com`, or `*.example.com` for that rule itself.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Who may add to it.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
}

/// HTTP. Names and defaults are nginx's and ingress-nginx's where they have the setting.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpConfig {
    /// The largest request head; a larger one is answered 431. Default 32Ki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_header_max_size: Option<Quantity>,
    /// The most header fields of a request; with more it is answered 431. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub client_header_max_count: Option<u32>,
    /// The largest response head of an upstream; a larger one is a 502. Default 64Ki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_header_max_size: Option<Quantity>,
    /// For a request's whole head; then 408. Default 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_header_timeout: Option<Duration>,
    /// Between two reads of a request body; then 408. Default 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_body_timeout: Option<Duration>,
    /// Between two writes to the client; then the connection is closed. Default 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_timeout: Option<Duration>,
    /// How long an idle client connection is kept. Default 75s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keepalive_timeout: Option<Duration>,
    /// Requests that one client connection may carry. Default 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub keepalive_requests: Option<u64>,
    /// Concurrent streams of an HTTP/2 connection. Default 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub http2_max_concurrent_streams: Option<u32>,
    /// Whether request headers with an underscore in their name are let through; by default they are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub underscores_in_headers: Option<bool>,
    /// Whether `//` in a path is matched as `/`. Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_slashes: Option<bool>,
    /// Whether X-Forwarded-* of the peers in `proxyRealIpCidr` says who the client is. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_forwarded_headers: Option<bool>,
    /// The proxies in front, as addresses and ranges. Default none: unlike ingress-nginx, which trusts all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 64)))]
    pub proxy_real_ip_cidr: Vec<String>,
    /// Idle connections kept for each upstream and worker. Default 320.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub upstream_keepalive_connections: Option<u32>,
    /// How long an idle upstream connection is kept. Default 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_keepalive_timeout: Option<Duration>,
    /// Requests that one upstream connection may carry. Default 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub upstream_keepalive_requests: Option<u64>,
    /// The Server header of responses that have none; empty for no such header. Default `moongate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = "^[ -~]*$"))]
    pub server_header: Option<String>,
    /// Whether requests are logged. Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<bool>,
    /// The largest request body; a larger one is answered 413; 0 for no limit. Default 1Mi. Per route: the annotation
    /// `proxy-body-size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_max_body_size: Option<Quantity>,
    /// Whether plain HTTP is redirected to HTTPS (308) for hosts that have TLS. Default true. Per route: `ssl-redirect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_redirect: Option<bool>,
    /// The same for hosts without TLS, where a load balancer in front ends it. Default false. Per route:
    /// `force-ssl-redirect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_ssl_redirect: Option<bool>,
    /// For connecting to an upstream. Default 5s. Per route: `proxy-connect-timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_connect_timeout: Option<Duration>,
    /// Between two reads of a response. Default 60s. Per route: `proxy-read-timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_read_timeout: Option<Duration>,
    /// Between two writes of a request to an upstream. Default 60s. Per route: `proxy-send-timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_send_timeout: Option<Duration>,
    /// Tries of a request in all; 0 for no limit but 100. Default 3. Per route:
    /// `proxy-next-upstream-tries`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub proxy_next_upstream_tries: Option<u32>,
    /// Whether a request's whole body is read before the upstream is asked. Default false: bodies stream, unlike
    /// ingress-nginx. Per route: `proxy-request-buffering`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_request_buffering: Option<bool>,
}

/// TLS towards clients.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsConfig {
    /// The oldest protocol version that is offered. Default `TLSv1.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<MinVersion>,
    /// The port that redirects to HTTPS name; left out of them when it is 443. Default 443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub redirect_port: Option<u16>,
    /// The certificate for hosts without one. Default: one that Moongate signs itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_certificate: Option<SecretName>,
}

/// A TLS protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum MinVersion {
    /// TLS 1.2
    #[serde(rename = "TLSv1.2")]
    Tls12,
    /// TLS 1.3
    #[serde(rename = "TLSv1.3")]
    Tls13,
}

/// Names a Secret.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretName {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Lua. Names and defaults are those of OpenResty's `lua_*` directives where there is one.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LuaConfig {
    /// Timers of one VM that wait. Default 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_pending_timers: Option<u32>,
    /// Timers of one VM that run at once. Default 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_running_timers: Option<u32>,
    /// Compiled regular expressions that a worker keeps. Default 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub regex_cache_max_entries: Option<u32>,
    /// Steps that one match of a regular expression may take; 0 for PCRE2's own limit, in the operator VM only. Default
    /// 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub regex_match_limit: Option<u32>,
    /// `lua_socket_connect_timeout`. Not used yet: there is no `ngx.socket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_connect_timeout: Option<Duration>,
    /// `lua_socket_send_timeout`. Not used yet: there is no `ngx.socket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_send_timeout: Option<Duration>,
    /// `lua_socket_read_timeout`. Not used yet: there is no `ngx.socket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_read_timeout: Option<Duration>,
    /// `lua_socket_keepalive_timeout`. Not used yet: there is no `ngx.socket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_keepalive_timeout: Option<Duration>,
    /// `lua_socket_pool_size`. Not used yet: there is no `ngx.socket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub socket_pool_size: Option<u32>,
    /// `lua_socket_buffer_size`. Not used yet: there is no `ngx.socket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_buffer_size: Option<Quantity>,
    /// Whether a client that goes away ends its request's Lua. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_client_abort: Option<bool>,
    /// Whether `ngx.header.x_y` means `X-Y`. Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform_underscores_in_response_headers: Option<bool>,
    /// The highest `limits.cpu` of a plugin that counts. Default 100ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cpu_per_resume: Option<Duration>,
    /// What all Lua VMs of a data plane may hold together, at least 16Mi. Beyond it the VM with the largest excess is refused
    /// more memory first. Default: half of the container's memory limit, or of the machine's memory without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_budget: Option<Quantity>,
    /// Limits of the operator VM, where ClusterLuaPlugins run. Defaults: memory 512Mi, cpuPerResume 1s, cpuPerRequest
    /// 10s, sharedDicts 1Gi, workerShare 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_limits: Option<LimitsConfig>,
    /// Limits of each namespace's VM. Defaults: memory 32Mi, cpuPerResume 20ms, cpuPerRequest 100ms, sharedDicts 64Mi,
    /// workerShare 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_limits: Option<LimitsConfig>,
    /// Whose LuaPlugins take effect, by the namespace's labels; all by default. RBAC says who may write them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<Selector>,
    /// What the Lua of every namespace may connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkConfig>,
    /// What holds for some namespaces instead; of several entries that select a namespace, the first counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub namespaces: Vec<NamespaceConfig>,
}

/// What the Lua of a VM may use.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsConfig {
    /// Heap of one VM, and what is held for it outside: at least 4Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// CPU time of one uninterrupted run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_per_resume: Option<Duration>,
    /// CPU time of all runs of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_per_request: Option<Duration>,
    /// All shared dicts together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_dicts: Option<Quantity>,
    /// Percent of a worker's time while others wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub worker_share: Option<u8>,
}

/// What Lua may connect to, besides public addresses and the Services and endpoints of its own namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkConfig {
    /// Addresses and ranges, private ones too, such as `10.20.0.0/16`. Where `ngx.balancer` may send requests to; there
    /// is no `ngx.socket` yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)))]
    pub allow: Vec<String>,
}

/// What holds for the namespaces that a selector selects.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceConfig {
    /// Selects namespaces by their labels; `kubernetes.io/metadata.name` is a namespace's name.
    pub selector: Selector,
    /// Limits; a field that is left out is that of `namespaceLimits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsConfig>,
    /// What their Lua may connect to, in addition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkConfig>,
}

#[cfg(test)]
mod tests;
