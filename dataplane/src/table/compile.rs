//! Applies commits: keeps the raw table, compiles what a change touches, and publishes the next snapshot.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use routing::key::{ChainKey, PluginKey, PluginKind};
use routing::value::{self, Settings};
use routing::{Change, Commit, Key, KeyProblem, RouteKey, Value};

use super::{Action, CompiledRoute, EndpointSet, Meta, Plan, Scope, Snapshot, Upstream, unique};

mod chain;
mod plugin;
mod scope;

use plugin::Plugins;

use crate::lua::vms::user_of;
use crate::upstream::balance::Turns;
use crate::worker::Shared;

/// Compiles commits. One commit at a time; requests only see what it publishes.
pub struct Compiler {
    shared: Arc<Shared>,
    raw: BTreeMap<Key, Arc<Value>>,
    endpoints: HashMap<String, Arc<ArcSwap<EndpointSet>>>,
    /// Endpoints that may have no reader any more.
    unread: BTreeSet<String>,
    upstreams: HashMap<String, Arc<Upstream>>,
    plugins: Plugins,
    reads: Reads,
}

/// Which routes read which keys, so that a change of a key recompiles them and no others.
#[derive(Default)]
struct Reads {
    of_route: HashMap<RouteKey, BTreeSet<Key>>,
    routes_of: HashMap<Key, BTreeSet<RouteKey>>,
}

impl Reads {
    fn replace(&mut self, route: &RouteKey, keys: BTreeSet<Key>) {
        for key in self.of_route.remove(route).into_iter().flatten() {
            if let Some(routes) = self.routes_of.get_mut(&key) {
                routes.remove(route);
                if routes.is_empty() {
                    self.routes_of.remove(&key);
                }
            }
        }
        for key in &keys {
            self.routes_of.entry(key.clone()).or_default().insert(route.clone());
        }
        if !keys.is_empty() {
            self.of_route.insert(route.clone(), keys);
        }
    }
}

/// What a commit touched, gathered before anything is compiled.
#[derive(Default)]
struct Touched {
    routes: BTreeSet<RouteKey>,
    scopes: BTreeSet<Scope>,
    settings: bool,
    server_chains: bool,
}

