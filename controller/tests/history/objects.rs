//! A small world of objects that refer to each other, each in several versions.

use controller::store::{Kind, Object, ObjectId, convert};
use routing::ObjectName;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// An object and the versions that it can have.
pub(crate) struct Slot {
    kind: Kind,
    namespace: &'static str,
    name: &'static str,
    /// All versions; only those that never keep an older value, if so asked.
    pub(crate) variants: fn(is_good: bool) -> Vec<Object>,
}

impl Slot {
    pub(crate) fn id(&self) -> ObjectId {
        ObjectId::new(self.kind, ObjectName::new(self.namespace, self.name))
    }
}

/// A slot: kind, namespace, name, versions.
macro_rules! slot {
    ($kind:ident, $namespace:literal, $name:literal, $versions:expr) => {
        Slot {
            kind: Kind::$kind,
            namespace: $namespace,
            name: $name,
            variants: |is_good| {
                let versions: fn(bool) -> Vec<Value> = $versions;
                let meta = json!({"namespace": $namespace, "name": $name});
                versions(is_good).into_iter().map(|version| object(Kind::$kind, &meta, version)).collect()
            },
        }
    };
}

pub(crate) static SLOTS: &[Slot] = &[
    slot!(Ingress, "a", "one", |_| ingresses(1)),
    slot!(Ingress, "a", "two", |_| ingresses(2)),
    slot!(Ingress, "b", "one", |_| ingresses(3)),
    slot!(Ingress, "b", "two", |_| ingresses(4)),
    slot!(IngressClass, "", "first", |_| classes()),
    slot!(IngressClass, "", "second", |_| classes()),
    slot!(Service, "a", "web", |_| services()),
    slot!(Service, "a", "api", |_| services()),
    slot!(Service, "b", "web", |_| services()),
    slot!(EndpointSlice, "a", "web-1", |_| slices("10.0.0")),
    slot!(EndpointSlice, "a", "web-2", |_| slices("10.0.1")),
    slot!(EndpointSlice, "b", "web-1", |_| slices("10.0.2")),
    slot!(Namespace, "", "a", |_| vec![json!({}), json!({"metadata": {"labels": {"team": "x"}}})]),
    slot!(Namespace, "", "b", |_| vec![json!({}), json!({"metadata": {"labels": {"team": "x"}}})]),
    slot!(Secret, "a", "shared", secrets),
    slot!(Secret, "b", "shared", secrets),
    slot!(ConfigMap, "a", "modules", |is_good| {
        let good = vec![json!({"data": {"x": "return 1"}}), json!({"data": {"x.lua": "return 2", "y": "return 3"}})];
        good.into_iter().chain((!is_good).then(|| json!({"data": {"x": "return return"}}))).collect()
    }),
    slot!(LuaPlugin, "a", "filter", plugins),
    slot!(LuaPlugin, "b", "filter", plugins),
    slot!(ClusterLuaPlugin, "", "filter", cluster_plugins),
    slot!(LuaPluginBinding, "a", "one", bindings),
    slot!(LuaPluginBinding, "a", "two", bindings),
    slot!(LuaPluginBinding, "b", "one", bindings),
    slot!(ClusterLuaPluginBinding, "", "one", |is_good| cluster_bindings(is_good)),
    slot!(MoongateConfig, "", "moongate", |_| configs()),
    slot!(MoongateConfig, "", "class", |_| {
        vec![
            json!({"spec": {"http": {"proxyReadTimeout": "5s"}}}),
            json!({"spec": {"http": {"proxyReadTimeout": "6s"}}}),
        ]
    }),
];

fn object(kind: Kind, meta: &Value, mut version: Value) -> Object {
    let mut whole = meta.clone();
    for (key, value) in version["metadata"].as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    version["metadata"] = whole;
    if kind.is_cluster_scoped() {
        version["metadata"].as_object_mut().unwrap().remove("namespace");
    }
    let (_, name, api_version) = Kind::ALL.into_iter().find(|(k, ..)| *k == kind).unwrap();
    version["kind"] = name.into();
    version["apiVersion"] = api_version.into();
    match kind {
        Kind::Ingress => convert::ingress(typed(version)),
        Kind::IngressClass => convert::ingress_class(typed(version)),
        Kind::Service => convert::service(typed(version)),
        Kind::EndpointSlice => convert::endpoint_slice(typed(version)),
        Kind::Namespace => convert::namespace(typed(version)),
        Kind::Secret => convert::secret(typed(version)),
        Kind::ConfigMap => convert::config_map(typed(version)),
        Kind::LuaPlugin => convert::lua_plugin(typed(version)),
        Kind::ClusterLuaPlugin => convert::cluster_lua_plugin(typed(version)),
        Kind::LuaPluginBinding => convert::lua_plugin_binding(typed(version)),
        Kind::ClusterLuaPluginBinding => convert::cluster_lua_plugin_binding(typed(version)),
        Kind::MoongateConfig => convert::moongate_config(typed(version)),
    }
}

fn typed<T: DeserializeOwned>(version: Value) -> T {
    serde_json::from_value(version).unwrap()
}

