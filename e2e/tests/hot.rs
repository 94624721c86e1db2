//! Everything may change while requests run: none fails, and no connection is closed.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use e2e::certificates::{self, Certificate};
use e2e::manifests::{config, ingress, ingress_tls, plugin, secret, service};
use e2e::{Client, Manifests, Moongate, Upstream, until};

const HOST: &str = "shop.example.com";

/// Tunnels, downloads and short answers, by the path.
fn upstream() -> Upstream {
    Upstream::start(|mut c| {
        while let Some(request) = c.request() {
            match request.target() {
                "/tunnel" => {
                    c.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
                    while let Some(bytes) = c.bytes() {
                        c.send(bytes);
                    }
                    return;
                }
                "/download" => {
                    c.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PIECES * PIECE.len()));
                    for _ in 0..PIECES {
                        if !c.send(PIECE) {
                            return;
                        }
                    }
                }
                _ => drop(c.answer(200, "ok")),
            }
        }
    })
}

const CHANGES: usize = 1000;
const PIECES: usize = CHANGES;
/// More than sockets buffer over all pieces, so that the download lasts as long as the changes do.
const PIECE: &[u8] = &[b'd'; 64 * 1024];

fn tunnel(moongate: &Moongate) -> Client {
    let mut client = Client::connect(moongate.http);
    client.send(format!("GET /tunnel HTTP/1.1\r\nHost: {HOST}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"));
    assert!(client.until("\r\n\r\n").starts_with("HTTP/1.1 101 "));
    client
}

/// What changes, one kind a file.
struct World {
    manifests: Manifests,
    ports: [u16; 2],
    certificates: [Certificate; 2],
}

impl World {
    fn new(ports: [u16; 2]) -> Self {
        let manifests = Manifests::new();
        let certificates = [(); 2].map(|()| certificates::make(manifests.logs(), &[HOST]));
        let world = Self { manifests, ports, certificates };
        (0..5).for_each(|kind| world.change(kind));
        world
    }

    /// Writes the file of a kind in its version `n`; each version differs from the one before.
    fn change(&self, n: usize) {
        let version = n / 5;
        match n % 5 {
            0 => self.manifests.write("endpoints.yaml", &service("backend", &[self.ports[version % 2]])),
            1 => {
                let script = format!("ngx.header['X-Version'] = '{version}'");
                self.manifests.write("script.yaml", &plugin("stamp", &[("headerFilter", &script)], ""));
            }
            2 => {
                let certificate = &self.certificates[version % 2];
                self.manifests.write("certificate.yaml", &secret("tls", &certificate.certificate, &certificate.key));
            }
            3 => {
                // The route under load itself: its limits change, and other routes of its host come and go.
                let size = format!("{}k", 100 + version);
                let annotations = [
                    ("moongate.dev/plugins", "stamp"),
                    ("nginx.ingress.kubernetes.io/proxy-body-size", size.as_str()),
                    ("nginx.ingress.kubernetes.io/ssl-redirect", "false"),
                ];
                let other = ingress("other", HOST, &format!("/v{version}"), "backend", &[]);
                let main = ingress("shop", HOST, "/", "backend", &annotations);
                self.manifests.write("route.yaml", &format!("{main}---\n{other}"));
            }
            _ => {
                let host = format!("h{version}.example.com");
                let tls = ingress_tls("secure", HOST, "backend", "tls").replace("path: /", "path: /secure");
                self.manifests
                    .write("hosts.yaml", &format!("{tls}---\n{}", ingress("extra", &host, "/", "backend", &[])));
            }
        }
    }
}

