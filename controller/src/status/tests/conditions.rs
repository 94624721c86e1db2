//! What a status says in each situation.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use routing::ObjectName;
use routing::key::ChainKey;

use super::{Story, behind, binding, code, failing, meta, plane, plugin, plugin_key, problem};
use crate::problem::Problem;
use crate::publish::{LuaFailure, Plane};
use crate::status::{Facts, Status, Subject};

/// `Type=Status/Reason` of each.
fn lines(conditions: &[Condition]) -> Vec<String> {
    conditions.iter().map(|c| format!("{}={}/{}", c.type_, c.status, c.reason)).collect()
}

#[test]
fn a_plugin_tells_what_is_wrong_and_who_runs_it() {
    let check = |problems: Vec<Problem>, in_table: bool, planes: &[Plane], expected: [&str; 3], data_planes: &str| {
        let mut story = Story::new();
        story.planes(planes);
        let mut facts = Facts { problems, ..code("return") };
        if !in_table {
            facts.subject = Subject::Plugin { code: None };
        }
        story.see(&plugin(), meta(&plugin(), 1), facts);
        // Long enough for data planes that are behind.
        story.pass(30);
        let writes = story.statuses();
        let [(_, Status::Plugin(status))] = writes.as_slice() else { panic!("{writes:?}") };
        assert_eq!(lines(&status.conditions), expected);
        assert_eq!(status.data_planes.as_deref().unwrap_or("none"), data_planes, "{expected:?}");
        assert!(status.conditions.iter().all(|c| c.observed_generation == Some(1) && !c.message.is_empty()));
    };
    let said = |field: &str, reason| vec![problem(&plugin(), field, reason)];
    let (good, all) = (["Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs"], [plane("a"), plane("b")]);
    let with = |programmed| [good[0], good[1], programmed];
    check(vec![], true, &all, with("Programmed=True/Programmed"), "2/2");
    check(vec![], true, &[], with("Programmed=False/NoDataPlanes"), "0/0");
    check(vec![], false, &all, with("Programmed=False/NotUsed"), "none");
    check(vec![], true, &[plane("a"), failing("b", "no")], with("Programmed=False/PartiallyProgrammed"), "1/2");
    check(vec![], true, &[failing("a", "no"), failing("b", "no")], with("Programmed=False/LoadFailed"), "0/2");
    check(vec![], true, &[plane("a"), behind("b")], with("Programmed=False/Pending"), "1/2");
    // One that has not had its first table yet is not counted.
    let joining = Plane { is_complete: false, ..behind("b") };
    check(vec![], true, &[plane("a"), joining], with("Programmed=True/Programmed"), "1/1");
    let bad = "Accepted=False/InvalidScript";
    check(
        said("spec.phases.access", "InvalidScript"),
        false,
        &all,
        [bad, good[1], "Programmed=False/NotValid"],
        "none",
    );
    // The last good version runs on.
    check(said("spec.phases.access", "InvalidScript"), true, &all, [bad, good[1], "Programmed=True/Programmed"], "2/2");
    let missing = "ResolvedRefs=False/ConfigMapNotFound";
    let field = "spec.modulesFrom[0].configMapRef";
    check(said(field, "ConfigMapNotFound"), false, &all, [good[0], missing, "Programmed=False/NotValid"], "none");
    // A module that does not compile is the ConfigMap's fault.
    let missing = "ResolvedRefs=False/InvalidScript";
    check(said(field, "InvalidScript"), false, &all, [good[0], missing, "Programmed=False/NotValid"], "none");
}

#[test]
fn a_failure_names_its_message_and_a_few_pods() {
    let mut story = Story::new();
    let planes: Vec<Plane> = (0..9).map(|n| failing(&format!("pod-{n}"), "access:3: boom")).collect();
    story.planes(&planes);
    story.see(&plugin(), meta(&plugin(), 1), code("return"));
    story.pass(2);
    let writes = story.statuses();
    let Status::Plugin(status) = &writes[0].1 else { panic!("{writes:?}") };
    let pods = "gate/pod-0, gate/pod-1, gate/pod-2, gate/pod-3, gate/pod-4 and 4 more";
    assert_eq!(status.conditions[2].message, format!("access:3: boom (on {pods})"));
}

