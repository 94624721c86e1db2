//! A data plane as a model: it does what frames say, and checks each commit.

use super::*;

/// A data plane.
pub(super) struct Plane {
    name: String,
    pub(super) id: u64,
    pub(super) features: Vec<String>,
    /// It is that late.
    pub(super) now: Instant,
    pub(super) lead: Option<Lead>,
    pub(super) table: BTreeMap<Key, (Hash, Arc<Value>)>,
    /// Keys of the table that have a stand-in.
    stand_ins: BTreeSet<Key>,
    /// What was said of keys that the controller cannot tell.
    untold: BTreeMap<Key, Hash>,
    batch: BTreeMap<Key, Step>,
    applied: Option<(u64, u64)>,
    versions: BTreeMap<String, String>,
    /// Keys that it holds of newer versions.
    pub(super) unknown: usize,
    /// It answers commits.
    pub(super) answers: bool,
    pub(super) failing: Vec<(Key, String)>,
    /// Since it joined.
    pub(super) lines: usize,
    pub(super) sets: usize,
    pub(super) keeps: usize,
    pub(super) deletes: usize,
    pub(super) commits: usize,
    pub(super) wholes: usize,
}

/// What a frame says of a key.
enum Step {
    Set { hash: Hash, value: Arc<Value>, stand_in: bool },
    Keep(Hash),
    Delete,
}

impl Plane {
    pub(super) fn join(state: &mut State, name: &str) -> Self {
        Self::join_with(state, name, FEATURES.iter().map(|f| (*f).to_owned()).collect())
    }

    pub(super) fn join_with(state: &mut State, name: &str, features: Vec<String>) -> Self {
        let mut plane = Self {
            name: name.into(),
            id: 0,
            features,
            now: Instant::now(),
            lead: None,
            table: BTreeMap::new(),
            stand_ins: BTreeSet::new(),
            untold: BTreeMap::new(),
            batch: BTreeMap::new(),
            applied: None,
            versions: BTreeMap::new(),
            unknown: 0,
            answers: true,
            failing: Vec::new(),
            lines: 0,
            sets: 0,
            keeps: 0,
            deletes: 0,
            commits: 0,
            wholes: 0,
        };
        plane.rejoin(state);
        plane
    }

    pub(super) fn leave(&mut self, state: &mut State) {
        state.leave(self.id);
        self.batch.clear();
        self.lead = None;
    }

    pub(super) fn rejoin(&mut self, state: &mut State) {
        let (namespace, service_account) = ("moongate".into(), "dataplane".into());
        let peer = Peer { namespace, pod: self.name.clone(), uid: format!("uid of {}", self.name), service_account };
        let hello = Hello { protocols: PROTOCOLS, version: String::new(), features: self.features.clone() };
        self.now = Instant::now();
        self.id = state.join(Link::new(peer, hello, 1, self.now));
        (self.lines, self.sets, self.keeps, self.deletes, self.commits, self.wholes) = (0, 0, 0, 0, 0, 0);
    }

    /// Takes what there is until nothing more comes.
    pub(super) fn drain(&mut self, state: &mut State) {
        while self.step(state) {}
    }

    /// Takes one piece. False: there is none.
    pub(super) fn step(&mut self, state: &mut State) -> bool {
        let lines = match state.next(self.id, &Options::default(), self.now.max(Instant::now())) {
            Next::Send(lines) | Next::Commit(lines) => lines,
            Next::Wait(_) => return false,
            Next::End(why) => panic!("{why}"),
        };
        for line in lines.iter().flat_map(|lines| lines.split(|b| *b == b'\n')).filter(|line| !line.is_empty()) {
            self.lines += 1;
            match wire::decode_to_plane(line) {
                Ok(Received::Frame(frame)) => self.take(frame, state),
                other => panic!("{other:?}"),
            }
        }
        true
    }

