//! Counters of the controller's stages.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::cluster::Stats;
use crate::store::Kind;
use crate::table::{Step, Translator};

/// From one endpoint's change to ten thousand Ingresses at start.
const BUCKETS: [f64; 12] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0];

/// What the run loop counts.
#[derive(Debug)]
pub(super) struct Metrics {
    objects: Family<KindLabel, Gauge>,
    keys: Gauge,
    problems: Gauge,
    changes: Counter,
    derived: Counter,
    checked: Counter,
    translate: Histogram,
    lag: Histogram,
    leading: Gauge,
    term: Gauge<u64, AtomicU64>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HowLabel {
    how: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            objects: Family::default(),
            keys: Gauge::default(),
            problems: Gauge::default(),
            changes: Counter::default(),
            derived: Counter::default(),
            checked: Counter::default(),
            translate: Histogram::new(BUCKETS),
            lag: Histogram::new(BUCKETS),
            leading: Gauge::default(),
            term: Gauge::default(),
        }
    }
}

impl Metrics {
    pub(super) fn register(&self, stats: &Stats, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("moongate_controller");
        r.register("objects", "Objects in the store", self.objects.clone());
        r.register("table_keys", "Keys of the table", self.keys.clone());
        r.register("problem_objects", "Objects with something wrong", self.problems.clone());
        r.register("changes", "Keys of the table that changed", self.changes.clone());
        r.register("derived", "Times that a key was derived", self.derived.clone());
        r.register("checked", "Times that an object was checked", self.checked.clone());
        r.register_with_unit("translate_duration", "Translation of a batch", Unit::Seconds, self.translate.clone());
        let lag = "From the first event of a batch to its being published";
        r.register_with_unit("watch_lag", lag, Unit::Seconds, self.lag.clone());
        r.register("leading", "1 while this controller leads", self.leading.clone());
        r.register("term", "The term that this controller led with last", self.term.clone());
        let count = |n: u64| {
            let counter: Counter = Counter::default();
            counter.inc_by(n);
            counter
        };
        r.register("watch_events", "Objects that watches told", count(stats.events()));
        r.register("watch_failures", "Lists and watches that failed", count(stats.failures()));
        r.register("watch_relists", "Watches that had to list again", count(stats.relists()));
        let lists = Family::<HowLabel, Counter>::default();
        for (how, n) in [("streamed", stats.streamed()), ("paged", stats.paged())] {
            lists.get_or_create(&HowLabel { how }).inc_by(n);
        }
        r.register("lists", "Lists of watches that came", lists);
        r.register("fetches", "Objects read by name", count(stats.fetches()));
    }

    /// After a batch: what it did, how long it took, and how long ago its first event came.
    pub(super) fn step(&self, step: &Step, took: Duration, lag: Option<Duration>) {
        self.changes.inc_by(step.changes.len() as u64);
        self.derived.inc_by(step.derived as u64);
        self.checked.inc_by(step.checked as u64);
        self.translate.observe(took.as_secs_f64());
        if let Some(lag) = lag {
            self.lag.observe(lag.as_secs_f64());
        }
    }

    pub(super) fn leading(&self, term: Option<u64>) {
        self.leading.set(i64::from(term.is_some()));
        if let Some(term) = term {
            self.term.set(term);
        }
    }

    /// Counts what there is. Looked at when somebody asks.
    pub(super) fn table(&self, table: &Translator) {
        let mut counts = std::collections::HashMap::new();
        for object in table.store().objects() {
            *counts.entry(object.id().kind).or_insert(0) += 1;
        }
        for (kind, name, _) in Kind::ALL {
            let count = counts.get(&kind).copied().unwrap_or(0);
            self.objects.get_or_create(&KindLabel { kind: name }).set(count);
        }
        self.keys.set(i64::try_from(table.len()).unwrap_or(i64::MAX));
        self.problems.set(i64::try_from(table.problem_count()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Metrics, Registry, Stats};

    #[test]
    fn every_metric_is_documented() {
        let mut registry = Registry::default();
        Metrics::default().register(&Stats::default(), &mut registry);
        crate::publish::Metrics::default().register(&mut registry);
        crate::status::Metrics::default().register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        let found: BTreeSet<&str> = types.collect();
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/observability.md");
        let page = std::fs::read_to_string(page).unwrap();
        let section = page.split("## Metrics of a controller\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let rows: BTreeSet<&str> = rows.collect();
        // A family without a series is not printed.
        assert!(found.is_subset(&rows) && found.len() > 15, "{found:?}\n{rows:?}");
    }
}