/// Asks on connections that are kept, until it is told to end. Returns how many answers there were.
fn load(moongate: &Moongate, end: &Arc<AtomicBool>, answers: &Arc<AtomicU64>) -> Vec<std::thread::JoinHandle<()>> {
    let one = |address| {
        let (end, answers) = (end.clone(), answers.clone());
        std::thread::spawn(move || {
            let mut client = Client::connect(address);
            while !end.load(Ordering::Relaxed) {
                let response = client.get(HOST, "/");
                assert_eq!((response.status, response.text().as_str()), (200, "ok"), "{response:?}");
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

#[test]
fn a_thousand_changes_of_everything_fail_no_request_and_close_no_connection() {
    let backends = [upstream(), upstream()];
    let world = World::new([backends[0].port, backends[1].port]);
    let moongate = Moongate::start(&world.manifests);
    let (end, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = load(&moongate, &end, &answers);

    let mut tunnel = tunnel(&moongate);
    let mut download = Client::connect(moongate.http);
    download.send(format!("GET /download HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).until("\r\n\r\n");
    let mut kept = Client::connect(moongate.http);
    assert_eq!(kept.get("unknown.example.com", "/").status, 404);
    let mut received = 0;
    let version = || moongate.metric("moongate_table_version").unwrap_or(0.0);
    for n in 5..5 + CHANGES {
        let before = version();
        world.change(n);
        until("a change's effect", || {
            let now = version();
            if now > before { Ok(()) } else { Err(format!("change {n}: {now}\n{}", moongate.process.log())) }
        });
        tunnel.send(format!("ping {n};")).until(&format!("ping {n};"));
        received += download.take(PIECE.len());
        if n % 100 == 0 {
            assert_eq!(kept.get(HOST, "/").status, 200);
        }
    }
    end.store(true, Ordering::Relaxed);
    load.into_iter().for_each(|thread| thread.join().expect("no request fails"));
    received += download.take(PIECES * PIECE.len() - received);
    assert_eq!(received, PIECES * PIECE.len(), "the download is whole");
    assert_eq!(kept.get(HOST, "/").status, 200, "the kept connection is still there");
    assert!(answers.load(Ordering::Relaxed) > CHANGES as u64, "there was load");
    // The last version of each kind is what is served.
    let last = moongate.get(HOST, "/");
    assert_eq!(last.header("x-version"), ((5 + CHANGES - 1 - 3) / 5).to_string(), "{last:?}");
}

#[test]
fn changes_leave_memory_flat_however_many_tunnels_are_open() {
    const TUNNELS: usize = 1000;
    const OBJECTS: usize = 10;
    const WRITES: usize = 1000;
    let backend = upstream();
    let manifests = Manifests::of(&[
        // The first tunnels wait for as long as the changes take, on whatever machine.
        config("http: {proxyReadTimeout: 1h}"),
        service("backend", &[backend.port]),
        ingress("shop", HOST, "/", "backend", &[]),
    ]);
    let moongate = Moongate::start(&manifests);
    let version = || moongate.metric("moongate_table_version").unwrap_or(0.0);
    let write = |n: usize| {
        let before = version();
        let one = |i: usize| ingress(&format!("i{i}"), &format!("h{i}.example.com"), &format!("/v{n}"), "backend", &[]);
        manifests.write("many.yaml", &(0..OBJECTS).map(one).collect::<Vec<_>>().join("---\n"));
        until("the changes' effect", || {
            let now = version();
            if now > before { Ok(()) } else { Err(format!("{n}: {now}")) }
        });
    };
    // Each group of tunnels is opened under another table, which it must not keep.
    let mut tunnels = Vec::new();
    for n in 0..WRITES / 10 {
        write(n);
        tunnels.extend((0..TUNNELS * 10 / WRITES).map(|_| tunnel(&moongate)));
    }
    let before = moongate.process.rss();
    (WRITES / 10..WRITES).for_each(write);
    let grown = moongate.process.rss().saturating_sub(before);
    for (n, tunnel) in tunnels.iter_mut().enumerate() {
        tunnel.send(format!("{n};")).until(&format!("{n};"));
    }
    assert_eq!(tunnels.len(), TUNNELS);
    let changes = (WRITES - WRITES / 10) * OBJECTS;
    assert!(grown < 1024 * changes as u64, "{changes} changes cost {grown} bytes");
}

#[test]
fn each_way_to_edit_a_file_takes_effect() {
    let upstream = Upstream::answering("ok");
    let manifests = Manifests::of(&[service("backend", &[upstream.port])]);
    let moongate = Moongate::start(&manifests);
    let host = |n: u32| ingress("shop", &format!("h{n}.example.com"), "/", "backend", &[]);
    let is_served = |n: u32| moongate.await_answer(&format!("h{n}.example.com"), "/", |r| r.status == 200);
    manifests.write("shop.yaml", &host(1));
    is_served(1);
    manifests.write_in_place("shop.yaml", &host(2));
    is_served(2);
    assert_eq!(moongate.get("h1.example.com", "/").status, 404);
    // As vim does: the old file is moved away, a new one is written, the old one is removed.
    let at = |name: &str| manifests.path().join(name);
    std::fs::rename(at("shop.yaml"), at("shop.yaml~")).unwrap();
    manifests.write_in_place("shop.yaml", &host(3));
    std::fs::remove_file(at("shop.yaml~")).unwrap();
    is_served(3);
    // As a mounted ConfigMap does: links into a directory that is swapped.
    std::fs::create_dir_all(at("mounted/..1")).unwrap();
    std::fs::write(at("mounted/..1/extra.yaml"), host(4).replace("name: shop\n", "name: extra\n")).unwrap();
    std::os::unix::fs::symlink("..1", at("mounted/..data")).unwrap();
    std::os::unix::fs::symlink("..data/extra.yaml", at("mounted/extra.yaml")).unwrap();
    is_served(4);
    std::fs::create_dir_all(at("mounted/..2")).unwrap();
    std::fs::write(at("mounted/..2/extra.yaml"), host(5).replace("name: shop\n", "name: extra\n")).unwrap();
    std::os::unix::fs::symlink("..2", at("mounted/..new")).unwrap();
    std::fs::rename(at("mounted/..new"), at("mounted/..data")).unwrap();
    is_served(5);
    is_served(3);
    // A whole directory away and back.
    std::fs::rename(at("mounted"), manifests.logs().join("mounted")).unwrap();
    moongate.await_answer("h5.example.com", "/", |r| r.status == 404);
    std::fs::rename(manifests.logs().join("mounted"), at("mounted")).unwrap();
    is_served(5);
}
