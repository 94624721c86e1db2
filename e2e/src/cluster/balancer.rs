//! What a load balancer does: new connections go to nodes whose health checks pass, those that are there stay. While no
//! node passes, the last that did are used, as balancers of clouds do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// A node that does not answer a check, or a connection, in this time is not there.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// Where a node serves, and where it says whether it does.
#[derive(Clone)]
pub struct Target {
    /// For clients.
    pub traffic: SocketAddr,
    /// Answers 200 on `path` while there is something to send clients to.
    pub health: SocketAddr,
    /// The path of the check.
    pub path: &'static str,
}

/// How it checks.
#[derive(Clone, Copy)]
pub struct Checks {
    /// Between two checks of all nodes.
    pub every: Duration,
    /// So many checks of a node that has passed have to fail in a row; one that passes is enough.
    pub failures: u32,
}

/// The nodes that pass, by index.
type Healthy = Arc<Mutex<Vec<usize>>>;

/// A balancer that runs until the process ends.
pub struct Balancer {
    /// Where clients connect to, in the network of the thread that started it.
    pub address: SocketAddr,
    healthy: Healthy,
}

impl Balancer {
    /// Starts one in the calling thread's network.
    pub fn start(targets: Vec<Target>, checks: Checks) -> anyhow::Result<Self> {
        let bound = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        bound.set_nonblocking(true)?;
        let address = bound.local_addr()?;
        let healthy = Healthy::default();
        let seen = healthy.clone();
        std::thread::spawn(move || -> anyhow::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                tokio::spawn(check(targets.clone(), checks, seen.clone()));
                serve(TcpListener::from_std(bound)?, &targets, &seen).await
            })
        });
        Ok(Self { address, healthy })
    }

    /// The nodes that pass, by index.
    pub fn healthy(&self) -> Vec<usize> {
        lock(&self.healthy)
    }
}

fn lock(healthy: &Healthy) -> Vec<usize> {
    healthy.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

async fn check(targets: Vec<Target>, checks: Checks, healthy: Healthy) {
    // A node that was never seen to pass does not.
    let mut failed = vec![checks.failures; targets.len()];
    loop {
        for (failed, target) in failed.iter_mut().zip(&targets) {
            let has_passed = matches!(timeout(ANSWER_MAX, passes(target)).await, Ok(Ok(true)));
            *failed = if has_passed { 0 } else { failed.saturating_add(1) };
        }
        let found = failed.iter().enumerate().filter(|(_, failed)| **failed < checks.failures).map(|(index, _)| index);
        *healthy.lock().unwrap_or_else(PoisonError::into_inner) = found.collect();
        sleep(checks.every).await;
    }
}

async fn passes(target: &Target) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(target.health).await?;
    let request = format!("GET {} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n", target.path);
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

async fn serve(listener: TcpListener, targets: &[Target], healthy: &Healthy) -> anyhow::Result<()> {
    let (mut number, mut nodes) = (0usize, Vec::new());
    loop {
        let (mut near, _) = listener.accept().await?;
        nodes = Some(lock(healthy)).filter(|now| !now.is_empty()).unwrap_or(nodes);
        number += 1;
        // Without a node the connection ends, which its client sees as a failure.
        let Some(node) = nodes.get(number % nodes.len().max(1)) else { continue };
        let target = targets[*node].traffic;
        tokio::spawn(async move {
            if let Ok(Ok(mut far)) = timeout(ANSWER_MAX, TcpStream::connect(target)).await {
                // Whichever side ends it, the other sees the same.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
