//! The life of Lua VMs while requests run.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use e2e::manifests::{config, ingress, plugin, service};
use e2e::{Client, Manifests, Moongate, Upstream, until};

const HOST: &str = "shop.example.com";

/// Moongate's workers, each with a VM for the namespace.
const WORKERS: f64 = 2.0;

/// Echoes what comes through a tunnel; short answers to the rest.
fn upstream() -> Upstream {
    Upstream::start(|mut c| {
        while let Some(request) = c.request() {
            if request.target() != "/tunnel" {
                c.answer(200, "ok");
                continue;
            }
            c.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
            while let Some(bytes) = c.bytes() {
                c.send(bytes);
            }
            return;
        }
    })
}

fn tunnel(moongate: &Moongate) -> Client {
    let mut client = Client::connect(moongate.http);
    client.send(format!("GET /tunnel HTTP/1.1\r\nHost: {HOST}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"));
    assert!(client.until("\r\n\r\n").starts_with("HTTP/1.1 101 "));
    client
}

/// A namespace with one plugin, which tests change.
struct World {
    manifests: Manifests,
    moongate: Moongate,
    _upstream: Upstream,
}

impl World {
    fn new(first: &str) -> Self {
        let upstream = upstream();
        let shop = ingress("shop", HOST, "/", "backend", &[("moongate.dev/plugins", "versions")]);
        // Builds under test are slow and share their machine: no budget of time may decide.
        let limits = config("lua: {namespaceLimits: {cpuPerResume: 1s, cpuPerRequest: 10s}}");
        let manifests = Manifests::of(&[service("backend", &[upstream.port]), shop, limits]);
        manifests.write("plugin.yaml", first);
        let moongate = Moongate::start(&manifests);
        Self { manifests, moongate, _upstream: upstream }
    }

    /// Writes a version of the plugin and waits until it is served.
    fn change(&self, plugin: &str, version: &str) {
        self.manifests.write("plugin.yaml", plugin);
        self.moongate.await_answer(HOST, "/", |r| r.status == 200 && r.header("x-version") == version);
    }

    fn vms(&self) -> f64 {
        self.moongate.metric("moongate_lua_vms").expect("a gauge")
    }

    /// Until replaced VMs are gone.
    fn settles(&self) {
        until("one VM a worker", || match self.vms() {
            n if n <= WORKERS => Ok(()),
            n => Err(format!("{n} VMs")),
        });
    }
}

#[test]
fn a_tunnel_keeps_a_replaced_vm_only_for_its_log_script() {
    let version = |n: usize, log: bool| {
        let access = format!("ngx.ctx.version = {n} ngx.header['X-Version'] = {n}");
        let log_script = format!(
            "if ngx.var.uri == '/tunnel' then ngx.log(ngx.ERR, 'closed in {n}, opened in ', ngx.ctx.version) end"
        );
        let phases = [("access", access.as_str()), ("log", log_script.as_str())];
        plugin("versions", if log { &phases } else { &phases[..1] }, "")
    };
    let world = World::new(&version(0, false));
    let mut tunnels: Vec<Client> = Vec::new();
    // More than may wait: the last ones would run in the VM of an earlier one.
    for n in 1..8 {
        world.change(&version(n, false), &n.to_string());
        tunnels.push(tunnel(&world.moongate));
        world.settles();
    }
    // With a log script each keeps the VM, and its `ngx.ctx`, to its end.
    for n in 8..11 {
        world.change(&version(n, true), &n.to_string());
        tunnels.push(tunnel(&world.moongate));
    }
    world.change(&version(11, false), "11");
    assert!(world.vms() >= 4.0, "three that tunnels keep, and the newest");
    for (n, tunnel) in tunnels.iter_mut().enumerate() {
        tunnel.send(format!("{n};")).until(&format!("{n};"));
    }
    tunnels.clear();
    for n in 8..11 {
        world.moongate.await_log(&format!("closed in {n}, opened in {n}"));
    }
    world.settles();
}

