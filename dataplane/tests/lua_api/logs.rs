//! What the server logs while a block runs.

use std::fmt::Write;
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static MORE: Condvar = Condvar::new();

/// A line that does not come within this will not come.
const DEADLINE: Duration = Duration::from_secs(5);

struct Collect;

impl<S: tracing::Subscriber> Layer<S> for Collect {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target().starts_with("hyper") {
            return;
        }
        let mut line = Line(format!("{} {}:", event.metadata().level(), event.metadata().target()));
        event.record(&mut line);
        lines().push(line.0);
        MORE.notify_all();
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

fn lines() -> MutexGuard<'static, Vec<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Collects from now on.
pub(crate) fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Collect);
        tracing::subscriber::set_global_default(subscriber).expect("the only subscriber");
    });
}

pub(crate) fn clear() {
    lines().clear();
}

pub(crate) fn has(text: &str) -> bool {
    lines().iter().any(|line| line.contains(text))
}

/// Whether it is logged, now or soon.
pub(crate) fn wait_for(text: &str) -> bool {
    let end = Instant::now() + DEADLINE;
    let mut guard = lines();
    loop {
        if guard.iter().any(|line| line.contains(text)) {
            return true;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        guard = MORE.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

pub(crate) fn all() -> String {
    lines().iter().filter(|line| !line.contains(" access:")).map(|line| format!("  {line}\n")).collect()
}
