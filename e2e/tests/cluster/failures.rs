//! Parts end: traffic goes on, and everything converges after.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::cluster::bed::PATIENCE;
use e2e::cluster::release::RELEASE;
use e2e::cluster::site::{Site, ingress, is};
use e2e::metrics;
use e2e::wait::until_slowly;
use serde_json::{Value, json};

const LEASE: &str = "moongate-controller";

/// Kills the processes of a pod, which learn nothing of it.
fn kill_container(site: &Site, pod: &Value) {
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap_or_default();
    let id = id.trim_start_matches("containerd://");
    let killed = site.cluster.nodes[0].ctr().args(["task", "kill", "-s", "KILL", id]).status();
    assert!(killed.is_ok_and(|s| s.success()), "cannot kill {id}");
}

/// Ends a pod at once, as a node that dies does: the kubelet alone would ask it to end first.
fn kill(site: &Site, pod: &str) {
    kill_container(site, &site.look(RELEASE, "Pod", pod).unwrap().unwrap());
    let said = site.cluster.kubectl(&["-n", RELEASE, "delete", "pod", pod, "--grace-period=0", "--force"]);
    said.unwrap_or_else(|e| panic!("{e}"));
}

fn leader(site: &Site) -> Result<String, String> {
    let lease = site.look(RELEASE, "Lease", LEASE)?.ok_or("no Lease")?;
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
    // The identity begins with the pod's name.
    site.pods("controller").into_iter().find(|pod| holder.starts_with(pod)).ok_or(format!("led by {holder:?}"))
}

fn serve(site: &Site, host: &str) {
    site.backend("web", 2);
    site.apply(&ingress("web", host, "web", ""));
    site.await_everywhere(host, "/", 200);
}

/// A change that only goes through when everything works.
fn await_change(site: &Site, host: &str) {
    site.apply(&ingress("change", host, "web", ""));
    site.await_status(host, "/", 200);
    site.await_object("Ingress", "change", "with an address", |i| i["status"]["loadBalancer"]["ingress"].is_array());
    site.delete("Ingress", "change");
    site.await_status(host, "/", 404);
}

#[test]
fn a_data_plane_is_killed() {
    let Some(site) = Site::alone("kill-dataplane") else { return };
    serve(&site, "kill-dataplane.test");
    let load = site.load("kill-dataplane.test", "/");
    load.await_answers(200);
    let before = site.pods("dataplane");
    let killed = before.first().unwrap();
    kill(&site, killed);
    // Until the Service knows it, half of the new connections meet nobody. From then on every one is answered.
    until_slowly(PATIENCE, "endpoints without the killed pod", || {
        let slices = site.list(RELEASE, "EndpointSlice", "kubernetes.io/service-name=moongate");
        let named = slices.iter().any(|slice| slice["endpoints"].to_string().contains(killed.as_str()));
        if named { Err(format!("{slices:?}")) } else { Ok(()) }
    });
    site.await_everywhere("kill-dataplane.test", "/", 200);
    let later = site.load("kill-dataplane.test", "/");
    site.await_release();
    later.await_answers(1_000);
    assert_ne!(site.pods("dataplane"), before);
    site.assert_none_failed(later);
    let report = load.stop();
    // Half of the requests of ten seconds; and none was answered with an error: they died with their connections.
    assert!(report.failed <= 1_000, "{report:#?}");
    assert!(!report.failures.iter().any(|failure| failure.starts_with(|c: char| c.is_ascii_digit())), "{report:#?}");
    await_change(&site, "change.kill-dataplane.test");
}

#[test]
fn the_leader_is_killed_and_the_other_takes_over() {
    let Some(site) = Site::alone("kill-leader") else { return };
    serve(&site, "kill-leader.test");
    let load = site.load("kill-leader.test", "/");
    load.await_answers(50);
    let first = until_slowly(PATIENCE, "a leader", || leader(&site));
    kill(&site, &first);
    let second = until_slowly(PATIENCE, "another leader", || match leader(&site)? {
        same if same == first => Err(same),
        other => Ok(other),
    });
    await_change(&site, "change.kill-leader.test");
    // One that is asked to end hands over at once.
    let said = site.cluster.kubectl(&["-n", RELEASE, "delete", "pod", &second, "--wait=false"]);
    said.unwrap_or_else(|e| panic!("{e}"));
    await_change(&site, "change2.kill-leader.test");
    site.await_release();
    site.assert_none_failed(load);
}

