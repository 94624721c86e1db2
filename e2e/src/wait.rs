//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Nothing that works takes this long, on a machine that builds something else at the same time too.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// Between two looks that cost something.
const LONG_PAUSE: Duration = Duration::from_millis(100);

/// Calls `look` until it finds something; panics with `what` and its last answer when it never does.
pub fn until<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    until_within(DEADLINE, what, look)
}

/// [`until`] with a deadline of its own.
pub fn until_within<T>(deadline: Duration, what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    look_again(deadline, PAUSE, what, look)
}

/// [`until_within`] for a look that costs something: it starts a program, or asks an API server.
pub fn until_slowly<T>(deadline: Duration, what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    look_again(deadline, LONG_PAUSE, what, look)
}

fn look_again<T>(deadline: Duration, between: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + deadline;
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) if Instant::now() > end => panic!("{what}: not within {deadline:?}; last: {last}"),
            Err(_) => pause(between),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "what is awaited is outside of this process and cannot call back")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
