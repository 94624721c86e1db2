//! From the events of all watches to batches.

mod named;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use routing::ObjectName;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use super::referenced::Referenced;
use super::resource::{self, Content, Item, Watched};
use super::source::{Event, Source};
use super::{Batch, Scope, Stats, Why};
use crate::problem::Problem;
use crate::status::Meta;
use crate::store::object::IngressClass;
use crate::store::{Kind, Object, ObjectId, Update};

/// Fetches at a time: more would make the API server queue them itself.
const FETCHES_MAX: usize = 16;
/// A batch waits this long for what its objects name, so that a Secret that is there is not said to be missing.
const HOLD_MAX: Duration = Duration::from_millis(500);

/// Knows which objects there are, and what of them the next batch has to tell.
pub(super) struct Collector {
    client: Client,
    scope: Scope,
    sources: Vec<State>,
    /// Those that wait until it is known what is named.
    waiting: Vec<Source>,
    referenced: Referenced,
    fetches: JoinSet<(ObjectId, u64, Fetched)>,
    permits: Arc<Semaphore>,
    tickets: u64,
    /// When the oldest fetch began for which the next batch waits.
    held: Option<Instant>,
    pending: Pending,
    malformed: HashSet<ObjectId>,
    started: bool,
    stats: Arc<Stats>,
}

/// A watch, as the collector sees it.
struct State {
    watched: Watched,
    listed: bool,
    /// It may not be read, and the rest goes on without.
    excused: bool,
    failing: Option<Why>,
    /// The objects that there are, and whether a version of each could be read. Of [`Content::Every`] only.
    names: HashMap<ObjectName, bool>,
    /// The names of a list that is not complete; of [`Content::Every`] all, else those that are wanted.
    seen: Option<HashSet<ObjectName>>,
    /// Of the last change, and of the last that is known to be all there is.
    version: u64,
    reached: u64,
}

/// What the next batch will say.
#[derive(Default)]
struct Pending {
    updates: HashMap<ObjectId, Update>,
    metas: HashMap<ObjectId, Option<Meta>>,
    malformed: HashMap<ObjectId, Option<Problem>>,
    is_due: bool,
    since: Option<Instant>,
    events: u64,
}

/// The answer to a fetch.
enum Fetched {
    Found(Box<Item>),
    Absent,
    Failed(Why),
}

impl Collector {
    pub(super) fn new(
        client: Client,
        scope: Scope,
        watched: Vec<Watched>,
        streams: bool,
        stats: Arc<Stats>,
        events: mpsc::Sender<(usize, Event)>,
    ) -> Self {
        let state = |watched: &Watched| State {
            watched: watched.clone(),
            listed: false,
            excused: false,
            failing: None,
            names: HashMap::new(),
            seen: None,
            version: 0,
            reached: 0,
        };
        let sources = watched.iter().map(state).collect();
        let source = |(index, watched)| Source { client: client.clone(), index, watched, streams, out: events.clone() };
        let (first, waiting): (Vec<_>, Vec<_>) =
            watched.into_iter().enumerate().map(source).partition(|s| s.watched.content == Content::Every);
        for source in first {
            // They end when the collector drops the receiver of their events.
            tokio::spawn(source.run());
        }
        Self {
            client,
            scope,
            sources,
            waiting,
            referenced: Referenced::default(),
            fetches: JoinSet::new(),
            permits: Arc::new(Semaphore::new(FETCHES_MAX)),
            tickets: 0,
            held: None,
            pending: Pending::default(),
            malformed: HashSet::new(),
            started: false,
            stats,
        }
    }

    pub(super) async fn run(mut self, mut events: mpsc::Receiver<(usize, Event)>, out: mpsc::Sender<Batch>) {
        self.want_default_certificate();
        self.tell_waits();
        loop {
            let hold = self.hold();
            let is_due = self.pending.is_due && hold.is_none() && self.is_complete();
            tokio::select! {
                event = events.recv() => match event {
                    Some((index, event)) => self.take(index, event),
                    None => return,
                },
                Some(fetched) = self.fetches.join_next(), if !self.fetches.is_empty() => {
                    // An aborted fetch is an error here, and nobody wants it.
                    if let Ok((id, ticket, answer)) = fetched {
                        self.fetched(&id, ticket, answer);
                    }
                },
                () = tokio::time::sleep(hold.unwrap_or_default()), if hold.is_some() => self.held = None,
                permit = out.reserve(), if is_due => match permit {
                    Ok(permit) => permit.send(self.batch()),
                    Err(_) => return,
                },
                () = out.closed() => return,
            }
        }
    }

