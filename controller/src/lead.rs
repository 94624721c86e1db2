//! Who leads: leader election by a Lease.
//!
//! All controllers watch; only the Lease's holder pushes and writes. Its term is `leaseTransitions`, which grows with
//! every taking, so that a data plane can tell an old leader from the new one. A holder that could not renew stops a third
//! of the Lease's length before anyone else may take it, by a clock that nobody sets.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::{Pin, pin};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, info, warn};

/// For one request of a candidate.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// For one renewal: short enough that another can be tried, by another way, before the lead is over.
const RENEWAL_MAX: Duration = Duration::from_secs(3);
/// For giving the Lease up on the way out.
const RELEASE_MAX: Duration = Duration::from_secs(3);

/// The Lease, and how long things take. client-go's lengths, but that a candidate looks every second: a Lease that is
/// given up is taken then.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the Lease is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who we are: of one process, never used again ([`identity`]).
    pub identity: String,
    /// How long the Lease holds after it was renewed.
    pub duration: Duration,
    /// How often the holder renews it.
    pub renew: Duration,
    /// How often a candidate looks.
    pub retry: Duration,
}

impl Options {
    /// A Lease with the usual lengths.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, pod: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity(pod),
            duration: Duration::from_secs(15),
            renew: Duration::from_secs(2),
            retry: Duration::from_secs(1),
        }
    }

    /// How long after its last renewal the holder may act.
    fn valid(&self) -> Duration {
        self.duration * 2 / 3
    }
}

/// A pod's name with something random: a container that starts again has its pod's name, and must not take itself for
/// the holder that it was.
pub fn identity(pod: &str) -> String {
    format!("{pod}_{:016x}", RandomState::new().build_hasher().finish())
}

/// Stands for election until `stop`, and gives the Lease up then. `out` has the term while we lead.
pub async fn elect(client: Client, options: Options, out: watch::Sender<Option<u64>>, stop: impl Future<Output = ()>) {
    let mut election = Election {
        api: Api::namespaced(client, &options.namespace),
        options,
        seen: Seen::default(),
        failing: false,
        out,
    };
    election.run(pin!(stop)).await;
    election.release().await;
}

/// Taking part.
struct Election {
    api: Api<Lease>,
    options: Options,
    seen: Seen,
    failing: bool,
    out: watch::Sender<Option<u64>>,
}

/// What is known of the Lease.
#[derive(Default)]
struct Seen {
    /// As it was last read or written.
    lease: Option<Lease>,
    /// Since when it has been as it is, as far as we have seen.
    since: Option<Instant>,
    /// The highest term that was ever seen: a Lease that is made anew goes on from there.
    term: u64,
    /// Until when we may act; none: we are not the holder.
    valid_until: Option<Instant>,
}

/// What a candidate does next.
#[derive(Debug, PartialEq)]
enum Next {
    Wait,
    Create(Box<Lease>),
    Replace(Box<Lease>),
}