    fn take(&mut self, frame: ToPlane, state: &mut State) {
        match frame {
            ToPlane::Lead(lead) => {
                self.lead = Some(lead);
                self.batch.clear();
                self.tell(state);
            }
            ToPlane::StandBy {} => {
                self.lead = None;
                self.batch.clear();
            }
            ToPlane::Set(set) => {
                self.sets += 1;
                // An old one does not know of stand-ins.
                let stand_in = set.stand_in && self.can_keep();
                self.batch.insert(set.key, Step::Set { hash: set.hash, value: set.value, stand_in });
            }
            ToPlane::Keep(keep) => {
                assert!(self.can_keep(), "{keep:?}");
                self.keeps += 1;
                self.batch.insert(keep.key, Step::Keep(keep.hash));
            }
            ToPlane::Delete { key } => {
                self.deletes += 1;
                self.batch.insert(key, Step::Delete);
            }
            ToPlane::Commit(commit) => {
                self.commits += 1;
                self.wholes += usize::from(commit.whole);
                if commit.whole {
                    let batch = &self.batch;
                    self.table.retain(|key, _| batch.contains_key(key));
                    self.untold.retain(|key, _| batch.contains_key(key));
                    self.unknown = 0;
                }
                for (key, step) in std::mem::take(&mut self.batch) {
                    self.apply(key, step);
                }
                self.applied = Some((commit.term, commit.counter));
                self.versions = commit.versions;
                if !state.table().has_needs() {
                    self.is_equal(state);
                }
                if self.answers {
                    self.answer(state);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn can_keep(&self) -> bool {
        self.features.iter().any(|feature| feature == wire::KEEP)
    }

    fn apply(&mut self, key: Key, step: Step) {
        let has_good = self.table.contains_key(&key) && !self.stand_ins.contains(&key);
        self.untold.remove(&key);
        match step {
            Step::Set { hash, stand_in: true, .. } | Step::Keep(hash) if has_good => {
                self.untold.insert(key, hash);
            }
            Step::Set { hash, value, stand_in } => {
                match stand_in {
                    true => self.stand_ins.insert(key.clone()),
                    false => self.stand_ins.remove(&key),
                };
                self.table.insert(key, (hash, value));
            }
            Step::Keep(hash) => {
                self.table.remove(&key);
                self.untold.insert(key, hash);
            }
            Step::Delete => drop(self.table.remove(&key)),
        }
    }

    /// What was said last of each key.
    fn said(&self) -> BTreeMap<&Key, Hash> {
        let held = self.table.iter().map(|(key, (hash, _))| (key, *hash));
        held.chain(self.untold.iter().map(|(key, hash)| (key, *hash))).collect()
    }

    /// Says what it holds, in small parts, as a frame does.
    fn tell(&mut self, state: &mut State) {
        let mut pairs: Vec<_> = self.said().into_iter().map(|(key, hash)| (Known::Yes(key.clone()), hash)).collect();
        pairs.extend((0..self.unknown).map(|n| (Known::No(n.into()), Hash::of_bytes(b""))));
        let mut parts: Vec<Vec<_>> = pairs.chunks(5).map(<[_]>::to_vec).collect();
        let last = parts.pop().unwrap_or_default();
        let part = |pairs, last| Held { applied: self.applied, versions: self.versions.clone(), pairs, last };
        let all: Vec<_> = parts.into_iter().map(|pairs| part(pairs, false)).chain([part(last, true)]).collect();
        for held in all {
            let line = wire::encode(&FromPlane::Held(held)).unwrap();
            let Ok(Received::Frame(FromPlane::Held(held))) = wire::decode_from_plane(line.trim_ascii_end()) else {
                panic!("not read back")
            };
            let (link, shared) = state.link(self.id).unwrap();
            link.held(held, shared.table);
        }
    }

    /// Answers the last commit.
    pub(super) fn answer(&mut self, state: &mut State) {
        let (term, counter) = self.applied.unwrap();
        let problem = |(key, message): &(Key, String)| {
            Known::Yes(routing::KeyProblem { key: key.clone(), message: message.clone() })
        };
        let failed = self.failing.iter().map(problem).collect();
        let applied = Applied { term, counter, failed, failed_total: self.failing.len() as u64, lua: Vec::new() };
        state.link(self.id).unwrap().0.applied(applied);
    }

    /// It was told exactly the table.
    pub(super) fn is_equal(&self, state: &State) {
        let content = |(_, entry): (usize, &'_ Entry)| {
            let content = entry.content.clone().filter(|content| content.is_for(&self.features))?;
            Some((entry.key.clone(), content.hash))
        };
        let table: BTreeMap<Arc<Key>, Hash> = state.table().at_slot(0).filter_map(content).collect();
        assert_eq!(self.said(), table.iter().map(|(key, hash)| (key.as_ref(), *hash)).collect());
    }
}
