use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lua_vm::{Arg, ErrorKind, Phase as LuaPhase, ScriptError};
use routing::Hash;
use routing::ObjectName;
use routing::key::{PluginKey, PluginKind};
use routing::value::{FailurePolicy, LuaLimits, Phase};

use super::place::IDLE_FOR;
use super::{RequestVm, ScopeVm};
use crate::exchange::Exchange;
use crate::table::{Config, Meta, PluginUse, Scope, ScopeSpec, Script, Snapshot, unique};
use crate::worker::{Shared, Worker};

/// A namespace's VM that a test asks for.
pub(in crate::lua) fn spec(namespace: &str) -> ScopeSpec {
    ScopeSpec {
        scope: Scope::Namespace(namespace.into()),
        hash: Hash::of_bytes(b""),
        base: Hash::of_bytes(b""),
        plugins: Default::default(),
        modules: Default::default(),
        dicts: Default::default(),
        // Builds under test are slow and share their machine: no budget of time may decide.
        limits: LuaLimits {
            memory_bytes: 8 << 20,
            cpu_per_resume_ms: 10_000,
            cpu_per_request_ms: 60_000,
            ..LuaLimits::default()
        },
        regex_match_limit: 100_000,
        regex_cache_entries: 10,
        init: Vec::new(),
    }
}

/// A plugin of a namespace.
fn used(namespace: &str) -> Arc<PluginUse> {
    Arc::new(PluginUse {
        id: unique(),
        plugin: PluginKey { kind: PluginKind::LuaPlugin, name: ObjectName::new(namespace, "plugin") },
        scope: Scope::Namespace(namespace.into()),
        config: Arc::new(Config { id: unique(), value: serde_json::json!({}), binding: String::new() }),
        meta: Arc::new(Meta { ingress: None, route: None, service: String::new() }),
        failure_policy: FailurePolicy::Fail,
        cpu_per_resume_ms: None,
    })
}

/// The same with `init` code.
fn spec_with_init(namespace: &str, source: &str) -> ScopeSpec {
    let hash = Hash::of_bytes(source.as_bytes());
    let script = Script { id: unique(), hash, chunk_name: "=init", source: source.into() };
    ScopeSpec { init: vec![(Phase::Init, used(namespace), Arc::new(script))], ..spec(namespace) }
}

/// A worker and the table that it serves by.
struct Bed {
    worker: Rc<Worker>,
    /// When it is looked after.
    now: Instant,
}

impl Bed {
    fn new() -> Self {
        Self { worker: Worker::new(0, Arc::new(Shared::new(1))), now: Instant::now() }
    }

    /// A commit: a version of these VMs.
    fn commit(&self, version: u64, specs: Vec<ScopeSpec>) {
        let hash = Hash::of_bytes(&version.to_be_bytes());
        let scopes = specs.into_iter().map(|spec| (spec.scope.clone(), Arc::new(ScopeSpec { hash, ..spec }))).collect();
        let snapshot = Snapshot { version, scopes, ..Snapshot::empty() };
        self.worker.shared.snapshot.store(Arc::new(snapshot));
    }

    async fn look_after(&self) {
        self.worker.vms.look_after(&self.worker, self.now).await;
    }

    /// What a request gets.
    fn get(&self, namespace: &str) -> Rc<ScopeVm> {
        self.worker.vms.get(&self.worker, &Scope::Namespace(namespace.into())).expect("a VM")
    }

    /// Runs a script in a request of its own, and returns the number that it does.
    fn script(&self, namespace: &str, source: &str) -> Option<i64> {
        self.try_script(namespace, source).expect(source)
    }

    /// The same for a script that may fail.
    fn try_script(&self, namespace: &str, source: &str) -> Result<Option<i64>, ScriptError> {
        let vm = self.get(namespace);
        let session = vm.vm.session();
        let mut ex = Exchange::fake(self.worker.clone());
        (ex.lua.phase, ex.lua.running) = (Some(LuaPhase::Log), Some(used(namespace)));
        ex.lua.sessions.push(RequestVm::new(vm.clone(), session.clone()));
        let chunk = vm.vm.load("=log", source).expect("it parses");
        let result = session.call(&mut ex, LuaPhase::Log, &chunk, &[Arg::Nil, Arg::Nil]);
        if let Err(error) = &result {
            let plugin = &used(namespace).plugin;
            self.worker.vms.note_failure(&self.worker, &vm, plugin, error, self.now);
        }
        result
    }

    fn made(&self) -> u64 {
        self.worker.shared.metrics.vms.made()
    }

    fn alive(&self) -> i64 {
        self.worker.shared.metrics.vms.alive()
    }
}

