//! Group BackendProtocol: how upstreams are spoken to.

use routing::value::UpstreamProtocol;

use super::{Annotations, Fault};

pub(super) fn parse(name: &str, text: &str, parsed: &mut Annotations) -> Option<Vec<Fault>> {
    if name != "backend-protocol" {
        return None;
    }
    // ingress-nginx takes any case.
    let fault = match text.trim().to_ascii_uppercase().as_str() {
        "HTTP" => {
            parsed.backend_protocol = Some(UpstreamProtocol::Http);
            None
        }
        "HTTPS" => {
            parsed.backend_protocol = Some(UpstreamProtocol::Https { server_name: None, verify: false });
            None
        }
        "GRPC" => {
            parsed.backend_protocol = Some(UpstreamProtocol::H2c);
            None
        }
        "AUTO_HTTP" => Some(Fault::value("AUTO_HTTP is not supported, and ignored: write HTTP or HTTPS")),
        // To go on would send in the clear what was to be encrypted.
        "GRPCS" => Some(Fault::restricting("GRPCS is not supported, so the routes answer 503: write GRPC or HTTPS")),
        "FCGI" => {
            Some(Fault::restricting("FCGI is not supported, so the routes answer 503: put an HTTP server in front"))
        }
        _ => Some(Fault::value("is not known, and ignored: write HTTP, HTTPS or GRPC")),
    };
    Some(fault.into_iter().collect())
}