#[test]
fn the_api_server_is_away_and_comes_back() {
    let Some(site) = Site::alone("kill-apiserver") else { return };
    serve(&site, "kill-apiserver.test");
    let load = site.load("kill-apiserver.test", "/");
    load.await_answers(50);
    let control = &site.cluster.control;
    control.apiserver.kill();
    // Longer than the Lease lasts.
    load.go_on_for(Duration::from_secs(60));
    control.apiserver.resume().unwrap();
    e2e::cluster::control::await_ready(site.cluster.client, &control.apiserver);
    site.cluster.revive();
    await_change(&site, "change.kill-apiserver.test");
    control.etcd.kill();
    control.etcd.resume().unwrap();
    e2e::cluster::control::await_ready(site.cluster.client, &control.apiserver);
    site.cluster.revive();
    await_change(&site, "change2.kill-apiserver.test");
    site.await_release();
    site.assert_none_failed(load);
}

#[test]
fn controllers_are_replaced_while_a_plugin_is_broken() {
    let Some(site) = Site::alone("kept") else { return };
    let module = |code: &str| json!({"data": {"word": code}});
    site.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lib}\ndata: {word: return 'first'}");
    site.apply("apiVersion: moongate.dev/v1alpha1\nkind: LuaPlugin\nmetadata: {name: says}\nspec:\n  modulesFrom: [{configMapRef: {name: lib}}]\n  phases: {content: \"ngx.say(require('word'))\"}");
    site.backend("web", 1);
    site.apply(&ingress("web", "kept.test", "web", ", annotations: {moongate.dev/plugins: says}"));
    let says = |word: &str| {
        until_slowly(PATIENCE, &format!("{word} twenty times in a row"), || {
            (0..20).try_for_each(|_| match site.try_get("kept.test", "/")? {
                answer if answer.status == 200 && answer.text().trim() == word => Ok(()),
                other => Err(format!("{other:?}")),
            })
        });
    };
    says("first");
    // No webhook sees it.
    site.patch("ConfigMap", "lib", &module("return ("));
    site.await_object("LuaPlugin", "says", "unresolved", |o| is(o, "ResolvedRefs", "False"));
    let load = site.load("kept.test", "/");
    load.await_answers(50);
    let before = site.pods("controller");
    let said = site.cluster.kubectl(&["-n", RELEASE, "rollout", "restart", "deployment", "moongate-controller"]);
    said.unwrap_or_else(|e| panic!("{e}"));
    site.await_release();
    assert!(site.pods("controller").is_disjoint(&before));
    // The table of one that never saw the good version is in effect everywhere.
    site.apply(&ingress("change", "change.kept.test", "web", ""));
    site.await_everywhere("change.kept.test", "/", 200);
    load.await_answers(200);
    assert_eq!(load.report().bodies.into_keys().collect::<Vec<_>>(), ["first"]);
    site.patch("ConfigMap", "lib", &module("return 'second'"));
    says("second");
    site.await_object("LuaPlugin", "says", "programmed", |o| is(o, "Programmed", "True"));
    site.assert_none_failed(load);
}

/// Scales the release back, also when its test fails: others come after it.
struct Restored<'a>(&'a Site);

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        for deployment in ["moongate-controller", "moongate-dataplane"] {
            let _ = self.0.cluster.kubectl(&["-n", RELEASE, "scale", "deployment", deployment, "--replicas=2"]);
        }
    }
}