fn backend(service: &str, port: Value) -> Value {
    json!({"service": {"name": service, "port": port}})
}

fn path(path: &str, kind: &str, service: &str) -> Value {
    json!({"path": path, "pathType": kind, "backend": backend(service, json!({"number": 80}))})
}

/// Versions that claim the same hosts, paths and certificates as those of the other Ingresses do.
fn ingresses(number: i64) -> Vec<Value> {
    let created = |hour: i64| json!(format!("2026-01-01T{hour:02}:00:00Z"));
    let shop = |paths: Vec<Value>| json!({"host": "shop.example.com", "http": {"paths": paths}});
    vec![
        json!({
            "metadata": {"creationTimestamp": created(number), "annotations": {"moongate.dev/plugins": "filter, cluster/filter"}},
            "spec": {"ingressClassName": "first", "rules": [shop(vec![path("/", "Prefix", "web"), path("/x", "Exact", "api")])]},
        }),
        json!({
            "metadata": {"creationTimestamp": created(9 - number)},
            "spec": {
                "ingressClassName": "second",
                "tls": [{"hosts": ["shop.example.com", "*.example.com"], "secretName": "shared"}],
                "rules": [
                    shop(vec![path("/", "Prefix", "api")]),
                    {"host": "*.example.com", "http": {"paths": [path("/x", "ImplementationSpecific", "web")]}},
                ],
            },
        }),
        json!({"spec": {"defaultBackend": backend("web", json!({"name": "http"}))}}),
        json!({
            "metadata": {"annotations": {
                "kubernetes.io/ingress.class": "first",
                "nginx.ingress.kubernetes.io/backend-protocol": "HTTPS",
                "nginx.ingress.kubernetes.io/proxy-body-size": "8m",
            }},
            "spec": {
                "defaultBackend": backend("api", json!({"number": 80})),
                "tls": [{"secretName": "shared"}],
                "rules": [{"host": "bare.example.com"}, shop(vec![path("/y", "Prefix", "web")])],
            },
        }),
        json!({
            "metadata": {"annotations": {"nginx.ingress.kubernetes.io/auth-url": "https://auth.example.com"}},
            "spec": {"rules": [shop(vec![path("/", "Prefix", "web"), path("/y", "Prefix", "missing")])]},
        }),
    ]
}

