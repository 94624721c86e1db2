//! One namespace in an endless storm of expensive requests does not take the worker from the others.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use e2e::manifests::{NAMESPACE, config, ingress, plugin, service};
use e2e::{Client, Manifests, Moongate, Upstream};

/// Connections of the storm: without shares, each request of another namespace would wait for so many runs.
const STORM: usize = 16;

/// Requests that the victims make, one after the other.
const REQUESTS: usize = 40;

const STORMY: &str = "stormy.example.com";

/// Objects of another namespace than the harness's.
fn of_stormy(text: &str) -> String {
    text.replace(&format!("namespace: {NAMESPACE}"), "namespace: stormy")
}

/// Storms until told to end; counts what is answered.
fn storm(moongate: &Moongate, end: &Arc<AtomicBool>, done: &Arc<AtomicUsize>) -> Vec<std::thread::JoinHandle<()>> {
    let one = |_| {
        let (address, end, done) = (moongate.http, end.clone(), done.clone());
        std::thread::spawn(move || {
            let mut client = Client::connect(address);
            while !end.load(Ordering::Relaxed) {
                let response = client.get(STORMY, "/");
                // Run, or refused for being over the share; never anything else.
                assert!(matches!(response.status, 200 | 503), "{response:?}");
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    (0..STORM).map(one).collect()
}

#[test]
fn a_storm_of_one_namespace_leaves_the_worker_to_others() {
    let upstream = Upstream::answering("ok");
    // Some milliseconds of CPU, well within the limit of a run.
    let burn = "local n = 0 for i = 1, 6e6 do n = n + i % 7 end ngx.say(n)";
    let manifests = Manifests::of(&[
        config("http: {keepaliveRequests: 1000000}"),
        service("backend", &[upstream.port]),
        ingress("plain", "plain.example.com", "/", "backend", &[]),
        plugin("quick", &[("content", "ngx.say('quick')")], ""),
        ingress("quick", "quick.example.com", "/", "backend", &[("moongate.dev/plugins", "quick")]),
        of_stormy(&service("backend", &[upstream.port])),
        of_stormy(&plugin("burn", &[("content", burn)], "")),
        of_stormy(&ingress("burn", STORMY, "/", "backend", &[("moongate.dev/plugins", "burn")])),
    ]);
    let moongate = Moongate::start_with(&manifests, &["--workers", "1"]);
    let (end, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let threads = storm(&moongate, &end, &done);
    for (host, expected) in [("plain.example.com", "ok"), ("quick.example.com", "quick\n")] {
        let mut client = Client::connect(moongate.http);
        // The storm has begun, and its burst is used up.
        let begun = done.load(Ordering::Relaxed) + 2 * STORM;
        while done.load(Ordering::Relaxed) < begun {
            assert_eq!(client.get(host, "/").text(), expected);
        }
        let before = done.load(Ordering::Relaxed);
        for _ in 0..REQUESTS {
            assert_eq!(client.get(host, "/").text(), expected);
        }
        let meanwhile = done.load(Ordering::Relaxed) - before;
        // In turn with the storm's connections it would be STORM for each request.
        assert!(meanwhile < REQUESTS * STORM / 4, "{host}: {REQUESTS} requests took {meanwhile} runs of the storm");
    }
    end.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|t| t.join().unwrap());
}
