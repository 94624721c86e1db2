//! Worker threads, and the one that serves the admin endpoint.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::LocalOptions;

use super::{Addresses, Options, State};
use crate::listener;
use crate::tls::Acceptors;
use crate::worker::Worker;

/// Every socket of the process, by worker.
pub(super) struct Sockets {
    pub(super) addresses: Addresses,
    workers: Vec<Vec<(TcpListener, bool)>>,
    admin: Option<TcpListener>,
}

/// One per CPU that the process may use: the affinity mask, cut by the cgroup's quota.
pub(super) fn default_workers() -> usize {
    // The standard library reads both.
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Binds all sockets before anything starts, so that a bad address stops the start.
pub(super) fn bind_all(options: &Options, n: usize) -> io::Result<Sockets> {
    let mut sockets =
        Sockets { addresses: Addresses::default(), workers: (0..n).map(|_| Vec::new()).collect(), admin: None };
    for (addresses, tls) in [(&options.http, false), (&options.https, true)] {
        for address in addresses {
            let bound = bind_for_all(*address, tls, &mut sockets.workers)?;
            if tls { &mut sockets.addresses.https } else { &mut sockets.addresses.http }.push(bound);
        }
    }
    if let Some(address) = options.admin {
        let listener =
            TcpListener::bind(address).map_err(|e| io::Error::new(e.kind(), format!("listen on {address}: {e}")))?;
        listener.set_nonblocking(true)?;
        sockets.addresses.admin = Some(listener.local_addr()?);
        sockets.admin = Some(listener);
    }
    Ok(sockets)
}

fn bind_for_all(address: SocketAddr, tls: bool, workers: &mut [Vec<(TcpListener, bool)>]) -> io::Result<SocketAddr> {
    let mut at = address;
    for worker in workers {
        let listener = listener::bind(at)?;
        // Port 0: the first socket gets a port, the others share it.
        at = listener.local_addr()?;
        worker.push((listener, tls));
    }
    Ok(at)
}

/// Starts every thread.
pub(super) fn start(sockets: Sockets, state: &Arc<State>) -> io::Result<Vec<JoinHandle<()>>> {
    let tls = Acceptors::new(&state.shared.snapshot)?;
    let mut threads = Vec::new();
    for (id, listeners) in sockets.workers.into_iter().enumerate() {
        let (state, tls) = (state.clone(), tls.clone());
        state.busy_workers.fetch_add(1, Ordering::AcqRel);
        let run = move || {
            if let Err(e) = work(id, listeners, &state, &tls) {
                tracing::error!(target: "server", "worker {id} ends: {e}");
            }
            state.busy_workers.fetch_sub(1, Ordering::AcqRel);
        };
        threads.push(std::thread::Builder::new().name(format!("worker-{id}")).spawn(run)?);
    }
    if let Some(admin) = sockets.admin {
        let state = state.clone();
        std::thread::Builder::new().name("admin".into()).spawn(move || {
            if let Err(e) = serve_admin(admin, state) {
                tracing::error!(target: "server", "the admin endpoint ends: {e}");
            }
        })?;
    }
    Ok(threads)
}

fn serve_admin(listener: TcpListener, state: Arc<State>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        crate::admin::serve(tokio::net::TcpListener::from_std(listener)?, state).await;
        Ok(())
    })
}

fn work(id: usize, listeners: Vec<(TcpListener, bool)>, state: &Arc<State>, tls: &Acceptors) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(crate::access_log::flush)
        .on_thread_unpark(|| _ = crate::clock::tick())
        // How many tasks run before sockets are looked at again; tokio's default is 61.
        .event_interval(31)
        .build_local(LocalOptions::default())?;
    let worker = Worker::new(id, state.shared.clone());
    runtime.block_on(async {
        tokio::task::spawn_local(super::housekeeping(worker.clone()));
        let mut accepting = Vec::new();
        for (listener, is_tls) in listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let tls = is_tls.then(|| tls.clone());
            accepting.push(tokio::task::spawn_local(listener::accept(worker.clone(), listener, tls)));
        }
        for task in accepting {
            let _ = task.await;
        }
        worker.accept_ends().await;
        worker.vms.close();
        while worker.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        worker.exchanges.clear();
        crate::access_log::flush();
        Ok(())
    })
}
