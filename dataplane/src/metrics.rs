//! Counters for Prometheus. Labels come from the table or from fixed sets, never from requests; series of plugins and
//! Ingresses are capped, beyond that they count as `other`.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use routing::key::PluginKey;

use crate::error::Kind;
use crate::exchange::Exchange;

/// Series per metric whose labels name objects.
const SERIES_MAX: usize = 2000;

/// Seconds; finer where an ingress lives.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    namespace: String,
    ingress: String,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ErrorLabels {
    kind: String,
    source: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PluginLabels {
    plugin: String,
    phase: &'static str,
    kind: &'static str,
}

/// A process's counters.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    durations: Histogram,
    errors: Family<ErrorLabels, Counter>,
    scripts: Family<PluginLabels, Counter>,
    retries: Counter,
    starved: Counter,
    accept_pauses: Counter,
    handshakes_failed: Counter,
    opened: Counter,
    open: Gauge,
    commits: Counter,
    keys_failed: Gauge,
    table_version: Gauge<u64, AtomicU64>,
    seen: Mutex<HashSet<(String, String)>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut new = Self {
            registry: Mutex::default(),
            requests: Family::default(),
            durations: Histogram::new(BUCKETS),
            errors: Family::default(),
            scripts: Family::default(),
            retries: Counter::default(),
            starved: Counter::default(),
            accept_pauses: Counter::default(),
            handshakes_failed: Counter::default(),
            opened: Counter::default(),
            open: Gauge::default(),
            commits: Counter::default(),
            keys_failed: Gauge::default(),
            table_version: Gauge::default(),
            seen: Mutex::default(),
        };
        new.register();
        new
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = self.registry.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let r = registry.sub_registry_with_prefix("moongate");
        r.register("requests", "Requests by Ingress and class of status", self.requests.clone());
        r.register("request_duration_seconds", "From a request's first byte to its log phase", self.durations.clone());
        r.register("errors", "Requests that ended early, by kind and whose fault", self.errors.clone());
        r.register("lua_failures", "Scripts that failed", self.scripts.clone());
        r.register("upstream_retries", "Tries of upstreams after the first", self.retries.clone());
        r.register("lua_starved", "Requests refused since their namespace used up its share", self.starved.clone());
        r.register("accept_pauses", "Accepting paused for lack of descriptors", self.accept_pauses.clone());
        r.register("tls_handshakes_failed", "TLS handshakes that failed", self.handshakes_failed.clone());
        r.register("connections_opened", "Client connections accepted", self.opened.clone());
        r.register("connections_open", "Client connections open now", self.open.clone());
        r.register("table_commits", "Commits applied", self.commits.clone());
        r.register("table_failed_keys", "Keys that keep an earlier value since the last commit", self.keys_failed.clone());
        r.register("table_version", "Counts changes of the table", self.table_version.clone());
    }

    /// A request's end.
    pub fn request(&self, ex: &Exchange) {
        let (namespace, ingress) = match &ex.route {
            Some(route) => self.bounded(&route.ingress.namespace, &route.ingress.name),
            None => (String::new(), String::new()),
        };
        let status = class(ex.resp.status);
        self.requests.get_or_create(&RequestLabels { namespace, ingress, status }).inc();
        self.durations.observe(ex.started.elapsed().as_secs_f64());
    }

    /// Names as labels, as long as there are not too many.
    fn bounded(&self, namespace: &str, name: &str) -> (String, String) {
        let pair = (namespace.to_owned(), name.to_owned());
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.contains(&pair) {
            return pair;
        }
        if seen.len() >= SERIES_MAX {
            return ("other".into(), "other".into());
        }
        seen.insert(pair.clone());
        pair
    }

    /// A request ended early.
    pub fn error(&self, kind: Kind) {
        let labels = ErrorLabels { kind: format!("{kind:?}"), source: kind.source().as_str() };
        self.errors.get_or_create(&labels).inc();
    }

    /// A script failed.
    pub fn script_failed(&self, plugin: &PluginKey, phase: &'static str, kind: &'static str) {
        let (_, plugin) = self.bounded("plugin", &plugin.to_string());
        self.scripts.get_or_create(&PluginLabels { plugin, phase, kind }).inc();
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
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut out, &registry);
        out
    }
}

fn class(status: u16) -> &'static str {
    match status {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500..600 => "5xx",
        _ => "other",
    }
}
