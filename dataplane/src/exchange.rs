//! One request and one response, whatever the protocol. Also what a script's host functions see: a timer runs with
//! an exchange that has no real request, as OpenResty's "fake request".

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http1::{Headers, RequestHead, Version};

use crate::lua::LuaState;
use crate::table::CompiledRoute;
use crate::worker::Worker;

pub mod body;
pub mod frames;
pub mod out;
pub mod pool;

pub use body::RequestBody;
pub use out::Out;

/// What holds for a client's connection.
#[derive(Debug)]
pub struct Conn {
    /// The peer of the socket (not a forwarded address).
    pub peer: SocketAddr,
    /// Our side of the socket.
    pub local: SocketAddr,
    /// The TLS session's facts; none on plain HTTP.
    pub tls: Option<Box<TlsInfo>>,
    /// Counts connections of the process; `ngx.var.connection`.
    pub serial: u64,
    /// The peer's IP address as text: written into every request, printed once.
    pub peer_text: AddressText,
}

/// An IP address as text, without an allocation.
#[derive(Clone, Copy)]
pub struct AddressText {
    bytes: [u8; 45],
    len: u8,
}

impl AddressText {
    /// Prints an address.
    pub fn new(ip: std::net::IpAddr) -> Self {
        use std::io::Write;
        let mut bytes = [0; 45];
        let mut rest = &mut bytes[..];
        // 45 bytes hold the longest form there is.
        let _ = write!(rest, "{ip}");
        let len = 45 - rest.len();
        Self { bytes, len: len as u8 }
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::fmt::Debug for AddressText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl Conn {
    /// The facts of an accepted connection.
    pub fn new(peer: SocketAddr, local: SocketAddr, tls: Option<TlsInfo>, serial: u64) -> Self {
        let tls = tls.map(Box::new);
        Self { peer, local, tls, serial, peer_text: AddressText::new(peer.ip().to_canonical()) }
    }
}

/// Facts of a TLS session.
#[derive(Debug)]
pub struct TlsInfo {
    /// SNI, lower-cased.
    pub server_name: Option<String>,
    /// As nginx's `$ssl_protocol`: `TLSv1.3`.
    pub protocol: &'static str,
    /// As `$ssl_cipher`.
    pub cipher: String,
}

/// One request and one response.
pub struct Exchange {
    /// The worker that serves it: table, pools, VMs, clock.
    pub worker: Rc<Worker>,
    /// The client's connection.
    pub conn: Rc<Conn>,
    /// False for timers and init: nothing of `req` and `resp` means anything then.
    pub real: bool,
    /// What the client asked.
    pub req: Request,
    /// What it is answered.
    pub resp: Response,
    /// Bytes and frames of the response that wait to be written to the client.
    pub out: Out,
    /// The route, once it is chosen.
    pub route: Option<Arc<CompiledRoute>>,
    /// Tries of upstreams, for variables and the log.
    pub tries: Vec<Try>,
    /// The upstream's head while it is passed on; kept for its buffers.
    pub upstream_head: http1::ResponseHead,
    /// Where this request came in.
    pub started: Instant,
    /// What the scripts of this request share with their host.
    pub lua: LuaState,
}

/// The client's part.
#[derive(Debug)]
pub struct Request {
    /// Method, target as sent, headers. Scripts change method and headers here.
    pub head: RequestHead,
    /// The client asked by HEAD and takes no body for an answer, whatever method a script has set since.
    pub head_only: bool,
    /// The host that routed it: lower-case, without port; empty when the request names none.
    pub host: String,
    /// The path in the normal form that routes are matched by, percent-encoded; what goes upstream when it differs
    /// from what was sent.
    pub matched: String,
    /// `matched` differs from the path that was sent.
    pub normalised: bool,
    /// `$uri`: the same path, decoded. `ngx.req.set_uri` changes it.
    pub path: Vec<u8>,
    /// `path` was changed by a script, so that the target sent upstream is made from it.
    pub path_changed: bool,
    /// `$args`: the query string without `?`. `ngx.req.set_uri_args` changes it.
    pub args: Option<Vec<u8>>,
    /// `args` was changed by a script.
    pub args_changed: bool,
    /// The client's address: the peer's, or what a trusted proxy says.
    pub client: SocketAddr,
    /// `https` or `http`, as the client sees it.
    pub scheme: &'static str,
    /// What a trusted proxy says that it was asked for; none: the peer is not trusted.
    pub forwarded: Option<Box<Forwarded>>,
    /// 32 hexadecimal digits, made when first asked for (or taken from X-Request-ID).
    pub id: Option<String>,
    /// What of the body was read, and where it is.
    pub body: RequestBody,
    /// What followed the body.
    pub trailers: Option<Headers>,
    /// The head's bytes, kept only on routes with scripts (`ngx.req.raw_header`).
    pub raw_head: Vec<u8>,
    /// Size of the head on the wire.
    pub head_bytes: usize,
    /// The request came over HTTP/2.
    pub http2: bool,
    /// Counts the requests of its connection, from 1; `$connection_requests`.
    pub serial: u64,
}

/// What X-Forwarded-Host and X-Forwarded-Port of a trusted proxy say.
#[derive(Debug)]
pub struct Forwarded {
    /// As the Host header may have it.
    pub host: Option<Vec<u8>>,
    /// The port that the client connected to.
    pub port: Option<u16>,
}

/// Our part.
#[derive(Debug, Default)]
pub struct Response {
    /// 0 until something sets it.
    pub status: u16,
    /// An upstream's own reason phrase.
    pub reason: Option<Vec<u8>>,
    /// In the order in which they will be written.
    pub headers: Headers,
    /// Declared length of the body, once known (`Content-Length` is written from it).
    pub content_length: Option<u64>,
    /// The head was queued: status and headers can no longer change.
    pub head_sent: bool,
    /// The body was ended (`ngx.eof`, or the end of it).
    pub ended: bool,
    /// Size of the head on the wire, once it is queued; over HTTP/2 without compression.
    pub head_bytes: u64,
    /// Body bytes that went out, before transfer coding.
    pub body_bytes: u64,
    /// No body whatever the headers say: HEAD, 204, 304.
    pub header_only: bool,
    /// The body filters have swallowed the end (`ngx.arg[2] = true`): the rest of the upstream's body is dropped.
    pub filter_ended: bool,
    /// More body came than was declared: the rest is cut, which was logged.
    pub cut: bool,
    /// A filter failed: none runs again for this response.
    pub filter_failed: bool,
    /// The response is from an upstream (for logs and headers).
    pub from_upstream: bool,
}

/// One try of an upstream.
#[derive(Clone, Debug)]
pub struct Try {
    /// `$upstream_addr`.
    pub address: SocketAddr,
    /// `$upstream_status`; 0 when none came.
    pub status: u16,
    /// When the connection was asked for.
    pub started: Instant,
    /// `$upstream_connect_time`, seconds.
    pub connect_time: Option<f64>,
    /// `$upstream_header_time`, seconds.
    pub header_time: Option<f64>,
    /// `$upstream_response_time`, seconds.
    pub response_time: Option<f64>,
}

impl Exchange {
    /// An exchange that has read nothing yet.
    pub fn new(worker: Rc<Worker>, conn: Rc<Conn>) -> Box<Self> {
        let client = conn.peer;
        let scheme = if conn.tls.is_some() { "https" } else { "http" };
        let started = worker.now();
        Box::new(Self {
            worker,
            conn,
            real: true,
            req: Request::new(client, scheme),
            resp: Response::default(),
            out: Out::default(),
            route: None,
            tries: Vec::new(),
            upstream_head: http1::ResponseHead::default(),
            started,
            lua: LuaState::default(),
        })
    }

    /// An exchange for a timer or an init phase.
    pub fn fake(worker: Rc<Worker>) -> Box<Self> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let conn = Rc::new(Conn::new(nowhere, nowhere, None, 0));
        let mut exchange = Self::new(worker, conn);
        exchange.real = false;
        exchange
    }

    /// Keeps the head's bytes where a script may ask for them; decided before the route is known, so by whether any
    /// VM exists at all.
    pub fn keep_raw_head(&mut self, bytes: &[u8]) {
        self.req.head_bytes = bytes.len();
        self.req.raw_head.clear();
        if self.worker.snapshot(|s| !s.scopes.is_empty()) {
            self.req.raw_head.extend_from_slice(bytes);
        }
    }

    /// The request's id: X-Request-ID when the client sent a usable one, else 32 random hexadecimal digits.
    pub fn request_id(&mut self) -> &str {
        if self.req.id.is_none() {
            let sent = self.req.head.headers.get(b"x-request-id").and_then(usable_id);
            self.req.id = Some(sent.unwrap_or_else(|| self.worker.random_id()));
        }
        self.req.id.as_deref().unwrap_or_default()
    }
}

/// A client's id is taken over when it is short and harmless in a log line.
fn usable_id(value: &[u8]) -> Option<String> {
    let harmless = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:+/=".contains(b);
    let ok = !value.is_empty() && value.len() <= 128 && value.iter().all(harmless);
    ok.then(|| String::from_utf8_lossy(value).into_owned())
}

impl Request {
    fn new(client: SocketAddr, scheme: &'static str) -> Self {
        Self {
            head: RequestHead::default(),
            head_only: false,
            host: String::new(),
            matched: String::new(),
            normalised: false,
            path: Vec::new(),
            path_changed: false,
            args: None,
            args_changed: false,
            client,
            scheme,
            forwarded: None,
            id: None,
            body: RequestBody::default(),
            trailers: None,
            raw_head: Vec::new(),
            head_bytes: 0,
            http2: false,
            serial: 1,
        }
    }

    /// `HTTP/1.1`, `HTTP/1.0` or `HTTP/2.0`, as nginx's `$server_protocol`.
    pub fn protocol(&self) -> &'static str {
        match (self.http2, self.head.version) {
            (true, _) => "HTTP/2.0",
            (false, Version::Http11) => "HTTP/1.1",
            (false, Version::Http10) => "HTTP/1.0",
        }
    }

    /// Whether the response has a head only.
    pub fn is_head(&self) -> bool {
        self.head_only
    }
}
