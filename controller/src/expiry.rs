//! Certificates whose time is over or has not come.
//!
//! Translation is pure and knows no clock, so its problems never change by themselves. What the time decides is asked
//! here, with the time as an argument: by `moongate check`, and by `moongate run` whenever a certificate changes. In
//! between the data plane's metric tells how long each certificate is still good for.

use std::collections::BTreeMap;

use routing::value::Certificate;
use routing::{Key, ObjectName, Value};

use crate::problem::{ObjectRef, Problem};
use crate::table::Translator;

/// Hosts that a message names; a wildcard's Secret may serve thousands.
const HOSTS_SHOWN: usize = 3;

/// A warning for each served certificate that is not valid at `now` (seconds since the epoch).
pub fn problems(table: &Translator, now: i64) -> Vec<Problem> {
    let mut hosts: BTreeMap<&ObjectName, Vec<&str>> = BTreeMap::new();
    for (key, value) in table.values() {
        if let (Key::Host(host), Value::Host(value)) = (key, &**value)
            && let Some(secret) = &value.certificate
        {
            hosts.entry(secret).or_default().push(host);
        }
    }
    let told = hosts.into_iter().filter_map(|(secret, mut hosts)| {
        let Some(Value::Certificate(certificate)) = table.get(&Key::Certificate(secret.clone())).map(|value| &**value)
        else {
            return None;
        };
        let (reason, what) = wrong(certificate, now)?;
        hosts.sort_unstable();
        let more = match hosts.len() {
            n if n > HOSTS_SHOWN => format!(" and {} more", n - HOSTS_SHOWN),
            _ => String::new(),
        };
        hosts.truncate(HOSTS_SHOWN);
        let message =
            format!("the certificate of {}{more} {what}; clients will refuse it. Renew the Secret", hosts.join(", "));
        Some(Problem::warning(ObjectRef::new("Secret", secret), "data[\"tls.crt\"]", reason, message))
    });
    told.collect()
}

fn wrong(certificate: &Certificate, now: i64) -> Option<(&'static str, String)> {
    let date = |at: i64| jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.to_string());
    match certificate {
        Certificate { not_after, .. } if now > *not_after => {
            Some(("CertificateExpired", format!("expired at {}", date(*not_after))))
        }
        Certificate { not_before, .. } if now < *not_before => {
            Some(("CertificateNotYetValid", format!("is valid from {} on, and not before", date(*not_before))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::check::check;

    #[test]
    fn a_certificate_is_told_before_and_after_its_time() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/certificates.in.yaml");
        let at = |now: i64| {
            let mut found: Vec<_> = check(std::slice::from_ref(&file), now)
                .into_iter()
                .filter(|problem| problem.reason.starts_with("Certificate") && problem.object.kind == "Secret")
                .map(|problem| format!("{}: {problem}", problem.reason).replace(&*file.to_string_lossy(), "FILE"))
                .collect();
            found.sort();
            found
        };
        let early = at(0);
        assert!(
            early.iter().all(|p| p.starts_with("CertificateNotYetValid: FILE:") && p.contains(": warning: Secret "))
        );
        assert!(
            early.iter().any(|p| p.contains("second.example.com, shop.example.com is valid from 20")),
            "{early:#?}"
        );
        let late = at(99_000_000_000);
        assert!(late.iter().all(|p| p.starts_with("CertificateExpired: FILE:")), "{late:#?}");
        assert_eq!(early.len(), late.len());
        // What no host is served with is not told.
        assert!(!late.iter().any(|p| p.contains("default.example.com")), "{late:#?}");
    }
}
