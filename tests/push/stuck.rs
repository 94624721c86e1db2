//! Data planes that do not read.

use std::collections::BTreeMap;
use std::time::Duration;

use controller::publish::Options;
use routing::wire::ToPlane;
use routing::{Change, Hash, Key, Value};

use super::background::Background;
use super::controller::{Controller, until};
use super::peer::Peer;

const PLANES: usize = 100;
/// Of those, the ones that read.
const READING: usize = 10;
const KEYS: u32 = 500;
const ROUNDS: u32 = 40;

fn round(n: u32) -> Vec<Change> {
    let change = |key: u32| {
        let source = format!("-- {n}\n{}", "x".repeat(2000));
        Change::Set(Key::Script(Hash::of_bytes(&key.to_be_bytes())), Value::Script(source).into())
    };
    (0..KEYS).map(change).collect()
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Set in the process that runs one test alone.
const ALONE: &str = "MOONGATE_TEST_ALONE";

/// Runs a test of this module in a process of its own, since what the others keep would count; true: this is that one.
fn is_alone(name: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut test = std::process::Command::new(std::env::current_exe().unwrap());
    let output =
        test.args(["--exact", &format!("push::stuck::{name}"), "--nocapture"]).env(ALONE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    println!("{text}");
    false
}

#[test]
fn data_planes_that_are_stuck_cost_no_memory_that_grows_and_hinder_nobody() {
    if !is_alone("data_planes_that_are_stuck_cost_no_memory_that_grows_and_hinder_nobody") {
        return;
    }
    let patient = Duration::from_secs(600);
    let controller = Controller::with(Options { silence: patient, apply: patient, ..Options::default() });
    controller.commit(round(0));
    controller.publisher.lead(1);
    let (address, background) = (controller.address, Background::start());
    for n in 0..PLANES {
        background.handle.spawn(async move {
            let mut peer = Peer::connect(address, &format!("pod-{n}")).await.ok().unwrap();
            peer.say(r#"{"hello":{"protocols":{"min":1,"max":1}}}"#).await;
            while !matches!(peer.controller_says().await, Some(ToPlane::Lead(_))) {}
            peer.say(r#"{"held":{"last":true}}"#).await;
            if n >= READING {
                // It keeps the stream, and takes nothing more of it.
                std::future::pending::<()>().await;
            }
            read(peer).await;
        });
    }
    controller.wait_for("all data planes", |p| p.planes.len() == PLANES);
    let has = |counter| move |p: &controller::publish::Planes| p.having(counter).0 == READING;
    controller.wait_for("the first table", has(1));
    let before = resident();
    let mut most = before;
    for n in 1..=ROUNDS {
        let counter = controller.commit(round(n));
        controller.wait_for("a round", has(counter));
        most = most.max(resident());
    }
    // Each round is one megabyte. What 90 data planes did not take would be 3,600; one copy of it 40.
    let grown = (most - before) / 1024 / 1024;
    assert!(grown < 25, "{grown} MiB in {ROUNDS} rounds");
    assert_eq!(controller.planes().planes.len(), PLANES);
    println!("{grown} MiB more in {ROUNDS} rounds of 1 MiB, with {} data planes stuck", PLANES - READING);
}

/// Takes every frame, and answers commits.
async fn read(mut peer: Peer) {
    let mut table = BTreeMap::new();
    while let Some(frame) = peer.controller_says().await {
        match frame {
            ToPlane::Set(set) => drop(table.insert(set.key, set.hash)),
            ToPlane::Commit(commit) => {
                let line = format!(r#"{{"applied":{{"term":{},"counter":{}}}}}"#, commit.term, commit.counter);
                peer.say(&line).await;
            }
            _ => {}
        }
    }
}

#[test]
fn a_data_plane_that_takes_nothing_is_dropped() {
    let silence = Duration::from_millis(300);
    let controller = Controller::with(Options { silence, ..Options::default() });
    // More than the buffers between hold.
    controller.commit((0..4).flat_map(|n| [super::values::script(n, 900_000)]).map(super::values::set).collect());
    controller.publisher.lead(1);
    let (address, background) = (controller.address, Background::start());
    background.handle.spawn(async move {
        let peer = Peer::connect(address, "stuck").await.ok().unwrap();
        peer.say(r#"{"hello":{"protocols":{"min":1,"max":1}}}"#).await;
        loop {
            peer.say(r#"{"held":{"last":true}}"#).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let dropped = || controller.metric("moongate_push_dropped_total{reason=\"stuck\"}") == 1;
    until("the end of the stream", dropped, || controller.metrics());
    assert!(controller.planes().planes.is_empty());
}