/// Of which commit a VM is.
fn is_of(vm: &ScopeVm, version: u64) -> bool {
    vm.spec.hash == Hash::of_bytes(&version.to_be_bytes())
}

pub(super) fn run(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(tokio::runtime::LocalOptions::default()).expect("a runtime");
    runtime.block_on(test);
}

#[test]
fn many_commits_without_requests_make_no_vm() {
    run(async {
        let bed = Bed::new();
        bed.commit(1, vec![spec("shop")]);
        bed.look_after().await;
        assert_eq!(bed.made(), 0, "nothing has asked for one");
        drop(bed.get("shop"));
        for version in 2..100 {
            bed.commit(version, vec![spec("shop")]);
            bed.look_after().await;
            assert_eq!((bed.made(), bed.alive()), (1, 0), "the one of the first table ended at the next commit");
        }
        let vm = bed.get("shop");
        assert!(is_of(&vm, 99) && Rc::ptr_eq(&vm, &bed.get("shop")));
        assert_eq!((bed.made(), bed.alive()), (2, 1));
    });
}

#[test]
fn a_storm_of_commits_runs_init_code_once_a_second_and_a_request_does_not_wait_for_it() {
    run(async {
        let mut bed = Bed::new();
        let commit = |bed: &Bed, version| bed.commit(version, vec![spec_with_init("shop", "n = 1"), spec("other")]);
        for version in 1..50 {
            commit(&bed, version);
            bed.look_after().await;
            assert_eq!(bed.made(), 1, "one for all commits of a second");
        }
        assert_eq!(bed.alive(), 0, "it is of the first commit, so it ended with the second");
        bed.now = Instant::now() + Duration::from_secs(1);
        bed.look_after().await;
        assert_eq!((bed.made(), bed.alive()), (2, 1), "the next second has its own");
        assert!(is_of(&bed.get("shop"), 49));
        for version in 50..60 {
            commit(&bed, version);
            assert!(is_of(&bed.get("shop"), version), "a request of a table gets its VM at once");
            bed.look_after().await;
        }
        assert_eq!((bed.made(), bed.alive()), (12, 1));
    });
}

#[test]
fn four_replaced_vms_may_serve_requests_and_the_next_waits_for_one_of_them() {
    run(async {
        let bed = Bed::new();
        let mut requests = Vec::new();
        for version in 1..=7 {
            bed.commit(version, vec![spec("shop")]);
            bed.look_after().await;
            requests.push(bed.get("shop"));
        }
        assert_eq!((bed.made(), bed.alive()), (5, 5));
        assert!(requests[4..].iter().all(|vm| is_of(vm, 5)), "the last that was made goes on");
        drop(requests.remove(0));
        // No need to look after it: the next request sees that there is room.
        assert!(is_of(&bed.get("shop"), 7));
        bed.look_after().await;
        assert_eq!((bed.made(), bed.alive()), (6, 5));
        requests.clear();
        assert_eq!(bed.alive(), 1);
    });
}

#[test]
fn a_scope_without_plugins_has_no_vm_once_its_requests_are_over() {
    run(async {
        let bed = Bed::new();
        bed.commit(1, vec![spec("shop"), spec("other")]);
        let (request, _other) = (bed.get("shop"), bed.get("other"));
        bed.commit(2, vec![spec("other")]);
        bed.look_after().await;
        assert_eq!(bed.alive(), 2, "requests keep them");
        assert!(bed.worker.vms.get(&bed.worker, &Scope::Namespace("shop".into())).is_err());
        drop(request);
        assert_eq!(bed.alive(), 1);
    });
}

#[test]
fn an_idle_vm_ends_unless_it_has_timers_or_init_code_and_shared_dicts_outlive_it() {
    run(async {
        let mut bed = Bed::new();
        let dicts = [("d".to_owned(), 1 << 20)].into();
        bed.commit(1, vec![ScopeSpec { dicts, ..spec("shop") }, spec_with_init("init", "n = 1"), spec("timer")]);
        bed.worker.shared.apply_dicts(&bed.worker.snapshot(Arc::clone));
        assert_eq!(bed.script("shop", "n = 5 ngx.shared.d:set('n', 7)"), None);
        assert_eq!(bed.script("shop", "return ngx.shared.d:get('n') + n"), Some(12));
        bed.script("timer", "ngx.timer.at(3600, function() end)");
        bed.look_after().await;
        bed.look_after().await;
        assert_eq!((bed.made(), bed.alive()), (3, 3));
        bed.now += IDLE_FOR / 2;
        // A request begins the time anew.
        drop(bed.get("shop"));
        bed.look_after().await;
        bed.now += IDLE_FOR / 2;
        bed.look_after().await;
        assert_eq!(bed.alive(), 3);
        let request = bed.get("shop");
        bed.now += 2 * IDLE_FOR;
        bed.look_after().await;
        bed.look_after().await;
        assert_eq!(bed.alive(), 3, "a request still runs");
        drop(request);
        let before = bed.worker.shared.lua_budget.used();
        bed.look_after().await;
        bed.now += IDLE_FOR;
        bed.look_after().await;
        assert_eq!(bed.alive(), 2);
        assert!(bed.worker.shared.lua_budget.used() < before, "its memory is free");
        assert_eq!(
            bed.script("shop", "return ngx.shared.d:get('n') + (n or 100)"),
            Some(107),
            "a new VM, the same dict"
        );
        assert_eq!((bed.made(), bed.alive()), (4, 3));
    });
}

