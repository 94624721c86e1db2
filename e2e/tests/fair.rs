//! One namespace in an endless storm of expensive requests leaves the others their p99.
//!
//! How long a request takes depends on what else the machine does. What stands before it does not: so many runs of the
//! storm. They are counted by the order of the access log's lines, and everything that is sent for a count is sent while
//! the worker is busy with something else, so that it does not matter how fast the test itself is.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use e2e::manifests::{NAMESPACE, config, ingress, of_cluster, plugin, service};
use e2e::{Client, Manifests, Moongate, Upstream, until};

/// Connections of the storm: a request that stands in line behind it stands behind so many runs.
const STORM: usize = 32;
/// Counts for each victim; the worst of them counts.
const ROUNDS: usize = 8;
/// Requests of each victim in an endless storm.
const REQUESTS: usize = 100;

const STORMY: &str = "stormy.example.com";
const PLUG: &str = "plug.example.com";
/// Victims: with a script and without one. The second has to wait for its upstream, and in that time runs of the storm
/// are nobody's loss: few come before its share is used up, and a busy machine may add some.
const VICTIMS: [(&str, &str, usize); 2] = [("quick.example.com", "quick\n", 2), ("plain.example.com", "ok", STORM / 2)];

/// Objects of another namespace than the harness's.
fn of_stormy(text: &str) -> String {
    text.replace(&format!("namespace: {NAMESPACE}"), "namespace: stormy")
}

/// A Moongate with one worker, victims, and a namespace whose requests take some milliseconds of CPU in a phase of a plugin:
/// `burn` is its own, `cluster/burn` the platform's. It has the smallest share, so that what it may do in the meantime is
/// next to nothing however slow the machine is; the platform's plugins have no limit of that kind.
fn stormy(upstream: &Upstream, phase: &str, name: &str) -> (Manifests, Moongate) {
    let burn = "local n = 0 for i = 1, 1e6 do n = n + i % 7 end";
    let burn = if phase == "content" { format!("{burn} ngx.say(n)") } else { burn.to_owned() };
    let busy = "local til = ngx.now() + 0.2 repeat ngx.update_time() until ngx.now() > til ngx.say('done')";
    let limits = "cpuPerResume: 100ms, cpuPerRequest: 1s, workerShare: 1";
    let for_all = "allowedNamespaces: {from: All}";
    let manifests = Manifests::of(&[
        config(&format!("http: {{keepaliveRequests: 1000000}}\nlua: {{namespaceLimits: {{{limits}}}}}")),
        service("backend", &[upstream.port]),
        plugin("quick", &[("content", "ngx.say('quick')")], ""),
        ingress("quick", VICTIMS[0].0, "/", "backend", &[("moongate.dev/plugins", "quick")]),
        ingress("plain", VICTIMS[1].0, "/", "backend", &[]),
        of_cluster(&plugin("plug", &[("content", busy)], for_all)),
        ingress("plug", PLUG, "/", "backend", &[("moongate.dev/plugins", "cluster/plug")]),
        of_stormy(&service("backend", &[upstream.port])),
        of_stormy(&plugin("burn", &[(phase, &burn)], "")),
        of_cluster(&plugin("burn", &[(phase, &burn)], for_all)),
        of_stormy(&ingress("burn", STORMY, "/", "backend", &[("moongate.dev/plugins", name)])),
    ]);
    let moongate = Moongate::start_with(&manifests, &["--workers", "1"]);
    (manifests, moongate)
}

/// Connections that send together while the worker is busy.
struct Crowd<'a> {
    moongate: &'a Moongate,
    plug: Client,
    storm: Vec<Client>,
    victim: Client,
    /// Requests so far.
    sent: usize,
}

impl<'a> Crowd<'a> {
    fn new(moongate: &'a Moongate) -> Self {
        let connect = || Client::connect(moongate.http);
        let storm = (0..STORM).map(|_| connect()).collect();
        Self { moongate, plug: connect(), storm, victim: connect(), sent: 0 }
    }

    /// Makes the worker busy.
    fn plug(&mut self) {
        self.plug.send(get(PLUG));
    }

    fn storm(&mut self) {
        self.storm.iter_mut().for_each(|client| _ = client.send(get(STORMY)));
    }

    /// The storm's requests that were answered before a victim's, which came after all of them. `send` sends them and
    /// makes the worker busy.
    fn passed(&mut self, (host, expected, _): (&str, &str, usize), send: impl Fn(&mut Self)) -> usize {
        until("a round that is sent while the worker is busy", || {
            send(self);
            self.victim.send(get(host));
            let is_in_time = !self.plug.has_come();
            assert_eq!(self.victim.response("GET").text(), expected);
            for client in self.storm.iter_mut().chain([&mut self.plug]) {
                assert_eq!(client.response("GET").status, 200);
            }
            let before = self.sent;
            self.sent += STORM + 2;
            let log = until("the lines of the access log", || {
                let log = self.moongate.access_log();
                if log.len() < self.sent { Err(format!("{} of {}", log.len(), self.sent)) } else { Ok(log) }
            });
            let passed = log[before..].iter().take_while(|line| line["host"] != host);
            let passed = passed.filter(|line| line["host"] == STORMY).count();
            if is_in_time { Ok(passed) } else { Err("the worker was not busy for long enough".into()) }
        })
    }
}

