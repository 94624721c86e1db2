//! The table that serves blocks: each has a host, a route and a plugin of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use routing::key::{BindingKey, ChainKey, PluginKey, PluginKind};
use routing::value::{
    Action, Backend, Binding, Chain, Endpoint, EndpointState, Endpoints, FailurePolicy, LuaLimits, Namespace, Phase,
    Plugin, Route, RoutePolicyOverrides, Settings, Upstream, UpstreamProtocol, Use,
};
use routing::{Change, Commit, Hash, Key, ObjectName, PathKind, RouteKey, Value};

use super::block::Block;

const PHASES: [(&str, Phase); 10] = [
    ("init", Phase::Init),
    ("init_worker", Phase::InitWorker),
    ("server_rewrite", Phase::ServerRewrite),
    ("rewrite", Phase::Rewrite),
    ("access", Phase::Access),
    ("content", Phase::Content),
    ("balancer", Phase::Balancer),
    ("header_filter", Phase::HeaderFilter),
    ("body_filter", Phase::BodyFilter),
    ("log", Phase::Log),
];

/// An address of namespace `t`'s own.
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));

/// The table of a file's blocks.
pub(crate) fn commit(blocks: &[Block], upstream: SocketAddr) -> Commit {
    let mut table = BTreeMap::new();
    let mut put = |key, value| drop(table.insert(key, value));
    // Builds under test are slow and share their machine: no budget of time may decide a block.
    let limits = LuaLimits { cpu_per_resume_ms: 10_000, cpu_per_request_ms: 60_000, ..LuaLimits::default() };
    let allowed = "10.20.0.0/16".parse().expect("a range");
    put(
        Key::Namespace("t".into()),
        Value::Namespace(Namespace { limits, own_addresses: vec![OWN], allowed: vec![allowed] }),
    );
    let endpoint = Endpoint { address: upstream, zone: None, state: EndpointState::Ready };
    put(Key::Endpoints("t/echo:80".into()), Value::Endpoints(Endpoints { addresses: vec![endpoint], external: None }));
    let spec = Upstream {
        endpoints: "t/echo:80".into(),
        service: ObjectName::new("t", "echo"),
        port: 80,
        protocol: UpstreamProtocol::Http,
        balance: Default::default(),
    };
    put(Key::Upstream("t/echo:80".into()), Value::Upstream(spec));
    let mut settings = Settings::default();
    settings.http.access_log = false;
    for (number, block) in blocks.iter().enumerate() {
        let chain = add(block, number, &mut put);
        if block.has("server_rewrite") {
            settings.server_chains.push(chain);
        }
    }
    put(Key::Settings, Value::Settings(Box::new(settings)));
    let changes = table.into_iter().map(|(key, value)| Change::Set(key, Arc::new(value))).collect();
    Commit { term: 0, counter: 1, changes }
}

fn add(block: &Block, number: usize, put: &mut impl FnMut(Key, Value)) -> ChainKey {
    let name = ObjectName::new("t", format!("block-{number}"));
    let operator = block.has("operator");
    let plugin = match operator {
        true => PluginKey { kind: PluginKind::ClusterLuaPlugin, name: ObjectName::cluster(&name.name) },
        false => PluginKey { kind: PluginKind::LuaPlugin, name: name.clone() },
    };
    let mut phases = BTreeMap::new();
    for (section, phase) in PHASES {
        if let Some(source) = block.get(section) {
            let hash = Hash::of_bytes(source.as_bytes());
            put(Key::Script(hash), Value::Script(source.into()));
            phases.insert(phase, hash);
        }
    }
    let mut modules = BTreeMap::new();
    if let Some(source) = block.get("module") {
        let hash = Hash::of_bytes(source.as_bytes());
        put(Key::Script(hash), Value::Script(source.into()));
        modules.insert("m".to_owned(), hash);
    }
    let json = |section: &str| block.get(section).map(|text| serde_json::from_str(text).expect("JSON"));
    let variables =
        json("variables").map_or_else(BTreeMap::new, |v| serde_json::from_value(v).expect("a map of strings"));
    let failure_policy = if block.has("ignore") { FailurePolicy::Ignore } else { FailurePolicy::Fail };
    put(
        Key::Plugin(plugin.clone()),
        Value::Plugin(Plugin {
            priority: 0,
            phases,
            modules,
            shared_dicts: ["dogs", "cats"].map(|name| (name.to_owned(), 1 << 20)).into(),
            variables,
            cpu_per_resume_ms: json("cpu").and_then(|ms| ms.as_u64()),
            failure_policy,
        }),
    );
    let binding = BindingKey::LuaPluginBinding(name.clone());
    let config = json("config").unwrap_or_else(|| serde_json::json!({}));
    put(Key::Binding(binding.clone()), Value::Binding(Binding { plugin: plugin.clone(), config, secrets: Vec::new() }));
    let chain = ChainKey::Ingress(name.clone());
    let uses = vec![Use { plugin, binding, broken: None }];
    put(Key::Chain(chain.clone()), Value::Chain(Chain { uses, if_held: Vec::new() }));
    let key = RouteKey { host: block.host.clone(), kind: PathKind::Prefix, path: "/".into() };
    let action = Action::Forward(vec![Backend { upstream: "t/echo:80".into(), weight: 1 }]);
    let route = Route {
        ingress: name,
        service: "echo".into(),
        action,
        chains: vec![chain.clone()],
        policy: RoutePolicyOverrides::default(),
    };
    put(Key::Route(key), Value::Route(route));
    chain
}
