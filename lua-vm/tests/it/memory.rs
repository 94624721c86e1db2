//! Host memory that scripts cause counts against their VM, and what all VMs hold against the process's budget.
use crate::fake::{Ended, Fake, options, run, says};
use crate::limits::{BOMBS, SOUND};
use lua_vm::{Budget, Vm, VmOptions};
use std::sync::Arc;
use std::time::Duration;

/// No budget of time may decide here.
pub(crate) fn patient(trusted: bool) -> VmOptions {
    let mut o = options(trusted);
    (o.limits.cpu_per_resume, o.limits.cpu_per_request) = (Duration::from_secs(60), Duration::from_secs(60));
    o
}

pub(crate) fn vm(trusted: bool) -> Vm<Fake> {
    Vm::new(patient(trusted)).expect("a VM")
}

#[test]
fn compiled_patterns_are_charged_and_make_room_for_each_other() {
    for trusted in [true, false] {
        let t = vm(trusted);
        assert_eq!(t.charged_bytes(), 0);
        assert_eq!(run(&t, &mut Fake::default(), "assert(ngx.re.find('b', 'a|b'))").0, Ended::Done);
        let one = t.charged_bytes();
        assert!(one > 100, "{one}");
        // Many patterns: others are evicted for them, and the account stays within its limit.
        let many = "for i = 1, 1000 do assert(ngx.re.find('x' .. i, 'x' .. i .. ('(a|b)?'):rep(50), 'jo')) end";
        assert_eq!(run(&t, &mut Fake::default(), many).0, Ended::Done);
        assert!(t.charged_bytes() > one && t.memory_bytes() < 16 << 20, "{}", t.charged_bytes());
        assert_eq!(run(&t, &mut Fake::default(), SOUND).0, Ended::Done);
    }
}

#[test]
fn no_room_for_a_pattern_is_an_error_that_can_be_caught() {
    let t = vm(false);
    // Room for the script, not for the pattern, which compiles to some MiB of machine code.
    t.collect();
    let room = t.room();
    assert!(t.charge(room - (1 << 20)));
    let source = "local ok, why = pcall(ngx.re.find, 'x', ('(?:(a|b)(c|d))?'):rep(700)) ngx.print(ok, ' ', why)";
    let mut host = Fake::default();
    assert_eq!(run(&t, &mut host, source).0, Ended::Done);
    assert_eq!(String::from_utf8_lossy(&host.output), "false not enough memory");
    assert_eq!(t.charged_bytes(), room - (1 << 20), "all is given back");
}

#[test]
fn long_results_are_charged_while_they_are_built_and_given_back() {
    let t = vm(false);
    let source = "local s = ngx.re.gsub(('x'):rep(1e6), 'x', 'yyy') assert(#s == 3e6)";
    assert_eq!(run(&t, &mut Fake::default(), source).0, Ended::Done);
    let left = t.charged_bytes();
    assert!(left < 64 << 10, "{left}");
    let bomb = "local ok, why = pcall(ngx.re.gsub, ('x'):rep(1e6), 'x', ('y'):rep(1000)) assert(not ok and why == 'not enough memory', why)";
    assert_eq!(run(&t, &mut Fake::default(), bomb).0, Ended::Done);
    assert!(t.charged_bytes() < 64 << 10, "{}", t.charged_bytes());
    let stack = "assert(require 'ngx.re'.opt) ngx.print(pcall(require 'ngx.re'.opt, 'jit_stack_size', 3e7))";
    assert!(says(false, stack).starts_with("false"), "a stack of more than the VM may have");
}

#[test]
fn what_say_gathers_is_given_back_also_when_it_raises() {
    let t = vm(false);
    for source in [
        "local s = ('x'):rep(1e5) ngx.say({s, s, s, s, s, s, s, s, s, s})",
        "local s = ('x'):rep(1e5) assert(not pcall(ngx.say, {s, s, s, s, s, s, s, s, s, s, print})) ngx.say('x')",
        "local s = ('x'):rep(1e5) ngx.log(ngx.ERR, s, s, s, s, s)",
        "local s = ('x'):rep(1e6) local t = {} for i = 1, 100 do t[i] = s end assert(not pcall(ngx.say, t)) ngx.say('x')",
    ] {
        assert_eq!(run(&t, &mut Fake::default(), source).0, Ended::Done, "{source}");
        assert_eq!(t.charged_bytes(), 0, "{source}");
    }
}

