//! Which Events are told, and when.

use super::{Story, code, failing, ingress, meta, own, plane, plugin, problem};
use crate::problem::Problem;
use crate::status::ledger::{Outcome, Write};
use crate::status::{Facts, View};
use crate::store::ObjectId;

fn with(problems: Vec<Problem>) -> Facts {
    Facts { problems, ..own(true) }
}

fn gone(id: &ObjectId) -> Facts {
    with(vec![problem(id, "spec.rules[0].http.paths[0].backend", "ServiceNotFound")])
}

#[test]
fn each_part_is_told_once_in_ten_minutes_and_again_while_it_holds() {
    let mut story = Story::new();
    let id = ingress("web");
    story.see(&id, meta(&id, 1), gone(&id));
    let mut told = Vec::new();
    for second in 0..2 * 3600 {
        let (_, events) = story.writes();
        told.extend(events.into_iter().map(|note| (second, note)));
        // It is mended and broken every minute for ten minutes, then stays broken.
        if second < 600 && second % 30 == 0 {
            story.say(&id, if second % 60 == 0 { own(true) } else { gone(&id) });
        }
        story.pass(1);
    }
    let note = "ServiceNotFound: spec.rules[0].http.paths[0].backend: what ServiceNotFound means";
    assert!(told.iter().all(|(_, n)| n == note), "{told:?}");
    let times: Vec<i32> = told.iter().map(|(second, _)| *second).collect();
    assert!(times[0] >= 1 && times.windows(2).all(|pair| pair[1] - pair[0] >= 600), "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 2700), "it expires after an hour: {times:?}");
    assert!(times.len() <= 5, "{times:?}");
}

#[test]
fn what_is_mended_in_the_same_moment_is_never_told() {
    let mut story = Story::new();
    let id = ingress("web");
    story.see(&id, meta(&id, 1), gone(&id));
    assert_eq!(story.writes().1, [""; 0]);
    story.say(&id, own(true));
    story.pass(60);
    assert_eq!(story.writes().1, [""; 0]);
}

#[test]
fn one_object_cannot_bury_the_others() {
    let mut story = Story::new();
    let id = ingress("web");
    let problems = (0..1000).map(|n| problem(&id, &format!("spec.rules[{n}]"), "PathConflict")).collect();
    story.see(&id, meta(&id, 1), with(problems));
    story.pass(2);
    assert_eq!(story.writes().1.len(), 10);
    story.pass(60);
    assert_eq!(story.writes().1.len(), 0);
}

#[test]
fn a_plugin_that_data_planes_refuse_is_told() {
    let mut story = Story::new();
    story.see(&plugin(), meta(&plugin(), 1), code("return"));
    story.planes(&[plane("a"), failing("b", "init:1: boom")]);
    story.pass(2);
    assert_eq!(story.writes().1, ["NotProgrammed: init:1: boom (on gate/b)"]);
}

#[test]
fn an_object_that_could_not_be_read_tells_why() {
    let mut story = Story::new();
    let malformed = Problem::error(plugin().reference(), "spec.limits.cpu", "Invalid", "is no duration");
    let seen = View { metas: vec![(plugin(), Some(meta(&plugin(), 1)))], ..View::default() };
    story.ledger.observe(seen.clone().with_malformed(vec![(plugin(), Some(malformed))]), story.now());
    story.pass(2);
    let (statuses, events) = story.writes();
    assert_eq!(events, ["Invalid: spec.limits.cpu: is no duration"]);
    let super::Status::Plugin(status) = &statuses[0].1 else { panic!("{statuses:?}") };
    assert_eq!((status.conditions[0].status.as_str(), status.conditions[0].reason.as_str()), ("False", "Invalid"));
    // And once it can be read, no more.
    story.ledger.observe(seen.with_malformed(vec![(plugin(), None)]), story.now());
    story.say(&plugin(), code("return"));
    story.pass(2);
    let (statuses, _) = story.writes();
    let super::Status::Plugin(status) = &statuses[0].1 else { panic!("{statuses:?}") };
    assert_eq!(status.conditions[0].status, "True");
}

#[test]
fn the_same_event_has_the_same_name_whoever_tells_it() {
    let names = || {
        let mut story = Story::new();
        let id = ingress(&"a".repeat(253));
        story.see(&id, meta(&id, 1), gone(&id));
        story.pass(2);
        let due = story.ledger.due(story.now(), 10);
        let [Write::Event(telling)] = due.as_slice() else { panic!("{due:?}") };
        telling.name.clone()
    };
    assert_eq!(names(), names());
    assert!(names().len() <= 253);
}

/// How many Events are due now; each ends so.
fn attempt(story: &mut Story, outcome: &Outcome) -> usize {
    let due = story.ledger.due(story.now(), 100);
    for write in &due {
        assert!(matches!(write, Write::Event(_)), "{write:?}");
        story.ledger.done(write.clone(), outcome.clone(), story.now());
    }
    due.len()
}

#[test]
fn an_event_that_failed_is_told_later_and_then_counts_as_told() {
    let mut story = Story::new();
    let id = ingress("web");
    story.see(&id, meta(&id, 1), gone(&id));
    let mut attempts = Vec::new();
    // A change a second does not make it more.
    for second in 0..40 {
        story.say(&id, if second % 2 == 0 { gone(&id) } else { Facts { problems: gone(&id).problems, ..own(false) } });
        if attempt(&mut story, &Outcome::Failed) > 0 {
            attempts.push(second);
        }
        story.pass(1);
    }
    assert_eq!(attempts, [1, 2, 4, 8, 16, 32], "twice as long each time");
    story.pass(60);
    assert_eq!(attempt(&mut story, &Outcome::Written(String::new())), 1);
    for minute in 0..9 {
        story.pass(60);
        story.say(&id, if minute % 2 == 0 { own(true) } else { gone(&id) });
        assert_eq!(attempt(&mut story, &Outcome::Failed), 0, "told {minute} minutes ago");
    }
}

#[test]
fn an_event_that_failed_is_not_told_once_its_cause_is_mended() {
    let mut story = Story::new();
    let id = ingress("web");
    story.see(&id, meta(&id, 1), gone(&id));
    story.pass(2);
    assert_eq!(attempt(&mut story, &Outcome::Failed), 1);
    story.say(&id, own(true));
    story.pass(60);
    assert_eq!(attempt(&mut story, &Outcome::Failed), 0);
}

#[test]
fn what_a_lost_lead_cut_off_is_told_by_the_next_and_what_was_told_is_not() {
    let mut story = Story::new();
    let (cut, told) = (ingress("cut"), ingress("told"));
    story.see(&told, meta(&told, 1), gone(&told));
    story.pass(2);
    assert_eq!(story.writes().1.len(), 1);
    story.see(&cut, meta(&cut, 1), gone(&cut));
    story.pass(2);
    let due = story.ledger.due(story.now(), 10);
    assert_eq!(due.len(), 1);
    story.ledger.lead(false, story.now());
    // It comes too late to count.
    story.ledger.done(due[0].clone(), Outcome::Failed, story.now());
    story.ledger.lead(true, story.now());
    story.pass(2);
    assert_eq!(story.ledger.due(story.now(), 10), due);
}