#[test]
fn a_change_of_scripts_is_no_new_burst_of_worker_time() {
    run(async {
        let bed = Bed::new();
        bed.commit(1, vec![spec("shop")]);
        bed.get("shop").bucket.spend(Duration::from_secs(1));
        bed.commit(2, vec![spec("shop")]);
        let vm = bed.get("shop");
        assert!(is_of(&vm, 2));
        assert!(vm.bucket.debt(Instant::now()).is_some(), "what was used of the share stays used");
    });
}

#[test]
fn init_code_uses_its_namespace_s_share() {
    run(async {
        let bed = Bed::new();
        let spins = "local started = ngx.now() repeat until ngx.now() - started > 0.25";
        bed.commit(1, vec![spec_with_init("shop", spins)]);
        let owed = bed.get("shop").bucket.debt(Instant::now()).expect("a debt: a burst is 100 ms");
        assert!(owed <= Duration::from_millis(500), "of which requests wait for half a second at most: {owed:?}");
    });
}

/// Waits for what other tasks of the thread bring about.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_replaced_vm_ends_though_timers_loop_in_it() {
    run(async {
        let bed = Bed::new();
        bed.commit(1, vec![spec("shop")]);
        for ends_when in ["ngx.worker.exiting()", "false", "false"] {
            bed.script("shop", &format!("ngx.timer.at(0, function() repeat ngx.sleep(0.001) until {ends_when} end)"));
        }
        bed.script("shop", "ngx.timer.at(0, function() while true do coroutine.yield() end end)");
        let vm = bed.get("shop");
        until("they run", || vm.timers.running() == 4).await;
        bed.commit(2, vec![spec("shop")]);
        bed.look_after().await;
        until("the one that asks whether its worker exits ends", || vm.timers.running() == 3).await;
        vm.timers.retired_for.set(Some(Duration::ZERO));
        drop(vm);
        until("the others are ended", || bed.alive() == 0).await;
    });
}

#[test]
fn a_vm_that_is_full_of_live_data_is_replaced_by_a_fresh_one() {
    run(async {
        let mut bed = Bed::new();
        bed.commit(1, vec![spec("shop"), spec("other")]);
        bed.script("other", "n = 1");
        let leak = "held = held or {} while true do held[#held + 1] = ('x'):rep(1e5) .. #held end";
        let small = "return (held and #held or 0) + #tostring({}) * 0";
        for second in 0..3 {
            bed.now += Duration::from_secs(1);
            let error = bed.try_script("shop", leak).expect_err("it fills the VM");
            assert_eq!(error.kind, ErrorKind::Memory);
            assert_eq!(bed.made(), 2, "second {second}");
            // Garbage fills no VM.
            let garbage = "local s = ('x'):rep(1e6) local t = {} for i = 1, 100 do t[i] = s .. i end";
            assert_eq!(bed.try_script("other", garbage).expect_err("too much at once").kind, ErrorKind::Memory);
        }
        assert_eq!(bed.alive(), 1, "the full one is gone");
        assert_eq!(bed.script("shop", small), Some(0), "a fresh one");
        assert_eq!(bed.script("other", "return n"), Some(1));
        let told = &bed.worker.shared.failures.all()[&used("shop").plugin];
        assert!(told.message.contains("the VM was full"), "{told:?}");
        // Again, but not at once.
        for _ in 0..9 {
            bed.now += Duration::from_secs(1);
            bed.try_script("shop", leak).expect_err("it fills the VM");
        }
        assert!(bed.script("shop", "return #held") > Some(0));
        bed.now += Duration::from_secs(1);
        bed.try_script("shop", leak).expect_err("it is full");
        assert_eq!(bed.script("shop", small), Some(0));
    });
}