    /// How long the next batch waits yet for what its objects name.
    fn hold(&mut self) -> Option<Duration> {
        let held = self.held?;
        let rest = HOLD_MAX.checked_sub(held.elapsed());
        let is_fetching = self.referenced.iter().any(|(_, wanted)| !wanted.answered);
        if rest.is_none() || !is_fetching {
            self.held = None;
            return None;
        }
        rest
    }

    /// Whether everything has been listed and asked for once.
    fn is_complete(&mut self) -> bool {
        if !self.started {
            self.started = self.is_all_listed() && self.referenced.iter().all(|(_, wanted)| wanted.answered);
        }
        self.started
    }

    fn batch(&mut self) -> Batch {
        let pending = std::mem::take(&mut self.pending);
        let versions = |of: fn(&State) -> u64| {
            let known = self.sources.iter().filter(|s| of(s) > 0);
            known.map(|s| (s.watched.name.clone(), of(s).to_string())).collect::<BTreeMap<_, _>>()
        };
        Batch {
            updates: pending.updates.into_values().collect(),
            versions: versions(|s| s.version),
            reached: versions(|s| s.reached),
            metas: pending.metas.into_iter().collect(),
            malformed: pending.malformed.into_iter().collect(),
            since: pending.since,
            events: pending.events,
        }
    }

    fn take(&mut self, index: usize, event: Event) {
        let is_object = matches!(event, Event::Seen(_) | Event::Gone(_));
        if is_object {
            self.pending.events += 1;
            self.stats.event();
        }
        let content = self.sources[index].watched.content;
        match event {
            Event::Restart => self.sources[index].seen = Some(HashSet::new()),
            Event::Seen(item) => {
                self.sources[index].advance(&item.version);
                match content {
                    Content::Every => self.seen(index, *item),
                    Content::Referenced | Content::Metadata => self.seen_named(index, *item),
                }
            }
            Event::Gone(item) => {
                self.sources[index].advance(&item.version);
                match content {
                    Content::Every => self.gone(index, item.name),
                    Content::Referenced | Content::Metadata => self.gone_named(index, item.name),
                }
            }
            Event::Listed { version, is_streamed } => {
                self.stats.list(is_streamed);
                self.listed(index, &version);
            }
            Event::Reached(version) => {
                self.sources[index].reach(&version);
                self.pending.is_due = true;
            }
            Event::Failed(why) => self.failed(index, why),
            Event::Resumed => self.works(index),
        }
    }

    fn seen(&mut self, index: usize, item: Item) {
        let state = &mut self.sources[index];
        let id = ObjectId::new(state.watched.kind, item.name.clone());
        if let Some(seen) = &mut state.seen {
            seen.insert(item.name.clone());
        }
        match item.object {
            Some(Ok(object)) => {
                state.names.insert(item.name, true);
                self.well_formed(&id);
                self.name(&id, super::references(&object));
                self.push(id.clone(), Update::Apply(object));
            }
            Some(Err(message)) => {
                let has_good = *state.names.entry(item.name).or_insert(false);
                match item.unreadable.filter(|_| !has_good) {
                    Some(object) => {
                        self.malformed(&id, message);
                        self.name(&id, super::references(&object));
                        self.push(id.clone(), Update::Apply(object));
                    }
                    None => {
                        self.malformed(&id, format!("{message}; {}", until_read(id.kind, has_good)));
                        if !has_good {
                            self.push(id.clone(), Update::Unknown(id.clone()));
                        }
                    }
                }
            }
            None => return,
        }
        if item.meta.is_some() {
            self.pending.metas.insert(id, item.meta);
        }
    }

    fn gone(&mut self, index: usize, name: ObjectName) {
        let state = &mut self.sources[index];
        state.names.remove(&name);
        let id = ObjectId::new(state.watched.kind, name);
        self.well_formed(&id);
        self.name(&id, Vec::new());
        if has_status(id.kind) {
            self.pending.metas.insert(id.clone(), None);
        }
        self.push(id.clone(), Update::Delete(id));
    }

