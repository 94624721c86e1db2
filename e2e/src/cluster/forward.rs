//! Loopback ports of the machine that lead into the cluster's network.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::sandbox::{Holder, Sandbox};

/// Forwards a loopback port to an address as the outside client reaches it; until the process ends. Port 0 takes any.
pub fn forward(
    sandbox: &Sandbox,
    client: &'static Holder,
    port: u16,
    target: SocketAddr,
) -> anyhow::Result<SocketAddr> {
    // A thread of its own for each side: a thread is in one network, a socket stays in that of its birth.
    let bound = std::thread::scope(|scope| {
        let bind = || {
            sandbox.leave()?;
            std::net::TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("cannot listen on port {port}"))
        };
        scope.spawn(bind).join().expect("it does not panic")
    })?;
    bound.set_nonblocking(true)?;
    let address = bound.local_addr()?;
    std::thread::spawn(move || -> anyhow::Result<()> {
        client.enter()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { serve(TcpListener::from_std(bound)?, target).await })
    });
    Ok(address)
}

async fn serve(listener: TcpListener, target: SocketAddr) -> anyhow::Result<()> {
    let set = tokio::task::LocalSet::new();
    let accept = async {
        loop {
            let (mut near, _) = listener.accept().await?;
            tokio::task::spawn_local(async move {
                // A target that refuses is seen by the client as a connection that ends.
                if let Ok(mut far) = TcpStream::connect(target).await {
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    };
    set.run_until(accept).await
}
