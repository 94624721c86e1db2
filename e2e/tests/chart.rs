//! The Helm chart, rendered by Helm itself: what it makes is valid, safe and no more than needed; what it is given is
//! checked; what it copies is equal. `UPDATE_CHART=1 cargo test -p e2e --test chart` rewrites what is generated.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use e2e::chart::{self, CHART, generated, kinds};
use e2e::{Manifests, metrics, moongate, tidy};
use serde_json::{Value, json};

fn read(file: &str) -> String {
    tidy::read(&format!("{CHART}/{file}")).expect("the chart has the file")
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("it is YAML")
}

/// Compares a file of the chart with what it should be, or writes it.
fn hold(file: &str, wanted: &str) {
    if chart::may_update() {
        std::fs::write(tidy::root().join(CHART).join(file), wanted).expect("the repository can be written");
    }
    let path = tidy::root().join(CHART).join(file);
    let is_equal = std::fs::read_to_string(path).is_ok_and(|text| text == wanted);
    assert!(is_equal, "{CHART}/{file} is not what it is made from: UPDATE_CHART=1 cargo test -p e2e --test chart");
}

/// Files of a folder of the chart.
fn files(folder: &str) -> BTreeSet<String> {
    let listed = std::fs::read_dir(tidy::root().join(CHART).join(folder)).expect("the chart has the folder");
    let names = listed.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.collect()
}

#[test]
fn helm_finds_nothing_to_complain_about() {
    for file in chart::values_files() {
        let linted = chart::helm(&["lint", "--strict", CHART, "--namespace=moongate", "--values", &file]);
        assert!(linted.status.success(), "{file}: {}", String::from_utf8_lossy(&linted.stdout));
    }
}

#[test]
fn every_object_is_one_that_the_api_server_knows() {
    let others = ["Certificate", "Issuer", "ServiceMonitor", "PrometheusRule"];
    for file in chart::values_files() {
        let objects = chart::render_file(&file);
        let mut names = BTreeSet::new();
        for object in &objects {
            let name = chart::name(object);
            let is_ours = object["apiVersion"] == "moongate.dev/v1alpha1";
            match kinds::problems(object) {
                Some(problems) => assert!(problems.is_empty(), "{file}: {name}: {problems:#?}"),
                None => {
                    assert!(is_ours || others.iter().any(|o| object["kind"] == *o), "{file}: {name} was not checked")
                }
            }
            assert!(object["metadata"]["name"].as_str().unwrap().len() <= 63, "{name}");
            assert!(names.insert(name.clone()), "{file}: {name} is there twice");
        }
    }
}

#[test]
fn our_own_kinds_are_what_check_accepts() {
    let read_by_check = ["MoongateConfig", "ClusterLuaPlugin", "LuaPlugin", "Ingress", "IngressClass", "Service"];
    // Those whose objects of these kinds differ.
    for file in ["default", "everything", "scoped", "side-by-side"].map(|f| format!("{CHART}/ci/{f}-values.yaml")) {
        let objects = chart::render_file(&file);
        let ours = objects.iter().filter(|o| read_by_check.iter().any(|kind| o["kind"] == *kind));
        let manifests: Vec<String> = ours.map(|o| format!("{o}\n")).collect();
        let manifests = Manifests::of(&manifests);
        let checked = moongate::command(&["check", &manifests.path().display().to_string()]);
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(said.lines().last().is_some_and(|end| end.starts_with("0 errors, ")), "{file}: {said}");
    }
}

