//! The cluster itself: pods, Services, names, and our custom resources as the API server judges them.

use e2e::cluster::{BACKEND, Bed, NODE_ADDRESS};
use e2e::wait::until_slowly;
use e2e::{cluster, curl, tidy};

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: BACKEND
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
";

#[test]
fn a_deployment_rolls_out_and_its_service_answers() {
    let Some(bed) = Bed::new("smoke-pods") else { return };
    bed.apply(&WEB.replace("BACKEND", BACKEND));
    bed.await_rollout("web");
    let service = bed.get("Service", "web").unwrap();
    let url = format!("http://{}:{}/", NODE_ADDRESS[0], service["spec"]["ports"][0]["nodePort"]);
    let answer = until_slowly(cluster::bed::PATIENCE, "an answer of the NodePort", || {
        let answer = curl(&["--retry", "3", "--retry-connrefused", &url]);
        if answer.status == 200 { Ok(answer.text()) } else { Err(format!("{answer:?}")) }
    });
    let pods: Vec<String> =
        bed.list(&bed.namespace, "Pod", "app=web").iter().map(|p| p["metadata"]["name"].to_string()).collect();
    assert!(pods.contains(&format!("{:?}", answer.trim())), "{answer} is none of {pods:?}");
    let asked = bed.run("asks", &["wget", "-qO-", "http://web/"]);
    assert!(asked.starts_with("web-"), "a pod finds the Service by its name: {asked}");
}

#[test]
fn parts_of_the_cluster_end_and_come_back() {
    let Some(bed) = Bed::alone("smoke-parts") else { return };
    bed.apply(&WEB.replace("BACKEND", BACKEND).replace("NodePort", "LoadBalancer"));
    bed.await_rollout("web");
    let balanced = bed.await_object("Service", "web", "with an address", |service| {
        service["status"]["loadBalancer"]["ingress"].is_array()
    });
    let address = balanced["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().unwrap();
    let address = format!("{address}:80").parse().unwrap();
    until_slowly(cluster::bed::PATIENCE, "an answer of the load balancer's address", || {
        e2e::Client::try_connect(address).map(drop).map_err(|e| e.to_string())
    });
    let load = e2e::Load::start(address, "web", "/", 100);
    load.await_answers(50);
    let (control, node) = (&bed.cluster.control, &bed.cluster.nodes[0]);
    for part in [&control.apiserver, &control.etcd, &node.proxy] {
        part.kill();
        load.await_answers(50);
        part.resume().unwrap();
        cluster::control::await_ready(bed.cluster.client, &control.apiserver);
    }
    load.assert_none_failed();
    // A kubelet that has just started calls its pods not ready until it has probed them: no load here.
    let starts = || node.kubelet.has_logged("\"Started kubelet\"");
    let before = starts();
    for part in [&node.containerd, &node.kubelet] {
        part.kill();
        part.resume().unwrap();
    }
    // A kubelet ends that comes while containerd still looks after its pods; a supervisor starts it again.
    until_slowly(cluster::bed::PATIENCE, "a kubelet that has found containerd", || {
        node.kubelet.revive().unwrap();
        if starts() > before { Ok(()) } else { Err(node.kubelet.tail()) }
    });
    bed.cluster.revive();
    bed.cluster.await_nodes();
    let pods: Vec<_> = bed.list(&bed.namespace, "Pod", "app=web");
    assert!(pods.iter().all(|pod| pod["status"]["containerStatuses"][0]["restartCount"] == 0), "{pods:?}");
}

#[test]
fn the_api_server_judges_our_custom_resources() {
    let Some(bed) = Bed::new("smoke-crds") else { return };
    for file in tidy::files().unwrap().iter().filter(|file| file.starts_with("crds/")) {
        bed.apply(&tidy::read(file).unwrap());
    }
    for name in ["luaplugins", "luapluginbindings", "clusterluaplugins", "clusterluapluginbindings", "moongateconfigs"]
    {
        bed.await_object("CustomResourceDefinition", &format!("{name}.moongate.dev"), "established", |crd| {
            let conditions = crd["status"]["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Established" && c["status"] == "True"))
        });
    }
    for (kind, spec, refused) in JUDGED {
        let object =
            format!("apiVersion: moongate.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: judged}}\nspec: {spec}");
        // A kind is served a moment after it is established.
        let verdict = until_slowly(cluster::bed::PATIENCE, &format!("a verdict about {object}"), || {
            match bed.try_apply(&object) {
                Err(error) if error.contains("404") => Err(error),
                verdict => Ok(verdict.err().unwrap_or_default()),
            }
        });
        match refused {
            "" => assert_eq!(verdict, "", "{object}"),
            text => assert!(verdict.contains(text), "{object}\nsaid: {verdict}"),
        }
    }
    // Of no namespace, so nothing else removes them.
    bed.delete("ClusterLuaPlugin", "judged");
}

/// A kind, a spec, and what a refusal says; empty where it is accepted.
const JUDGED: [(&str, &str, &str); 15] = [
    ("LuaPlugin", "{phases: {access: 'ngx.exit(403)'}}", ""),
    ("LuaPlugin", "{phases: {acces: 'ngx.exit(403)'}}", "acces"),
    ("LuaPlugin", "{phases: {}, sharedDicts: {9lives: 1Mi}}", "begins with no digit"),
    ("LuaPlugin", "{phases: {}, modules: {'a b': 'return 1'}}", "a module's name has letters"),
    ("LuaPlugin", "{phases: {}, modulesFrom: [{configMapRef: {name: a, namespace: b}}]}", "of its own namespace"),
    ("LuaPlugin", "{phases: {}, failurePolicy: Maybe}", "failurePolicy"),
    ("ClusterLuaPlugin", "{phases: {log: ''}, allowedNamespaces: {from: All}}", ""),
    ("ClusterLuaPlugin", "{phases: {}, allowedNamespaces: {from: Selector}}", "required there"),
    ("ClusterLuaPlugin", "{phases: {}, modulesFrom: [{configMapRef: {name: a}}]}", "is in no namespace"),
    ("LuaPluginBinding", "{pluginRef: {name: a}, targetRefs: [{kind: Ingress, name: b, sectionName: c}]}", ""),
    ("LuaPluginBinding", "{pluginRef: {name: a}, targetRefs: []}", "at least 1"),
    ("LuaPluginBinding", "{pluginRef: {name: a}, targetRefs: [{kind: Service, name: b, sectionName: c}]}", "sections"),
    ("LuaPluginBinding", "{pluginRef: {name: a}, targetRefs: [{kind: Pod, name: b}]}", "Unsupported value"),
    (
        "LuaPluginBinding",
        "{pluginRef: {name: a}, targetRefs: [{kind: Ingress, name: b}], secretRefs: [{path: x, name: s, key: k, namespace: w}]}",
        "of its own namespace",
    ),
    (
        "ClusterLuaPluginBinding",
        "{pluginRef: {name: a}, targetRefs: [{kind: IngressClass, name: b}], secretRefs: [{path: x, name: s, key: k}]}",
        "is in no namespace",
    ),
];
