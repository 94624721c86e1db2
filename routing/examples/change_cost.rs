//! What one change of a routing table costs, and one look-up, at 100, 10,000 and 100,000 routes.
//!
//! `cargo run --release -p routing --example change_cost` prints a table. The router is shared at each change, as it is
//! when requests read it, so each change copies what it must.
//!
//! Instructions, which do not depend on the machine's load:
//! `valgrind --tool=callgrind --toggle-collect='*counted*' .../change_cost SHAPE ROUTES change|find|normalize`
//! runs the operation [`COUNTED`] times.

use std::hint::black_box;
use std::time::Instant;

use routing::path::{Target, normalize_host};
use routing::router::Router;
use routing::{PathKind, RouteKey};

const COUNTED: usize = 1000;
const TIMED: usize = 20_000;

/// How routes are spread. Each has the key of its `i`th route, and the path that a request for it has.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// One path on each host.
    Hosts,
    /// Ten paths on each host.
    TenAHost,
    /// All on one host.
    OneHost,
}

const SHAPES: [Shape; 3] = [Shape::Hosts, Shape::TenAHost, Shape::OneHost];

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::TenAHost => "ten-a-host",
            Self::OneHost => "one-host",
        }
    }

    fn key(self, i: usize) -> RouteKey {
        let (host, path) = match self {
            Self::Hosts => (format!("shop-{i}.example.com"), "/".into()),
            Self::TenAHost => (format!("shop-{}.example.com", i / 10), format!("/service-{}", i % 10)),
            Self::OneHost => ("shop.example.com".into(), format!("/api/v1/service-{i}")),
        };
        RouteKey { host, kind: PathKind::Prefix, path }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [shape, routes, operation] = args.as_slice() else { return print_table() };
    let shape = SHAPES.into_iter().find(|s| s.name() == shape).expect("SHAPE is hosts, ten-a-host or one-host");
    let routes = routes.parse().expect("ROUTES is a number");
    if operation == "row" {
        return print_row(shape, routes);
    }
    let keys = sample(shape, routes, COUNTED);
    let mut router = build(shape, routes);
    match operation.as_str() {
        "change" => drop(counted_changes(&mut router, &keys)),
        "find" => counted_finds(&router, &requests(&keys)),
        "normalize" => counted_normalizations(&requests(&keys)),
        _ => println!("the operation is change, find or normalize"),
    }
}

/// Each row in a process of its own, whose memory is nothing but its table.
fn print_table() {
    println!(
        "{:>8} {:>10} {:>12} {:>12} {:>12} {:>12}",
        "routes", "shape", "build ms", "change ns", "find ns", "bytes/route"
    );
    let this = std::env::current_exe().expect("the system knows what it runs");
    for routes in ["100", "10000", "100000"] {
        for shape in SHAPES {
            let row = std::process::Command::new(&this).args([shape.name(), routes, "row"]).status();
            assert!(row.expect("this program starts").success());
        }
    }
}

fn print_row(shape: Shape, routes: usize) {
    let (before, start) = (resident_bytes(), Instant::now());
    let mut router = build(shape, routes);
    let built = start.elapsed().as_secs_f64() * 1e3;
    let bytes = resident_bytes().saturating_sub(before) / routes;
    let keys = sample(shape, routes, TIMED);
    let requests = requests(&keys);
    let start = Instant::now();
    counted_finds(&router, &requests);
    let find = start.elapsed().as_nanos() / TIMED as u128;
    let start = Instant::now();
    let last = counted_changes(&mut router, &keys);
    let change = start.elapsed().as_nanos() / TIMED as u128;
    println!("{routes:>8} {:>10} {built:>12.1} {change:>12} {find:>12} {bytes:>12}", shape.name());
    drop((last, router));
}

fn build(shape: Shape, routes: usize) -> Router<usize> {
    let mut router = Router::default();
    for i in 0..routes {
        router.set(&shape.key(i), i);
    }
    router
}

/// Keys all over the table, in an order that no cache foresees: steps by a large prime.
fn sample(shape: Shape, routes: usize, count: usize) -> Vec<RouteKey> {
    (0..count).map(|i| shape.key(i * 7_368_787 % routes)).collect()
}

/// What a client sends for each.
fn requests(keys: &[RouteKey]) -> Vec<(String, String)> {
    let request = |k: &RouteKey| (format!("{}:8080", k.host), format!("{}/item?id=1", k.path.trim_end_matches('/')));
    keys.iter().map(request).collect()
}

/// Each change is published, and the router before it dropped.
#[inline(never)]
fn counted_changes(router: &mut Router<usize>, keys: &[RouteKey]) -> Router<usize> {
    let mut published = router.clone();
    for (i, key) in keys.iter().enumerate() {
        router.set(key, i);
        published = router.clone();
    }
    published
}

/// As a request does it: both normal forms, then the route.
#[inline(never)]
fn counted_finds(router: &Router<usize>, requests: &[(String, String)]) {
    for (authority, target) in requests {
        let host = normalize_host(authority.as_bytes()).expect("it is a host");
        let target = Target::parse(target.as_bytes(), true).expect("it is a path");
        assert!(black_box(router.find(&host, &target.path)).is_some());
    }
}

#[inline(never)]
fn counted_normalizations(requests: &[(String, String)]) {
    for (authority, target) in requests {
        black_box(normalize_host(authority.as_bytes()).expect("it is a host"));
        black_box(Target::parse(target.as_bytes(), true).expect("it is a path"));
    }
}

/// Linux only; 0 elsewhere.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    pages * 4096
}
