//! Applies what the followed controller commits.

use std::collections::BTreeMap;
use std::time::Instant;

use routing::wire::{self, Applied, CommitFrame, Known, LuaFailure, PROBLEMS_MAX};
use routing::{Commit, KeyProblem};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::claims::{Choice, Claims, Id};
use super::disk::Store;
use super::held::{Batch, Held};
use super::stream::{Command, Event};
use super::{Metrics, Options, Times};
use crate::lua::failures::Failure;
use crate::server::Tables;

/// The one place where streams, table and disk meet.
pub(super) struct Hub {
    times: Times,
    tables: Tables,
    metrics: Metrics,
    store: Option<Store>,
    streams: BTreeMap<Id, mpsc::Sender<Command>>,
    claims: Claims,
    held: Held,
    /// What is held is the last run's, and not in effect yet.
    is_from_disk: bool,
    /// Failures of scripts that were told last.
    lua: Vec<LuaFailure>,
    /// Code that could not run yet then.
    waits: Vec<KeyProblem>,
    /// What is held is to be written.
    write_at: Option<Instant>,
    writing: Option<JoinHandle<()>>,
}

impl Hub {
    pub(super) fn new(options: &Options, tables: Tables, metrics: Metrics) -> Self {
        let store = options.table_file.clone().map(|file| Store {
            file,
            version: options.version.clone(),
            persist_secrets: options.persist_secrets,
        });
        Self {
            times: options.times.clone(),
            tables,
            metrics,
            store,
            streams: BTreeMap::new(),
            claims: Claims::new(options.times.refuse_lower),
            held: Held::default(),
            is_from_disk: false,
            lua: Vec::new(),
            waits: Vec::new(),
            write_at: None,
            writing: None,
        }
    }

