//! What an Ingress's annotations ask for: ours (`moongate.dev/*`) and ingress-nginx's (`nginx.ingress.kubernetes.io/*`).
//!
//! Values are parsed into types here and nowhere else. [`known`] lists every annotation of ingress-nginx, so that what is
//! not supported is said, and so that what restricts access and is not applied closes the route instead of opening it.

mod backend_protocol;
pub mod known;
mod plugins;
mod proxy;
mod redirect;
mod value;

use std::collections::BTreeMap;

use routing::value::{RoutePolicyOverrides, UpstreamProtocol};

pub use plugins::PluginName;

use crate::problem::Severity;
use crate::schema::nearest;
use known::{Known, Support};

/// The prefix of ingress-nginx's annotations.
pub const NGINX: &str = "nginx.ingress.kubernetes.io/";
/// The prefix of ours.
pub const OURS: &str = "moongate.dev/";

/// What the annotations of one Ingress say, as far as it is supported.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations {
    /// Limits of its routes.
    pub policy: RoutePolicyOverrides,
    /// How its Services are spoken to; none: as their ports' `appProtocol` says.
    pub backend_protocol: Option<UpstreamProtocol>,
    /// The plugins that it names, in this order.
    pub plugins: Vec<PluginName>,
    /// It is the canary of another Ingress (`canary: "true"`), which is not supported: as an ordinary Ingress it would
    /// get all of the other's requests where it is the older one, so its rules should be left out.
    pub is_canary: bool,
}

/// What is wrong with one annotation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct AnnotationProblem {
    /// The annotation, with its prefix.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
    /// It restricts access and is not applied: the Ingress's routes must answer 503.
    pub restricting: bool,
    /// A warning is about an annotation that is known, and ignored.
    pub severity: Severity,
}

/// Understands the annotations of an Ingress; those with other prefixes are none of ours.
pub fn parse(annotations: &BTreeMap<String, String>) -> (Annotations, Vec<AnnotationProblem>) {
    let mut parsed = Annotations::default();
    let mut problems = Vec::new();
    for (key, text) in annotations {
        let found = match (key.strip_prefix(NGINX), key.strip_prefix(OURS)) {
            (Some(name), _) => of_nginx(name, text, &mut parsed),
            (None, Some(name)) => of_ours(name, text, &mut parsed),
            (None, None) => Vec::new(),
        };
        problems.extend(found.into_iter().map(|fault| fault.of(key)));
    }
    (parsed, problems)
}

/// A problem, before its key is known.
#[derive(Debug)]
struct Fault {
    message: String,
    restricting: bool,
    severity: Severity,
}

impl Fault {
    fn of(self, key: &str) -> AnnotationProblem {
        let Self { message, restricting, severity } = self;
        AnnotationProblem { key: key.to_owned(), message, restricting, severity }
    }

    /// A value that cannot be used.
    fn value(message: impl Into<String>) -> Self {
        Self { message: message.into(), restricting: false, severity: Severity::Error }
    }

    /// The same where to go on without it would let in who should not be.
    fn restricting(message: impl Into<String>) -> Self {
        Self { restricting: true, ..Self::value(message) }
    }
}

fn of_ours(name: &str, text: &str, parsed: &mut Annotations) -> Vec<Fault> {
    if name == plugins::NAME {
        return plugins::parse(text, parsed);
    }
    let hint = nearest(name, [plugins::NAME].into_iter())
        .map_or(format!("the one there is: {OURS}{}", plugins::NAME), |meant| format!("did you mean {OURS}{meant}?"));
    // It was probably meant to attach a plugin, which may be one that restricts access.
    let restricting = nearest(name, [plugins::NAME].into_iter()).is_some();
    vec![Fault { restricting, ..Fault::value(format!("is not known; {hint}")) }]
}

fn of_nginx(name: &str, text: &str, parsed: &mut Annotations) -> Vec<Fault> {
    let Some(known) = known::find(name) else { return vec![unknown(name)] };
    let asks = !known.idle.contains(&text.trim().to_ascii_lowercase().as_str());
    match known.support {
        Support::Full => {
            let groups = [proxy::parse, redirect::parse, backend_protocol::parse];
            groups.iter().find_map(|parse| parse(name, text, parsed)).unwrap_or_default()
        }
        _ if !asks => Vec::new(),
        Support::Restricts => vec![closed(known)],
        Support::MayRestrict if known::restricts(text) => vec![closed(known)],
        Support::None | Support::MayRestrict => {
            parsed.is_canary |= name == "canary";
            let message = format!("is not supported, and ignored{}", instead(known));
            vec![Fault { message, restricting: false, severity: Severity::Warning }]
        }
    }
}

fn closed(known: &Known) -> Fault {
    let why = "restricts access and is not supported, so the routes answer 503 and nobody gets in";
    Fault::restricting(format!("{why}: remove it{}", instead(known)))
}

fn instead(known: &Known) -> String {
    if known.instead.is_empty() { String::new() } else { format!("; {}", known.instead) }
}

/// A name that ingress-nginx does not have.
fn unknown(name: &str) -> Fault {
    if let Some((_, instead)) = known::GONE.iter().find(|(gone, _)| *gone == name) {
        let message = format!("does nothing in ingress-nginx either: {instead}");
        return Fault { message, restricting: false, severity: Severity::Warning };
    }
    match nearest(name, known::ALL.iter().map(|known| known.name)) {
        Some(meant) => {
            let restricts = known::find(meant).is_some_and(|known| known.support == Support::Restricts);
            let message = format!("is not known; did you mean {NGINX}{meant}?");
            Fault { restricting: restricts, ..Fault::value(message) }
        }
        None => Fault { restricting: name.starts_with("auth-"), ..Fault::value("is not known, and ignored") },
    }
}

#[cfg(test)]
mod tests;
