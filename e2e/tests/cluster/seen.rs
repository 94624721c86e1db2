//! What is to be seen of a release that works: its metrics.

use std::collections::BTreeSet;

use e2e::cluster::bed::PATIENCE;
use e2e::cluster::release::RELEASE;
use e2e::cluster::site::{Site, ingress};
use e2e::wait::until_slowly;
use e2e::{metrics, tidy};

#[test]
fn every_metric_of_the_dashboard_and_the_alerts_is_scraped() {
    let Some(site) = Site::new("seen") else { return };
    // A family has no series before something happened: an answer, an error, a script that fails.
    site.backend("web", 1);
    site.apply(&ingress("web", "seen.test", "web", ""));
    site.apply(&ingress("none", "none.seen.test", "none", ""));
    site.apply("apiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {name: fails}\nspec: {phases: {access: \"error('as it should')\"}}");
    site.apply(&ingress("fails", "fails.seen.test", "web", ", annotations: {moongate.dev/plugins: fails}"));
    for (host, status) in [("seen.test", 200), ("none.seen.test", 503), ("fails.seen.test", 500)] {
        site.await_status(host, "/", status);
    }
    let files = ["dashboards/moongate.json", "templates/metrics/prometheusrule.yaml"];
    let texts = files.map(|file| tidy::read(&format!("{}/{file}", e2e::chart::CHART)).unwrap());
    let asked: BTreeSet<&str> = texts.iter().flat_map(|text| metrics::names(text)).collect();
    assert!(asked.len() > 20, "{asked:?}");
    until_slowly(PATIENCE, "every series that is asked for", || {
        let pods = ["controller", "dataplane"].into_iter().flat_map(|component| site.pods(component));
        let scraped: String = pods.map(|pod| site.scrape(RELEASE, &pod)).collect();
        // Comments name families, of which one may have no series.
        let series: String = scraped.lines().filter(|line| !line.starts_with('#')).map(|l| format!("{l}\n")).collect();
        let there = metrics::names(&series);
        let missing: Vec<_> = asked.difference(&there).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
    });
}
