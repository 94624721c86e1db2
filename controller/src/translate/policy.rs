//! What an Ingress's annotations and its class's parameters say about its routes.

use routing::PathKind;
use routing::key::PluginKey;
use routing::value::RoutePolicyOverrides;

use crate::reader::{Reader, UpstreamPolicy};
use crate::store::object::IngressHeader;

/// The annotation that names plugins.
pub(super) const PLUGINS: &str = "moongate.dev/plugins";

/// The policy of an Ingress's routes: its annotations over its class's parameters.
pub(super) fn routes(header: &IngressHeader, class: &str, reader: &Reader<'_>) -> RoutePolicyOverrides {
    let own = header.annotations.policy.clone();
    match class_config(class, reader) {
        Some(config) => or(own, config.class_policy.get_or_init(|| config.spec.class_policy().0).clone()),
        None => own,
    }
}

/// The MoongateConfig that an IngressClass names.
pub(super) fn class_config<'a>(
    class: &str,
    reader: &Reader<'a>,
) -> Option<&'a std::sync::Arc<crate::store::object::Config>> {
    let Ok(name) = reader.class(class)?.parameters.as_ref()? else { return None };
    reader.config(name)
}

/// The fields of `own`, and where it has none, of `other`. Taken apart, so that a field that is new is not forgotten.
fn or(own: RoutePolicyOverrides, other: RoutePolicyOverrides) -> RoutePolicyOverrides {
    let RoutePolicyOverrides {
        client_max_body_bytes,
        ssl_redirect,
        force_ssl_redirect,
        connect_timeout_ms,
        read_timeout_ms,
        send_timeout_ms,
        tries,
        request_buffering,
    } = own;
    RoutePolicyOverrides {
        client_max_body_bytes: client_max_body_bytes.or(other.client_max_body_bytes),
        ssl_redirect: ssl_redirect.or(other.ssl_redirect),
        force_ssl_redirect: force_ssl_redirect.or(other.force_ssl_redirect),
        connect_timeout_ms: connect_timeout_ms.or(other.connect_timeout_ms),
        read_timeout_ms: read_timeout_ms.or(other.read_timeout_ms),
        send_timeout_ms: send_timeout_ms.or(other.send_timeout_ms),
        tries: tries.or(other.tries),
        request_buffering: request_buffering.or(other.request_buffering),
    }
}

/// How an Ingress's Services are spoken to.
pub(super) fn upstream(header: &IngressHeader) -> UpstreamPolicy {
    UpstreamPolicy { protocol: header.annotations.backend_protocol.clone() }
}

/// Why an Ingress's routes must refuse everything: an access restriction that is asked for and not applied.
pub(super) fn refusal(header: &IngressHeader) -> Option<String> {
    let restricting = header.annotation_problems.iter().find(|problem| problem.restricting)?;
    Some(format!("annotation {restricting}"))
}

/// The plugins that the annotation names, in its order.
pub(super) fn plugins(header: &IngressHeader) -> Vec<PluginKey> {
    header.annotations.plugins.iter().map(|plugin| plugin.key(&header.age.name.namespace)).collect()
}

/// Whether a rule's path can be a part of an Ingress that plugins are attached to: a default backend has no path.
pub(super) fn has_path_chain(kind: PathKind) -> bool {
    kind != PathKind::Default
}
