//! What is held, against a server that is a map.

use proptest::prelude::*;
use routing::key::{BindingKey, ChainKey, PluginKind};
use routing::value::{
    Action, Backend, Balance, Binding, Chain, Endpoints, FailurePolicy, Host, Plugin, Route, RoutePolicyOverrides,
    Upstream, UpstreamProtocol, Use,
};
use routing::{ObjectName, PathKind, RouteKey, Table, names};

use super::*;

/// One route with all that it takes.
const KEYS: usize = 8;

fn name(n: usize) -> ObjectName {
    ObjectName::new("shop", format!("n{n}"))
}

fn plugin_key() -> PluginKey {
    PluginKey { kind: PluginKind::LuaPlugin, name: name(0) }
}

fn chain_key() -> ChainKey {
    ChainKey::Ingress(name(0))
}

fn key(n: usize) -> Key {
    match n {
        0 => Key::Route(RouteKey { host: "a".into(), kind: PathKind::Prefix, path: "/".into() }),
        1 => Key::Chain(chain_key()),
        2 => Key::Plugin(plugin_key()),
        3 => Key::Binding(BindingKey::LuaPluginBinding(name(0))),
        4 => Key::Script(Hash::of_bytes(b"a")),
        5 => Key::Upstream("web".into()),
        6 => Key::Endpoints("web".into()),
        _ => Key::Host("a".into()),
    }
}

/// A value of the key; those with an even number name what there is to name.
fn value(n: usize, v: u8) -> Value {
    let full = v.is_multiple_of(2);
    match n {
        0 => Value::Route(Route {
            ingress: name(v.into()),
            service: String::new(),
            action: match full {
                true => Action::Forward(vec![Backend { upstream: "web".into(), weight: 1 }]),
                false => Action::Refuse { status: 503, reason: v.to_string() },
            },
            chains: if full { vec![chain_key()] } else { Vec::new() },
            policy: RoutePolicyOverrides::default(),
        }),
        1 => {
            let binding = BindingKey::LuaPluginBinding(name(0));
            let used = Use { plugin: plugin_key(), binding, broken: (v > 1).then(|| v.to_string()) };
            Value::Chain(Chain { uses: if full { vec![used] } else { Vec::new() }, if_held: Vec::new() })
        }
        2 => Value::Plugin(Plugin {
            priority: v.into(),
            phases: [(routing::value::Phase::Log, Hash::of_bytes(b"a"))].into_iter().filter(|_| full).collect(),
            modules: BTreeMap::new(),
            shared_dicts: BTreeMap::new(),
            variables: BTreeMap::new(),
            cpu_per_resume_ms: None,
            failure_policy: FailurePolicy::Fail,
        }),
        3 => Value::Binding(Binding { plugin: plugin_key(), config: v.into(), secrets: Vec::new() }),
        4 => Value::Script("a".into()),
        5 => Value::Upstream(Upstream {
            endpoints: "web".into(),
            service: name(0),
            port: v.into(),
            protocol: UpstreamProtocol::Http,
            balance: Balance::RoundRobin,
        }),
        6 => Value::Endpoints(Endpoints { addresses: Vec::new(), external: Some(v.to_string()) }),
        _ => Value::Host(Host { certificate: Some(name(v.into())), tls: true }),
    }
}

fn entry(n: usize, v: u8, stand_in: bool) -> Entry {
    let value = value(n, v);
    Entry { hash: Hash::of(&(&value, stand_in)), needs: Vec::new(), stand_in, value: value.into() }
}

fn good(n: usize, v: u8) -> (usize, Step) {
    (n, Step::Set(entry(n, v, false)))
}

fn keep(n: usize) -> (usize, Step) {
    (n, Step::Keep(Hash::of_bytes(b"keep")))
}

fn delete(n: usize) -> (usize, Step) {
    (n, Step::Delete)
}

/// What is held, and what its server has of it.
#[derive(Default)]
struct Followed {
    held: Held,
    server: Table,
}

impl Followed {
    fn take(&mut self, steps: impl IntoIterator<Item = (usize, Step)>, whole: bool) {
        let batch = Batch(steps.into_iter().map(|(n, step)| (key(n), step)).collect());
        let commit = CommitFrame { term: 1, counter: 1, versions: BTreeMap::new(), whole };
        let mut plan = batch.plan(&self.held, &commit);
        self.server.apply(&std::mem::take(&mut plan.changes));
        self.held.apply(batch, plan, commit, &[]);
        let held = self.held.table.iter().map(|(key, entry)| (key.clone(), entry.value.clone())).collect();
        assert_eq!(self.server, Table(held), "the server has what is held");
    }

    fn has(&self) -> Vec<usize> {
        (0..KEYS).filter(|n| self.held.table.contains_key(&key(*n))).collect()
    }

    fn tells(&self, n: usize) -> Option<Hash> {
        self.held.pairs().into_iter().find(|(told, _)| **told == key(n)).map(|(_, hash)| hash)
    }

    /// A start from what was written.
    fn restart(&mut self) {
        self.held = Held { table: self.held.table.clone(), ..Held::default() };
    }
}

fn whole_table() -> Followed {
    let mut followed = Followed::default();
    followed.take((0..KEYS).map(|n| good(n, 0)), false);
    followed
}

