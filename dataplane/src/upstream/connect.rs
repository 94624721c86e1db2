//! Opening connections to endpoints.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use routing::value::UpstreamProtocol;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;

use super::pool::PoolKey;
use super::{Connection, h1};
use crate::error::{Error, Kind, Result};
use crate::exchange::Exchange;
use crate::io::Io;
use crate::table::Upstream;

/// How long a resolved ExternalName is used. The system's resolver gives no TTL; nginx's default for a name without
/// one would be as short.
const NAME_LIFETIME: Duration = Duration::from_secs(5);

/// Names kept at once; they come from the table, so this only guards against churn.
const NAMES_MAX: usize = 1024;

/// Resolved names of ExternalName Services.
#[derive(Default)]
pub struct Names(RefCell<HashMap<String, Resolved>>);

/// When a name was resolved, and to what.
type Resolved = (Instant, Rc<[SocketAddr]>);

/// A connection for one request, from the pool or new. The bool: it was used before.
pub async fn connect(
    ex: &Exchange,
    upstream: &Upstream,
    address: SocketAddr,
    timeout: Duration,
) -> Result<(Connection, PoolKey, bool)> {
    let tls = match &upstream.spec.protocol {
        UpstreamProtocol::Https { server_name, verify } => {
            Some((server_name.clone().unwrap_or_else(|| ex.req.host.clone()), *verify))
        }
        UpstreamProtocol::Http | UpstreamProtocol::H2c => None,
    };
    let key = PoolKey { address, tls };
    if upstream.spec.protocol == UpstreamProtocol::H2c {
        let (stream, reused) = Box::pin(super::h2::open(ex, address, timeout)).await?;
        return Ok((Connection::H2(Box::new(stream)), key, reused));
    }
    if let Some(connection) = ex.worker.pools.take(&key).await {
        return Ok((Connection::H1(connection), key, true));
    }
    let connecting = async {
        let tcp = open_tcp(address).await?;
        match &key.tls {
            None => Ok(Io::Plain(tcp)),
            Some((name, verify)) => open_tls(tcp, address.ip(), name, *verify).await,
        }
    };
    // Boxed, so that requests over a pooled connection do not carry the state of a handshake.
    let io = Box::pin(within(timeout, address, connecting)).await?;
    Ok((Connection::H1(Box::new(h1::Connection::new(io))), key, false))
}

/// A TCP connection without Nagle's delay.
pub async fn open_tcp(address: SocketAddr) -> Result<TcpStream> {
    let failed = |e: std::io::Error| Error::retriable(Kind::Connect, format!("connect to {address}: {e}"));
    let tcp = TcpStream::connect(address).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    Ok(tcp)
}

/// Gives `connecting` so long.
pub async fn within<T>(
    timeout: Duration,
    address: SocketAddr,
    connecting: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(timeout, connecting).await {
        Ok(result) => result,
        Err(_) => Err(Error::retriable(Kind::ConnectTimeout, format!("connect to {address}: no answer in time"))),
    }
}

async fn open_tls(tcp: TcpStream, ip: IpAddr, name: &str, verify: bool) -> Result<Io> {
    let connector = crate::tls::connector(verify);
    let name = ServerName::try_from(name.to_owned()).unwrap_or_else(|_| ServerName::from(ip));
    let tls = connector
        .connect(name, tcp)
        .await
        .map_err(|e| Error::retriable(Kind::Connect, format!("TLS with {ip}: {e}")))?;
    Ok(Io::Client(Box::new(tls)))
}

/// The controller refuses loopback names; this refuses names that lead there, or to the machine's own link, where
/// clouds have their metadata (SSRF). Kubernetes refuses the same of an EndpointSlice.
fn is_reachable(ip: IpAddr) -> bool {
    let link_local = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let ip = ip.to_canonical();
    !(link_local || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

impl Names {
    /// The addresses of `name:port`.
    pub async fn resolve(&self, name: &str, timeout: Duration) -> Result<Rc<[SocketAddr]>> {
        if let Some((at, found)) = self.0.borrow().get(name)
            && at.elapsed() < NAME_LIFETIME
        {
            return Ok(found.clone());
        }
        let found = tokio::time::timeout(timeout, tokio::net::lookup_host(name))
            .await
            .map_err(|_| Error::new(Kind::ConnectTimeout, format!("the name {name} did not resolve in time")))?
            .map_err(|e| Error::new(Kind::Connect, format!("the name {name} does not resolve: {e}")))?;
        let found: Rc<[SocketAddr]> = found.filter(|a| is_reachable(a.ip())).collect();
        if found.is_empty() {
            return Err(Error::new(Kind::Connect, format!("the name {name} has no usable address")));
        }
        let mut names = self.0.borrow_mut();
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        names.insert(name.to_owned(), (Instant::now(), found.clone()));
        Ok(found)
    }
}
