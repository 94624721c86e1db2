//! A commit compiled into what requests read: an immutable snapshot behind an `ArcSwap`, built by structural sharing,
//! so that a change costs what it touches.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use routing::key::PluginKey;
use routing::value::{self, FailurePolicy, LuaLimits, RoutePolicy, Settings};
use routing::{Hash, ObjectName, RouteKey, router::Router};

use crate::lua::network::Reach;
use crate::upstream::balance::Turns;

pub mod compile;

/// Whose Lua: each scope has VMs and shared dicts of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// ClusterLuaPlugins: trusted.
    Operator,
    /// LuaPlugins of this namespace: hardened.
    Namespace(Arc<str>),
}

/// Everything that requests are served by, as of one commit.
#[derive(Clone)]
pub struct Snapshot {
    /// Counts commits.
    pub version: u64,
    /// Host and path to route.
    pub router: Router<Arc<CompiledRoute>>,
    /// Facts of hosts, by host key (`shop.example.com`, `*.example.com`, `*`).
    pub hosts:
        imbl::GenericHashMap<String, Arc<value::Host>, foldhash::fast::RandomState, imbl::shared_ptr::DefaultSharedPtr>,
    /// Certificates by Secret.
    pub certificates: imbl::HashMap<ObjectName, Arc<crate::tls::LoadedCertificate>>,
    /// What holds for the whole table.
    pub settings: Arc<Settings>,
    /// The VMs' specifications.
    pub scopes: imbl::HashMap<Scope, Arc<ScopeSpec>>,
    /// What the Lua of a namespace may reach, by namespace.
    pub reach: imbl::HashMap<Arc<str>, Arc<Reach>>,
    /// `serverRewrite` scripts, which run before the route is chosen.
    pub server_rewrite: Arc<ServerRewrite>,
}

impl Snapshot {
    /// Before the first commit.
    pub fn empty() -> Self {
        Self {
            version: 0,
            router: Router::default(),
            hosts: imbl::GenericHashMap::default(),
            certificates: imbl::HashMap::new(),
            settings: Arc::default(),
            scopes: imbl::HashMap::new(),
            reach: imbl::HashMap::new(),
            server_rewrite: Arc::default(),
        }
    }
}

/// What one VM is made of. A change of it makes a new VM in each worker.
#[derive(Debug)]
pub struct ScopeSpec {
    /// Which VM.
    pub scope: Scope,
    /// Identifies the content: scripts, modules, dicts, limits.
    pub hash: Hash,
    /// Identifies what of it is in a VM before any request: all but the scripts that requests run.
    pub base: Hash,
    /// The plugins that run in it.
    pub plugins: BTreeMap<PluginKey, Arc<CompiledPlugin>>,
    /// Module name to source.
    pub modules: BTreeMap<String, Arc<str>>,
    /// Dict name to bytes.
    pub dicts: BTreeMap<String, u64>,
    /// The VM's limits.
    pub limits: LuaLimits,
    /// `lua_regex_match_limit`
    pub regex_match_limit: u32,
    /// `lua_regex_cache_max_entries`
    pub regex_cache_entries: usize,
    /// `init` and `initWorker` scripts in plugin order.
    pub init: Vec<(value::Phase, Arc<PluginUse>, Arc<Script>)>,
}

impl ScopeSpec {
    /// This version's script of a plugin for the phase of another version's script.
    pub fn version_of(&self, plugin: &PluginKey, script: &Script) -> Option<&Arc<Script>> {
        self.plugins.get(plugin)?.scripts.values().find(|own| own.chunk_name == script.chunk_name)
    }

    /// The plugins whose code differs from another version's; all of them where only limits or dicts do.
    pub fn changed_since(&self, other: &Self) -> Vec<PluginKey> {
        let code = |plugin: &Arc<CompiledPlugin>| (plugin.spec.phases.clone(), plugin.spec.modules.clone());
        let differs = |key: &PluginKey| self.plugins.get(key).map(code) != other.plugins.get(key).map(code);
        let changed: Vec<_> = self.plugins.keys().filter(|key| differs(key)).cloned().collect();
        if changed.is_empty() { self.plugins.keys().cloned().collect() } else { changed }
    }
}

/// A plugin whose every script compiles.
#[derive(Debug)]
pub struct CompiledPlugin {
    /// As it was pushed.
    pub spec: value::Plugin,
    /// Its scripts.
    pub scripts: BTreeMap<value::Phase, Arc<Script>>,
    /// Its modules' sources by name.
    pub modules: BTreeMap<String, Arc<str>>,
}

/// A route as requests use it.
#[derive(Debug)]
pub struct CompiledRoute {
    /// Its place.
    pub key: RouteKey,
    /// The Ingress that it is from.
    pub ingress: ObjectName,
    /// The Service it names, for logs.
    pub service: String,
    /// What is done with its requests.
    pub action: Action,
    /// Its limits.
    pub policy: RoutePolicy,
    /// Its scripts.
    pub plan: Plan,
    /// Who uses a worker by its requests.
    pub user: u64,
    /// Counts its Ingress's requests.
    pub counters: crate::metrics::RouteCounters,
}

/// What is done with the requests of a route.
#[derive(Debug)]
pub enum Action {
    /// Sent to one of these, by weight.
    Forward(Vec<(Arc<Upstream>, u32)>),
    /// Answered with a status.
    Refuse {
        /// 503, usually.
        status: u16,
        /// For the log.
        reason: String,
    },
}

