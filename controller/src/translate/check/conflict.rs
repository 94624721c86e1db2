//! Plugins of which only one can run on a route: those that answer (`content`), and those that choose the endpoint
//! (`balancer`). The most specific one runs; at one place, the first in running order.
//!
//! The check of the use that wins tells it to those that lose. So a use with neither phase, that is nearly every one,
//! reads nothing for this, and a binding to a class with a thousand Ingresses does not look at them.

use std::collections::BTreeSet;

use routing::ObjectName;
use routing::key::{BindingKey, ChainKey, PluginKey};
use routing::value::Phase;

use super::super::{chain, class, policy};
use crate::problem::Problem;
use crate::reader::Reader;
use crate::store::object::{Binding, Plugin};
use crate::store::{Kind, ObjectId, PathTo};
use crate::translate::Options;

/// Tells those that lose against a use.
pub(super) fn check(
    place: &ChainKey,
    plugin: &PluginKey,
    binding: &BindingKey,
    options: &Options,
    reader: &Reader<'_>,
) {
    let Some(winner) = reader.plugin(plugin) else { return };
    for phase in exclusive(winner) {
        let same = chain::uses(place, reader);
        let after = same.iter().skip_while(|(_, other)| other != binding).skip(1);
        for (other, losing) in after {
            if other != plugin && has(other, phase, reader) {
                let message = message(plugin, binding, place, phase, "runs before it at the same place");
                reader.report(Problem::error(object(losing, place), field(losing), "Conflicted", message));
            }
        }
        for broader in broader(place, options, reader) {
            for (other, losing) in chain::uses(&broader, reader) {
                if other != *plugin && has(&other, phase, reader) {
                    let message = message(plugin, binding, place, phase, "is more specific there");
                    reader.report(Problem::warning(object(&losing, &broader), field(&losing), "Conflicted", message));
                }
            }
        }
    }
}

fn exclusive(plugin: &Plugin) -> impl Iterator<Item = Phase> {
    plugin.spec.phases.iter().map(|(phase, ..)| phase).filter(|p| matches!(p, Phase::Content | Phase::Balancer))
}

fn has(plugin: &PluginKey, phase: Phase, reader: &Reader<'_>) -> bool {
    reader.plugin(plugin).is_some_and(|plugin| exclusive(plugin).any(|p| p == phase))
}

fn message(plugin: &PluginKey, binding: &BindingKey, place: &ChainKey, phase: Phase, why: &str) -> String {
    let phase = match phase {
        Phase::Balancer => "balancer",
        _ => "content",
    };
    let by = match binding {
        BindingKey::Default(_) => "the Ingress's annotation".to_owned(),
        bound => bound.to_string(),
    };
    format!("does not run at {place}: one plugin with {phase} code runs on a route, and {plugin} (by {by}) {why}")
}

/// The object to which a use belongs.
fn object(binding: &BindingKey, place: &ChainKey) -> crate::problem::ObjectRef {
    match (binding, place) {
        (BindingKey::Default(_), ChainKey::Ingress(ingress)) => {
            ObjectId::new(Kind::Ingress, ingress.clone()).reference()
        }
        _ => Binding::id_of(binding).reference(),
    }
}

fn field(binding: &BindingKey) -> String {
    match binding {
        BindingKey::Default(_) => format!("metadata.annotations[\"{}\"]", policy::PLUGINS),
        _ => "spec.pluginRef".into(),
    }
}

/// The places of which a place is a part.
fn broader(place: &ChainKey, options: &Options, reader: &Reader<'_>) -> Vec<ChainKey> {
    let mut found = Vec::new();
    let ingress = match place {
        ChainKey::Class(_) => return found,
        ChainKey::Namespace(_) => {
            found.extend(class::all(options, reader).into_iter().map(ChainKey::Class));
            return found;
        }
        ChainKey::Service(service) => {
            found.push(ChainKey::Namespace(service.namespace.clone()));
            found.extend(class::all(options, reader).into_iter().map(ChainKey::Class));
            return found;
        }
        ChainKey::Ingress(ingress) => ingress,
        ChainKey::Host(ingress, _) => {
            found.push(ChainKey::Ingress(ingress.clone()));
            ingress
        }
        ChainKey::Path(ingress, host, path) => {
            if host != "*" {
                found.push(ChainKey::Path(ingress.clone(), "*".into(), path.clone()));
                found.push(ChainKey::Host(ingress.clone(), host.clone()));
            }
            found.push(ChainKey::Ingress(ingress.clone()));
            ingress
        }
    };
    found.extend(services(place, ingress, reader));
    found.push(ChainKey::Namespace(ingress.namespace.clone()));
    let class = reader.ingress(ingress).and_then(|header| class::of(header, options, reader).ok());
    found.extend(class.map(ChainKey::Class));
    found
}

/// The Services to which the paths of a place within an Ingress go.
fn services(place: &ChainKey, ingress: &ObjectName, reader: &Reader<'_>) -> BTreeSet<ChainKey> {
    let here = |to: &&PathTo| match place {
        ChainKey::Host(_, host) => to.host == *host,
        ChainKey::Path(_, host, path) => (host == "*" || to.host == *host) && to.path == *path,
        _ => true,
    };
    let of = |to: &PathTo| ChainKey::Service(ObjectName::new(&ingress.namespace, &to.service));
    reader.backends(ingress).filter(here).map(of).collect()
}
