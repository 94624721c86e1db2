//! The push between real controllers' publishers and real data planes, over loopback with TLS. Whatever waits, waits on
//! a condition with a deadline.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on must end, and clippy only knows #[test] functions"
)]
#![forbid(unsafe_code)]

mod push {
    pub(crate) mod background;
    pub(crate) mod controller;
    pub(crate) mod peer;
    pub(crate) mod plane;
    pub(crate) mod values;

    mod disk;
    mod failing;
    mod follow;
    mod hostile;
    mod kept;
    mod metrics;
    mod stuck;
    mod versions;
}
