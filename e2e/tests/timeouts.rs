//! Endpoints that take too long: to be connected to, to take a request, to answer. Each wait ends by its own setting, or
//! by its own annotation; all others are an hour here, so that nothing else can have ended it.

#![forbid(unsafe_code)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use e2e::h2::{self, kind};
use e2e::manifests::{config, ingress, plugin, service, service_of};
use e2e::{Client, Manifests, Moongate, Upstream};

const HOST: &str = "shop.example.com";
const SETTINGS: [(&str, &str); 3] = [
    ("proxyConnectTimeout", "proxy-connect-timeout"),
    ("proxySendTimeout", "proxy-send-timeout"),
    ("proxyReadTimeout", "proxy-read-timeout"),
];

/// A MoongateConfig in which one time-out is a second and the others are an hour.
fn hours_but(short: &str) -> String {
    let of = |name: &str| format!("{name}: {}", if name == short { "1s" } else { "1h" });
    let all = SETTINGS.map(|(setting, _)| of(setting)).join(", ");
    config(&format!("http: {{{all}, proxyNextUpstreamTries: 1, clientMaxBodySize: 64Mi}}"))
}

/// Asks for what cannot be had in time, with the time-out set for all routes and then for this one, and says what came.
fn ends_by(setting: &str, backend: &str, ask: impl Fn(&Moongate)) {
    let (_, annotation) = SETTINGS.into_iter().find(|(name, _)| *name == setting).expect("it is one of them");
    let annotation = format!("nginx.ingress.kubernetes.io/{annotation}");
    for (short, annotations) in [(setting, &[][..]), ("", &[(annotation.as_str(), "1")])] {
        let route = ingress("shop", HOST, "/", "backend", annotations);
        let manifests = Manifests::of(&[backend.to_owned(), route, hours_but(short)]);
        ask(&Moongate::start(&manifests));
    }
}

/// Expects 504 of a GET, and that it is counted.
fn is_504(kind: &'static str) -> impl Fn(&Moongate) {
    move |moongate| {
        let response = moongate.get(HOST, "/");
        assert_eq!(response.status, 504, "{response:?}\n{}", moongate.process.log());
        let line = format!("moongate_errors_total{{kind=\"{kind}\",source=\"upstream\"}}");
        assert_eq!(moongate.metric(&line), Some(1.0), "{line}");
    }
}

/// A listener whose queue is full: whoever connects gets no answer.
struct Full {
    listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Full {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a loopback port");
            socket.listen(1).and_then(|listener| listener.into_std()).expect("it is bound")
        });
        let address = listener.local_addr().expect("it is bound");
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let queue: Vec<_> = std::iter::from_fn(connect).take(100).collect();
        assert!(queue.len() < 100, "a listener with a queue of one takes everybody");
        Self { listener, _queue: queue }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().expect("it is bound").port()
    }
}

#[test]
fn an_endpoint_that_does_not_accept() {
    let full = Full::new();
    ends_by("proxyConnectTimeout", &service("backend", &[full.port()]), is_504("ConnectTimeout"));
    ends_by(
        "proxyConnectTimeout",
        &service_of("backend", "kubernetes.io/h2c", &[full.port()]),
        is_504("ConnectTimeout"),
    );
}

#[test]
fn an_endpoint_that_does_not_accept_is_followed_by_one_that_does() {
    let (full, upstream) = (Full::new(), Upstream::answering("ok"));
    let config = "http: {proxyConnectTimeout: 1s}";
    let (_manifests, moongate) = Moongate::proxy(HOST, &[full.port(), upstream.port], config, &["--workers", "1"]);
    // In turn: one of two at least comes to the full one first.
    let statuses = [(); 2].map(|()| moongate.get(HOST, "/").status);
    assert_eq!(statuses, [200, 200], "{}", moongate.process.log());
    assert!(moongate.metric("moongate_upstream_retries_total").is_some_and(|n| n >= 1.0));
}

#[test]
fn an_endpoint_that_does_not_end_its_handshake() {
    let silent = Upstream::start(|mut c| while c.bytes().is_some() {});
    let backend = service_of("backend", "https", &[silent.port]);
    ends_by("proxyConnectTimeout", &backend, is_504("ConnectTimeout"));
}

#[test]
fn an_endpoint_that_does_not_answer() {
    let silent = Upstream::start(|mut c| while c.request().is_some() {});
    ends_by("proxyReadTimeout", &service("backend", &[silent.port]), is_504("UpstreamTimeout"));
    let settings = h2::frame(kind::SETTINGS, 0, 0, &[]);
    let silent = Upstream::start(move |mut c| {
        c.send(&settings);
        while c.bytes().is_some() {}
    });
    let backend = service_of("backend", "kubernetes.io/h2c", &[silent.port]);
    ends_by("proxyReadTimeout", &backend, is_504("UpstreamTimeout"));
}

/// The head is with the client already: what is missing must not look like the body's end.
#[test]
fn an_endpoint_that_stops_amid_its_answer() {
    let stopping = Upstream::start(|mut c| {
        while c.request().is_some() {
            c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
        }
    });
    ends_by("proxyReadTimeout", &service("backend", &[stopping.port]), |moongate| {
        let mut client = Client::connect(moongate.http);
        let received = client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).rest();
        assert!(received.starts_with("HTTP/1.1 200 OK\r\n"), "{received}");
        assert!(received.ends_with("half\r\n"), "cut, without a last chunk: {received}");
    });
}

#[test]
fn an_endpoint_that_takes_no_body() {
    // Over HTTP/1.1: it never reads. Over HTTP/2: it opens no window.
    let deaf = Upstream::start(|_open| {
        loop {
            std::thread::park();
        }
    });
    let windowless = Upstream::start(|mut c| {
        c.send(h2::frame(kind::SETTINGS, 0, 0, &[&[0, 4][..], &[0; 4]].concat()));
        while let Some(bytes) = c.bytes() {
            // The acknowledgement of the client's SETTINGS, whenever something comes.
            if bytes.windows(4).any(|w| w == b"SM\r\n") {
                c.send(h2::frame(kind::SETTINGS, 1, 0, &[]));
            }
        }
    });
    for backend in [service("backend", &[deaf.port]), service_of("backend", "kubernetes.io/h2c", &[windowless.port])] {
        ends_by("proxySendTimeout", &backend, |moongate| {
            let mut client = Client::connect(moongate.http);
            client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n", 32 << 20));
            // More than every buffer on the way holds; it may be answered before all of it was taken.
            let _ = client.try_send(&vec![b'x'; 16 << 20]);
            assert_eq!(client.response("POST").status, 504, "{}", moongate.process.log());
        });
    }
}

/// A script's word on one request goes before both.
#[test]
fn a_balancer_script_sets_its_own() {
    let silent = Upstream::start(|mut c| while c.request().is_some() {});
    let manifests = Manifests::of(&[
        hours_but(""),
        service("backend", &[silent.port]),
        ingress("shop", HOST, "/", "backend", &[("moongate.dev/plugins", "hurry")]),
        plugin("hurry", &[("balancer", "assert(require('ngx.balancer').set_timeouts(nil, nil, 1))")], ""),
    ]);
    is_504("UpstreamTimeout")(&Moongate::start(&manifests));
}