    /// Until every stream is gone, which they never are.
    pub(super) async fn run(mut self, mut events: mpsc::Receiver<(Id, Event)>) {
        self.load().await;
        let start_from_disk = Instant::now() + self.times.start_from_disk;
        let mut look = tokio::time::interval(self.times.look);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let later = self.follow();
            let soonest = [later, self.write_at, self.is_from_disk.then_some(start_from_disk)];
            let soonest = soonest.into_iter().flatten().min();
            tokio::select! {
                event = events.recv() => match event {
                    Some((id, event)) => self.take(id, event).await,
                    None => return,
                },
                () = until(soonest) => {
                    self.write();
                    if self.is_from_disk && start_from_disk <= Instant::now() {
                        tracing::warn!(target: "push", "no controller has sent a table: the last run's is used");
                        self.start_from_disk(true).await;
                    }
                }
                _ = look.tick() => self.look(),
            }
        }
    }

    /// Chooses whom to follow. Returns when that may be another.
    fn follow(&mut self) -> Option<Instant> {
        loop {
            let applied = self.held.applied.map(|(term, _)| term);
            let choice = self.claims.choose(applied, Instant::now());
            self.metrics.followed.set(i64::from(self.claims.followed().is_some()));
            match choice {
                Choice::Stay(later) => return later,
                Choice::Follow { id, lead, instead_of } => {
                    tracing::info!(target: "push", term = lead.term, stale = lead.stale, "a controller leads");
                    if let Some(other) = instead_of {
                        self.command(other, Command::Close("another controller leads"));
                    }
                    self.command(id, Command::Tell(Box::new(self.held.clone())));
                }
            }
        }
    }

    fn command(&mut self, id: Id, command: Command) {
        let is_sent = self.streams.get(&id).is_some_and(|stream| stream.try_send(command).is_ok());
        // A stream that takes nothing is of no use: without its sender it ends.
        if !is_sent {
            self.streams.remove(&id);
        }
    }

    async fn take(&mut self, id: Id, event: Event) {
        match event {
            Event::Up(commands) => drop(self.streams.insert(id, commands)),
            Event::Lead(lead) => self.claims.claim(id, lead),
            Event::StandBy => self.claims.end(id, Instant::now()),
            Event::Down => {
                self.claims.end(id, Instant::now());
                self.streams.remove(&id);
            }
            Event::Batch(batch, commit) if self.claims.is_followed(id) => self.apply(id, batch, commit).await,
            Event::Batch(..) => self.command(id, Command::Close("it commits, and is not followed")),
        }
    }

    async fn apply(&mut self, id: Id, batch: Batch, commit: CommitFrame) {
        self.start_from_disk(false).await;
        let (term, counter) = (commit.term, commit.counter);
        let mut plan = batch.plan(&self.held, &commit);
        let changes = std::mem::take(&mut plan.changes);
        tracing::debug!(target: "push", term, counter, changes = changes.len(), "commit");
        let step = Commit { term, counter, changes };
        if self.on_server(move |tables| tables.apply(&step)).await.is_none() {
            // Nothing of it counts as applied, so that it is sent again.
            return self.command(id, Command::Close("its commit could not be applied"));
        }
        self.held.apply(batch, plan, commit, &self.tables.problems());
        self.held.left_out.clear();
        self.metrics.batches.inc();
        self.metrics.from_disk.set(0);
        self.tell_state();
        self.write_at.get_or_insert(Instant::now() + self.times.write);
        (self.lua, self.waits) = (self.lua_failures(), self.tables.waits());
        self.command(id, Command::Applied(self.applied()));
    }

    /// Compiling thousands of routes takes a while: streams are kept alive meanwhile.
    ///
    /// None: it was not applied, which is a bug.
    async fn on_server(
        &self,
        apply: impl FnOnce(&Tables) -> Vec<KeyProblem> + Send + 'static,
    ) -> Option<Vec<KeyProblem>> {
        let tables = self.tables.clone();
        let done = tokio::task::spawn_blocking(move || apply(&tables)).await;
        done.inspect_err(|e| tracing::error!(target: "push", "applying a commit failed: {e}")).ok()
    }

    async fn load(&mut self) {
        let Some(store) = self.store.clone() else { return };
        let file = store.file.clone();
        let loaded = tokio::task::spawn_blocking(move || store.load()).await;
        match loaded {
            Ok(Ok(Some(held))) => (self.held, self.is_from_disk) = (held, true),
            Ok(Ok(None)) => {}
            Ok(Err(e)) => {
                self.metrics.disk_failures.inc();
                tracing::warn!(target: "push", "{}: {e}; it is not used", file.display());
            }
            Err(e) => tracing::error!(target: "push", "{}: {e}", file.display()),
        }
    }

    /// What the last run held takes effect: as the table to serve, or as what a controller's first step builds on, so
    /// that keys that fail keep their last good value over a restart, too.
    async fn start_from_disk(&mut self, serve: bool) {
        if !std::mem::take(&mut self.is_from_disk) {
            return;
        }
        let (commit, lacking) = (self.held.commit(), self.held.left_out.clone());
        let apply = move |tables: &Tables| match serve {
            true => tables.apply_lacking(&commit, lacking),
            false => tables.prepare(&commit),
        };
        let Some(failed) = self.on_server(apply).await else {
            self.held = Held::default();
            return;
        };
        self.held.drop_failed(&failed);
        if serve {
            self.metrics.from_disk.set(1);
            self.tell_state();
        }
    }

    fn tell_state(&self) {
        let (term, counter) = self.held.applied.unwrap_or_default();
        self.metrics.term.set(term);
        self.metrics.counter.set(counter);
        self.metrics.keys.set(i64::try_from(self.held.table.len()).unwrap_or(i64::MAX));
    }

    /// Scripts fail between commits, and VMs are replaced after them.
    fn look(&mut self) {
        let now = (self.lua_failures(), self.tables.waits());
        if (&now.0, &now.1) != (&self.lua, &self.waits)
            && let (Some(id), Some(_)) = (self.claims.followed(), self.held.applied)
        {
            (self.lua, self.waits) = now;
            self.command(id, Command::Applied(self.applied()));
        }
    }

    fn lua_failures(&self) -> Vec<LuaFailure> {
        let all = self.tables.lua_failures().into_iter();
        let told = |(plugin, f): (_, Failure)| LuaFailure { plugin, message: f.message, at_ms: f.at_ms };
        all.map(told).take(PROBLEMS_MAX).collect()
    }

    fn applied(&self) -> Applied {
        let unreadable = self.held.unreadable.iter().map(|(k, m)| KeyProblem { key: k.clone(), message: m.clone() });
        let failed: Vec<KeyProblem> =
            self.tables.problems().into_iter().chain(unreadable).chain(self.waits.iter().cloned()).collect();
        let (term, counter) = self.held.applied.unwrap_or_default();
        let shorten = |p: KeyProblem| Known::Yes(KeyProblem { message: wire::shorten(p.message), ..p });
        Applied {
            term,
            counter,
            failed_total: failed.len() as u64,
            failed: failed.into_iter().take(PROBLEMS_MAX).map(shorten).collect(),
            lua: self.lua.iter().cloned().map(Known::Yes).collect(),
        }
    }

    /// Writes what is held, if it is time and the last writing is over.
    fn write(&mut self) {
        let now = Instant::now();
        if self.write_at.is_none_or(|at| at > now) {
            return;
        }
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            self.write_at = Some(now + self.times.write);
            return;
        }
        self.write_at = None;
        let Some(store) = self.store.clone() else { return };
        let (held, metrics) = (self.held.clone(), self.metrics.clone());
        self.writing = Some(tokio::task::spawn_blocking(move || {
            if let Err(e) = store.save(&held) {
                metrics.disk_failures.inc();
                tracing::warn!(target: "push", "the table is not kept for the next start: {}: {e}", store.file.display());
            }
        }));
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