    fn seen_named(&mut self, index: usize, item: Item) {
        let state = &mut self.sources[index];
        let (kind, content) = (state.watched.kind, state.watched.content);
        let id = ObjectId::new(kind, item.name.clone());
        let Some(wanted) = self.referenced.get_mut(&id) else { return };
        if let Some(seen) = &mut state.seen {
            seen.insert(item.name.clone());
        }
        let version = number(&item.version);
        wanted.hint = wanted.hint.max(version);
        if wanted.version >= version {
            return;
        }
        match item.object {
            Some(object) => {
                wanted.source = Some(index);
                self.know(&id, version, object);
            }
            None if content == Content::Metadata && kind == Kind::Secret && !item.lua_readable => {
                wanted.source = None;
                match wanted.needs_data() {
                    true => self.fetch(&id, Duration::ZERO),
                    false => self.know(&id, version, Ok(named::closed_secret(item.name))),
                }
            }
            None => {
                wanted.source = None;
                self.fetch(&id, Duration::ZERO);
            }
        }
    }

    /// A watch of a part has an object no more: it is gone, or in another part now. To ask is to know.
    fn gone_named(&mut self, index: usize, name: ObjectName) {
        let id = ObjectId::new(self.sources[index].watched.kind, name);
        match self.referenced.get_mut(&id) {
            // Another watch has it already.
            Some(wanted) if wanted.source.is_some_and(|source| source != index) => {}
            Some(wanted) => {
                wanted.source = None;
                self.fetch(&id, Duration::ZERO);
            }
            None => {}
        }
    }

    fn listed(&mut self, index: usize, version: &str) {
        self.works(index);
        let state = &mut self.sources[index];
        state.listed = true;
        state.excused = false;
        state.reach(version);
        self.pending.is_due = true;
        let seen = state.seen.take().unwrap_or_default();
        match state.watched.content {
            Content::Every => {
                let gone: Vec<_> = state.names.keys().filter(|name| !seen.contains(*name)).cloned().collect();
                gone.into_iter().for_each(|name| self.gone(index, name));
            }
            Content::Referenced | Content::Metadata => self.ask_for_unseen(index, &seen),
        }
        debug!(watch = self.sources[index].watched.name, version, "listed");
        self.go_on();
    }

    /// After a new list: what the watch had told and the list has not.
    fn ask_for_unseen(&mut self, index: usize, seen: &HashSet<ObjectName>) {
        let Watched { kind, content, ref path, .. } = self.sources[index].watched;
        let is_of_watch = |id: &ObjectId| {
            id.kind == kind
                && [resource::path(kind, None), resource::path(kind, Some(&id.name.namespace))].contains(path)
        };
        let unseen = self.referenced.iter().filter(|(id, wanted)| {
            let is_told = match content {
                Content::Metadata => wanted.source.is_none() && wanted.version > 0,
                _ => wanted.source == Some(index),
            };
            is_told && is_of_watch(id) && !seen.contains(&id.name)
        });
        let unseen: Vec<ObjectId> = unseen.map(|(id, _)| id.clone()).collect();
        for id in unseen {
            if let Some(wanted) = self.referenced.get_mut(&id) {
                wanted.source = None;
            }
            self.fetch(&id, Duration::ZERO);
        }
    }

    /// Starts what waited for what has been listed now.
    fn go_on(&mut self) {
        self.tell_waits();
        let is_first_done = self.sources.iter().all(|s| s.watched.content != Content::Every || s.is_settled());
        if is_first_done {
            for source in std::mem::take(&mut self.waiting) {
                tokio::spawn(source.run());
            }
        }
        if self.is_all_listed() {
            let unknown = self.referenced.iter().filter(|(_, w)| !w.answered && w.fetch.is_none());
            let unknown: Vec<_> = unknown.map(|(id, _)| id.clone()).collect();
            unknown.iter().for_each(|id| self.fetch(id, Duration::ZERO));
        }
    }