impl Compiler {
    /// A compiler with an empty table.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            raw: BTreeMap::new(),
            endpoints: HashMap::new(),
            unread: BTreeSet::new(),
            upstreams: HashMap::new(),
            plugins: Plugins::default(),
            reads: Reads::default(),
        }
    }

    /// Applies a commit as one step. What compiles takes effect; a key that fails keeps its last good value.
    pub fn apply(&mut self, commit: &Commit) -> Vec<KeyProblem> {
        // What is compiled from here on has ids above it.
        let before = unique();
        let mut next = Snapshot::clone(&self.shared.snapshot.load());
        next.version += 1;
        let mut problems = Vec::new();
        let mut touched = Touched::default();
        // Leaves first: what routes are compiled from must be there when they are.
        let mut code = BTreeSet::new();
        for change in &commit.changes {
            self.store(change);
            self.note(change, &mut next, &mut touched, &mut code, &mut problems);
        }
        let updated = self.plugins.update(&code, &self.raw, &mut problems);
        for key in updated.code.union(&updated.configs) {
            touched.scopes.insert(scope_of(key));
            self.touch_readers(&Key::Plugin(key.clone()), &mut touched);
        }
        if touched.settings {
            self.apply_settings(&mut next, &mut touched);
        }
        for route in touched.routes {
            self.compile_route(&route, &mut next);
        }
        if touched.server_chains {
            self.compile_server_rewrite(&mut next);
        }
        let are_scopes_touched = !touched.scopes.is_empty();
        for scope in touched.scopes {
            match scope::compile(&scope, &self.plugins, &self.raw, &next.settings) {
                Some(spec) => drop(next.scopes.insert(scope, Arc::new(spec))),
                None => drop(next.scopes.remove(&scope)),
            }
        }
        if are_scopes_touched {
            // Before any request can ask for them.
            self.shared.apply_dicts(&next);
        }
        self.shared.snapshot.store(Arc::new(next));
        self.shared.failures.forget(&updated.configs);
        self.shared.failures.forget_code(&updated.code, before);
        if !updated.code.is_empty() {
            let is_there = |plugin: &PluginKey| self.raw.contains_key(&Key::Plugin(plugin.clone()));
            self.shared.metrics.retain_plugins(is_there);
        }
        self.forget_endpoints();
        problems
    }

    fn store(&mut self, change: &Change) {
        match change {
            Change::Set(key, value) => drop(self.raw.insert(key.clone(), value.clone())),
            Change::Delete(key) => drop(self.raw.remove(key)),
        }
    }

    /// One change's direct effect, and what else must be compiled for it.
    fn note(
        &mut self,
        change: &Change,
        next: &mut Snapshot,
        touched: &mut Touched,
        code: &mut BTreeSet<Key>,
        problems: &mut Vec<KeyProblem>,
    ) {
        let key = change.key();
        match (key, self.raw.get(key).map(Arc::as_ref)) {
            (Key::Settings, _) => touched.settings = true,
            (Key::Host(host), Some(Value::Host(value))) => {
                next.hosts.insert(host.clone(), Arc::new(value.clone()));
            }
            (Key::Host(host), _) => drop(next.hosts.remove(host)),
            (Key::Route(route), _) => drop(touched.routes.insert(route.clone())),
            (Key::Endpoints(name), value) => {
                let set = match value {
                    Some(Value::Endpoints(value)) => EndpointSet::from(value),
                    _ => EndpointSet::default(),
                };
                self.endpoints_of(name).store(Arc::new(set));
                if !self.raw.contains_key(key) {
                    self.unread.insert(name.clone());
                }
            }
            (Key::Upstream(name), value) => {
                let spec = match value {
                    Some(Value::Upstream(spec)) => Some(spec.clone()),
                    _ => None,
                };
                self.set_upstream(name, spec);
                self.touch_readers(key, touched);
            }
            (Key::Certificate(name), Some(Value::Certificate(value))) => match crate::tls::load(value) {
                Ok(loaded) => {
                    self.shared.metrics.certificate(name, loaded.not_after);
                    next.certificates.insert(name.clone(), Arc::new(loaded));
                }
                Err(e) => problems.push(KeyProblem { key: key.clone(), message: e.to_string() }),
            },
            (Key::Certificate(name), _) => {
                self.shared.metrics.certificate_gone(name);
                next.certificates.remove(name);
            }
            (Key::Namespace(name), value) => {
                let name: Arc<str> = name.as_str().into();
                match value {
                    Some(Value::Namespace(value)) => drop(next.reach.insert(name.clone(), Arc::new(value.into()))),
                    _ => drop(next.reach.remove(&name)),
                }
                touched.scopes.insert(Scope::Namespace(name));
            }
            (Key::Chain(_), _) => self.touch_readers(key, touched),
            (Key::Plugin(_) | Key::Script(_) | Key::Binding(_), _) => drop(code.insert(key.clone())),
        }
    }

    fn touch_readers(&self, key: &Key, touched: &mut Touched) {
        if let Some(routes) = self.reads.routes_of.get(key) {
            touched.routes.extend(routes.iter().cloned());
        }
        touched.server_chains |= matches!(key, Key::Chain(_) | Key::Plugin(_));
    }

    fn apply_settings(&self, next: &mut Snapshot, touched: &mut Touched) {
        let settings = match self.raw.get(&Key::Settings).map(Arc::as_ref) {
            Some(Value::Settings(settings)) => (**settings).clone(),
            _ => Settings::default(),
        };
        next.settings = Arc::new(settings);
        self.shared.apply_budget(next);
        touched.server_chains = true;
        touched.scopes.extend(next.scopes.keys().cloned());
        let routes = self.raw.keys().filter_map(|k| match k {
            Key::Route(route) => Some(route.clone()),
            _ => None,
        });
        touched.routes.extend(routes);
    }

    fn endpoints_of(&mut self, name: &str) -> Arc<ArcSwap<EndpointSet>> {
        self.endpoints.entry(name.to_owned()).or_default().clone()
    }

    /// Endpoints that are neither in the table nor read by an upstream. A worker that has yet to look at the new
    /// snapshot may hold one for a while: it is looked at again with the next commit.
    fn forget_endpoints(&mut self) {
        let Self { unread, endpoints, raw, .. } = self;
        unread.retain(|name| {
            if raw.contains_key(&Key::Endpoints(name.clone())) {
                return false;
            }
            let read = endpoints.get(name).is_some_and(|set| Arc::strong_count(set) > 1);
            if !read {
                endpoints.remove(name);
            }
            read
        });
    }

    fn set_upstream(&mut self, name: &str, spec: Option<value::Upstream>) {
        match spec {
            None => self.unread.extend(self.upstreams.remove(name).map(|gone| gone.spec.endpoints.clone())),
            Some(spec) => {
                let endpoints = self.endpoints_of(&spec.endpoints);
                let turns = Turns::new(self.shared.workers);
                let upstream = Upstream { key: name.to_owned(), spec, turns, endpoints };
                let earlier = self.upstreams.insert(name.to_owned(), Arc::new(upstream));
                self.unread.extend(earlier.map(|gone| gone.spec.endpoints.clone()));
            }
        }
    }

    fn compile_route(&mut self, key: &RouteKey, next: &mut Snapshot) {
        let mut reads = BTreeSet::new();
        match self.raw.get(&Key::Route(key.clone())).map(Arc::as_ref) {
            Some(Value::Route(route)) => {
                let compiled = self.route(key, route, &next.settings, &mut reads);
                next.router.set(key, Arc::new(compiled));
            }
            _ => drop(next.router.remove(key)),
        }
        self.reads.replace(key, reads);
    }

    fn route(
        &self,
        key: &RouteKey,
        route: &value::Route,
        settings: &Settings,
        reads: &mut BTreeSet<Key>,
    ) -> CompiledRoute {
        let meta = Arc::new(Meta {
            ingress: Some(route.ingress.clone()),
            route: Some(key.clone()),
            service: route.service.clone(),
        });
        CompiledRoute {
            key: key.clone(),
            ingress: route.ingress.clone(),
            service: route.service.clone(),
            action: self.action(&route.action, reads),
            policy: route.policy.over(&settings.http.route),
            plan: self.plan(&route.chains, &meta, reads),
            user: user_of(&Scope::Namespace(route.ingress.namespace.as_str().into())),
            counters: self.shared.metrics.route_counters(&route.ingress.namespace, &route.ingress.name),
        }
    }

    fn action(&self, action: &value::Action, reads: &mut BTreeSet<Key>) -> Action {
        let backends = match action {
            value::Action::Refuse { status, reason } => {
                return Action::Refuse { status: *status, reason: reason.clone() };
            }
            value::Action::Forward(backends) => backends,
        };
        let mut upstreams = Vec::with_capacity(backends.len());
        for backend in backends {
            reads.insert(Key::Upstream(backend.upstream.clone()));
            match self.upstreams.get(&backend.upstream) {
                Some(upstream) => upstreams.push((upstream.clone(), backend.weight)),
                None => tracing::warn!(target: "table", "the upstream {} is not in the table", backend.upstream),
            }
        }
        if upstreams.is_empty() {
            return Action::Refuse { status: 503, reason: "the route's upstream is not in the table".into() };
        }
        Action::Forward(upstreams)
    }

    fn plan(&self, chains: &[ChainKey], meta: &Arc<Meta>, reads: &mut BTreeSet<Key>) -> Plan {
        chain::plan(chains, meta, &self.raw, &self.plugins, reads)
    }

    fn compile_server_rewrite(&self, next: &mut Snapshot) {
        let meta = Arc::new(Meta { ingress: None, route: None, service: String::new() });
        let chains = next.settings.server_chains.clone();
        let steps = chain::server_rewrite(&chains, &meta, &self.raw, &self.plugins);
        next.server_rewrite = Arc::new(steps);
    }

    /// Whether a plugin's current version does not compile.
    pub fn is_failing(&self, plugin: &PluginKey) -> bool {
        self.plugins.is_failing(plugin)
    }
}

/// The VM that a plugin's scripts run in.
fn scope_of(plugin: &PluginKey) -> Scope {
    match plugin.kind {
        PluginKind::ClusterLuaPlugin => Scope::Operator,
        PluginKind::LuaPlugin => Scope::Namespace(plugin.name.namespace.as_str().into()),
    }
}
