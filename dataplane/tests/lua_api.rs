//! The Lua API as data: each block of `lua_api/*.t` is scripts, a request, and what comes of it, in the shape of
//! OpenResty's own `t/`. A block is served by a real server over a real socket. `lua_api/README.md` has the sections.

mod lua_api {
    pub(crate) mod block;
    pub(crate) mod client;
    pub(crate) mod logs;
    pub(crate) mod table;
    pub(crate) mod upstream;
}

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dataplane::server::{Options, Server};
use lua_api::block::Block;
use lua_api::{client, logs, table, upstream};

/// One server at a time: what is logged belongs to the block that runs.
static ONE: Mutex<()> = Mutex::new(());

/// Serves every block of a file and compares what comes of it.
fn check(file: &str) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    logs::start();
    let path = format!("{}/tests/lua_api/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let blocks = Block::parse_all(file, &text);
    let loopback = "127.0.0.1:0".parse().expect("an address");
    let options = Options { http: vec![loopback], https: Vec::new(), admin: None, workers: 1 };
    let mut server = Server::start(&options).expect("start");
    let echo = upstream::start();
    let commit = table::commit(&blocks, echo);
    let before = server.state().shared.snapshot.load().version;
    let problems = server.apply(&commit);
    assert!(problems.is_empty(), "{file}: {problems:?}");
    assert!(server.state().shared.snapshot.load().version > before);
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

files! { var req_headers req_args req_body header output exit log text time shared timer phases balancer filters modules ctx }