#[test]
fn pods_run_with_nothing_that_they_do_not_need() {
    for file in chart::values_files() {
        let objects = chart::render_file(&file);
        for (name, pod) in chart::pods(&objects) {
            let why = format!("{file}: {name}");
            let security = &pod["securityContext"];
            assert_eq!(security["runAsNonRoot"], true, "{why}");
            assert_eq!(security["runAsUser"], 65532, "{why}");
            assert_eq!(security["seccompProfile"], json!({"type": "RuntimeDefault"}), "{why}");
            // Who speaks to the API server says so, and nobody else has a token.
            let speaks = ["-controller", "-crds", "-clear"].iter().any(|end| name.ends_with(end));
            assert_eq!(pod["automountServiceAccountToken"], speaks, "{why}");
            assert_eq!(
                pod["hostNetwork"] == true,
                file.contains("host-network") && name.contains("dataplane"),
                "{why}"
            );
            let containers = chart::own_containers(pod);
            assert_eq!(containers.len(), 1, "{why}");
            let container = containers[0];
            let wanted = json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}
            });
            assert_eq!(container["securityContext"], wanted, "{why}");
            assert!(container.pointer("/resources/requests/cpu").is_some(), "{why}");
            assert!(container.pointer("/resources/limits/memory").is_some(), "{why}");
            for volume in pod["volumes"].as_array().into_iter().flatten() {
                assert!(volume.get("hostPath").is_none() || file.contains("daemonset"), "{why}: {volume}");
            }
        }
    }
}

#[test]
fn a_data_plane_has_no_rights_and_a_token_for_the_controller_alone() {
    for file in chart::values_files() {
        let objects = chart::render_file(&file);
        let pods = chart::pods(&objects);
        let (_, pod) = pods.iter().find(|(name, _)| name.ends_with("-dataplane")).unwrap();
        let account = &pod["serviceAccountName"];
        let bound = objects.iter().filter_map(|o| o["subjects"].as_array()).flatten();
        assert!(bound.clone().count() > 0 && bound.clone().all(|s| s["name"] != *account), "{file}");
        let sources = pod["volumes"].as_array().unwrap().iter().find_map(|v| v.pointer("/projected/sources")).unwrap();
        let token = sources.as_array().unwrap().iter().find_map(|s| s.get("serviceAccountToken")).unwrap();
        let (_, controller) = pods.iter().find(|(name, _)| name.ends_with("-controller")).unwrap();
        let arguments = chart::arguments(chart::own_containers(controller)[0]);
        let audience = format!("--audience={}", token["audience"].as_str().unwrap());
        assert!(arguments.contains(&audience.as_str()), "{file}: {arguments:?}");
        let namespace = objects.iter().find(|o| chart::name(o).contains("-dataplane")).unwrap();
        let namespace = namespace["metadata"]["namespace"].as_str().unwrap();
        let known = format!("--data-plane-service-account={namespace}/{}", account.as_str().unwrap());
        assert!(arguments.contains(&known.as_str()), "{file}: {arguments:?}");
    }
}