    /// Says what is waited for, for those who ask whether we are ready.
    fn tell_waits(&self) {
        let waits = self.sources.iter().filter(|s| !s.is_settled()).map(|s| match &s.failing {
            Some(why) => format!("{}: {why}", s.watched.name),
            None => s.watched.name.clone(),
        });
        self.stats.set_waits(waits.collect());
    }

    fn is_all_listed(&self) -> bool {
        self.sources.iter().all(State::is_settled)
    }

    fn failed(&mut self, index: usize, why: Why) {
        self.stats.failure(matches!(why, Why::Gone | Why::FromTheFuture));
        let state = &mut self.sources[index];
        let is_news =
            state.failing.as_ref().is_none_or(|told| std::mem::discriminant(told) != std::mem::discriminant(&why));
        let name = &state.watched.name;
        let is_excused = state.watched.optional && !state.listed && matches!(why, Why::Forbidden(_));
        match (&why, is_news) {
            (_, false) => debug!(watch = name, "{why}"),
            (Why::Gone | Why::FromTheFuture, _) => info!(watch = name, "{why}"),
            (Why::Forbidden(_), _) if is_excused => info!(watch = name, "{why}; going on without"),
            (Why::NotInstalled, _) => {
                error!(
                    watch = name,
                    "{why}; install the definitions with `moongate crds --apply`. Nothing is served anew before"
                );
            }
            (Why::Forbidden(_), _) => {
                error!(watch = name, "{why}; grant the controller's ServiceAccount list and watch")
            }
            _ => warn!(watch = name, "{why}; trying again"),
        }
        state.failing = Some(why);
        if is_excused && !state.excused {
            state.excused = true;
            self.excuse(index);
        }
        self.tell_waits();
    }

    /// Without the right to read a kind, the rest goes on.
    fn excuse(&mut self, index: usize) {
        if self.sources[index].watched.kind == Kind::IngressClass
            && let Some((name, controller)) = self.scope.fallback_class.clone()
        {
            self.sources[index].names.insert(ObjectName::cluster(&name), true);
            let class = IngressClass { name, controller, is_default: false, parameters: None };
            let object = Object::IngressClass(Arc::new(class));
            self.push(object.id(), Update::Apply(object));
        }
        self.pending.is_due = true;
        self.go_on();
    }

    fn works(&mut self, index: usize) {
        let state = &mut self.sources[index];
        if state.failing.take().is_some_and(|why| why != Why::Gone) {
            info!(watch = state.watched.name, "works again");
        }
    }
}

/// What holds as long as an object cannot be read for which nothing stands.
fn until_read(kind: Kind, has_good: bool) -> &'static str {
    match (kind, has_good) {
        // All routes and the chains of namespaces' plugins depend on it.
        (Kind::MoongateConfig, false) => {
            "this controller never had a version that could be read. Data planes keep the settings, the routes and what \
             is attached to them as they have them, bindings and Secrets that are deleted meanwhile too; what they never \
             had is as without a MoongateConfig"
        }
        _ => "what it was before goes on being used",
    }
}

/// What the next batch says.
impl Collector {
    fn push(&mut self, id: ObjectId, update: Update) {
        self.pending.since.get_or_insert_with(Instant::now);
        self.pending.is_due = true;
        self.pending.updates.insert(id, update);
    }

    fn malformed(&mut self, id: &ObjectId, message: String) {
        self.malformed.insert(id.clone());
        let problem = Problem::error(id.reference(), "", "Malformed", message);
        self.pending.is_due = true;
        self.pending.malformed.insert(id.clone(), Some(problem));
    }

    fn well_formed(&mut self, id: &ObjectId) {
        if self.malformed.remove(id) {
            self.pending.malformed.insert(id.clone(), None);
        }
    }
}

impl State {
    fn is_settled(&self) -> bool {
        self.listed || self.excused
    }

    fn advance(&mut self, version: &str) {
        self.version = self.version.max(number(version));
        if self.listed {
            self.reached = self.reached.max(self.version);
        }
    }

    fn reach(&mut self, version: &str) {
        self.reached = number(version).max(self.version);
    }
}

/// Resource versions of one kind grow (since Kubernetes 1.35 that is promised, and it was always so).
fn number(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}

/// The kinds that have a status of ours.
fn has_status(kind: Kind) -> bool {
    kind == Kind::Ingress || kind.is_ours()
}
