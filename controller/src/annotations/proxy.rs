//! Group Proxy: limits of the request body, time-outs and tries towards upstreams.

use super::{Annotations, Fault, value};

/// Tries beyond this say nothing more; 0 means "no limit" in nginx, and this here.
const TRIES_MAX: u32 = 100;

pub(super) fn parse(name: &str, text: &str, parsed: &mut Annotations) -> Option<Vec<Fault>> {
    let policy = &mut parsed.policy;
    let result = match name {
        "proxy-body-size" => value::size(text).map(|bytes| policy.client_max_body_bytes = Some(bytes)),
        "proxy-connect-timeout" => value::seconds(text).map(|ms| policy.connect_timeout_ms = Some(ms)),
        "proxy-read-timeout" => value::seconds(text).map(|ms| policy.read_timeout_ms = Some(ms)),
        "proxy-send-timeout" => value::seconds(text).map(|ms| policy.send_timeout_ms = Some(ms)),
        "proxy-next-upstream-tries" => {
            value::number(text, TRIES_MAX).map(|tries| policy.tries = Some(if tries == 0 { TRIES_MAX } else { tries }))
        }
        "proxy-request-buffering" => value::switch(text).map(|on| policy.request_buffering = Some(on)),
        _ => return None,
    };
    Some(result.err().into_iter().collect())
}