fn classes() -> Vec<Value> {
    let ours = "moongate.dev/ingress-controller";
    let is_default = json!({"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}});
    vec![
        json!({"spec": {"controller": ours}}),
        json!({"metadata": is_default, "spec": {"controller": ours}}),
        json!({"metadata": is_default, "spec": {"controller": "example.com/other"}}),
        json!({"spec": {"controller": ours, "parameters": {"apiGroup": "moongate.dev", "kind": "MoongateConfig", "name": "class"}}}),
    ]
}

fn services() -> Vec<Value> {
    vec![
        json!({"spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}),
        json!({"spec": {"ports": [{"name": "web", "port": 80, "appProtocol": "kubernetes.io/h2c"}, {"name": "http", "port": 81}]}}),
        json!({"spec": {"ports": [{"port": 8080}]}}),
        json!({"spec": {"type": "ExternalName", "externalName": "api.example.com"}}),
        json!({"spec": {"type": "ExternalName", "externalName": "localhost"}}),
    ]
}

fn slices(net: &str) -> Vec<Value> {
    let slice = |service: &str, port: &str, endpoints: Value| {
        json!({
            "metadata": {"labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "ports": [{"name": port, "port": 8080}], "endpoints": endpoints,
        })
    };
    vec![
        slice("web", "http", json!([{"addresses": [format!("{net}.1")]}, {"addresses": [format!("{net}.2")]}])),
        slice(
            "web",
            "http",
            json!([{"addresses": [format!("{net}.1")], "conditions": {"ready": false, "terminating": true}}]),
        ),
        slice("web", "web", json!([{"addresses": [format!("{net}.1")]}])),
        slice("api", "http", json!([{"addresses": [format!("{net}.1")]}])),
        slice("", "http", json!([{"addresses": [format!("{net}.1")]}])),
    ]
}

fn secrets(is_good: bool) -> Vec<Value> {
    let readable = json!({"labels": {"moongate.dev/lua-readable": "true"}});
    let tls = |crt: &str, key: &str, password: &str| json!({"metadata": readable, "stringData": {"tls.crt": crt, "tls.key": key, "password": password}});
    let (one, two) = certificates();
    let good = vec![tls(&one.0, &one.1, "first"), tls(&two.0, &two.1, "second")];
    let bad = vec![
        tls(&one.0, &two.1, "third"),
        json!({"stringData": {"tls.crt": one.0, "tls.key": one.1, "password": "not labelled"}}),
        json!({"metadata": readable}),
    ];
    good.into_iter().chain((!is_good).then_some(bad).into_iter().flatten()).collect()
}

type Pair = (String, String);

/// Certificate and key for shop.example.com, and for another host.
fn certificates() -> &'static (Pair, Pair) {
    static PAIRS: std::sync::OnceLock<(Pair, Pair)> = std::sync::OnceLock::new();
    let pair = |host: &str| {
        let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    PAIRS.get_or_init(|| (pair("shop.example.com"), pair("bare.example.com")))
}

/// Good versions take every config that the bindings' good versions have, and need none.
fn plugins(is_good: bool) -> Vec<Value> {
    let schema = |limit: Value| json!({"openAPIV3Schema": {"type": "object", "properties": {"limit": limit, "password": {"type": "string"}}}});
    let any = schema(json!({"type": "integer", "default": 7}));
    let good = vec![
        json!({"spec": {"phases": {"access": "return 1"}, "configSchema": any}}),
        json!({"spec": {"priority": 5, "phases": {"access": "return 1", "content": "return"}, "configSchema": any, "limits": {"cpu": "5ms"}}}),
    ];
    let bad = vec![
        json!({"spec": {"phases": {"access": "return return"}, "configSchema": any}}),
        json!({"spec": {"phases": {"log": "return"}, "configSchema": any, "modulesFrom": [{"configMapRef": {"name": "modules"}}]}}),
        json!({"spec": {"failurePolicy": "Ignore", "phases": {"access": "return"}, "configSchema": schema(json!({"type": "integer", "maximum": 3}))}}),
        json!({"spec": {"phases": {"access": "return"}}}),
    ];
    good.into_iter().chain((!is_good).then_some(bad).into_iter().flatten()).collect()
}

fn cluster_plugins(is_good: bool) -> Vec<Value> {
    let mut versions = plugins(is_good);
    let allowed = [
        json!({"from": "All"}),
        json!({"from": "None"}),
        json!({"from": "Selector", "selector": {"matchLabels": {"team": "x"}}}),
    ];
    for (index, version) in versions.iter_mut().enumerate() {
        version["spec"]["allowedNamespaces"] = allowed[index % allowed.len()].clone();
        version["spec"].as_object_mut().unwrap().remove("modulesFrom");
    }
    let mut selected = versions[0].clone();
    selected["spec"]["allowedNamespaces"] = allowed[2].clone();
    selected["spec"]["phases"]["serverRewrite"] = "return".into();
    versions.push(selected);
    versions
}

fn bindings(is_good: bool) -> Vec<Value> {
    let binding = |plugin: Value, targets: Value, rest: Value| {
        let mut spec = json!({"pluginRef": plugin, "targetRefs": targets});
        spec.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!({"spec": spec})
    };
    let own = json!({"name": "filter"});
    let platform = json!({"kind": "ClusterLuaPlugin", "name": "filter"});
    let good = vec![
        binding(
            own.clone(),
            json!([{"kind": "Ingress", "name": "one"}, {"kind": "Service", "name": "web"}]),
            json!({"config": {"limit": 1}}),
        ),
        binding(
            platform.clone(),
            json!([{"kind": "Ingress", "name": "one", "sectionName": "shop.example.com/x"}, {"kind": "Namespace", "name": "a"}]),
            json!({}),
        ),
        binding(
            own.clone(),
            json!([{"kind": "Ingress", "name": "two", "sectionName": "shop.example.com"}, {"kind": "Ingress", "name": "two", "sectionName": "/"}]),
            json!({}),
        ),
    ];
    // A Secret or a plugin may be absent, and then an older value of the binding stays.
    let secret = json!({"secretRefs": [{"path": "password", "name": "shared", "key": "password"}]});
    let bad = vec![
        binding(own.clone(), json!([{"kind": "Ingress", "name": "one"}]), secret.clone()),
        binding(platform, json!([{"kind": "Service", "name": "api"}]), json!({"config": {"limit": "many"}})),
        binding(own, json!([{"kind": "Service", "name": "web"}]), json!({"config": {"limit": 9}})),
    ];
    good.into_iter().chain((!is_good).then_some(bad).into_iter().flatten()).collect()
}

fn cluster_bindings(is_good: bool) -> Vec<Value> {
    let to = |targets: Value, config: Value| json!({"spec": {"pluginRef": {"name": "filter"}, "targetRefs": targets, "config": config}});
    let good = vec![
        to(json!([{"kind": "IngressClass", "name": "first"}]), json!({"limit": 2})),
        to(json!([{"kind": "IngressClass", "name": "second"}, {"kind": "Namespace", "name": "b"}]), json!({})),
    ];
    good.into_iter()
        .chain((!is_good).then(|| to(json!([{"kind": "Namespace", "name": "a"}]), json!({"limit": {}}))))
        .collect()
}

fn configs() -> Vec<Value> {
    vec![
        json!({"spec": {}}),
        json!({"spec": {"hostOwnership": "Namespace", "hostGrants": [{"host": "bare.example.com", "namespaces": ["a", "b"]}]}}),
        json!({"spec": {"lua": {"namespaceSelector": {"matchLabels": {"team": "x"}}, "maxCpuPerResume": "3ms"}}}),
        json!({"spec": {"http": {"keepaliveTimeout": "9s"}, "tls": {"defaultCertificate": {"namespace": "a", "name": "shared"}}}}),
    ]
}