#[test]
fn without_controllers_data_planes_serve_and_restart() {
    let Some(site) = Site::alone("no-controllers") else { return };
    serve(&site, "no-controllers.test");
    let scale = |replicas: u32| {
        let patch = json!({"spec": {"replicas": replicas}}).to_string();
        let arguments = ["-n", RELEASE, "patch", "deployment", "moongate-controller", "--type=merge", "-p", &patch];
        site.cluster.kubectl(&arguments).unwrap_or_else(|e| panic!("{e}"));
    };
    let _restored = Restored(&site);
    scale(0);
    until_slowly(PATIENCE, "the end of the controllers", || match site.pods("controller") {
        none if none.is_empty() => Ok(()),
        some => Err(format!("{some:?}")),
    });
    site.await_status("no-controllers.test", "/", 200);
    // Each container is killed; its pod, with the last table in it, stays.
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0);
    let seen = || site.list(RELEASE, "Pod", "app.kubernetes.io/component=dataplane");
    let before: u64 = seen().iter().map(restarts).sum();
    for pod in seen() {
        kill_container(&site, &pod);
    }
    until_slowly(PATIENCE, "restarted data planes that are ready", || {
        let pods = seen();
        let ready = pods.iter().all(|pod| pod["status"]["containerStatuses"][0]["ready"] == true);
        let now: u64 = pods.iter().map(restarts).sum();
        if ready && now >= before + 2 { Ok(()) } else { Err(format!("{now} restarts")) }
    });
    site.await_status("no-controllers.test", "/", 200);
    // A new pod has no table: it is not ready before a controller is there, and the others serve.
    let said = site.cluster.kubectl(&["-n", RELEASE, "scale", "deployment", "moongate-dataplane", "--replicas=3"]);
    said.unwrap_or_else(|e| panic!("{e}"));
    until_slowly(PATIENCE, "a third pod that runs and is not ready", || {
        let pods = seen();
        let status = |p: &Value| p["status"]["containerStatuses"][0].clone();
        let waits = pods.iter().filter(|p| status(p)["ready"] == false && status(p)["started"].is_boolean()).count();
        if waits == 1 { Ok(()) } else { Err(format!("{waits} wait")) }
    });
    site.await_status("no-controllers.test", "/", 200);
    scale(2);
    until_slowly(PATIENCE, "three ready data planes", || {
        let deployment = site.look(RELEASE, "Deployment", "moongate-dataplane")?.ok_or("gone")?;
        let ready = deployment["status"]["readyReplicas"].as_u64().unwrap_or(0);
        if ready == 3 { Ok(()) } else { Err(format!("{ready} are ready")) }
    });
    let said = site.cluster.kubectl(&["-n", RELEASE, "scale", "deployment", "moongate-dataplane", "--replicas=2"]);
    said.unwrap_or_else(|e| panic!("{e}"));
    site.await_release();
    await_change(&site, "change.no-controllers.test");
}

#[test]
fn the_network_between_both_sides_is_cut() {
    let Some(site) = Site::alone("cut") else { return };
    serve(&site, "cut.test");
    let load = site.load("cut.test", "/");
    load.await_answers(50);
    let timeouts = |scraped: &str| metrics::sum(scraped, "moongate_push_stream_failures_total", &["what=\"timeout\""]);
    let failures: BTreeMap<String, f64> =
        site.pods("dataplane").into_iter().map(|pod| (pod.clone(), timeouts(&site.scrape(RELEASE, &pod)))).collect();
    let node = site.cluster.nodes[0].holder;
    // Silently, as a broken network does: no reset tells anyone. Pods of a bridge meet in its own hook.
    node.script("nft 'table bridge cut { chain f { type filter hook forward priority 0; tcp dport 8444 drop; tcp sport 8444 drop; }; }'")
        .unwrap();
    site.apply(&ingress("late", "late.cut.test", "web", ""));
    // Both sides give a stream up that is silent for 30 s.
    load.go_on_for(Duration::from_secs(40));
    until_slowly(PATIENCE, "streams that both sides have given up, and others that cannot be had", || {
        let planes = site.pods("dataplane");
        let planes: Vec<_> = planes.iter().map(|pod| (site.scrape(RELEASE, pod), failures[pod])).collect();
        let controllers: String = site.pods("controller").iter().map(|pod| site.scrape(RELEASE, pod)).collect();
        let streams = metrics::sum(&controllers, "moongate_push_streams", &[]);
        // Two streams end; what fails beyond them is a new connection.
        let tried = planes.iter().all(|(now, before)| timeouts(now) > before + 2.0);
        let alone = planes.iter().all(|(now, _)| metrics::sum(now, "moongate_push_controllers", &[]) == 0.0);
        if tried && alone && streams == 0.0 { Ok(()) } else { Err(format!("{streams} streams, {alone}, {tried}")) }
    });
    assert_eq!(site.try_get("late.cut.test", "/").unwrap().status, 404, "nothing can have told it");
    node.script("nft delete table bridge cut").unwrap();
    site.await_status("late.cut.test", "/", 200);
    await_change(&site, "change.cut.test");
    site.assert_none_failed(load);
}
