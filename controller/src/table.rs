//! The published table, and how it follows the store.
//!
//! A goal (a key, or a check of an object) is derived while something needs it: the store's facts make the roots
//! (routes that are claimed, hosts that are named, objects to check), and values name further keys (a route its chains
//! and upstreams, a chain its plugins, ...). A change re-derives the goals that have read a fact that is different now,
//! and no others.

mod dependents;
mod nodes;
mod problems;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::layered::Map;
use crate::problem::{ObjectRef, Problem};
use crate::reader::{Goal, Input, NotPublished, Outcome, Published, Reader, Record};
use crate::store::object::plugin_id;
use crate::store::{Fact, Kind, ObjectId, Store, Update};
use crate::translate::{self, Options};
use dependents::{Dependents, FactId, NodeId};
use nodes::Nodes;
use problems::Problems;
use routing::{Change, Key, Table, Value};

/// The store, and the table that is derived from it.
pub type Translator = Layered<'static>;

/// The store, and the table that is derived from it; or what would be different of another's.
#[derive(Debug)]
pub struct Layered<'a> {
    options: Options,
    store: Store<'a>,
    nodes: Nodes<'a>,
    ids: Map<'a, Goal, NodeId>,
    dependents: Dependents<'a>,
    problems: Problems<'a>,
}

/// A goal that is needed, and what is known about it.
#[derive(Clone, Debug)]
struct Node {
    goal: Goal,
    input: Input,
    /// The store's facts ask for it.
    is_root: bool,
    /// How many values name it.
    namers: u32,
    value: Option<Arc<Value>>,
    /// The value cannot be told, and there is no earlier one: `value` stands in for it, if anything does.
    is_stand_in: bool,
    reads: Vec<FactId>,
    names: Vec<NodeId>,
    problems: Vec<Problem>,
}

/// What a change of the store does.
#[derive(Debug, Default)]
pub struct Step {
    /// To the table, in key order; at most one per key, and none that changes nothing.
    pub changes: Vec<Change>,
    /// The same for keys of which only whether they are stand-ins is another.
    pub retold: Vec<Change>,
    /// Of the keys of both, the ones whose value cannot be told and was never known here: what is set, or that nothing is,
    /// stands in for it. Who has a value of such a key keeps it.
    pub stand_ins: BTreeSet<Key>,
    /// The objects whose problems are others than before, with all their problems.
    pub problems: BTreeMap<ObjectRef, Vec<Problem>>,
    /// The objects that were checked: what holds for them as a whole, such as an Ingress's class, may be different.
    pub looked_at: BTreeSet<ObjectId>,
    /// How many times a key was derived.
    pub derived: usize,
    /// How many times an object was checked.
    pub checked: usize,
}

/// What is under way within one change.
#[derive(Default)]
struct Work {
    step: Step,
    /// Goals to derive; the rank puts what others ask about before them.
    queue: BTreeSet<(u8, NodeId)>,
    /// Goals that may have lost their last reason to be.
    orphans: Vec<NodeId>,
    /// What keys had when the change began, of those that were touched: the value, and whether it was a stand-in.
    before: BTreeMap<Key, (Option<Arc<Value>>, bool)>,
}

