//! Every connection that the release lives by is allowed by its NetworkPolicies, and no other.

#![forbid(unsafe_code)]

use e2e::chart::flows::{End, allows};
use e2e::chart::{self, CHART};
use serde_json::Value;

/// What the values of a file say about others.
struct Others {
    /// A client; where `networkPolicy.dataplaneFrom` says who may be one, one of those.
    client: &'static str,
    /// The API server; likewise.
    api_server: &'static str,
    /// Whether everybody may connect to the data planes, and to the webhook.
    open: bool,
}

fn others(file: &str) -> Others {
    match file.contains("everything") {
        true => Others { client: "10.2.3.4", api_server: "192.0.2.1", open: false },
        false => Others { client: "198.51.100.7", api_server: "198.51.100.8", open: true },
    }
}

fn address(text: &str) -> End {
    End::Address(text.parse().expect("an address"))
}

/// The Pods' object of a component, and its ports.
fn workload<'a>(objects: &'a [Value], component: &str) -> (&'a Value, Vec<(&'a str, i32)>) {
    let is_it = |o: &&Value| {
        ["Deployment", "DaemonSet"].iter().any(|kind| o["kind"] == *kind) && chart::name(o).ends_with(component)
    };
    let object = objects.iter().find(is_it).expect("the chart has both");
    let ports = chart::own_containers(&object["spec"]["template"]["spec"])[0]["ports"].as_array();
    let port = |port: &'a Value| -> Option<(&'a str, i32)> {
        Some((port["name"].as_str()?, i32::try_from(port["containerPort"].as_i64()?).ok()?))
    };
    (object, ports.into_iter().flatten().filter_map(port).collect())
}

#[test]
fn policies_allow_the_connections_that_there_are_and_no_others() {
    for file in chart::values_files() {
        let objects = chart::render_file(&file);
        let Others { client, api_server, open } = others(&file);
        let (controllers, controller_ports) = workload(&objects, "-controller");
        let (planes, plane_ports) = workload(&objects, "-dataplane");
        let on_host = planes["spec"]["template"]["spec"]["hostNetwork"] == true;
        let (controller, plane) = (End::of(controllers), End::of(planes));
        let pusher = if on_host { address("192.0.2.200") } else { plane.clone() };
        let scraper = End::pod("monitoring", &[("app", "prometheus")]);
        let stranger = End::pod("shop", &[("app", "web")]);
        // With the data planes' own labels, in a namespace of its own.
        let impostor = match plane.clone() {
            End::Pod { labels, .. } => End::Pod { namespace: "shop".into(), labels },
            End::Address(_) => unreachable!("it is a Pod"),
        };
        let test = objects.iter().find(|o| o["kind"] == "Pod").map(End::of);
        let mut wanted = Vec::new();
        for port in controller_ports {
            let (who, to_all) = match port.0 {
                "push" => (vec![pusher.clone()], on_host),
                "webhook" => (vec![address(api_server)], open),
                "metrics" => (vec![scraper.clone()], open),
                other => panic!("{file}: who connects to {other}?"),
            };
            wanted.push((&controller, port, who, to_all));
        }
        // A Pod with the node's network is reached like the node: no policy is about it.
        for port in plane_ports.into_iter().filter(|_| !on_host) {
            let (who, to_all) = match port.0 {
                "http" => ([address(client)].into_iter().chain(test.clone()).collect(), open),
                "https" => (vec![address(client)], open),
                "metrics" => (vec![scraper.clone()], open),
                other => panic!("{file}: who connects to {other}?"),
            };
            wanted.push((&plane, port, who, to_all));
        }
        assert!(wanted.len() >= 2, "{file}");
        for (to, port, who, to_all) in wanted {
            for from in who {
                assert!(allows(&objects, &from, to, port), "{file}: {from:?} has to reach {port:?}");
            }
            for from in [&stranger, &impostor] {
                assert_eq!(allows(&objects, from, to, port), to_all, "{file}: {from:?} to {port:?}");
            }
            assert!(!allows(&objects, &stranger, to, ("other", 1)), "{file}: only the ports that there are");
        }
    }
}

#[test]
fn who_may_reach_a_data_plane_can_be_said() {
    let objects = chart::render_file(&format!("{CHART}/ci/everything-values.yaml"));
    let (planes, ports) = workload(&objects, "-dataplane");
    for port in ports.into_iter().filter(|(name, _)| name.starts_with("http")) {
        assert!(!allows(&objects, &address("10.1.0.1"), &End::of(planes), port), "it is excepted");
        assert!(!allows(&objects, &address("198.51.100.7"), &End::of(planes), port), "it is of no range");
    }
}
