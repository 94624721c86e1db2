//! Long requests hold replaced VMs: how far that goes, and what other requests get meanwhile.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataplane::server::Server;

use super::block::Block;
use super::{client, logs, table};

/// An application whose script and module are of a version. `/hang` is answered once the dict says so.
fn app(script: u32, module: u32, target: &str) -> Block {
    let text = format!(
        "=== app
--- module
return {module}
--- content
local m = require 'm'
if ngx.var.uri == '/hang' then
  ngx.log(ngx.ERR, 'hangs in {script}')
  repeat ngx.sleep(0.002) until ngx.shared.dogs:get('go')
elseif ngx.var.uri == '/go' then
  ngx.shared.dogs:set('go', true)
end
ngx.say('script {script}, module ', m)
--- request: GET {target}
"
    );
    Block::parse_all("app.t", &text).remove(0)
}

struct Bed {
    server: Server,
    upstream: SocketAddr,
}

impl Bed {
    fn commit(&mut self, script: u32, module: u32) {
        let problems = self.server.apply(&table::commit(&[app(script, module, "/")], self.upstream));
        assert!(problems.is_empty(), "{problems:?}");
    }

    fn get(&self, target: &str) -> String {
        client::request(self.server.addresses().http[0], &app(0, 0, target)).text()
    }

    /// A request that has begun and does not end by itself.
    fn hang(&self, script: u32) -> JoinHandle<String> {
        let address = self.server.addresses().http[0];
        let request = std::thread::spawn(move || client::request(address, &app(0, 0, "/hang")).text());
        assert!(logs::wait_for(&format!("hangs in {script}")), "{}", logs::all());
        request
    }

    fn alive(&self) -> i64 {
        self.server.state().shared.metrics.vms.alive()
    }

    fn waits(&self) -> bool {
        let problems = self.server.state().problems();
        assert!(
            problems.is_empty() || problems.starts_with("plugin LuaPlugin t/block-0: the change of modules"),
            "{problems}"
        );
        !problems.is_empty()
    }

    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{what}: {} VMs, {}", self.alive(), self.server.state().problems());
            std::thread::yield_now();
        }
    }
}

pub(crate) fn long_requests_hold_replaced_vms(server: Server, upstream: SocketAddr) {
    logs::clear();
    let mut bed = Bed { server, upstream };
    let mut hanging = Vec::new();
    for version in 1..=5 {
        bed.commit(version, version);
        assert_eq!(bed.get("/"), format!("script {version}, module {version}\n"));
        hanging.push(bed.hang(version));
        assert!(!bed.waits());
    }
    let held = bed.server.state().shared.lua_budget.used();
    for version in 6..=7 {
        bed.commit(version, version);
        assert_eq!(bed.get("/"), "script 5, module 5\n", "the version before goes on, whole");
        assert!(bed.waits(), "the plugin's status says that version {version} waits");
        assert_eq!(bed.alive(), 5);
    }
    // A change of scripts alone needs no other modules: it takes effect at once.
    bed.commit(8, 5);
    assert_eq!(bed.get("/"), "script 8, module 5\n");
    assert!(!bed.waits());
    bed.commit(9, 9);
    assert_eq!(bed.get("/"), "script 5, module 5\n");
    assert!(bed.waits());
    assert_eq!(bed.get("/go"), "script 5, module 5\n");
    for (request, version) in hanging.into_iter().zip(1..) {
        assert_eq!(
            request.join().expect("it ends"),
            format!("script {version}, module {version}\n"),
            "the code that it began with"
        );
    }
    assert_eq!(bed.get("/"), "script 9, module 9\n", "the next request gets the newest");
    bed.until("the replaced VMs end", |bed| bed.alive() == 1 && !bed.waits());
    assert!(bed.server.state().shared.lua_budget.used() < held / 2, "their memory is free");
    bed.server.shutdown(Duration::ZERO, Duration::from_secs(5));
}
