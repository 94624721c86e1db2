//! The metrics of both ends are the documented ones.

use super::background::Background;
use super::controller::Controller;
use super::peer::Peer;
use super::plane::DataPlane;
use super::values::{refuse, set};

/// The push's names in the first column of a section's table, in order.
fn documented(section: &str) -> Vec<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/observability.md")).unwrap();
    let (_, rest) = text.split_once(&format!("## {section}\n")).expect("there is a section of that title");
    let (part, _) = rest.split_once("\n## ").unwrap();
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut names: Vec<String> = rows.filter(|name| name.starts_with("moongate_push_")).map(str::to_owned).collect();
    names.sort_unstable();
    names
}

fn named(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("moongate_push_")).map(str::to_owned).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_metrics_are_the_documented_ones() {
    let controller = Controller::start();
    controller.commit(vec![set(refuse("a.example.com"))]);
    controller.publisher.lead(1);
    let plane = DataPlane::with(vec![controller.address.to_string(), "127.0.0.1:1".into()], |_| {});
    plane.serves("a.example.com", 503);
    // A family without a series is not printed.
    let (address, background) = (controller.address, Background::start());
    background.handle.spawn(async move {
        drop(Peer::connect(address, "bad").await);
        let mut peer = Peer::connect(address, "hostile").await.ok().unwrap();
        peer.say("nonsense").await;
        peer.bye().await
    });
    let is_there = |name: &str| controller.metrics().contains(name);
    plane.wait_for("every series", |p| {
        p.metrics().contains("stream_failures_total{")
            && ["refused_total{", "dropped_total{", "failed_keys{"].into_iter().all(is_there)
    });
    assert_eq!(documented("Metrics of the push"), named(&plane.metrics()));
    assert_eq!(documented("Metrics of a controller"), named(&controller.metrics()));
}