/// Fills a VM with so many MiB that live on.
fn hold(t: &Vm<Fake>, mib: usize) -> Ended {
    let source =
        format!("held = held or {{}} for i = 1, {mib} * 16 do held[#held + 1] = ('x'):rep(2^16 - 64) .. #held end");
    run(t, &mut Fake::default(), &source).0
}

#[test]
fn the_largest_of_several_namespaces_is_refused_first() {
    let budget = Budget::new(16 << 20);
    let make = |name: &str| {
        let mut o = patient(false);
        (o.name, o.budget) = (name.into(), Some(budget.clone()));
        Vm::new(o).expect("a VM")
    };
    let (large, middle, small) = (make("large"), make("middle"), make("small"));
    assert_eq!(hold(&large, 8), Ended::Done);
    assert_eq!(hold(&middle, 4), Ended::Done);
    assert!(budget.used() > 12 << 20, "{}", budget.used());
    // The budget is gone: the largest gets no more, whatever it does, while it is below its own limit.
    for (name, source) in BOMBS {
        let (end, _) = run(&large, &mut Fake::default(), source);
        assert!(
            matches!(&end, Ended::Error(e) if e.contains("not enough memory") || e.contains("table overflow")),
            "{name}: {end:?}"
        );
    }
    let end = hold(&large, 7);
    assert!(matches!(&end, Ended::Error(e) if e.contains("not enough memory")), "{end:?}");
    assert!(large.memory_bytes() < 13 << 20, "{}", large.memory_bytes());
    // Others go on, to their share at least.
    assert_eq!(hold(&small, 2), Ended::Done);
    assert_eq!(run(&middle, &mut Fake::default(), SOUND).0, Ended::Done);
    assert_eq!(run(&small, &mut Fake::default(), SOUND).0, Ended::Done);
    assert!(budget.used() < 24 << 20, "{}", budget.used());
    // Once it lets go, it gets again.
    assert_eq!(run(&large, &mut Fake::default(), "held = nil").0, Ended::Done);
    large.collect();
    assert_eq!(hold(&large, 3), Ended::Done);
    drop((large, middle, small));
    assert_eq!(budget.used(), 0, "all is given back");
}

#[test]
fn charges_count_against_the_budget_and_garbage_does_not() {
    let budget = Budget::new(4 << 20);
    let mut o = patient(false);
    o.budget = Some(budget.clone());
    let t: Vm<Fake> = Vm::new(o).expect("a VM");
    assert!(!t.charge(8 << 20), "beyond the budget");
    assert_eq!(t.charged_bytes(), 0);
    assert!(t.charge(1 << 20));
    assert!(budget.used() >= 1 << 20);
    t.discharge(1 << 20);
    assert!(budget.used() < 1 << 20);
    let garbage = "for i = 1, 3e5 do local s = 'k' .. i end for i = 1, 100 do local s = ('x'):rep(1e5) .. i end";
    assert_eq!(run(&t, &mut Fake::default(), garbage).0, Ended::Done);
    let clone: Arc<Budget> = budget.clone();
    drop(t);
    assert_eq!(clone.used(), 0);
}

#[test]
fn any_bomb_ends_in_a_small_budget() {
    for (name, source) in BOMBS {
        let budget = Budget::new(2 << 20);
        let mut o = patient(false);
        o.budget = Some(budget.clone());
        let t: Vm<Fake> = Vm::new(o).expect("a VM");
        let (end, _) = run(&t, &mut Fake::default(), source);
        assert!(
            matches!(&end, Ended::Error(e) if e.contains("not enough memory") || e.contains("table overflow")),
            "{name}: {end:?}"
        );
        assert!(budget.used() < 6 << 20, "{name}: {}", budget.used());
        let before = t.memory_bytes();
        let (end, _) = run(&t, &mut Fake::default(), SOUND);
        assert_eq!(end, Ended::Done, "{name}: {before} {} {}", t.memory_bytes(), t.room());
    }
}