impl<'l> Layered<'l> {
    /// An empty store, whose table has the default settings.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            store: Store::default(),
            nodes: Nodes::default(),
            ids: Map::default(),
            dependents: Dependents::default(),
            problems: Problems::default(),
        }
    }

    /// The same, to be changed without it: for what would be.
    pub fn over(base: &'l Layered<'l>) -> Self {
        Self {
            options: base.options.clone(),
            store: Store::over(&base.store),
            nodes: Nodes::over(&base.nodes),
            ids: Map::over(&base.ids),
            dependents: Dependents::over(&base.dependents),
            problems: Problems::over(&base.problems),
        }
    }

    /// Applies updates to the store, and makes the table follow.
    pub fn change(&mut self, updates: impl IntoIterator<Item = Update>) -> Step {
        let touched: BTreeSet<Fact> = updates.into_iter().flat_map(|update| self.store.update(update)).collect();
        let mut work = Work::default();
        self.set_root(Goal::Key(Key::Settings), true, &mut work);
        for fact in &touched {
            if let Some(goal) = root(fact) {
                self.set_root(goal, self.store.says(fact), &mut work);
            }
            self.touch(fact, &mut work);
        }
        loop {
            if let Some((_, id)) = work.queue.pop_first() {
                self.derive(id, &mut work);
            } else if let Some(id) = work.orphans.pop() {
                self.drop_orphan(id, &mut work);
            } else {
                break;
            }
        }
        self.finish(work)
    }

    /// What is wrong with an object of a kind whose problems its own check tells, if it were as this. The table does not
    /// follow, so that a change on which ten thousand routes depend costs no more than any other.
    pub fn check(&mut self, object: crate::store::Object) -> Vec<Problem> {
        let id = object.id();
        self.store.update(Update::Apply(object));
        let reader = Reader::new(&self.store, self);
        translate::derive(&Goal::Check(id.clone()), &Input::None, &self.options, &reader);
        let told = reader.finish().0.problems.into_iter().filter(|problem| problem.object == id.reference());
        told.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The value of a key.
    pub fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.node(key)?.value.as_ref()
    }

    fn node(&self, key: &Key) -> Option<&Node> {
        self.nodes.get(*self.ids.get(&Goal::Key(key.clone()))?)
    }

    /// The whole table.
    pub fn table(&self) -> Table {
        Table(self.values().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// Every key and its value, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.nodes.iter().filter_map(|node| match (&node.goal, &node.value) {
            (Goal::Key(key), Some(value)) => Some((key, value)),
            _ => None,
        })
    }

    /// What the derivations as they stand have read.
    pub fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.dependents.facts()
    }

    /// How many keys have a value.
    pub fn len(&self) -> usize {
        self.nodes.iter().filter(|node| matches!(node.goal, Goal::Key(_)) && node.value.is_some()).count()
    }

    /// Whether no key has one: only before the first change.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many objects have a problem.
    pub fn problem_count(&self) -> usize {
        self.problems.count()
    }

    /// The problems of all objects.
    pub fn problems(&self) -> Vec<Problem> {
        self.problems.all()
    }

    /// The problems of an object.
    pub fn problems_of(&self, object: &ObjectRef) -> Vec<Problem> {
        self.problems.of(object)
    }

    /// The class of an Ingress, if it is one that has our controller: others' are not ours to write a status to or to
    /// refuse, even where we serve them.
    pub fn own_class(&self, ingress: &routing::ObjectName) -> Option<String> {
        translate::own_class(ingress, &self.options, &Reader::new(&self.store, self))
    }

    /// The objects.
    pub fn store(&self) -> &Store<'l> {
        &self.store
    }

    /// What it was made with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    fn set_root(&mut self, goal: Goal, is_root: bool, work: &mut Work) {
        let id = match (self.ids.get(&goal), is_root) {
            (Some(id), _) => *id,
            (None, true) => self.add(goal, Input::None, work),
            (None, false) => return,
        };
        self.nodes[id].is_root = is_root;
        if !is_root {
            work.orphans.push(id);
        }
    }

    fn add(&mut self, goal: Goal, input: Input, work: &mut Work) -> NodeId {
        let (reads, names, problems) = (Vec::new(), Vec::new(), Vec::new());
        let (value, is_stand_in) = (None, false);
        let node =
            Node { goal: goal.clone(), input, is_root: false, namers: 0, value, is_stand_in, reads, names, problems };
        let id = self.nodes.insert(node);
        work.queue.insert((rank(&goal), id));
        self.ids.insert(goal, id);
        id
    }

    /// Queues who has read a fact.
    fn touch(&self, fact: &Fact, work: &mut Work) {
        work.queue.extend(self.dependents.of(fact).map(|id| (rank(&self.nodes[id].goal), id)));
    }

    fn derive(&mut self, id: NodeId, work: &mut Work) {
        let node = &self.nodes[id];
        match &node.goal {
            Goal::Key(_) => work.step.derived += 1,
            Goal::Check(object) => {
                work.step.checked += 1;
                work.step.looked_at.insert(object.clone());
            }
        }
        let reader = Reader::new(&self.store, self);
        let outcome = translate::derive(&node.goal, &node.input, &self.options, &reader);
        let (record, is_unknown) = reader.finish();
        let outcome = match outcome {
            Outcome::Set(value) if is_unknown => Outcome::Keep(Some(value)),
            Outcome::Absent if is_unknown => Outcome::Keep(None),
            known => known,
        };
        let can_tell = !matches!(outcome, Outcome::Keep(_));
        let is_kept = !can_tell && node.value.is_some() && !node.is_stand_in;
        let value = match outcome {
            Outcome::Keep(_) if is_kept => node.value.clone(),
            Outcome::Set(value) | Outcome::Keep(Some(value)) => Some(Arc::new(value)),
            Outcome::Absent | Outcome::Keep(None) => None,
        };
        let why_not = self.nodes[id].why_not();
        self.record(id, record, is_kept, work);
        self.set_value(id, value, !can_tell && !is_kept, work);
        if let (Goal::Key(key), true) = (&self.nodes[id].goal, self.nodes[id].why_not() != why_not) {
            self.touch(&Fact::Published(key.clone()), work);
        }
    }

    /// Takes over what a derivation read, named and told.
    fn record(&mut self, id: NodeId, record: Record, is_kept: bool, work: &mut Work) {
        let mut names = Vec::with_capacity(record.names.len());
        for (key, input) in record.names {
            let goal = Goal::Key(key);
            let named = match self.ids.get(&goal) {
                Some(id) => *id,
                None => self.add(goal, input, work),
            };
            self.nodes[named].namers += 1;
            names.push(named);
        }
        let node = &mut self.nodes[id];
        node.reads = self.dependents.record(id, &node.reads, record.reads);
        self.problems.replace(id, &node.problems, &record.problems);
        node.problems = record.problems;
        let mut gone = std::mem::replace(&mut node.names, names);
        if is_kept {
            // The value that stays names what it named.
            std::mem::swap(&mut node.names, &mut gone);
            let (again, more): (Vec<_>, Vec<_>) = gone.into_iter().partition(|named| node.names.contains(named));
            node.names.extend(more);
            gone = again;
        }
        self.unname(gone, work);
    }

    fn unname(&mut self, names: Vec<NodeId>, work: &mut Work) {
        for named in names {
            self.nodes[named].namers -= 1;
            if self.nodes[named].namers == 0 {
                work.orphans.push(named);
            }
        }
    }

    fn set_value(&mut self, id: NodeId, value: Option<Arc<Value>>, is_stand_in: bool, work: &mut Work) {
        let node = &mut self.nodes[id];
        let Goal::Key(key) = &node.goal else { return };
        if node.value == value && node.is_stand_in == is_stand_in {
            return;
        }
        let key = key.clone();
        let value = std::mem::replace(&mut node.value, value);
        let is_stand_in = std::mem::replace(&mut node.is_stand_in, is_stand_in);
        work.before.entry(key).or_insert((value, is_stand_in));
    }

    fn drop_orphan(&mut self, id: NodeId, work: &mut Work) {
        let is_needed = |node: &Node| node.is_root || node.namers > 0;
        if self.nodes.get(id).is_none_or(is_needed) {
            return;
        }
        self.record(id, Record::default(), false, work);
        self.set_value(id, None, false, work);
        let Some(node) = self.nodes.remove(id) else { return };
        work.queue.remove(&(rank(&node.goal), id));
        self.ids.remove(&node.goal);
        if let Goal::Key(key) = node.goal {
            self.touch(&Fact::Published(key), work);
        }
    }

    fn finish(&mut self, mut work: Work) -> Step {
        for (key, (before, was_stand_in)) in work.before {
            let node = self.node(&key);
            let now = node.and_then(|node| node.value.as_ref());
            let is_stand_in = node.is_some_and(|node| node.is_stand_in);
            let changes = match (before.as_ref() == now, was_stand_in == is_stand_in) {
                (true, true) => continue,
                (true, false) => &mut work.step.retold,
                (false, _) => &mut work.step.changes,
            };
            if is_stand_in {
                work.step.stand_ins.insert(key.clone());
            }
            changes.push(match now {
                Some(value) => Change::Set(key, value.clone()),
                None => Change::Delete(key),
            });
        }
        work.step.problems = self.problems.take_changed();
        work.step
    }
}

