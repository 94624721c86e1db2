//! Everything may change while requests run: none fails, and no connection is closed.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "all of this is test code: a panic is the failure of a test")]

mod files;
mod memory;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use e2e::h2::{H2, Verdict};
use e2e::{Client, Moongate, until};
use world::{CERTIFICATE, HOST, KINDS, World, ping, tunnel, upstream};

const CHANGES: usize = 1001;
/// More than sockets buffer over all pieces, so that the download lasts as long as the changes do.
const PIECE: &[u8] = &[b'd'; 64 * 1024];
const SIZE: usize = CHANGES * PIECE.len();

/// Asks on connections that are kept, until it is told to end. Counts the answers.
fn load(moongate: &Moongate, end: &Arc<AtomicBool>, answers: &Arc<AtomicU64>) -> Vec<std::thread::JoinHandle<()>> {
    let one = |address| {
        let (end, answers) = (end.clone(), answers.clone());
        std::thread::spawn(move || {
            let mut client = Client::connect(address);
            while !end.load(Ordering::Relaxed) {
                let response = client.get(HOST, "/");
                assert!(response.status == 200 && response.text().starts_with("backend "), "{response:?}");
                answers.fetch_add(1, Ordering::Relaxed);
                if response.header("connection").eq_ignore_ascii_case("close") {
                    // The limit of requests of a connection, which nginx has too.
                    client = Client::connect(address);
                }
            }
        })
    };
    (0..4).map(|_| one(moongate.http)).collect()
}

/// Changes something, and waits until that is served.
fn change(moongate: &Moongate, what: impl FnOnce()) {
    let version = || moongate.metric("moongate_table_version").unwrap_or(0.0);
    let before = version();
    what();
    until("a change's effect", || {
        let now = version();
        if now > before { Ok(()) } else { Err(format!("table {now}\n{}", moongate.process.log())) }
    });
}

/// Connections that were there before everything changed, and have to be there afterwards.
struct Kept {
    tunnel: Client,
    download: Client,
    received: usize,
    plain: Client,
    tls: Client,
    h2: H2,
    /// The next request's.
    stream: u32,
}

impl Kept {
    fn new(moongate: &Moongate, world: &World) -> Self {
        let mut download = Client::connect(moongate.http);
        download.send(format!("GET /download HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).until("\r\n\r\n");
        let certificate = &world.certificates[0];
        let mut kept = Self {
            tunnel: tunnel(moongate.http, HOST),
            download,
            received: 0,
            plain: Client::connect(moongate.http),
            tls: Client::secure(moongate.https, HOST, certificate).unwrap(),
            h2: H2::secure(moongate.https, HOST, certificate).unwrap(),
            stream: 1,
        };
        kept.ask();
        kept
    }

    /// A request on each connection that carries requests.
    fn ask(&mut self) {
        assert_eq!(self.plain.get(HOST, "/").status, 200);
        assert_eq!(self.tls.get(HOST, "/").status, 200);
        assert_eq!(self.h2.get(self.stream, HOST, "/"), Verdict::Status(200));
        self.stream += 2;
    }
}

#[test]
fn a_thousand_changes_of_everything_fail_no_request_and_close_no_connection() {
    let backends = ["backend 0", "backend 1"].map(|name| upstream(name, CHANGES, PIECE));
    let world = World::new([backends[0].port, backends[1].port]);
    (0..KINDS).for_each(|kind| world.change(kind, 0));
    let moongate = Moongate::start(&world.manifests);
    let (end, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = load(&moongate, &end, &answers);
    let mut kept = Kept::new(&moongate, &world);
    for n in 0..CHANGES {
        let (kind, version) = (n % KINDS, 1 + n / KINDS);
        change(&moongate, || world.change(kind, version));
        ping(&mut kept.tunnel, n);
        kept.received += kept.download.take(PIECE.len());
        if kind == CERTIFICATE {
            // Those who are connected stay; who comes now meets the new one.
            kept.ask();
            let mut new = Client::secure(moongate.https, HOST, &world.certificates[version % 2]).unwrap();
            assert_eq!(new.get(HOST, "/").status, 200);
        }
    }
    end.store(true, Ordering::Relaxed);
    load.into_iter().for_each(|thread| thread.join().expect("no request fails"));
    kept.received += kept.download.take(SIZE - kept.received);
    assert_eq!(kept.received, SIZE, "the download is whole");
    kept.ask();
    assert!(answers.load(Ordering::Relaxed) > CHANGES as u64, "there was load");
    last_version_is_served(&moongate, &world, CHANGES / KINDS);
}

/// What is served is the last version of each kind, and no part of another.
fn last_version_is_served(moongate: &Moongate, world: &World, version: usize) {
    let last = moongate.get(HOST, "/");
    assert_eq!(last.text(), format!("backend {}", version % 2), "{last:?}");
    assert_eq!(last.header("x-version"), version.to_string(), "{last:?}");
    assert_eq!(last.header("x-word"), format!("w{version}"), "{last:?}");
    assert_eq!(last.header("server"), format!("s{version}"), "{last:?}");
    let post = |bytes: usize| {
        let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {bytes}\r\n\r\n");
        // The answer may come before everything was sent.
        let mut client = Client::connect(moongate.http);
        let _ = client.send(head).try_send(&vec![b'p'; bytes]);
        client.response("POST").status
    };
    let limit = (1 + version) * 1024;
    assert_eq!((post(limit), post(limit + 1)), (200, 413));
    let host = |version: usize| moongate.get(&format!("h{version}.example.com"), "/").status;
    assert_eq!((host(version), host(version - 1)), (200, 404));
    assert!(Client::secure(moongate.https, HOST, &world.certificates[(version + 1) % 2]).is_err());
}
