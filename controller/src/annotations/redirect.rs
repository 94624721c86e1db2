//! Of group Rewrite: redirects from HTTP to HTTPS.

use super::{Annotations, Fault, value};

pub(super) fn parse(name: &str, text: &str, parsed: &mut Annotations) -> Option<Vec<Fault>> {
    let policy = &mut parsed.policy;
    let result = match name {
        "ssl-redirect" => value::boolean(text).map(|on| policy.ssl_redirect = Some(on)),
        "force-ssl-redirect" => value::boolean(text).map(|on| policy.force_ssl_redirect = Some(on)),
        _ => return None,
    };
    Some(result.err().into_iter().collect())
}
