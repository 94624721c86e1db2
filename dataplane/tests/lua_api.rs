//! The Lua API as data: each block of `lua_api/*.t` is scripts, a request, and what comes of it, in the shape of
//! OpenResty's own `t/`. A block is served by a real server over a real socket. `lua_api/README.md` has the sections.
#![expect(clippy::panic, reason = "a test that cannot start must end, and clippy only knows #[test] functions")]

mod lua_api {
    pub(crate) mod block;
    pub(crate) mod client;
    pub(crate) mod logs;
    pub(crate) mod sweep;
    pub(crate) mod table;
    pub(crate) mod upstream;
    pub(crate) mod waits;
}

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dataplane::server::{Options, Server};
use lua_api::block::Block;
use lua_api::{client, logs, sweep, table, upstream, waits};

/// One server at a time: what is logged belongs to the block that runs.
static ONE: Mutex<()> = Mutex::new(());

/// A server with one worker.
fn server() -> Server {
    logs::start();
    let loopback = "127.0.0.1:0".parse().expect("an address");
    let options = Options { http: vec![loopback], https: Vec::new(), admin: None, workers: 1 };
    Server::start(&options).expect("start")
}

/// Serves every block of a file and compares what comes of it.
fn check(file: &str) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = format!("{}/tests/lua_api/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let blocks = Block::parse_all(file, &text);
    let mut server = server();
    let problems = server.apply(&table::commit(&blocks, upstream::start()));
    assert!(problems.is_empty(), "{file}: {problems:?}");
    let address = server.addresses().http[0];
    let only = std::env::var("ONLY").ok();
    let mut failures = Vec::new();
    for block in blocks.iter().filter(|b| only.as_ref().is_none_or(|only| b.name.contains(only))) {
        logs::clear();
        let response = client::request(address, block);
        if let Err(why) = block.compare(&response) {
            failures.push(format!("{file}:{}: {}\n{why}", block.line, block.name));
        }
    }
    server.shutdown(Duration::ZERO, Duration::from_secs(5));
    assert!(failures.is_empty(), "{} of {} blocks fail:\n\n{}", failures.len(), blocks.len(), failures.join("\n\n"));
}

#[test]
fn timers_of_a_replaced_vm_fire_early() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let version = |name: &str| {
        let text = format!(
            "=== timers\n--- init_worker\nversion = '{name}'\n--- content\nlocal function late(premature)\n\
             ngx.log(ngx.ERR, 'late of ', version, ': ', premature)\n\
             ngx.log(ngx.ERR, 'new: ', select(2, ngx.timer.at(1, late)))\nend\n\
             ngx.timer.at(3600, late)\nngx.timer.every(3600, late)\nngx.say(version)\n"
        );
        Block::parse_all("replaced.t", &text)
    };
    let mut server = server();
    let upstream = upstream::start();
    let (one, two) = (version("one"), version("two"));
    assert!(server.apply(&table::commit(&one, upstream)).is_empty());
    let address = server.addresses().http[0];
    assert_eq!(client::request(address, &one[0]).text(), "one\n");
    logs::clear();
    assert!(server.apply(&table::commit(&two, upstream)).is_empty());
    assert!(logs::wait_for("late of one: true"), "{}", logs::all());
    assert!(logs::wait_for("new: process exiting"), "{}", logs::all());
    server.shutdown(Duration::ZERO, Duration::from_secs(5));
}

/// A request that is routed by a commit runs in a VM of that commit, however soon it comes.
#[test]
fn a_new_script_never_runs_beside_older_code() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut server = server();
    let upstream = upstream::start();
    for n in 0..50 {
        let text = format!("=== version\n--- init\nversion = {n}\n--- content\nngx.say(version == {n})\n");
        let version = Block::parse_all("version.t", &text);
        assert!(server.apply(&table::commit(&version, upstream)).is_empty());
        let address = server.addresses().http[0];
        assert_eq!(client::request(address, &version[0]).text(), "true\n", "commit {n}");
    }
    server.shutdown(Duration::ZERO, Duration::from_secs(5));
}

/// A connection of a week keeps its route, and no table.
#[test]
fn a_request_that_is_under_way_keeps_no_table() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut server = server();
    let upstream = TcpListener::bind("127.0.0.1:0").expect("bind");
    let to = upstream.local_addr().expect("an address");
    let version = |n: u32| Block::parse_all("kept.t", &format!("=== kept\n--- access\nngx.ctx.n = {n}\n"));
    let one = version(1);
    assert!(server.apply(&table::commit(&one, to)).is_empty());
    let mut client = TcpStream::connect(server.addresses().http[0]).expect("connect");
    let head = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n", one[0].host);
    client.write_all(head.as_bytes()).expect("send");
    let (mut tunnel, _) = upstream.accept().expect("the request comes to the upstream");
    tunnel
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n!")
        .expect("send");
    let next = |from: &mut TcpStream| {
        let mut byte = [0];
        from.read_exact(&mut byte).expect("a byte");
        byte[0]
    };
    while next(&mut client) != b'!' {}

    let old = Arc::downgrade(&server.state().shared.snapshot.load_full());
    assert!(server.apply(&table::commit(&version(2), to)).is_empty());
    let since = Instant::now();
    while old.strong_count() > 0 {
        assert!(since.elapsed() < Duration::from_secs(10), "somebody keeps the table before: {}", old.strong_count());
        std::thread::yield_now();
    }
    tunnel.write_all(b"?").expect("send");
    assert_eq!(next(&mut client), b'?', "the tunnel is still there");
    drop(client);
    server.shutdown(Duration::ZERO, Duration::from_secs(5));
}

#[test]
fn long_requests_hold_replaced_vms() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    waits::long_requests_hold_replaced_vms(server(), upstream::start());
}

#[test]
fn every_allocation_of_a_request_may_fail_in_a_namespace() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    sweep::run(false);
}

#[test]
fn every_allocation_of_a_request_may_fail_in_the_operator_s_vm() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    sweep::run(true);
}

#[test]
fn every_function_of_the_host_is_called_while_allocations_fail() {
    sweep::every_function_is_called();
}

macro_rules! files {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(concat!(stringify!($name), ".t"));
            }
        )*
    };
}

files! { var req_headers req_args req_body header output exit log text re time shared timer phases balancer filters modules ctx init memory jump http10 failing }
