//! Memory stays as it is, however often everything changes and however long connections have been there.

use e2e::manifests::{binding, config, ingress, plugin, service};
use e2e::{Manifests, Moongate, until};

use super::change;
use super::world::{HOST, PLAIN, World, ping, tunnel, upstream};

/// Changes in all: nine in ten of them count. `MOONGATE_HOT_CHANGES=100000` makes them more.
fn changes() -> usize {
    std::env::var("MOONGATE_HOT_CHANGES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000)
}

/// What may be more afterwards: once it is warm, resident memory goes up and down by 10 KiB, but each worker may have a VM
/// of 300 KiB more that has not ended yet. With 9,000 changes this finds 120 bytes that each leaves behind.
const SLACK: u64 = 1 << 20;

/// WebSockets.
const TUNNELS: usize = 1000;

#[test]
fn changes_leave_memory_flat_however_many_tunnels_are_open() {
    let backends = ["backend 0", "backend 1"].map(|name| upstream(name, 0, b""));
    let world = World::new([backends[0].port, backends[1].port]);
    world.change_all(0);
    let moongate = Moongate::start(&world.manifests);
    let mut tunnels: Vec<_> = (0..TUNNELS).map(|_| tunnel(moongate.http, PLAIN)).collect();
    let rounds = changes() / World::CHANGES;
    // What is seen for the first time costs something: each size of a buffer, each kind of a page.
    let warm = rounds / 10;
    let mut before = 0;
    for version in 1..=rounds {
        change(&moongate, || world.change_all(version));
        let response = moongate.get(HOST, "/");
        assert_eq!(response.header("x-version"), version.to_string(), "{response:?}");
        // Each within the time that its upstream waits for it.
        for n in 4 * version..4 * version + 4 {
            ping(&mut tunnels[n % TUNNELS], n);
        }
        if version == warm {
            before = moongate.process.rss();
        }
    }
    until("memory as before", || {
        let grown = moongate.process.rss().saturating_sub(before);
        let changes = (rounds - warm) * World::CHANGES;
        if grown < SLACK { Ok(()) } else { Err(format!("{changes} changes left {grown} bytes behind")) }
    });
    tunnels.iter_mut().enumerate().for_each(|(n, tunnel)| ping(tunnel, n));
}

/// A change of a config replaces no VM, so what the VM was given for the earlier ones must not stay in it.
#[test]
fn configs_that_change_without_end_fit_into_one_vm() {
    const WORDS: usize = 1000;
    let words = |version: usize| (0..WORDS).map(|n| format!("v{version}-w{n}")).collect::<Vec<_>>();
    let bound = |version: usize| {
        let text = format!("{{words: {:?}}}", words(version));
        binding("many", "many", "{kind: Service, name: backend}", &text)
    };
    let script = "local config = ...\nngx.say(config.words[#config.words])";
    let schema = "{type: object, properties: {words: {type: array, items: {type: string}}}}";
    let manifests = Manifests::of(&[
        // As small as it may be: a hundred configs and more do not fit.
        config("lua: {namespaceLimits: {memory: 4Mi}}"),
        service("backend", &[]),
        ingress("shop", HOST, "/", "backend", &[]),
        plugin("many", &[("content", script)], &format!("configSchema: {{openAPIV3Schema: {schema}}}")),
    ]);
    manifests.write("binding.yaml", &bound(0));
    let moongate = Moongate::start_with(&manifests, &["--workers", "1"]);
    for version in 1..=200 {
        change(&moongate, || manifests.write("binding.yaml", &bound(version)));
        let response = moongate.get(HOST, "/");
        let expected = format!("v{version}-w{}\n", WORDS - 1);
        assert_eq!((response.status, response.text()), (200, expected), "{}", moongate.process.log());
    }
}