impl Node {
    /// Why it has no value: its first problem.
    fn why_not(&self) -> Option<NotPublished> {
        let why = || self.problems.first().map_or(String::new(), |p| p.message.clone());
        self.value.is_none().then(|| NotPublished { why: why(), is_kept: self.is_stand_in })
    }
}

impl Published for Layered<'_> {
    fn published(&self, key: &Key) -> Result<(), NotPublished> {
        match self.node(key).map(Node::why_not) {
            Some(None) => Ok(()),
            Some(Some(why_not)) => Err(why_not),
            None => Err(NotPublished::default()),
        }
    }
}

/// What the existence of a fact asks for.
fn root(fact: &Fact) -> Option<Goal> {
    let check = |kind, name: &routing::ObjectName| Some(Goal::Check(ObjectId::new(kind, name.clone())));
    match fact {
        Fact::Claims(key) => Some(Goal::Key(Key::Route(key.clone()))),
        Fact::Hosts(host) | Fact::Tls(host) => Some(Goal::Key(Key::Host(host.clone()))),
        Fact::Ingress(name) => check(Kind::Ingress, name),
        Fact::Class(name) => check(Kind::IngressClass, &routing::ObjectName::cluster(name)),
        Fact::Config(name) => check(Kind::MoongateConfig, &routing::ObjectName::cluster(name)),
        Fact::Plugin(key) => Some(Goal::Check(plugin_id(key))),
        Fact::Binding(routing::key::BindingKey::LuaPluginBinding(name)) => check(Kind::LuaPluginBinding, name),
        Fact::Binding(routing::key::BindingKey::ClusterLuaPluginBinding(name)) => {
            check(Kind::ClusterLuaPluginBinding, name)
        }
        _ => None,
    }
}

/// Who asks whether others are published comes after them. Only the order depends on it, never the result.
fn rank(goal: &Goal) -> u8 {
    match goal {
        Goal::Key(Key::Plugin(_)) => 0,
        Goal::Key(Key::Binding(_)) => 1,
        Goal::Key(Key::Chain(_)) => 2,
        Goal::Key(_) => 3,
        Goal::Check(_) => 4,
    }
}
