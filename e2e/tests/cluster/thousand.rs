//! A thousand Ingresses: what they cost the API server, and that nobody notices their coming.

use std::io::Write;
use std::time::{Duration, Instant};

use e2e::cluster::release::RELEASE;
use e2e::cluster::site::{Site, ingress};
use e2e::metrics;
use e2e::wait::{until_slowly, until_within};
use serde_json::Value;

const COUNT: usize = 1_000;
/// How long one of them takes until it is served is looked at for each of this many.
const EACH: usize = 10;
/// For a thousand writes at a hundred a second, on a machine that does something else too.
const PATIENCE: Duration = Duration::from_secs(180);

/// Writes of Ingress statuses, as the API server counts them: by anyone, whatever came of them.
fn writes_at_server(site: &Site) -> f64 {
    let text = site.kubectl(&["get", "--raw", "/metrics"]);
    let labels = ["resource=\"ingresses\"", "subresource=\"status\""];
    let all = |verb: &str| {
        let verb = format!("verb=\"{verb}\"");
        metrics::sum(&text, "apiserver_request_total", &[labels[0], labels[1], &verb])
    };
    all("PATCH") + all("APPLY") + all("PUT")
}

/// The same as the controllers count them, statuses of other kinds included.
fn writes_by_controllers(site: &Site) -> f64 {
    let of = |pod: String| {
        metrics::sum(&site.scrape(RELEASE, &pod), "moongate_controller_writes_total", &["what=\"status\""])
    };
    site.pods("controller").into_iter().map(of).sum()
}

fn has_address(ingress: &Value) -> bool {
    ingress["status"]["loadBalancer"]["ingress"].is_array()
}

#[test]
fn a_thousand_ingresses_cost_a_thousand_writes_and_no_request() {
    let Some(site) = Site::alone("thousand") else { return };
    site.backend("web", 2);
    site.apply(&ingress("first", "first.thousand.test", "web", ""));
    site.await_everywhere("first.thousand.test", "/", 200);
    site.await_object("Ingress", "first", "with its address", has_address);
    let before = (writes_at_server(&site), writes_by_controllers(&site));
    let load = site.load("first.thousand.test", "/");
    let mut served = Vec::new();
    let begun = Instant::now();
    for number in 0..COUNT {
        let host = format!("host-{number}.thousand.test");
        site.apply(&ingress(&format!("ingress-{number}"), &host, "web", ""));
        if number % EACH == 0 {
            let applied = Instant::now();
            until_within(PATIENCE, &format!("{host} served"), || match site.try_get(&host, "/")?.status {
                200 => Ok(()),
                other => Err(other.to_string()),
            });
            served.push(applied.elapsed());
        }
    }
    let applied = begun.elapsed();
    until_slowly(PATIENCE, "an address of each", || {
        let without = site.list(&site.namespace, "Ingress", "").iter().filter(|i| !has_address(i)).count();
        if without == 0 { Ok(()) } else { Err(format!("{without} have none")) }
    });
    // What would be written once more is written before this.
    site.apply(&ingress("last", "last.thousand.test", "web", ""));
    site.await_object("Ingress", "last", "with its address", has_address);
    let report = site.assert_none_failed(load);
    let after = (writes_at_server(&site), writes_by_controllers(&site));
    let (at_server, by_us) = (after.0 - before.0, after.1 - before.1);
    served.sort();
    let at = |percent: usize| served[(served.len() - 1) * percent / 100];
    // Not by eprintln!, whose output the test runner hides when a test passes.
    let _ = writeln!(
        std::io::stderr(),
        "{COUNT} Ingresses applied in {applied:.1?} under a load of which {} were answered: {at_server} writes of their \
         status; from applied to served {:.1?} in the median, {:.1?} at the 99th percentile",
        report.answered,
        at(50),
        at(99),
    );
    let wished = COUNT as f64 + 1.0;
    assert!(at_server >= wished && at_server <= wished * 1.1, "{at_server} writes at the API server");
    assert!((by_us - at_server).abs() <= wished * 0.02, "{by_us} writes by controllers, {at_server} at the API server");
}
