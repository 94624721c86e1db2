//! Values of the table that show at once what is in effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use routing::key::{BindingKey, ChainKey, PluginKey, PluginKind};
use routing::value::{
    Action, Backend, Balance, Binding, Certificate, Chain, FailurePolicy, Host, Phase, Plugin, Route,
    RoutePolicyOverrides, Upstream, UpstreamProtocol, Use,
};
use routing::{Change, Hash, Key, ObjectName, PathKind, PrivateBytes, RouteKey, Value};

/// A key and its value.
pub(crate) type Pair = (Key, Arc<Value>);

/// A route that answers 503 to everything for a host.
pub(crate) fn refuse(host: &str) -> Pair {
    route(host, false)
}

/// The same route, which answers 308.
pub(crate) fn redirect(host: &str) -> Pair {
    route(host, true)
}

fn route(host: &str, force_ssl_redirect: bool) -> Pair {
    let key = RouteKey { host: host.into(), kind: PathKind::Prefix, path: "/".into() };
    let action = Action::Refuse { status: 503, reason: "a test".into() };
    let ingress = ObjectName::new("shop", "shop");
    let policy = RoutePolicyOverrides { force_ssl_redirect: Some(force_ssl_redirect), ..Default::default() };
    let route = Route { ingress, service: String::new(), action, chains: Vec::new(), policy };
    (Key::Route(key), Arc::new(Value::Route(route)))
}

/// A host with this Secret's certificate.
pub(crate) fn host(name: &str, secret: &str) -> Pair {
    let host = Host { certificate: Some(ObjectName::new("shop", secret)), ..Host::default() };
    (Key::Host(name.into()), Arc::new(Value::Host(host)))
}

/// That certificate.
pub(crate) fn certificate(secret: &str) -> Pair {
    let made = rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).unwrap();
    let value = Certificate {
        chain_pem: made.cert.pem(),
        key_pem: PrivateBytes::new(made.signing_key.serialize_pem()),
        names: vec!["a.example.com".into()],
        not_before: 0,
        not_after: i64::MAX,
    };
    (Key::Certificate(ObjectName::new("shop", secret)), Arc::new(Value::Certificate(value)))
}

/// A host whose requests an access script answers; with the keys of all that it takes.
pub(crate) fn scripted(host: &str, source: &str) -> Vec<Pair> {
    let name = ObjectName::new("shop", "quota");
    let (plugin, chain) = (plugin(), ChainKey::Ingress(ObjectName::new("shop", "shop")));
    let binding = BindingKey::LuaPluginBinding(name);
    let uses = vec![Use { plugin: plugin.clone(), binding: binding.clone(), broken: None }];
    let (key, route) = refuse(host);
    let Value::Route(mut route) = route.as_ref().clone() else { panic!("not a route") };
    route.chains = vec![chain.clone()];
    route.action = Action::Forward(vec![Backend { upstream: "shop/web:80".into(), weight: 1 }]);
    let upstream = Upstream {
        endpoints: "shop/web:80".into(),
        service: ObjectName::new("shop", "web"),
        port: 80,
        protocol: UpstreamProtocol::Http,
        balance: Balance::RoundRobin,
    };
    let config = serde_json::json!({});
    vec![
        script_of(source),
        (Key::Upstream("shop/web:80".into()), Arc::new(Value::Upstream(upstream))),
        (Key::Plugin(plugin.clone()), Arc::new(Value::Plugin(with_access(source)))),
        (Key::Binding(binding), Arc::new(Value::Binding(Binding { plugin, config, secrets: Vec::new() }))),
        (Key::Chain(chain), Arc::new(Value::Chain(Chain { uses, if_held: Vec::new() }))),
        (key, Arc::new(Value::Route(route))),
    ]
}

/// Its plugin.
pub(crate) fn plugin() -> PluginKey {
    PluginKey { kind: PluginKind::LuaPlugin, name: ObjectName::new("shop", "quota") }
}

fn with_access(source: &str) -> Plugin {
    Plugin {
        priority: 0,
        phases: BTreeMap::from([(Phase::Access, Hash::of_bytes(source.as_bytes()))]),
        modules: BTreeMap::new(),
        shared_dicts: BTreeMap::new(),
        variables: BTreeMap::new(),
        cpu_per_resume_ms: None,
        failure_policy: FailurePolicy::Fail,
    }
}

pub(crate) fn script_of(source: &str) -> Pair {
    (Key::Script(Hash::of_bytes(source.as_bytes())), Arc::new(Value::Script(source.into())))
}

/// A script of so many bytes.
pub(crate) fn script(n: u32, bytes: usize) -> Pair {
    let source = format!("-- {n}\n{}", "x".repeat(bytes));
    script_of(&source)
}

pub(crate) fn set((key, value): Pair) -> Change {
    Change::Set(key, value)
}

pub(crate) fn delete((key, _): Pair) -> Change {
    Change::Delete(key)
}