impl Election {
    /// Never ends while a request is under way: a write that is cut off may be carried out all the same, and the Lease
    /// could not be given up then, since nobody would know its version.
    async fn run(&mut self, mut stop: Pin<&mut impl Future<Output = ()>>) {
        let mut due = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = sleep_until(due) => {}
            }
            let held = self.seen.valid_until;
            match held {
                None => self.stand().await,
                Some(until) => self.hold(until).await,
            }
            let now = Instant::now();
            due = match self.seen.valid_until {
                Some(until) => until.min(now + if self.failing { self.options.retry } else { self.options.renew }),
                // Just lost: it may be free already.
                None if held.is_some() => now,
                None => now + self.options.retry,
            };
        }
    }

    /// One look at the Lease, and a try to take it if it is free.
    async fn stand(&mut self) {
        let asked = Instant::now();
        let deadline = asked + REQUEST_MAX;
        let found = match timeout_at(deadline, self.api.get_opt(&self.options.name)).await {
            Ok(Ok(found)) => found,
            Ok(Err(e)) => return self.cannot(&e.to_string()),
            Err(_) => return self.cannot("no answer"),
        };
        self.works();
        let next = self.seen.next(found, &self.options, asked, Timestamp::now());
        let params = PostParams::default();
        let taken = match next {
            Next::Wait => return,
            Next::Create(lease) => timeout_at(deadline, self.api.create(&params, &lease)).await,
            Next::Replace(lease) => timeout_at(deadline, self.api.replace(&self.options.name, &params, &lease)).await,
        };
        match taken {
            Ok(Ok(lease)) => self.took(lease, asked),
            Ok(Err(Error::Api(status))) if status.is_conflict() || status.is_already_exists() => {
                debug!("another candidate was faster");
            }
            Ok(Err(e)) => self.cannot(&e.to_string()),
            // It may have been taken all the same: the next look shows our name, and it is taken again.
            Err(_) => self.cannot("no answer"),
        }
    }

    fn took(&mut self, lease: Lease, asked: Instant) {
        self.seen.see(lease, asked);
        self.seen.valid_until = Some(asked + self.options.valid());
        info!(term = self.seen.term, lease = self.options.name, "leading");
        self.out.send_replace(Some(self.seen.term));
    }

    /// One renewal, or the end of the lead.
    async fn hold(&mut self, until: Instant) {
        if Instant::now() >= until {
            return self.lose("it could not be renewed in time");
        }
        let Some(mut lease) = self.seen.lease.clone() else { return self.lose("it is not known") };
        renew(&mut lease, &self.options, Timestamp::now());
        let asked = Instant::now();
        let deadline = until.min(asked + RENEWAL_MAX);
        let renewed = timeout_at(deadline, self.api.replace(&self.options.name, &PostParams::default(), &lease)).await;
        match renewed {
            Ok(Ok(lease)) => {
                self.works();
                self.seen.see(lease, asked);
                self.seen.valid_until = Some(asked + self.options.valid());
            }
            Ok(Err(Error::Api(status))) if status.is_not_found() => self.lose("it was deleted"),
            Ok(Err(Error::Api(status))) if status.is_conflict() => self.reread(until).await,
            Ok(Err(e)) => self.cannot(&e.to_string()),
            // It may have been carried out all the same: the next one finds another version then, and looks.
            Err(_) => self.cannot("no answer"),
        }
    }

    /// Somebody wrote the Lease: a person its labels, or another candidate itself.
    async fn reread(&mut self, until: Instant) {
        let deadline = until.min(Instant::now() + RENEWAL_MAX);
        match timeout_at(deadline, self.api.get_opt(&self.options.name)).await {
            Ok(Ok(Some(lease))) => {
                let spec = lease.spec.clone().unwrap_or_default();
                let is_ours = spec.holder_identity.as_ref() == Some(&self.options.identity);
                match is_ours && term(&spec) == self.seen.term {
                    true => self.seen.lease = Some(lease),
                    false => self.lose("another one has it"),
                }
            }
            Ok(Ok(None)) => self.lose("it was deleted"),
            Ok(Err(e)) => self.cannot(&e.to_string()),
            Err(_) => self.cannot("no answer"),
        }
    }

    fn lose(&mut self, why: &str) {
        self.out.send_replace(None);
        self.seen.valid_until = None;
        warn!(lease = self.options.name, "leading no more: {why}");
    }

    fn cannot(&mut self, why: &str) {
        if !std::mem::replace(&mut self.failing, true) {
            warn!(lease = self.options.name, "cannot read or write the Lease: {why}; trying again");
        }
    }

    fn works(&mut self) {
        if std::mem::replace(&mut self.failing, false) {
            info!(lease = self.options.name, "the Lease can be read and written again");
        }
    }

    /// So that another takes it at once.
    async fn release(self) {
        self.out.send_replace(None);
        if self.seen.valid_until.is_none() && !self.failing {
            return;
        }
        match tokio::time::timeout(RELEASE_MAX, self.give_up()).await {
            Ok(Ok(true)) => info!(lease = self.options.name, "gave the Lease up"),
            Ok(Ok(false)) => {}
            Ok(Err(e)) => warn!(lease = self.options.name, "cannot give the Lease up: {e}; it ends by itself"),
            Err(_) => warn!(lease = self.options.name, "cannot give the Lease up: no answer; it ends by itself"),
        }
    }

    /// Whether the Lease was ours.
    async fn give_up(&self) -> Result<bool, Error> {
        // As it is now: somebody may have written it, and a request of ours may have got no answer.
        while let Some(mut lease) = self.api.get_opt(&self.options.name).await? {
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_ref() != Some(&self.options.identity) {
                break;
            }
            spec.holder_identity = Some(String::new());
            // As client-go does: an old client takes it after a second.
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            match self.api.replace(&self.options.name, &PostParams::default(), &lease).await {
                Err(Error::Api(status)) if status.is_conflict() => {}
                other => return other.map(|_| true),
            }
        }
        Ok(false)
    }
}

impl Seen {
    /// What follows from the Lease as it is.
    fn next(&mut self, found: Option<Lease>, options: &Options, now: Instant, clock: Timestamp) -> Next {
        let Some(mut lease) = found else {
            let mut lease = Lease {
                metadata: ObjectMeta {
                    name: Some(options.name.clone()),
                    namespace: Some(options.namespace.clone()),
                    ..ObjectMeta::default()
                },
                spec: None,
            };
            take(&mut lease, options, self.term + 1, clock);
            return Next::Create(Box::new(lease));
        };
        let spec = lease.spec.clone().unwrap_or_default();
        self.see(lease.clone(), now);
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        // Our own name: a request of ours whose answer was lost.
        let is_free = holder.is_empty() || holder == options.identity;
        let length = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
        let is_over = self.since.is_some_and(|since| now.duration_since(since) >= Duration::from_secs(length));
        if !is_free && !is_over {
            return Next::Wait;
        }
        take(&mut lease, options, self.term + 1, clock);
        Next::Replace(Box::new(lease))
    }

    /// Others' clocks are not believed: a Lease is over when it has not changed for its length before our eyes.
    fn see(&mut self, lease: Lease, now: Instant) {
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        let is_same = self
            .lease
            .as_ref()
            .is_some_and(|known| version(known) == version(&lease) && known.metadata.uid == lease.metadata.uid);
        if !is_same {
            self.since = Some(now);
        }
        self.term = self.term.max(term(&lease.spec.clone().unwrap_or_default()));
        self.lease = Some(lease);
    }
}

fn term(spec: &LeaseSpec) -> u64 {
    u64::try_from(spec.lease_transitions.unwrap_or_default()).unwrap_or_default()
}

fn take(lease: &mut Lease, options: &Options, term: u64, clock: Timestamp) {
    let spec = lease.spec.get_or_insert_default();
    spec.acquire_time = Some(MicroTime(clock));
    spec.lease_transitions = Some(i32::try_from(term).unwrap_or(i32::MAX));
    renew(lease, options, clock);
}

fn renew(lease: &mut Lease, options: &Options, clock: Timestamp) {
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some(options.identity.clone());
    let seconds = options.duration.as_secs_f64().ceil().max(1.0);
    spec.lease_duration_seconds = Some(seconds as i32);
    spec.renew_time = Some(MicroTime(clock));
}

#[cfg(test)]
mod tests;
