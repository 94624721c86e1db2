//! A module whose loading was cut short must not stay half loaded: each later request would fail.
use crate::fake::{Ended, Fake, options, run};
use lua_vm::{Phase, Step, Vm};

/// `how` is a global that a test sets.
const MODULE: &str = "if how == 'memory' then local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end end
    if how == 'cpu' then while true do end end
    if how == 'wait' then ngx.sleep(1) end
    if how == 'exit' then ngx.exit(403) end
    if how == 'error' then error('broken') end
    if how == 'loop' then require 'm' end
    return {n = 1}";

fn vm(trusted: bool) -> Vm<Fake> {
    let mut options = options(trusted);
    options.modules.insert("m".into(), MODULE.into());
    Vm::new(options).expect("a VM")
}

/// What a request that requires the module says.
fn says(t: &Vm<Fake>, how: &str) -> String {
    let mut host = Fake::default();
    let source = format!("how = '{how}' local ok, m = pcall(require, 'm') ngx.print(ok and m.n or m)");
    match run(t, &mut host, &source).0 {
        Ended::Done => String::from_utf8_lossy(&host.output).into_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_module_that_a_limit_or_an_exit_cut_short_is_loaded_anew() {
    for trusted in [true, false] {
        for (how, said) in
            [("memory", "not enough memory"), ("cpu", "CPU time limit exceeded"), ("exit", "Exit(403)"), ("wait", "1")]
        {
            let t = vm(trusted);
            assert!(says(&t, how).contains(said), "{how}: {}", says(&t, how));
            assert_eq!(says(&t, "well"), "1", "after {how}");
        }
    }
}

#[test]
fn a_module_whose_request_went_away_is_loaded_anew() {
    let t = vm(false);
    let chunk = t.load("=content", "how = 'wait' require 'm'").unwrap();
    let mut host = Fake::default();
    let session = t.session();
    let mut thread = session.thread(&chunk, &[]).unwrap();
    assert!(matches!(session.resume(&mut thread, &mut host, Phase::Content, &[]), Step::Yield));
    assert_eq!(says(&t, "well"), "loop or previous error loading module 'm'", "it is being loaded");
    drop(thread);
    assert_eq!(says(&t, "well"), "1");
}

#[test]
fn an_error_in_a_module_is_told_as_lua_tells_it() {
    let t = vm(false);
    assert!(says(&t, "error").ends_with("m:5: broken"), "{}", says(&t, "error"));
    assert!(says(&t, "well").ends_with("loop or previous error loading module 'm'"), "{}", says(&t, "well"));
    let t = vm(false);
    assert!(says(&t, "loop").ends_with("loop or previous error loading module 'm'"), "{}", says(&t, "loop"));
}