fn get(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn whoever_comes_after_a_storm_does_not_stand_behind_it() {
    let upstream = Upstream::answering("ok");
    for plugin in ["burn", "cluster/burn"] {
        let (_manifests, moongate) = stormy(&upstream, "content", plugin);
        let mut crowd = Crowd::new(&moongate);
        for victim in VICTIMS {
            let send = |crowd: &mut Crowd| {
                crowd.plug();
                crowd.storm();
            };
            let passed: Vec<usize> = (0..ROUNDS).map(|_| crowd.passed(victim, send)).collect();
            let most = passed.iter().max().expect("rounds");
            assert!(*most <= victim.2, "{plugin}, {victim:?}: runs of {STORM} before it: {passed:?}");
        }
    }
}

/// What an upstream does with the storm: its answers are held back until they may go all at once.
#[derive(Default)]
struct Held {
    asked: AtomicUsize,
    /// Requests that may be answered.
    free: Mutex<usize>,
    more: Condvar,
    answered: AtomicUsize,
}

impl Held {
    fn upstream(self: &Arc<Self>) -> Upstream {
        let held = self.clone();
        Upstream::start(move |mut c| {
            while let Some(request) = c.request() {
                if request.header("host") != STORMY {
                    c.answer(200, "ok");
                    continue;
                }
                let number = held.asked.fetch_add(1, Ordering::SeqCst);
                let free = held.free.lock().expect("no thread panics with it");
                drop(held.more.wait_while(free, |free| *free <= number).expect("no thread panics with it"));
                c.answer(200, "ok");
                held.answered.fetch_add(1, Ordering::SeqCst);
            }
        })
    }

    /// Waits until a round's requests have all come, or were all answered.
    fn await_all(count: &AtomicUsize, before: usize) {
        until("the whole storm at the upstream", || match count.load(Ordering::SeqCst) {
            n if n == before + STORM => Ok(()),
            n => Err(format!("{n} of {}", before + STORM)),
        });
    }
}

/// Filters run when the upstream answers, and it may answer many at once.
#[test]
fn whoever_comes_after_a_storm_s_answers_does_not_stand_behind_their_filters() {
    let held = Arc::new(Held::default());
    let upstream = held.upstream();
    for phase in ["headerFilter", "bodyFilter", "log"] {
        let (_manifests, moongate) = stormy(&upstream, phase, "burn");
        let passed = after_answers(&held, &mut Crowd::new(&moongate));
        assert!(passed.iter().all(|n| *n <= VICTIMS[0].2), "{phase}: runs of {STORM} before it: {passed:?}");
    }
}

/// What passes a victim that comes after a storm's answers, in each round.
fn after_answers(held: &Held, crowd: &mut Crowd) -> Vec<usize> {
    let send = |crowd: &mut Crowd| {
        let before = held.answered.load(Ordering::SeqCst);
        crowd.storm();
        Held::await_all(&held.asked, before);
        crowd.plug();
        *held.free.lock().expect("no thread panics with it") = before + STORM;
        held.more.notify_all();
        Held::await_all(&held.answered, before);
    };
    (0..ROUNDS).map(|_| crowd.passed(VICTIMS[0], send)).collect()
}

/// Storms on a connection until told to end; counts the runs.
fn storm(moongate: &Moongate, end: &Arc<AtomicBool>, ran: &Arc<AtomicUsize>) -> std::thread::JoinHandle<()> {
    let (end, ran) = (end.clone(), ran.clone());
    let mut client = Client::connect(moongate.http);
    std::thread::spawn(move || {
        while !end.load(Ordering::Relaxed) {
            let response = client.get(STORMY, "/");
            // Run, or refused for being over the share; never anything else.
            assert!(matches!(response.status, 200 | 503), "{response:?}");
            ran.fetch_add(usize::from(response.status == 200), Ordering::Relaxed);
        }
    })
}

#[test]
fn a_storm_of_one_namespace_leaves_the_worker_to_others() {
    let upstream = Upstream::answering("ok");
    let (_manifests, moongate) = stormy(&upstream, "content", "burn");
    let (end, ran) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..STORM).map(|_| storm(&moongate, &end, &ran)).collect();
    for (host, expected, _) in VICTIMS {
        // The storm goes on, now that nobody else wants the worker.
        let begun = ran.load(Ordering::Relaxed) + STORM;
        until("the storm's runs", || match ran.load(Ordering::Relaxed) {
            ran if ran >= begun => Ok(()),
            ran => Err(format!("{ran} of {begun}")),
        });
        let mut client = Client::connect(moongate.http);
        let before = ran.load(Ordering::Relaxed);
        for _ in 0..REQUESTS {
            assert_eq!(client.get(host, "/").text(), expected);
        }
        let meanwhile = ran.load(Ordering::Relaxed) - before;
        // One by one in turn with the storm it would be a run for each request.
        assert!(meanwhile < REQUESTS / 2, "{host}: {meanwhile} runs of the storm during {REQUESTS} requests");
    }
    end.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().expect("a storm is answered"));
}
