use std::collections::BTreeMap;
use std::sync::Arc;

use routing::key::{PluginKey, PluginKind};
use routing::value::{Action, FailurePolicy, Plugin, Route, RoutePolicyOverrides};
use routing::{Change, Commit, Key, ObjectName, PathKind, RouteKey, Value};

use super::SERIES_MAX;
use crate::table::compile::Compiler;
use crate::worker::Shared;

/// A table that changes.
struct Bed {
    shared: Arc<Shared>,
    compiler: Compiler,
}

impl Bed {
    fn new() -> Self {
        let shared = Arc::new(Shared::new(1));
        Self { compiler: Compiler::new(shared.clone()), shared }
    }

    fn commit(&mut self, changes: Vec<Change>) {
        let problems = self.compiler.apply(&Commit { term: 0, counter: 1, changes });
        assert!(problems.is_empty(), "{problems:?}");
    }

    /// The metrics' lines that have this text.
    fn lines(&self, text: &str) -> Vec<String> {
        self.shared.metrics.text().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

fn route(number: usize) -> Key {
    Key::Route(RouteKey { host: format!("{number}.example.com"), kind: PathKind::Prefix, path: "/".into() })
}

/// An Ingress with a route.
fn ingress(number: usize) -> Change {
    let route_of = Route {
        ingress: ObjectName::new("shop", format!("i{number}.")),
        service: String::new(),
        action: Action::Refuse { status: 503, reason: String::new() },
        chains: Vec::new(),
        policy: RoutePolicyOverrides::default(),
    };
    Change::Set(route(number), Arc::new(Value::Route(route_of)))
}

#[test]
fn ingresses_that_come_and_go_make_room_for_one_another() {
    let mut bed = Bed::new();
    bed.commit(vec![ingress(0)]);
    for number in 1..SERIES_MAX + 10 {
        bed.commit(vec![ingress(number), Change::Delete(route(number - 1))]);
        if number == 1 {
            // Counted once more, in the series that it has.
            bed.shared.metrics.route_counters("shop", "i1.").count(200);
        }
    }
    let newest = format!("i{}.", SERIES_MAX + 9);
    assert_eq!(bed.lines(&newest).len(), 6, "a line for each class of status");
    assert_eq!(bed.lines("ingress=\"i").len(), 6, "those of the newest");
    assert_eq!(bed.lines("ingress=\"\"").len(), 6, "and those of requests without a route");
    assert_eq!(bed.lines("other\",status").len(), 0);
}

#[test]
fn beyond_the_most_ingresses_that_are_there_they_count_as_other() {
    let mut bed = Bed::new();
    // One is that of requests without a route.
    bed.commit((1..SERIES_MAX + 3).map(ingress).collect());
    let named = bed.lines("ingress=\"i").len();
    assert_eq!(named, 6 * (SERIES_MAX - 1));
    assert_eq!(bed.lines("ingress=\"other\"").len(), 6);
    // The counters of an Ingress are the same ones while it is there, also when a route of it is compiled again.
    bed.shared.metrics.route_counters("shop", "i1.").count(404);
    bed.commit(vec![ingress(1)]);
    bed.shared.metrics.route_counters("shop", "i1.").count(404);
    let counted = bed.lines("ingress=\"i1.\",status=\"4xx\"");
    assert!(counted[0].ends_with(" 2"), "{counted:?}");
}

#[test]
fn a_request_that_is_under_way_keeps_its_series() {
    let mut bed = Bed::new();
    bed.commit(vec![ingress(1)]);
    let request = bed.shared.metrics.route_counters("shop", "i1.");
    bed.commit(vec![Change::Delete(route(1))]);
    request.count(200);
    let counted = bed.lines("ingress=\"i1.\",status=\"2xx\"");
    assert!(counted[0].ends_with(" 1"), "{counted:?}");
    drop(request);
    assert_eq!(bed.lines("i1.").len(), 0);
}

#[test]
fn plugins_that_are_gone_make_room_for_others() {
    let mut bed = Bed::new();
    let plugin =
        |number: usize| PluginKey { kind: PluginKind::LuaPlugin, name: ObjectName::new("shop", format!("p{number}.")) };
    let spec = || Plugin {
        priority: 0,
        phases: BTreeMap::new(),
        modules: BTreeMap::new(),
        shared_dicts: BTreeMap::new(),
        variables: BTreeMap::new(),
        cpu_per_resume_ms: None,
        failure_policy: FailurePolicy::Fail,
    };
    for number in 0..SERIES_MAX + 10 {
        let mut changes = vec![Change::Set(Key::Plugin(plugin(number)), Arc::new(Value::Plugin(spec())))];
        changes.extend(number.checked_sub(1).map(|gone| Change::Delete(Key::Plugin(plugin(gone)))));
        bed.commit(changes);
        bed.shared.metrics.script_failed(&plugin(number), "access", "runtime");
        bed.shared.metrics.script_failed(&plugin(number), "log", "memory");
    }
    let lines = bed.lines("plugin=");
    assert_eq!(lines.len(), 2, "those of the newest: {lines:?}");
    assert!(lines.iter().all(|line| line.contains(&format!("p{}.", SERIES_MAX + 9))), "{lines:?}");
}
