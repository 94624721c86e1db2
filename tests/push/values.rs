//! Values of the table that show at once what is in effect.

use std::sync::Arc;

use routing::value::{Action, Route, RoutePolicyOverrides};
use routing::{Change, Key, ObjectName, PathKind, RouteKey, Value};

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

/// A script of so many bytes.
pub(crate) fn script(n: u32, bytes: usize) -> Pair {
    let source = format!("-- {n}\n{}", "x".repeat(bytes));
    (Key::Script(routing::Hash::of_bytes(source.as_bytes())), Arc::new(Value::Script(source)))
}

pub(crate) fn set((key, value): Pair) -> Change {
    Change::Set(key, value)
}

pub(crate) fn delete((key, _): Pair) -> Change {
    Change::Delete(key)
}