#[test]
fn the_binary_takes_the_arguments_of_every_container() {
    for file in chart::values_files() {
        let objects = chart::render_file(&file);
        for (name, pod) in chart::pods(&objects) {
            // `--help` comes last: what stands before it has been understood by then.
            let mut arguments = chart::arguments(chart::own_containers(pod)[0]);
            arguments.push("--help");
            let output = moongate::command(&arguments);
            assert!(output.status.success(), "{file}: {name}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// `Kind namespace/name: resource [names]: verbs`, a line for each right, sorted.
fn rights(objects: &[Value]) -> Vec<String> {
    let words =
        |value: &Value| -> Vec<String> { value.as_array().into_iter().flatten().map(|v| text(v).to_owned()).collect() };
    let mut rights = BTreeSet::new();
    for object in objects.iter().filter(|o| o["rules"].is_array() && text(&o["kind"]).ends_with("Role")) {
        for rule in object["rules"].as_array().into_iter().flatten() {
            for group in words(&rule["apiGroups"]) {
                for resource in words(&rule["resources"]) {
                    let names = match words(&rule["resourceNames"]) {
                        names if names.is_empty() => String::new(),
                        names => format!(" {}", names.join(" ")),
                    };
                    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
                    let verbs = words(&rule["verbs"]).join(" ");
                    rights.insert(format!("{}: {resource}{group}{names}: {verbs}", chart::name(object)));
                }
            }
        }
    }
    rights.into_iter().collect()
}

#[test]
fn rights_are_exactly_these() {
    for (values, golden) in
        [("default", "default"), ("scoped", "scoped"), ("roles-only", "roles-only"), ("daemonset", "nodes")]
    {
        let objects = chart::render_file(&format!("{CHART}/ci/{values}-values.yaml"));
        let rights = rights(&objects);
        let golden = format!("e2e/golden/chart-rights-{golden}.txt");
        if chart::may_update() {
            std::fs::write(tidy::root().join(&golden), rights.join("\n") + "\n").unwrap();
        }
        let wanted = tidy::read(&golden).unwrap_or_default();
        assert_eq!(rights, wanted.lines().collect::<Vec<_>>(), "{golden}: each right is a decision");
    }
}

#[test]
fn no_right_is_given_to_people_or_by_wildcard() {
    for file in chart::values_files() {
        for object in chart::render_file(&file) {
            let name = chart::name(&object);
            let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
            assert!(labels.map(|(key, _)| key).all(|key| !key.contains("aggregate-to")), "{file}: {name}");
            let rules = object["rules"].as_array().into_iter().flatten();
            assert!(
                rules.map(Value::to_string).all(|rule| !rule.contains("\"*\"") || object["webhooks"].is_array()),
                "{name}"
            );
        }
    }
}

#[test]
fn scoped_to_namespaces_no_secret_is_readable_elsewhere() {
    for values in ["scoped", "roles-only"] {
        let objects = chart::render_file(&format!("{CHART}/ci/{values}-values.yaml"));
        let all = rights(&objects);
        let wide: Vec<&String> = all.iter().filter(|r| r.starts_with("ClusterRole ")).collect();
        assert!(wide.iter().all(|r| !r.contains("secrets") && !r.contains("configmaps")), "{wide:?}");
        assert!(values == "scoped" || wide.is_empty(), "{wide:?}");
        assert!(all.iter().any(|r| r.contains(": secrets: get list watch")), "{all:?}");
    }
}

/// The rights with a text in them of a release for namespace `shop`, with these values.
fn scoped_rights(more: &[&str], text: &str) -> Vec<String> {
    let scope = ["controller.scope.enabled=true", "controller.scope.namespaces={shop}"];
    let set: Vec<&str> = scope.iter().chain(more).flat_map(|value| ["--set", *value]).collect();
    rights(&chart::render(&set).expect("they are values")).into_iter().filter(|right| right.contains(text)).collect()
}

/// The Service may be one of an edge in front, in a namespace that is not watched.
#[test]
fn the_service_whose_address_is_published_can_be_read_wherever_it_is() {
    let with = |more: &[&str]| scoped_rights(more, ": services outer: list watch");
    let other = "controller.publishService.pathOverride=edge/outer";
    assert_eq!(with(&[other]), ["Role edge/moongate-controller-publish: services outer: list watch"]);
    assert_eq!(with(&["controller.publishService.pathOverride=shop/outer"]), [""; 0], "it reads all of that namespace");
    assert_eq!(with(&[other, "controller.updateStatus=false"]), [""; 0]);
    let own = with(&["controller.publishService.pathOverride=moongate/outer"]);
    assert_eq!(own, ["Role moongate/moongate-controller: services outer: list watch"]);
}

/// The certificate for hosts without one is named by whoever installs, wherever it is.
#[test]
fn the_default_certificate_can_be_read_wherever_it_is() {
    let with = |more: &[&str]| scoped_rights(more, "-certificate");
    let role = "Role edge/moongate-controller-certificate: secrets wildcard: get";
    assert_eq!(with(&["controller.defaultSSLCertificate=edge/wildcard"]), [role]);
    let config =
        ["namespace=edge", "name=wildcard"].map(|set| format!("controller.config.tls.defaultCertificate.{set}"));
    assert_eq!(with(&config.each_ref().map(String::as_str)), [role]);
    assert_eq!(with(&["controller.defaultSSLCertificate=shop/wildcard"]), [""; 0], "it reads all of that namespace");
}

#[test]
fn without_roles_there_are_none() {
    for set in ["crds.upgrade.enabled=false", "crds.upgrade.enabled=false,controller.clearStatusOnExit=true"] {
        let objects = chart::render(&["--is-upgrade", "--set", "rbac.create=false", "--set", set]).unwrap();
        let roles: Vec<String> = objects.iter().map(chart::name).filter(|name| name.contains("Role")).collect();
        assert_eq!(roles, [""; 0], "{set}");
    }
}

/// Helm hands the condition of a dependency to the chart that depends on it.
#[test]
fn a_chart_of_charts_may_switch_it_off() {
    assert!(chart::render(&["--set", "enabled=true", "--set", "global.x=1"]).is_ok());
}

#[test]
fn a_daemon_set_has_a_budget_only_of_a_kind_that_works() {
    let budgets = |more: &[&str]| {
        let set: Vec<&str> = ["dataplane.kind=DaemonSet"].iter().chain(more).flat_map(|v| ["--set", *v]).collect();
        let objects = chart::render(&set).unwrap();
        objects.iter().map(chart::name).filter(|name| name.starts_with("PodDisruptionBudget ")).collect::<Vec<_>>()
    };
    let all = ["controller", "dataplane"].map(|of| format!("PodDisruptionBudget moongate/moongate-{of}"));
    assert_eq!(budgets(&[]), all[..1]);
    assert_eq!(budgets(&["dataplane.podDisruptionBudget.minAvailable=50%"]), all[..1]);
    assert_eq!(budgets(&["dataplane.podDisruptionBudget.minAvailable=2"]), all);
}

#[test]
fn the_test_of_a_release_asks_for_what_the_release_serves() {
    let asked = |set: &str| {
        let objects = chart::render(&["--set", set]).unwrap();
        let ingress = objects.iter().find(|o| chart::name(o) == "Ingress moongate/moongate-test").cloned();
        let pod = chart::find(&objects, "Pod moongate/moongate-test");
        let status = chart::arguments(&pod["spec"]["containers"][0]).into_iter().find(|a| a.starts_with("--status="));
        (ingress, status.unwrap().to_owned())
    };
    let (ingress, status) = asked("controller.config.http.forceSslRedirect=true");
    let annotations = &ingress.unwrap()["metadata"]["annotations"];
    assert_eq!(annotations["nginx.ingress.kubernetes.io/force-ssl-redirect"], "false");
    assert_eq!(status, "--status=204");
    let (ingress, status) = asked("controller.config.lua.namespaceSelector.matchLabels.lua=yes");
    assert_eq!((ingress, status.as_str()), (None, "--status=404"));
}

#[test]
fn the_webhook_is_bounded_and_its_trust_is_not_the_charts() {
    for file in chart::values_files() {
        let objects = chart::render_file(&file);
        for configuration in objects.iter().filter(|o| o["kind"] == "ValidatingWebhookConfiguration") {
            let hooks = configuration["webhooks"].as_array().unwrap();
            assert_eq!(hooks.len(), 1);
            let hook = &hooks[0];
            assert_eq!(hook["timeoutSeconds"], 5, "{file}");
            assert_eq!(hook["failurePolicy"], if file.contains("/scoped") { "Fail" } else { "Ignore" }, "{file}");
            assert!(hook["clientConfig"].get("caBundle").is_none(), "{file}");
            assert!(hook["matchConditions"].as_array().unwrap().len() >= 2, "{file}");
            let service = &hook["clientConfig"]["service"];
            let named = format!("Service {}/{}", text(&service["namespace"]), text(&service["name"]));
            let port = &chart::find(&objects, &named)["spec"]["ports"][0];
            assert_eq!((&port["port"], &port["targetPort"]), (&service["port"], &json!("webhook")), "{file}");
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("it is a text")
}

/// Values that are refused, and what Helm says.
const REFUSED: [(&str, &[&str]); 19] = [
    ("replicas=3", &["additional properties 'replicas' not allowed"]),
    ("dataplane.replicacount=3", &["'/dataplane'", "'replicacount' not allowed"]),
    ("controller.service.type=NodePort", &["'/controller'", "'service' not allowed"]),
    ("dataplane.service.externaltrafficpolicy=Local", &["'externaltrafficpolicy' not allowed"]),
    ("dataplane.kind=StatefulSet", &["'/dataplane/kind'", "'Deployment', 'DaemonSet'"]),
    ("dataplane.containerPort.http=0", &["'/dataplane/containerPort/http'", "minimum"]),
    ("controller.config.http.clientMaxBodysize=8Mi", &["'clientMaxBodysize' not allowed"]),
    ("image.tag=a b", &["'/image/tag'", "pattern"]),
    ("controller.admissionWebhooks.failurePolicy=Deny", &["'Ignore', 'Fail'"]),
    ("controller.scope.namespace=shop", &["set controller.scope.enabled=true"]),
    ("dataplane.kind=DaemonSet,dataplane.autoscaling.enabled=true", &["set dataplane.kind=Deployment"]),
    ("rbac.scope=true", &["set controller.scope.enabled=true"]),
    ("rbac.scope=true,controller.scope.enabled=true", &["set controller.admissionWebhooks.enabled=false"]),
    ("rbac.scope=true,controller.scope.enabled=true,certManager.enabled=true", &["set crds.upgrade.enabled=false"]),
    ("plugins.names={cors,nothing}", &["there is no plugin \"nothing\""]),
    ("dataplane.terminationGracePeriodSeconds=30", &["less than drain.delaySeconds and drain.graceSeconds"]),
    ("metrics.serviceMonitor.enabled=true", &["needs metrics.enabled"]),
    ("metrics.prometheusRule.enabled=true", &["needs metrics.enabled"]),
    ("rbac.create=false", &["set crds.upgrade.enabled=false"]),
];

#[test]
fn values_that_do_not_exist_or_contradict_each_other_are_refused() {
    for (set, expected) in REFUSED {
        let said = chart::render(&["--set", set]).expect_err(set);
        for expected in expected {
            assert!(said.contains(expected), "{set}: {said}");
        }
    }
}

#[test]
fn an_old_cluster_is_refused() {
    let said = chart::render(&["--kube-version", "1.29.0"]).expect_err("1.29 is too old");
    assert!(said.contains("requires kubeVersion: >=1.30.0-0"), "{said}");
}

#[test]
fn every_value_is_in_the_schema_and_in_the_readme() {
    let values = read("values.yaml");
    let described = generated::described(&values);
    let values = yaml(&values);
    assert_eq!(generated::undescribed(&values, &described), [""; 0], "values without a `# --` comment");
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    for value in &described {
        let known =
            value.path.split('.').try_fold(&schema, |at, key| generated::resolved(&schema, at)["properties"].get(key));
        assert!(known.is_some(), "values.schema.json does not know {}", value.path);
    }
    let begin = "<!-- values: written from values.yaml -->";
    let readme = read("README.md");
    let wanted = generated::between(&readme, begin, "<!-- /values -->", &generated::table(&values, &described));
    hold("README.md", &wanted.expect("README.md has the marks of its table"));
}

#[test]
fn the_schema_knows_nothing_that_values_have_not() {
    let values = yaml(&read("values.yaml"));
    let described: BTreeSet<String> = generated::described(&read("values.yaml")).into_iter().map(|d| d.path).collect();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let mut open = vec![(String::new(), &schema)];
    while let Some((path, at)) = open.pop() {
        let at = generated::resolved(&schema, at);
        let Some(properties) = at["properties"].as_object() else { continue };
        assert_eq!(at["additionalProperties"], false, "{path} takes unknown values");
        for (key, property) in properties {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if ["enabled", "global"].contains(&path.as_str()) || described.contains(&path) {
                continue;
            }
            assert!(generated::at(&values, &path).is_some(), "values.yaml has no {path}");
            open.push((path, property));
        }
    }
    let definitions = schema["definitions"].as_object().unwrap();
    let objects = definitions.iter().filter(|(_, d)| d.get("properties").is_some());
    for (name, definition) in objects {
        assert_eq!(definition["additionalProperties"], false, "{name} takes unknown values");
    }
}

#[test]
fn the_schema_of_the_config_is_that_of_its_definition() {
    let definition = yaml(&tidy::read("crds/moongateconfigs.moongate.dev.yaml").unwrap());
    let mut schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    schema["definitions"]["moongateConfig"] = generated::json_schema(generated::spec_of(&definition));
    hold("values.schema.json", &(serde_json::to_string_pretty(&schema).unwrap() + "\n"));
}

#[test]
fn definitions_and_plugins_are_those_of_the_repository() {
    let tracked = tidy::files().unwrap();
    let crds = tracked.iter().filter_map(|f| f.strip_prefix("crds/").map(|name| (name.to_owned(), f.clone())));
    let plugin = |f: &String| {
        let name = f.strip_prefix("lua-plugins/")?.strip_suffix("/plugin.yaml")?;
        Some((format!("{name}.yaml"), f.clone()))
    };
    let plugins: BTreeMap<String, String> = tracked.iter().filter_map(plugin).collect();
    for (folder, sources) in [("crds", crds.collect()), ("plugins", plugins)] {
        assert!(sources.len() >= 5, "{folder}");
        for (name, source) in &sources {
            hold(&format!("{folder}/{name}"), &tidy::read(source).unwrap());
        }
        assert_eq!(files(folder), sources.into_keys().collect(), "{folder}");
    }
}

#[test]
fn plugins_are_installed_as_they_are() {
    let objects = chart::render_file(&format!("{CHART}/ci/default-values.yaml"));
    for file in files("plugins") {
        let wanted = yaml(&read(&format!("plugins/{file}")));
        let installed = chart::find(&objects, &chart::name(&wanted));
        assert_eq!(installed["spec"], wanted["spec"], "{file}");
        assert_eq!(installed["metadata"]["labels"]["app.kubernetes.io/instance"], "moongate");
    }
    let chosen = chart::render(&["--set", "plugins.names={cors}"]).unwrap();
    let chosen: Vec<String> = chosen.iter().filter(|o| o["kind"] == "ClusterLuaPlugin").map(chart::name).collect();
    assert_eq!(chosen, ["ClusterLuaPlugin cors"]);
}

#[test]
fn dashboard_and_alerts_ask_for_metrics_that_exist() {
    let documented = tidy::read("docs/observability.md").unwrap();
    let dashboard: Value = serde_json::from_str(&read("dashboards/moongate.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 5);
    let mut seen = BTreeSet::new();
    for text in [read("dashboards/moongate.json"), read("templates/metrics/prometheusrule.yaml")] {
        for series in metrics::names(&text) {
            let name = ["_total", "_bucket"].iter().find_map(|end| series.strip_suffix(end)).unwrap_or(series);
            assert!(documented.contains(&format!("| `{name}` |")), "{series} is not in docs/observability.md");
            seen.insert(name.to_owned());
        }
    }
    assert!(seen.len() >= 20, "{seen:?}");
}

#[test]
fn only_a_change_of_a_pod_replaces_pods() {
    let labels = |objects: &[Value]| -> Vec<Value> {
        objects.iter().filter_map(|o| o.pointer("/spec/template/metadata/labels").cloned()).collect()
    };
    let objects = chart::render_file(&format!("{CHART}/ci/default-values.yaml"));
    let found = labels(&objects);
    assert_eq!(found.len(), 3);
    for labels in found {
        assert!(labels.as_object().unwrap().keys().all(|k| !k.contains("version") && !k.contains("chart")), "{labels}");
    }
}

#[test]
fn a_nodes_ports_are_handed_over_node_by_node() {
    let check = |values: &str, kind: &str, strategy: &str, surge: i64| {
        let objects = chart::render_file(&format!("{CHART}/ci/{values}-values.yaml"));
        let workload = objects.iter().find(|o| o["kind"] == kind && chart::name(o).ends_with("-dataplane")).unwrap();
        let rolling = &workload["spec"][strategy]["rollingUpdate"];
        assert_eq!((&rolling["maxSurge"], &rolling["maxUnavailable"]), (&json!(surge), &json!(1 - surge)), "{values}");
    };
    check("default", "Deployment", "strategy", 1);
    check("daemonset", "DaemonSet", "updateStrategy", 0);
    check("host-network", "Deployment", "strategy", 0);
}

#[test]
fn constraints_without_a_selector_are_about_these_pods() {
    let objects = chart::render_file(&format!("{CHART}/ci/everything-values.yaml"));
    let pods = chart::pods(&objects);
    let (_, pod) = pods.iter().find(|(name, _)| name.ends_with("-controller")).unwrap();
    let labels = &pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"];
    assert_eq!(labels["app.kubernetes.io/component"], "controller", "{labels}");
}