/// A request whose plugin, the last one of its namespace, goes while it is under way runs all of it.
#[test]
fn a_request_keeps_scripts_that_the_table_no_longer_has() {
    let heads = Arc::new(AtomicUsize::new(0));
    let seen = heads.clone();
    let upstream = Upstream::start(move |mut c| {
        while let Some(mut request) = c.head() {
            seen.fetch_add(1, Ordering::SeqCst);
            if c.body(&mut request).is_none() {
                return;
            }
            c.answer(200, "ok");
        }
    });
    let shop = ingress("shop", HOST, "/", "backend", &[("moongate.dev/plugins", "versions")]);
    let manifests = Manifests::of(&[service("backend", &[upstream.port]), shop]);
    let access = ("access", "ngx.log(ngx.ERR, 'reads ', ngx.var.uri) ngx.req.read_body() ngx.ctx.read = true");
    let header_filter = ("headerFilter", "ngx.header['X-Read'] = tostring(ngx.ctx.read)");
    let log = ("log", "ngx.log(ngx.ERR, 'logs ', ngx.var.uri)");
    let all = plugin("versions", &[access, header_filter, log], "");
    let without = plugin("versions", &[header_filter, log], "");
    manifests.write("plugin.yaml", &all);
    let moongate = Moongate::start(&manifests);
    // One that waits in a script, and one that has run none of them when the plugin goes.
    for (path, phases, read) in [("/in-access", &all, "true"), ("/upstream", &without, "nil")] {
        manifests.write("plugin.yaml", phases);
        moongate.await_answer(HOST, "/", |r| r.status == 200 && r.header("x-read") == read);
        let before = heads.load(Ordering::SeqCst);
        let mut client = Client::connect(moongate.http);
        client.send(format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\n\r\nab"));
        if read == "true" {
            moongate.await_log(&format!("reads {path}"));
        } else {
            until("the upstream got its head", || match heads.load(Ordering::SeqCst) {
                now if now > before => Ok(()),
                now => Err(now.to_string()),
            });
        }
        manifests.remove("plugin.yaml");
        // Also where a worker only looks after its VMs.
        moongate.await_answer(HOST, "/", |r| r.status == 503);
        until("no VM but the request's", || match moongate.metric("moongate_lua_vms") {
            Some(n) if n <= 1.0 => Ok(()),
            other => Err(format!("{other:?}")),
        });
        let response = client.send("cd").response("POST");
        assert_eq!(
            (response.status, response.header("x-read")),
            (200, read.to_owned()),
            "{path}: {}",
            moongate.process.log()
        );
        moongate.await_log(&format!("logs {path}"));
    }
}

/// Asks on a connection that is kept, until it is told to end; an answer's script and module are of one version.
fn load(world: &World, end: &Arc<AtomicBool>, answers: &Arc<AtomicUsize>) -> JoinHandle<()> {
    let (address, end, answers) = (world.moongate.http, end.clone(), answers.clone());
    std::thread::spawn(move || {
        let mut client = Client::connect(address);
        while !end.load(Ordering::Relaxed) {
            let response = client.get(HOST, "/");
            let version = response.header("x-version");
            assert_eq!(
                (response.status, version.as_str()),
                (200, response.header("x-module").as_str()),
                "{response:?}"
            );
            answers.fetch_add(1, Ordering::Relaxed);
            if response.header("connection").eq_ignore_ascii_case("close") {
                client = Client::connect(address);
            }
        }
    })
}

#[test]
fn vms_are_replaced_under_load_with_timers_and_a_tunnel() {
    const CHANGES: usize = 60;
    let version = |n: usize| {
        let timer = format!(
            "local m = require 'm'
             ngx.timer.every(0.005, function(premature)
               local dict = ngx.shared.timers
               dict:incr(premature and 'early' or 'ran', 1, 0)
               if require 'm' ~= {n} or m ~= {n} then dict:incr('wrong', 1, 0) end
             end)"
        );
        let access = format!("ngx.header['X-Version'] = {n} ngx.header['X-Module'] = require 'm'");
        let log =
            format!("if ngx.var.uri == '/tunnel' then ngx.log(ngx.ERR, 'closed in {n}, module ', require 'm') end");
        let filter = "local dict = ngx.shared.timers
            for _, key in ipairs {'early', 'ran', 'wrong'} do ngx.header['X-' .. key] = dict:get(key) or 0 end";
        let phases = [
            ("initWorker", timer.as_str()),
            ("access", access.as_str()),
            ("headerFilter", filter),
            ("log", log.as_str()),
        ];
        plugin("versions", &phases, &format!("modules: {{m: \"return {n}\"}}\nsharedDicts: {{timers: 1Mi}}"))
    };
    let world = World::new(&version(0));
    let (end, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..3).map(|_| load(&world, &end, &answers)).collect();
    let mut tunnel = tunnel(&world.moongate);
    for n in 1..=CHANGES {
        world.change(&version(n), &n.to_string());
        tunnel.send(format!("ping {n};")).until(&format!("ping {n};"));
    }
    end.store(true, Ordering::Relaxed);
    load.into_iter().for_each(|thread| thread.join().expect("no request fails"));
    assert!(answers.load(Ordering::Relaxed) > CHANGES);
    until("the tunnel's VM beside the newest ones", || match world.vms() {
        n if n > WORKERS => Ok(()),
        n => Err(format!("{n} VMs")),
    });
    drop(tunnel);
    world.moongate.await_log("closed in 0, module 0");
    world.settles();
    let last = world.moongate.get(HOST, "/");
    let count = |name: &str| last.header(name).parse::<usize>().expect("a number");
    assert_eq!(count("x-wrong"), 0, "a timer's code and its modules are of one version");
    assert!(count("x-ran") > 0 && count("x-early") >= CHANGES, "each replaced VM's timer fires early: {last:?}");
}

#[test]
fn a_leak_does_not_fail_a_namespace_for_ever() {
    // Each worker's first request fills its VM; what comes next needs more than is left.
    let access = "local leaks, id = ngx.shared.leaks, ngx.worker.id()
        if leaks:add(id, true) then
          held = {}
          while true do held[#held + 1] = ('x'):rep(1e5) .. #held end
        end
        assert(#('x'):rep(4e6) == 4e6)";
    let world = World::new(&plugin("versions", &[("access", access)], "sharedDicts: {leaks: 1Mi}"));
    assert_eq!(world.moongate.get(HOST, "/").status, 500);
    until("fresh VMs in both workers", || {
        let failed = (0..20).filter(|_| world.moongate.get(HOST, "/").status != 200).count();
        match (failed, world.moongate.metric("moongate_lua_vms_full_total")) {
            (0, Some(WORKERS)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let problems = world.moongate.admin("/problems").text();
    assert!(problems.contains("the VM was full"), "{problems}");
    world.moongate.await_log("Requests get a fresh one now");
    world.settles();
}