#[test]
fn what_a_kept_value_names_stays_until_it_is_kept_no_more() {
    for whole in [false, true] {
        let mut followed = whole_table();
        // A controller that cannot tell the route has nothing of what only that names.
        let kept = [keep(0), delete(1), delete(2), delete(3), delete(4), delete(5), delete(6), good(7, 0)];
        followed.take(kept.into_iter().filter(|(_, step)| !whole || !matches!(step, Step::Delete)), whole);
        assert_eq!(followed.has(), [0, 1, 2, 3, 4, 5, 6, 7], "{whole}");
        let told = |followed: &Followed| (0..KEYS).filter(|n| followed.tells(*n).is_some()).collect::<Vec<_>>();
        assert_eq!(told(&followed), [0, 7], "else each reconnect would delete it again");
        assert_eq!(followed.tells(0), Some(Hash::of_bytes(b"keep")));
        // It comes back as another.
        followed.take([good(6, 4)], false);
        assert_eq!((followed.has().len(), told(&followed)), (8, vec![0, 6, 7]));
        // A good value that names less; and a value that is gone.
        let mut gone = Followed { held: followed.held.clone(), server: followed.server.clone() };
        followed.take([good(0, 1)], false);
        assert_eq!(followed.has(), [0, 6, 7]);
        gone.take([delete(0), delete(6)], false);
        assert_eq!(gone.has(), [7]);
    }
}

#[test]
fn a_restart_forgets_nothing() {
    let mut followed = whole_table();
    followed.take([keep(2), delete(4)], false);
    followed.restart();
    assert_eq!(followed.tells(2), Some(entry(2, 0, false).hash), "the controller says again that it cannot tell");
    assert!(followed.tells(4).is_some());
    followed.take([keep(2), delete(4)], false);
    assert_eq!(followed.has().len(), KEYS);
    followed.take([delete(2)], false);
    assert_eq!(followed.has(), [0, 1, 3, 5, 6, 7]);
}

#[test]
fn a_stand_in_is_for_who_has_nothing_and_is_not_good() {
    let stand_in = |n, v| (n, Step::Set(entry(n, v, true)));
    let mut followed = Followed::default();
    followed.take([good(0, 0), stand_in(0, 1)], false);
    assert_eq!((followed.tells(0), followed.has()), (Some(entry(0, 1, true).hash), vec![0]));
    followed = whole_table();
    followed.take([stand_in(0, 1), delete(5), delete(6)], false);
    assert_eq!((followed.held.table[&key(0)].clone(), followed.has().len()), (entry(0, 0, false), KEYS));
    let mut empty = Followed::default();
    empty.take([stand_in(0, 1)], false);
    empty.restart();
    empty.take([stand_in(0, 3)], false);
    assert_eq!(empty.held.table[&key(0)], entry(0, 3, true), "over a restart, too");
    empty.take([keep(0)], false);
    assert_eq!((empty.has(), empty.tells(0)), (vec![], Some(Hash::of_bytes(b"keep"))));
    empty.take([delete(0)], false);
    assert_eq!(empty.held.pairs(), []);
}

#[test]
fn a_value_that_is_not_understood_keeps_what_the_last_good_one_names() {
    let mut followed = whole_table();
    followed.take([(0, Step::Unreadable("newer".into())), delete(1), delete(5), delete(6)], false);
    assert_eq!(followed.has().len(), KEYS);
    followed.take([good(0, 1)], false);
    assert_eq!(followed.has(), [0, 2, 3, 4, 7], "{:?}", followed.held.orphans);
}

fn step(n: usize) -> impl Strategy<Value = (usize, Step)> {
    prop_oneof![
        4 => (0..4u8).prop_map(move |v| good(n, v)),
        2 => (0..4u8).prop_map(move |v| (n, Step::Set(entry(n, v, true)))),
        2 => Just(()).prop_map(move |()| keep(n)),
        3 => Just(()).prop_map(move |()| delete(n)),
    ]
}

proptest! {
    /// Whatever comes: the server has what is held, a value that stays keeps what it names, and nothing is left when
    /// everything can be told again.
    #[test]
    fn what_stays_is_whole_and_nothing_else_does(
        batches in prop::collection::vec((prop::collection::vec((0..KEYS).prop_flat_map(step), 0..5), any::<bool>()), 1..20),
        restart in 0..20usize,
    ) {
        let mut followed = whole_table();
        for (n, (steps, whole)) in batches.into_iter().enumerate() {
            if n == restart {
                followed.restart();
            }
            let before = followed.held.table.clone();
            followed.take(steps, whole && n % 3 == 0);
            let held = &followed.held;
            for (key, entry) in held.table.iter().filter(|(key, _)| held.untold.contains_key(*key)) {
                for name in names(key, &entry.value) {
                    let is_kept = held.untold.contains_key(&name) && !held.has_good(&name);
                    prop_assert!(
                        !before.contains_key(&name) || held.table.contains_key(&name) || is_kept,
                        "{name} is gone, {key} names it"
                    );
                }
            }
        }
        followed.take((0..KEYS).filter(|n| n % 2 == 0).map(|n| good(n, 1)), true);
        prop_assert_eq!(followed.has(), [0, 2, 4, 6]);
        prop_assert!(followed.held.orphans.is_empty() && followed.held.untold.is_empty());
    }
}
