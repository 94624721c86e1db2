//! A steady load, and every request of it that failed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::client::parse::{self, Response};
use crate::{DEADLINE, until, until_within};

/// Requests that may be under way at once; beyond it the load waits, so that a dead server costs no memory.
const UNDER_WAY_MAX: usize = 256;
/// Kept for the report.
const FAILURES_MAX: usize = 20;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Requests with a whole response of status 200.
    pub answered: u64,
    /// Kept connections that the server had closed before a request was sent; it went on a new one then.
    pub stale: u64,
    /// All other outcomes.
    pub failed: u64,
    /// What the first failures were.
    pub failures: Vec<String>,
    /// How often each body was the answer, without its line end.
    pub bodies: BTreeMap<String, u64>,
}

/// A load that runs until it is stopped.
pub struct Load {
    report: Arc<Mutex<Report>>,
    /// Requests a second.
    rate: u32,
    end: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

struct Target {
    address: SocketAddr,
    request: String,
    /// Connections that wait for a next request.
    kept: Mutex<Vec<TcpStream>>,
    report: Arc<Mutex<Report>>,
}

impl Load {
    /// GETs at this rate (a second), every second one on a kept connection; from the calling thread's network.
    pub fn start(address: SocketAddr, host: &str, path: &str, rate: u32) -> Self {
        let report = Arc::<Mutex<Report>>::default();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n");
        let target = Arc::new(Target { address, request, kept: Mutex::default(), report: report.clone() });
        let (end, ended) = watch::channel(false);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(run(target, Duration::from_secs(1) / rate, ended));
        });
        Self { report, rate, end, thread: Some(thread) }
    }

    /// What was seen so far.
    pub fn report(&self) -> Report {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many further requests were answered.
    pub fn await_answers(&self, count: u64) {
        self.await_answers_within(DEADLINE, count);
    }

    /// Waits for as many further answers as this time has requests.
    pub fn go_on_for(&self, time: Duration) {
        self.await_answers_within(time + 3 * DEADLINE, time.as_secs() * u64::from(self.rate));
    }

    fn await_answers_within(&self, deadline: Duration, count: u64) {
        let before = self.report().answered;
        until_within(deadline, "answers under load", || {
            let report = self.report();
            if report.answered >= before + count { Ok(()) } else { Err(format!("{report:?}")) }
        });
    }

    /// Waits until a body is the answer that was not before.
    pub fn await_body(&self, body: &str) {
        until(&format!("the answer {body:?} under load"), || {
            let report = self.report();
            if report.bodies.contains_key(body) { Ok(()) } else { Err(format!("{report:?}")) }
        });
    }

    /// Ends it; what is under way is awaited.
    pub fn stop(mut self) -> Report {
        self.finish();
        self.report()
    }

    /// Ends it, and panics if any request failed.
    pub fn assert_none_failed(self) -> Report {
        let report = self.stop();
        assert!(report.failed == 0 && report.answered > 0, "requests failed: {report:#?}");
        report
    }

    fn finish(&mut self) {
        // It ended by itself if nobody listens.
        let _ = self.end.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.finish();
    }
}

async fn run(target: Arc<Target>, between: Duration, mut ended: watch::Receiver<bool>) {
    let mut beat = tokio::time::interval(between);
    let mut tasks = tokio::task::JoinSet::new();
    let mut number = 0u64;
    while !*ended.borrow_and_update() {
        tokio::select! {
            _ = beat.tick() => {}
            _ = ended.changed() => break,
        }
        while tasks.len() >= UNDER_WAY_MAX || tasks.try_join_next().is_some() {
            if tasks.len() >= UNDER_WAY_MAX {
                let _ = tasks.join_next().await;
            }
        }
        let target = target.clone();
        number += 1;
        let keep = number.is_multiple_of(2);
        tasks.spawn(async move {
            let outcome = tokio::time::timeout(DEADLINE, target.ask(keep)).await;
            target.count(outcome.unwrap_or_else(|_| Err("no answer in time".into())));
        });
    }
    while tasks.join_next().await.is_some() {}
}

impl Target {
    async fn ask(&self, keep: bool) -> Result<Response, String> {
        if keep {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
            if let Some(stream) = kept {
                match self.ask_on(stream, true).await {
                    // Closed before a byte of the answer: any client asks again.
                    Err(None) => self.report.lock().unwrap_or_else(PoisonError::into_inner).stale += 1,
                    Err(Some(error)) => return Err(error),
                    Ok(response) => return Ok(response),
                }
            }
        }
        let stream = TcpStream::connect(self.address).await.map_err(|e| format!("connect: {e}"))?;
        self.ask_on(stream, keep).await.map_err(|e| e.unwrap_or_else(|| "closed without an answer".into()))
    }

    /// `Err(None)`: the connection ended before the first byte of an answer.
    async fn ask_on(&self, mut stream: TcpStream, keep: bool) -> Result<Response, Option<String>> {
        let end = if keep { "\r\n" } else { "Connection: close\r\n\r\n" };
        stream.write_all(format!("{}{end}", self.request).as_bytes()).await.map_err(|_| None)?;
        let mut bytes = Vec::new();
        loop {
            let came = match stream.read_buf(&mut bytes).await {
                Ok(came) => came,
                Err(_) if bytes.is_empty() => return Err(None),
                Err(error) => return Err(Some(error.to_string())),
            };
            if came == 0 && bytes.is_empty() {
                return Err(None);
            }
            match parse::response(&bytes, "GET", came == 0).map_err(Some)? {
                Some((response, _)) => {
                    if keep && !response.header("connection").eq_ignore_ascii_case("close") {
                        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
                    }
                    return Ok(response);
                }
                None if came == 0 => return Err(Some(format!("cut after {} bytes", bytes.len()))),
                None => {}
            }
        }
    }

    fn count(&self, outcome: Result<Response, String>) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = match outcome {
            Ok(response) if response.status == 200 => {
                report.answered += 1;
                *report.bodies.entry(response.text().trim_end().to_owned()).or_default() += 1;
                return;
            }
            Ok(response) => format!("{response:?}"),
            Err(error) => error,
        };
        report.failed += 1;
        if report.failures.len() < FAILURES_MAX {
            report.failures.push(failure);
        }
    }
}