/// An upstream: policy, and endpoints that change on their own.
#[derive(Debug)]
pub struct Upstream {
    /// Its key in the table.
    pub key: String,
    /// Its policy.
    pub spec: value::Upstream,
    /// Whose turn it is.
    pub turns: Turns,
    /// Its endpoints, shared by every upstream of the same Service port.
    pub endpoints: Arc<ArcSwap<EndpointSet>>,
}

/// The endpoints of a Service port, as requests use them.
#[derive(Debug, Default)]
pub struct EndpointSet {
    /// Where new requests go: the ready ones, or with none ready the draining ones.
    pub active: Vec<std::net::SocketAddr>,
    /// `name:port` of an ExternalName Service.
    pub external: Option<String>,
}

impl From<&value::Endpoints> for EndpointSet {
    fn from(spec: &value::Endpoints) -> Self {
        let of = |state| spec.addresses.iter().filter(move |e| e.state == state).map(|e| e.address);
        let mut active: Vec<_> = of(value::EndpointState::Ready).collect();
        if active.is_empty() {
            active = of(value::EndpointState::Draining).collect();
        }
        Self { active, external: spec.external.clone() }
    }
}

/// The scripts of a route, per phase, in running order. Empty vectors cost a request nothing.
#[derive(Debug, Default)]
pub struct Plan {
    /// `rewrite`
    pub rewrite: Vec<Step>,
    /// `access`
    pub access: Vec<Step>,
    /// `content`: at most one
    pub content: Option<Step>,
    /// `balancer`: at most one
    pub balancer: Option<Step>,
    /// `headerFilter`
    pub header_filter: Vec<Step>,
    /// `bodyFilter`
    pub body_filter: Vec<Step>,
    /// `log`
    pub log: Vec<Step>,
    /// A plugin that must run cannot be had: the route answers 503. Why; for the log.
    pub broken: Option<String>,
    /// Initial values of the variables that its plugins declare.
    pub variables: Vec<(String, Vec<u8>)>,
    /// Whose VMs its scripts run in.
    pub scopes: Vec<Scope>,
}

impl Plan {
    /// Whether any script runs on this route.
    pub fn is_empty(&self) -> bool {
        self.rewrite.is_empty()
            && self.access.is_empty()
            && self.content.is_none()
            && self.balancer.is_none()
            && self.header_filter.is_empty()
            && self.body_filter.is_empty()
            && self.log.is_empty()
    }
}

/// What runs before the route is chosen.
#[derive(Debug, Default)]
pub struct ServerRewrite {
    /// The scripts in running order.
    pub steps: Vec<Step>,
    /// Initial values of the variables that their plugins declare.
    pub variables: Vec<(String, Vec<u8>)>,
}

/// One script to run, with the use that it belongs to.
#[derive(Clone, Debug)]
pub struct Step {
    /// The plugin's use: config, names, failure policy.
    pub used: Arc<PluginUse>,
    /// The script.
    pub script: Arc<Script>,
}

/// A Lua chunk's source. Workers keep the compiled form by `id`.
#[derive(Debug)]
pub struct Script {
    /// Unique in the process.
    pub id: u64,
    /// Content.
    pub hash: Hash,
    /// As scripts' errors show it: the phase as `ngx.get_phase()` spells it.
    pub chunk_name: &'static str,
    /// Lua source.
    pub source: Arc<str>,
}

/// A plugin in use on a route, with its config.
#[derive(Debug)]
pub struct PluginUse {
    /// Unique in the process; workers keep the Lua table of [`PluginUse::meta_json`] by it.
    pub id: u64,
    /// The plugin.
    pub plugin: PluginKey,
    /// Its VM.
    pub scope: Scope,
    /// The config, shared by every route of its binding.
    pub config: Arc<Config>,
    /// Names of the route, shared by every plugin on it.
    pub meta: Arc<Meta>,
    /// What a request gets when it fails.
    pub failure_policy: FailurePolicy,
    /// `limits.cpu`, where the plugin has it.
    pub cpu_per_resume_ms: Option<u64>,
}

/// A binding's config. Workers keep its Lua table by `id`.
pub struct Config {
    /// Unique in the process.
    pub id: u64,
    /// With secrets put in; never printed.
    pub value: serde_json::Value,
    /// The binding's name, for `meta`.
    pub binding: String,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "config of {} [redacted]", self.binding)
    }
}

impl PluginUse {
    /// What the plugin's chunks get as `meta`.
    pub fn meta_json(&self) -> serde_json::Value {
        let mut all = self.meta.names();
        all.insert("plugin".into(), self.plugin.name.to_string().into());
        all.insert("binding".into(), self.config.binding.clone().into());
        serde_json::Value::Object(all)
    }
}

/// Names of a route, shared by the plugins on it.
#[derive(Debug)]
pub struct Meta {
    /// The route's Ingress; none for `serverRewrite` and `init`.
    pub ingress: Option<ObjectName>,
    /// The route; none for `serverRewrite` and `init`.
    pub route: Option<RouteKey>,
    /// The route's Service.
    pub service: String,
}

impl Meta {
    fn names(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut all = serde_json::Map::new();
        if let Some(ingress) = &self.ingress {
            all.insert("namespace".into(), ingress.namespace.clone().into());
            all.insert("ingress".into(), ingress.name.clone().into());
        }
        if let Some(route) = &self.route {
            all.insert("host".into(), route.host.clone().into());
            all.insert("path".into(), route.path.clone().into());
        }
        all.insert("service".into(), self.service.clone().into());
        all
    }
}

/// A number that no other call returns.
pub fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
