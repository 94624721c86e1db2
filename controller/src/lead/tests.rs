use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::{Next, Options, Seen, identity, term};

fn lease(version: u32, holder: &str, term: i32) -> Lease {
    let spec = LeaseSpec {
        holder_identity: Some(holder.into()),
        lease_duration_seconds: Some(15),
        lease_transitions: Some(term),
        ..LeaseSpec::default()
    };
    let metadata = ObjectMeta { resource_version: Some(version.to_string()), ..ObjectMeta::default() };
    Lease { metadata, spec: Some(spec) }
}

/// One look of a candidate `me`: what it does, and with which term.
fn look(seen: &mut Seen, found: Option<Lease>, at: Instant) -> (&'static str, u64) {
    let options = Options { identity: "me".into(), ..Options::new("n", "l", "me") };
    match seen.next(found, &options, at, Timestamp::UNIX_EPOCH) {
        Next::Wait => ("wait", 0),
        Next::Create(lease) => ("create", written(&lease)),
        Next::Replace(lease) => ("replace", written(&lease)),
    }
}

fn written(lease: &Lease) -> u64 {
    let spec = lease.spec.clone().unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_duration_seconds), (Some("me"), Some(15)));
    term(&spec)
}

#[test]
fn a_lease_is_taken_when_it_is_free_or_over() {
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let mut seen = Seen::default();
    assert_eq!(look(&mut seen, None, at(0)), ("create", 1));
    assert_eq!(look(&mut seen, Some(lease(1, "other", 4)), at(0)), ("wait", 0));
    assert_eq!(look(&mut seen, Some(lease(1, "other", 4)), at(14)), ("wait", 0));
    // It was renewed: its length begins again.
    assert_eq!(look(&mut seen, Some(lease(2, "other", 4)), at(15)), ("wait", 0));
    assert_eq!(look(&mut seen, Some(lease(2, "other", 4)), at(29)), ("wait", 0));
    assert_eq!(look(&mut seen, Some(lease(2, "other", 4)), at(30)), ("replace", 5));
    // It was given up.
    assert_eq!(look(&mut seen, Some(lease(3, "", 4)), at(31)), ("replace", 5));
    // Our own request, whose answer was lost.
    assert_eq!(look(&mut seen, Some(lease(4, "me", 5)), at(31)), ("replace", 6));
}

#[test]
fn a_lease_that_was_deleted_goes_on_from_the_highest_term() {
    let mut seen = Seen::default();
    assert_eq!(look(&mut seen, Some(lease(1, "other", 7)), Instant::now()), ("wait", 0));
    assert_eq!(look(&mut seen, None, Instant::now()), ("create", 8));
}

#[test]
fn a_process_never_has_the_identity_of_another() {
    assert_ne!(identity("pod"), identity("pod"));
    assert!(identity("pod").starts_with("pod_"));
}
