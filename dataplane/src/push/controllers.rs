//! A stream to each controller: names to addresses, and again after a while where a stream ends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::claims::Id;
use super::stream::{self, End, Event};
use super::{Metrics, Options};

/// Addresses that are followed: far more than there are controllers.
const ADDRESSES_MAX: usize = 32;

/// A stream that lasted so long is a good one: the next try comes soon.
const GOOD: Duration = Duration::from_secs(10);

/// A name server that does not answer.
const LOOKUP: Duration = Duration::from_secs(5);

/// An address, and when it may be tried.
#[derive(Debug)]
struct Target {
    is_busy: bool,
    failures: u32,
    not_before: Instant,
}

/// Never ends.
pub(super) async fn follow(options: Options, events: mpsc::Sender<(Id, Event)>, metrics: Metrics) {
    let mut targets: BTreeMap<SocketAddr, Target> = BTreeMap::new();
    let mut streams = JoinSet::new();
    let mut last_id = 0;
    loop {
        let found = resolve(&options.controllers, &metrics).await;
        targets.retain(|address, target| target.is_busy || found.contains(address));
        let now = Instant::now();
        for address in found {
            let new = Target { is_busy: false, failures: 0, not_before: now };
            let target = targets.entry(address).or_insert(new);
            if !target.is_busy && target.not_before <= now && streams.len() < ADDRESSES_MAX {
                target.is_busy = true;
                last_id += 1;
                let (id, options, events, metrics) = (last_id, options.clone(), events.clone(), metrics.clone());
                streams.spawn(async move {
                    let started = Instant::now();
                    let (was_welcome, end) = stream::run(id, address, &options, &events, &metrics).await;
                    (address, was_welcome, started.elapsed(), end)
                });
            }
        }
        // What is due and not begun waits for one of the streams to end.
        let later = targets.values().filter(|target| !target.is_busy && target.not_before > now);
        let waiting = later.map(|target| target.not_before);
        let look = waiting.chain([now + jitter(options.times.resolve)]).min().unwrap_or(now);
        tokio::select! {
            Some(ended) = streams.join_next() => {
                // A stream's task is not cancelled, and one that panicked is as one that failed at once.
                if let Ok((address, was_welcome, lasted, end)) = ended {
                    if let Some(target) = targets.get_mut(&address) {
                        target.ended(was_welcome && lasted >= GOOD, &options);
                    }
                    tell(address, &end, &metrics);
                }
            }
            () = tokio::time::sleep_until(look.into()) => {}
        }
    }
}

impl Target {
    fn ended(&mut self, was_good: bool, options: &Options) {
        self.is_busy = false;
        self.failures = if was_good { 0 } else { self.failures.saturating_add(1) };
        let doubled = options.times.backoff.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        self.not_before = Instant::now() + jitter(doubled.min(options.times.backoff_max));
    }
}

/// Half of it to the whole of it, so that data planes that lost one controller do not come back at one moment.
fn jitter(time: Duration) -> Duration {
    let part = u32::try_from(crate::clock::random_seed() % 512).unwrap_or(0);
    time / 2 + time / 1024 * part
}

async fn resolve(names: &[String], metrics: &Metrics) -> BTreeSet<SocketAddr> {
    let mut found = BTreeSet::new();
    for name in names {
        match tokio::time::timeout(LOOKUP, tokio::net::lookup_host(name)).await {
            Ok(Ok(addresses)) => found.extend(addresses.take(ADDRESSES_MAX)),
            Ok(Err(e)) => {
                metrics.failed("resolve");
                tracing::warn!(target: "push", "{name}: {e}");
            }
            Err(_) => {
                metrics.failed("resolve");
                tracing::warn!(target: "push", "{name}: no answer of the name server");
            }
        }
    }
    found
}

fn tell(address: SocketAddr, end: &End, metrics: &Metrics) {
    metrics.failed(end.what());
    match end {
        End::Closed | End::Bye(_) | End::Hub(_) => tracing::info!(target: "push", %address, "the stream ends: {end}"),
        _ => tracing::warn!(target: "push", %address, "no stream to this controller: {end}"),
    }
}
