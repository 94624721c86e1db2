//! The last table on disk.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::controller::Controller;
use super::plane::DataPlane;
use super::values::{certificate, host, redirect, refuse, scripted, set};

/// A data plane with a table's file; it waits so long for controllers.
fn plane(controllers: &[&Controller], file: &Path, wait: Duration) -> DataPlane {
    DataPlane::with(controllers.iter().map(|c| c.address.to_string()).collect(), |options| {
        options.table_file = Some(file.to_owned());
        options.times.start_from_disk = wait;
        if options.controllers.is_empty() {
            options.controllers.push("127.0.0.1:1".into());
        }
    })
}

const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(3600);

fn holds(file: &Path, text: &str) -> bool {
    std::fs::read_to_string(file).is_ok_and(|table| table.contains(text))
}

#[test]
fn a_data_plane_starts_from_disk_and_goes_on_from_there() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("table");
    let controller = Controller::start();
    controller.commit(vec![set(refuse("a.example.com")), set(refuse("b.example.com"))]);
    controller.publisher.lead(3);
    let first = plane(&[&controller], &file, LATE);
    first.wait_for("the file", |_| holds(&file, "b.example.com"));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    drop(first);
    let second = plane(&[], &file, SOON);
    second.serves("a.example.com", 503);
    second.wait_for("readiness", |p| p.state().unready().is_none());
    assert_eq!((second.metric("moongate_push_table_from_disk"), second.metric("moongate_push_term")), (1, 3));
    drop(second);
    // A controller that is there is asked for what differs, and its table is the first that is served.
    let other = Controller::start();
    other.commit(vec![set(redirect("a.example.com")), set(refuse("b.example.com"))]);
    other.publisher.lead(4);
    let third = plane(&[&other], &file, LATE);
    third.serves("a.example.com", 308);
    third.serves("b.example.com", 503);
    let sent = other.metrics();
    assert_eq!(third.metric("moongate_push_table_from_disk"), 0);
    assert!(other.metric("moongate_push_sent_bytes_total") < 600, "{sent}");
    third.wait_for("the file", |_| holds(&file, "[4,1]"));
}

#[test]
fn a_failing_plugin_keeps_its_last_good_version_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("table");
    let controller = Controller::start();
    controller.commit(scripted("a.example.com", "ngx.exit(402)").into_iter().map(set).collect());
    controller.publisher.lead(1);
    let first = plane(&[&controller], &file, LATE);
    first.serves("a.example.com", 402);
    let mut changes: Vec<_> = scripted("a.example.com", "ngx.exit((").into_iter().map(set).collect();
    changes.push(super::values::delete(super::values::script_of("ngx.exit(402)")));
    let counter = controller.commit(changes);
    controller.wait_for("the answer", |p| p.having(counter) == (1, 1));
    first.wait_for("the file", |_| holds(&file, "[1,2]"));
    drop(first);
    plane(&[], &file, SOON).serves("a.example.com", 402);
    let third = plane(&[&controller], &file, LATE);
    third.serves("a.example.com", 402);
    controller.wait_for("the report", |p| p.planes.values().any(|p| p.failed.len() == 1));
}

/// A key that was served and is not kept on disk is waited for; a certificate that never came is nobody's trouble but its
/// host's.
#[test]
fn certificates_that_were_not_kept_are_waited_for() {
    // Not in memory, where keys are kept.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = directory.path().join("table");
    let controller = Controller::start();
    controller.commit(vec![set(refuse("a.example.com")), set(host("a.example.com", "never-came"))]);
    controller.publisher.lead(1);
    let first = plane(&[&controller], &file, LATE);
    first.serves("a.example.com", 503);
    first.wait_for("the file", |_| holds(&file, "[1,1]"));
    drop(first);
    let second = plane(&[], &file, SOON);
    second.serves("a.example.com", 503);
    drop(second);
    controller.commit(vec![set(host("a.example.com", "tls")), set(certificate("tls"))]);
    let third = plane(&[&controller], &file, LATE);
    third.wait_for("the file", |_| holds(&file, "[1,2]"));
    assert!(!holds(&file, "PRIVATE KEY"));
    drop(third);
    let fourth = plane(&[], &file, SOON);
    fourth.wait_for("the table", |p| p.metric("moongate_push_table_from_disk") == 1);
    let why = "no controller has sent the certificate shop/tls yet, which is not kept on disk";
    assert_eq!(fourth.state().unready().as_deref(), Some(why));
    assert_eq!(fourth.status("a.example.com"), 503, "whoever comes nevertheless is served");
    drop(fourth);
    // It is the same after another start.
    plane(&[&controller], &file, LATE).serves("a.example.com", 503);
}

#[test]
fn a_file_that_cannot_be_used_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("table");
    std::fs::write(&file, "{\"format\":1,\"version\":\"0.1.0\",\"versions\":{}}\n").unwrap();
    let controller = Controller::start();
    let plane = plane(&[&controller], &file, SOON);
    plane.wait_for("the failure", |p| p.metric("moongate_push_table_write_failures_total") == 1);
    assert_eq!(plane.state().unready(), Some("no table yet".into()));
    controller.commit(vec![set(refuse("a.example.com"))]);
    controller.publisher.lead(1);
    plane.serves("a.example.com", 503);
}
