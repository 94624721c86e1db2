//! A real data plane, in this process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dataplane::push::{Metrics, Options, Times, run};
use dataplane::server::{self, Server, State};

use super::background::Background;
use super::controller::{Controller, DEADLINE, ca, metric, until};

/// Ends when it is dropped.
pub(crate) struct DataPlane {
    server: Option<Server>,
    http: SocketAddr,
    state: Arc<State>,
    background: Option<Background>,
    pub(crate) token: PathBuf,
    directory: Option<tempfile::TempDir>,
}

/// What production has, but for times that a test would wait for.
pub(crate) fn times() -> Times {
    let ms = Duration::from_millis;
    Times { resolve: ms(50), backoff: ms(20), backoff_max: ms(100), look: ms(20), write: ms(20), ..Times::default() }
}

impl DataPlane {
    pub(crate) fn start(controllers: &[&Controller]) -> Self {
        Self::with(controllers.iter().map(|c| c.address.to_string()).collect(), |_| {})
    }

    /// With options changed.
    pub(crate) fn with(controllers: Vec<String>, change: impl FnOnce(&mut Options)) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token");
        std::fs::write(&token, format!("pod-{}\n", NEXT.fetch_add(1, Ordering::Relaxed))).unwrap();
        let mut options = Options {
            controllers,
            ca: ca(),
            token: token.clone(),
            table_file: None,
            persist_secrets: false,
            version: "0.1.0".into(),
            times: times(),
        };
        change(&mut options);
        let http = vec!["127.0.0.1:0".parse().unwrap()];
        let listen = server::Options { http, https: Vec::new(), admin: None, workers: 1 };
        let server = Server::start(&listen).unwrap();
        let (http, state) = (server.addresses().http[0], server.state().clone());
        let background = Background::start();
        let metrics = Metrics::default();
        state.shared.metrics.add(|registry| metrics.register(registry));
        background.handle.spawn(run(options, server.tables().clone(), metrics));
        Self { server: Some(server), http, state, background: Some(background), token, directory: Some(directory) }
    }

    /// The status of a request for a host.
    pub(crate) fn status(&self, host: &str) -> u16 {
        let mut tcp = TcpStream::connect(self.http).unwrap();
        tcp.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(tcp, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no status: {answer:?}"))
    }

    /// Waits until a host's requests get this status. Before the first table every request gets 503.
    pub(crate) fn serves(&self, host: &str, status: u16) {
        let is_so = || self.state.unready().is_none() && self.status(host) == status;
        until(&format!("status {status} of {host}"), is_so, || self.metrics());
    }

    pub(crate) fn wait_for(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        until(what, || is_so(self), || format!("{}{}", self.metrics(), self.state.problems()));
    }

    pub(crate) fn metrics(&self) -> String {
        self.state.shared.metrics.text()
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        metric(&self.metrics(), name)
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        drop(self.background.take());
        if let Some(server) = self.server.take() {
            server.shutdown(Duration::ZERO, Duration::from_secs(5));
        }
        drop(self.directory.take());
    }
}