#[test]
fn the_last_error_has_its_line_and_goes_with_its_code() {
    let mut story = Story::new();
    let mut failing = plane("a");
    let routing::Key::Plugin(key) = plugin_key() else { panic!() };
    let at = "2027-01-15T08:00:00.25Z".parse().unwrap();
    failing.lua.insert(key, LuaFailure { at, message: "access:3: attempt to index nil".into() });
    story.planes(&[failing]);
    story.see(&plugin(), meta(&plugin(), 1), code("return"));
    story.pass(2);
    let error = |writes: &[(_, Status)]| match &writes[0].1 {
        Status::Plugin(status) => status.last_error.clone(),
        _ => panic!(),
    };
    let expected = "2027-01-15T08:00:00Z: access:3: attempt to index nil";
    assert_eq!(error(&story.statuses()).as_deref(), Some(expected));
    // The data plane is replaced: its failure is still the last one of this code.
    story.planes(&[plane("b")]);
    story.pass(2);
    assert_eq!(story.statuses(), []);
    story.say(&plugin(), code("return 2"));
    story.pass(2);
    assert_eq!(error(&story.statuses()), None);
}

#[test]
fn a_binding_tells_conflicts_and_single_targets() {
    let mut story = Story::new();
    story.planes(&[plane("a")]);
    let problems = vec![
        problem(&binding(), "spec.pluginRef", "Conflicted"),
        problem(&binding(), "spec.targetRefs[1]", "TargetNotFound"),
    ];
    let web = ObjectName::new("shop", "web");
    let targets = vec![ChainKey::Service(web.clone()), ChainKey::Path(web, "a.example".into(), "/api".into())];
    let facts = Facts { problems, subject: Subject::Binding { is_used: true, targets } };
    story.see(&binding(), meta(&binding(), 4), facts);
    story.pass(2);
    let writes = story.statuses();
    let [(_, Status::Binding(status))] = writes.as_slice() else { panic!("{writes:?}") };
    let expected = [
        "Accepted=True/Accepted",
        "ResolvedRefs=False/TargetNotFound",
        "Conflicted=True/Conflicted",
        "Programmed=True/Programmed",
    ];
    assert_eq!(lines(&status.conditions), expected);
    let [target] = status.targets.as_slice() else { panic!("{:?}", status.targets) };
    assert_eq!((target.kind.as_str(), target.name.as_str()), ("Ingress", "web"));
    assert_eq!(target.section_name.as_deref(), Some("a.example/api"));
    assert_eq!(lines(&target.conditions), ["Accepted=False/TargetNotFound"]);
}

#[test]
fn a_condition_keeps_its_time_until_it_turns() {
    let mut story = Story::new();
    story.planes(&[plane("a")]);
    story.see(&plugin(), meta(&plugin(), 1), code("return"));
    story.pass(10);
    let first = story.statuses();
    story.pass(100);
    let facts = Facts { problems: vec![problem(&plugin(), "spec.phases.log", "InvalidScript")], ..code("return") };
    story.say(&plugin(), facts);
    story.pass(10);
    let second = story.statuses();
    let times = |writes: &[(_, Status)]| match &writes[0].1 {
        Status::Plugin(status) => status.conditions.iter().map(|c| c.last_transition_time.0).collect::<Vec<_>>(),
        _ => panic!(),
    };
    let (first, second) = (times(&first), times(&second));
    assert_eq!(second[0].as_second() - first[0].as_second(), 110, "Accepted has turned");
    assert_eq!(second[1..], first[1..], "the others have not");
}
