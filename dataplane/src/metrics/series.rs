//! Series whose labels name objects of the table. There is room for so many objects; one that is gone from the table makes
//! room for another, and its series go with the next look at the metrics.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use routing::key::PluginKey;

use super::SERIES_MAX;

/// What an object is called that there is no room for.
const OTHER: &str = "other";

const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    namespace: String,
    ingress: String,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PluginLabels {
    plugin: String,
    phase: &'static str,
    kind: &'static str,
}

/// Requests of an Ingress, by class of status. Its routes hold it, and requests their route: so it is gone when it is in
/// no table any more and its last request has ended.
#[derive(Clone, Debug)]
pub struct RouteCounters(Arc<OfIngress>);

#[derive(Debug)]
struct OfIngress {
    by_class: [Counter; CLASSES.len()],
    /// To be set when this is dropped.
    some_are_gone: Arc<AtomicBool>,
}

impl Drop for OfIngress {
    fn drop(&mut self) {
        // No more than this, since it may be a request's end.
        self.some_are_gone.store(true, Ordering::Release);
    }
}

impl RouteCounters {
    /// Counts a request that ended with this status. Takes no lock: it is on the path of every request.
    pub(super) fn count(&self, status: u16) {
        let class = if (100..600).contains(&status) { usize::from(status / 100) } else { 0 };
        self.0.by_class[class].inc();
    }
}

/// Requests by Ingress.
#[derive(Default)]
pub(super) struct Requests {
    family: Family<RequestLabels, Counter>,
    known: Mutex<HashMap<(String, String), Weak<OfIngress>>>,
    some_are_gone: Arc<AtomicBool>,
}

impl Requests {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Requests by Ingress and class of status", self.family.clone());
    }

    /// The counters of an Ingress: the same ones as long as anybody holds them.
    pub(super) fn of(&self, namespace: &str, ingress: &str) -> RouteCounters {
        let names = (namespace.to_owned(), ingress.to_owned());
        let mut known = lock(&self.known);
        if let Some(counters) = known.get(&names).and_then(Weak::upgrade) {
            return RouteCounters(counters);
        }
        if known.len() >= SERIES_MAX {
            self.forget_gone(&mut known);
        }
        if known.len() >= SERIES_MAX && !known.contains_key(&names) {
            return RouteCounters(Arc::new(self.counters(OTHER, OTHER)));
        }
        let counters = Arc::new(self.counters(namespace, ingress));
        if (namespace, ingress) != (OTHER, OTHER) {
            known.insert(names, Arc::downgrade(&counters));
        }
        RouteCounters(counters)
    }

    fn counters(&self, namespace: &str, ingress: &str) -> OfIngress {
        let by_class = CLASSES.map(|status| {
            let labels = RequestLabels { namespace: namespace.to_owned(), ingress: ingress.to_owned(), status };
            self.family.get_or_create(&labels).clone()
        });
        OfIngress { by_class, some_are_gone: self.some_are_gone.clone() }
    }

    /// Before a look at the metrics.
    pub(super) fn tidy(&self) {
        self.forget_gone(&mut lock(&self.known));
    }

    fn forget_gone(&self, known: &mut HashMap<(String, String), Weak<OfIngress>>) {
        if !self.some_are_gone.swap(false, Ordering::AcqRel) {
            return;
        }
        known.retain(|(namespace, ingress), counters| {
            let is_there = counters.strong_count() > 0;
            for status in CLASSES.iter().filter(|_| !is_there) {
                let labels = RequestLabels { namespace: namespace.clone(), ingress: ingress.clone(), status };
                self.family.remove(&labels);
            }
            is_there
        });
    }
}

/// Failures of scripts, by plugin.
#[derive(Default)]
pub(super) struct Scripts {
    family: Family<PluginLabels, Counter>,
    /// Plugins that failed, and how.
    known: Mutex<HashMap<PluginKey, BTreeSet<(&'static str, &'static str)>>>,
}

impl Scripts {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("lua_failures", "Scripts that failed", self.family.clone());
    }

    /// One failed.
    pub(super) fn failed(&self, plugin: &PluginKey, phase: &'static str, kind: &'static str) {
        let mut known = lock(&self.known);
        let has_room = known.len() < SERIES_MAX || known.contains_key(plugin);
        if has_room {
            known.entry(plugin.clone()).or_default().insert((phase, kind));
        }
        let plugin = if has_room { plugin.to_string() } else { OTHER.to_owned() };
        self.family.get_or_create(&PluginLabels { plugin, phase, kind }).inc();
    }

    /// Forgets plugins that are not in the table.
    pub(super) fn retain(&self, is_there: impl Fn(&PluginKey) -> bool) {
        lock(&self.known).retain(|plugin, how| {
            let stays = is_there(plugin);
            for (phase, kind) in how.iter().filter(|_| !stays) {
                self.family.remove(&PluginLabels { plugin: plugin.to_string(), phase, kind });
            }
            stays
        });
    }
}

/// A poisoned lock means that a thread panicked between two whole states of a map.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
