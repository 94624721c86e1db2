//! Counters for Prometheus. Labels come from the table or from fixed sets, never from requests; series of plugins and
//! Ingresses are capped, beyond that they count as `other`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use routing::ObjectName;
use routing::key::PluginKey;

mod durations;
mod series;
mod vms;

use durations::Durations;
pub use series::RouteCounters;
use series::{Requests, Scripts};
pub use vms::{CountedVm, VmMetrics};

use crate::error::Kind;
use crate::exchange::Exchange;

/// Series per metric whose labels name objects.
const SERIES_MAX: usize = 2000;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ErrorLabels {
    kind: String,
    source: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SecretLabels {
    namespace: String,
    secret: String,
}

impl SecretLabels {
    fn new(secret: &ObjectName) -> Self {
        Self { namespace: secret.namespace.clone(), secret: secret.name.clone() }
    }
}

/// A process's counters.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Requests,
    durations: Durations,
    unrouted: RouteCounters,
    errors: Family<ErrorLabels, Counter>,
    scripts: Scripts,
    /// Lua VMs.
    pub vms: VmMetrics,
    retries: Counter,
    starved: Counter,
    accept_pauses: Counter,
    handshakes_failed: Counter,
    opened: Counter,
    open: Gauge,
    commits: Counter,
    keys_failed: Gauge,
    table_version: Gauge<u64, AtomicU64>,
    certificates: Family<SecretLabels, Gauge>,
    certificate_count: AtomicUsize,
}

impl Default for Metrics {
    fn default() -> Self {
        let requests = Requests::default();
        let mut new = Self {
            registry: Mutex::default(),
            unrouted: requests.of("", ""),
            requests,
            durations: Durations::default(),
            errors: Family::default(),
            scripts: Scripts::default(),
            vms: VmMetrics::default(),
            retries: Counter::default(),
            starved: Counter::default(),
            accept_pauses: Counter::default(),
            handshakes_failed: Counter::default(),
            opened: Counter::default(),
            open: Gauge::default(),
            commits: Counter::default(),
            keys_failed: Gauge::default(),
            table_version: Gauge::default(),
            certificates: Family::default(),
            certificate_count: AtomicUsize::new(0),
        };
        new.register();
        new
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = self.registry.get_mut().unwrap_or_else(PoisonError::into_inner);
        let r = registry.sub_registry_with_prefix("moongate");
        self.requests.register(r);
        r.register("request_duration_seconds", "From a request's first byte to its log phase", self.durations.clone());
        r.register("errors", "Requests that ended early, by kind and whose fault", self.errors.clone());
        self.scripts.register(r);
        self.vms.register(r);
        r.register("upstream_retries", "Tries of upstreams after the first", self.retries.clone());
        r.register("lua_starved", "Requests refused since their namespace used up its share", self.starved.clone());
        r.register("accept_pauses", "Accepting paused for lack of descriptors", self.accept_pauses.clone());
        r.register("tls_handshakes_failed", "TLS handshakes that failed", self.handshakes_failed.clone());
        r.register("connections_opened", "Client connections accepted", self.opened.clone());
        r.register("connections_open", "Client connections open now", self.open.clone());
        r.register("table_commits", "Commits applied", self.commits.clone());
        r.register(
            "table_failed_keys",
            "Keys that keep an earlier value since the last commit",
            self.keys_failed.clone(),
        );
        r.register(
            "certificate_expiry_timestamp_seconds",
            "Until when each certificate in the table is valid, since the epoch",
            self.certificates.clone(),
        );
        r.register("table_version", "Counts changes of the table", self.table_version.clone());
    }

    /// Adds what another part of the process counts.
    pub fn add(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The counters of an Ingress's requests, found once, when its routes are compiled.
    pub fn route_counters(&self, namespace: &str, ingress: &str) -> RouteCounters {
        self.requests.of(namespace, ingress)
    }

    /// A request's end. Takes no lock: it is on the path of every request.
    pub fn request(&self, ex: &Exchange) {
        ex.route.as_ref().map_or(&self.unrouted, |r| &r.counters).count(ex.resp.status);
        self.durations.observe(crate::clock::now().saturating_duration_since(ex.started));
    }

    /// A request ended early.
    pub fn error(&self, kind: Kind) {
        let labels = ErrorLabels { kind: format!("{kind:?}"), source: kind.source().as_str() };
        self.errors.get_or_create(&labels).inc();
    }

    /// A script failed.
    pub fn script_failed(&self, plugin: &PluginKey, phase: &'static str, kind: &'static str) {
        self.scripts.failed(plugin, phase, kind);
    }

    /// Plugins changed: forgets those that are not in the table.
    pub fn retain_plugins(&self, is_there: impl Fn(&PluginKey) -> bool) {
        self.scripts.retain(is_there);
    }

    /// Until when a certificate in the table is valid. Beyond [`SERIES_MAX`] certificates it is not told. (Commits are
    /// applied one at a time, so looking and adding need not be one step.)
    pub fn certificate(&self, secret: &ObjectName, not_after: i64) {
        let labels = SecretLabels::new(secret);
        let is_new = self.certificates.get(&labels).is_none();
        if is_new && self.certificate_count.load(Ordering::Relaxed) >= SERIES_MAX {
            return;
        }
        self.certificate_count.fetch_add(usize::from(is_new), Ordering::Relaxed);
        self.certificates.get_or_create(&labels).set(not_after);
    }

    /// A certificate left the table.
    pub fn certificate_gone(&self, secret: &ObjectName) {
        if self.certificates.remove(&SecretLabels::new(secret)) {
            self.certificate_count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Another try of an upstream.
    pub fn retry(&self) {
        self.retries.inc();
    }

    /// A request was refused since its namespace used up its share.
    pub fn starved(&self) {
        self.starved.inc();
    }

    /// Accepting paused.
    pub fn accept_paused(&self) {
        self.accept_pauses.inc();
    }

    /// A TLS handshake failed.
    pub fn handshake_failed(&self) {
        self.handshakes_failed.inc();
    }

    /// A client connected.
    pub fn connection_opened(&self) {
        self.opened.inc();
        self.open.inc();
    }

    /// A client's connection ended.
    pub fn connection_closed(&self) {
        self.open.dec();
    }

    /// A commit was applied.
    pub fn committed(&self, version: u64, failed: usize) {
        self.commits.inc();
        self.table_version.set(version);
        self.keys_failed.set(i64::try_from(failed).unwrap_or(i64::MAX));
    }

    /// Everything in the text format.
    pub fn text(&self) -> String {
        self.requests.tidy();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut out, &registry);
        out
    }
}
