//! `ngx.timer`: callbacks that run on their own, each in an exchange without a request.
//!
//! The function and its arguments stay in the VM, in a table of the prelude, under a number; here is only when it
//! runs. Semantics, limits and texts: lua-nginx-module's `ngx_http_lua_timer.c`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use lua_vm::{Arg, Phase, ScriptError, Step, Value};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Op;
use super::host;
use super::vms::{RequestVm, ScopeVm};
use crate::exchange::Exchange;
use crate::table::PluginUse;
use crate::worker::Worker;

/// What a timer holds outside of the VM, charged to the VM: its task, and its share of the runtime's wheel.
const TIMER_BYTES: usize = 1024;

/// For so long a callback may go on in a replaced VM; then it ends where it waits, as at nginx's
/// `worker_shutdown_timeout`. One that loops over `ngx.sleep` would keep the VM for ever.
const RETIRED_FOR: Duration = Duration::from_secs(300);

/// A VM's timers.
#[derive(Default)]
pub struct Timers {
    pending: Cell<u32>,
    running: Cell<u32>,
    /// Since when the VM is replaced.
    retired: Cell<Option<Instant>>,
    /// Tests do not wait for as long.
    #[cfg(test)]
    pub(super) retired_for: Cell<Option<Duration>>,
    wake: Notify,
    next_id: Cell<i32>,
    free_ids: RefCell<Vec<i32>>,
}

impl Timers {
    /// Those that wait for their time.
    pub fn pending(&self) -> u32 {
        self.pending.get()
    }

    /// Those whose callback has not ended.
    pub fn running(&self) -> u32 {
        self.running.get()
    }

    /// The VM is replaced: what is pending fires now, with `premature`.
    pub fn retire(&self) {
        self.retired.set(Some(Instant::now()));
        self.wake.notify_waiters();
    }

    /// Whether the VM is replaced.
    pub fn are_retired(&self) -> bool {
        self.retired.get().is_some()
    }

    /// Completes when no callback may go on.
    async fn over(&self) {
        let retired = self.wake.notified();
        if !self.are_retired() {
            retired.await;
        }
        let since = self.retired.get().unwrap_or_else(Instant::now);
        tokio::time::sleep_until(since + self.retired_for()).await;
    }

    fn retired_for(&self) -> Duration {
        #[cfg(test)]
        if let Some(shorter) = self.retired_for.get() {
            return shorter;
        }
        RETIRED_FOR
    }

    fn take_id(&self) -> i32 {
        self.free_ids.borrow_mut().pop().unwrap_or_else(|| {
            let id = self.next_id.get() + 1;
            self.next_id.set(id);
            id
        })
    }

    fn give_id(&self, id: i32) {
        self.free_ids.borrow_mut().push(id);
    }
}

/// How the prelude's entry is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Run = 0,
    Premature = 1,
    /// The timer is dropped: its function is not called.
    Drop = 2,
}

/// One timer on its way.
struct Timer {
    worker: Rc<Worker>,
    vm: Rc<ScopeVm>,
    used: Option<Arc<PluginUse>>,
    client: std::net::SocketAddr,
    id: i32,
    delay: Duration,
    every: bool,
    /// Where the function is defined, for the alert when too many run.
    place: String,
}

/// Adds a timer of the running script's VM; its number in the prelude's table.
///
/// # Errors
/// The text that the script gets beside nil.
pub(super) fn add(ex: &Exchange, delay: f64, every: bool, place: &[u8]) -> Result<i32, &'static str> {
    let vm = host::running_vm(ex).ok_or("no request")?;
    let timers = &vm.timers;
    // A callback of a retired VM that starts itself anew would keep the VM for ever.
    if timers.are_retired() && (delay > 0.0 || ex.lua.phase == Some(Phase::Timer)) {
        return Err("process exiting");
    }
    if timers.pending() >= ex.worker.snapshot(|s| s.settings.lua.max_pending_timers) {
        return Err("too many pending timers");
    }
    if !vm.vm.charge(TIMER_BYTES) {
        return Err("no memory");
    }
    timers.pending.set(timers.pending() + 1);
    let id = timers.take_id();
    // A month is longer than the runtime's wheel likes, and than any VM lives.
    let millis = (delay.clamp(0.0, 2_678_400.0) * 1000.0) as u64;
    let timer = Rc::new(Timer {
        worker: ex.worker.clone(),
        vm: vm.clone(),
        used: ex.lua.running.clone(),
        client: ex.req.client,
        id,
        delay: Duration::from_millis(millis),
        every,
        place: String::from_utf8_lossy(place).into_owned(),
    });
    tokio::task::spawn_local(timer.live());
    Ok(id)
}

impl Timer {
    /// From its start to its last callback.
    async fn live(self: Rc<Self>) {
        let timers = &self.vm.timers;
        loop {
            let premature = self.wait().await;
            timers.pending.set(timers.pending().saturating_sub(1));
            let again = self.every && !premature && !timers.are_retired();
            if again {
                // The next run is due one delay from now, however long this one takes: runs may overlap.
                timers.pending.set(timers.pending() + 1);
                let this = self.clone();
                tokio::task::spawn_local(async move { this.fire(Mode::Run).await });
                continue;
            }
            self.fire(if premature { Mode::Premature } else { Mode::Run }).await;
            break;
        }
        timers.give_id(self.id);
        self.vm.vm.discharge(TIMER_BYTES);
    }

    /// Until its time, or until the VM is retired: then true.
    async fn wait(&self) -> bool {
        let timers = &self.vm.timers;
        let retired = timers.wake.notified();
        if self.delay.is_zero() {
            tokio::task::yield_now().await;
            return false;
        }
        if timers.are_retired() {
            return true;
        }
        tokio::select! {
            () = retired => true,
            () = tokio::time::sleep(self.delay) => false,
        }
    }

    async fn fire(&self, mode: Mode) {
        let timers = &self.vm.timers;
        let max = self.worker.snapshot(|s| s.settings.lua.max_running_timers);
        if timers.running() >= max {
            let ex = self.exchange();
            let text = format!(
                "lua failed to run timer with function defined at {}: {max} lua_max_running_timers are not enough",
                self.place
            );
            host::alert(&ex, &text);
            if !self.every || mode == Mode::Premature {
                self.forget();
            }
            return;
        }
        timers.running.set(timers.running() + 1);
        let mut ex = self.exchange();
        if let Err(error) = self.run(&mut ex, mode).await {
            host::error(&ex, &format!("lua entry thread aborted: runtime error: {error}"));
            if let Some(used) = &self.used {
                ex.worker.shared.failures.note_of(used, Phase::Timer.name(), &error);
                ex.worker.vms.note_failure(&self.worker, &self.vm, &used.plugin, &error, crate::clock::now());
            }
        }
        timers.running.set(timers.running().saturating_sub(1));
    }

    /// An exchange without a request, as OpenResty's "fake request".
    fn exchange(&self) -> Box<Exchange> {
        let mut ex = Exchange::fake(self.worker.clone());
        ex.req.client = self.client;
        ex.lua.phase = Some(Phase::Timer);
        ex.lua.running = self.used.clone();
        let session = self.vm.vm.session();
        if let Some(used) = &self.used {
            session.limit_resume(self.vm.cpu_per_resume(used));
        }
        ex.lua.sessions.push(RequestVm::new(self.vm.clone(), session));
        ex
    }

    async fn run(&self, ex: &mut Exchange, mode: Mode) -> Result<(), ScriptError> {
        let Some(session) = ex.lua.sessions.last().map(|s| s.session.clone()) else { return Ok(()) };
        let args = [Arg::Int(self.id.into()), Arg::Int(mode as i64)];
        let mut thread = session.thread(&self.vm.vm.timer_chunk(), &args)?;
        let none: [Value; 0] = [];
        loop {
            if let Err(error) = self.vm.bucket.turn(ex).await {
                return Err(ScriptError::runtime(error.to_string()));
            }
            let step = self.vm.timed(|| session.resume(&mut thread, ex, Phase::Timer, &none));
            super::charge::settle(ex);
            match step {
                Step::Done => return Ok(()),
                Step::Error(error) => return Err(error),
                Step::Yield if ex.lua.exit.is_some() => return Ok(()),
                Step::Yield => match ex.lua.op.take() {
                    Some(Op::Sleep(duration)) => self.wait_for(tokio::time::sleep(duration)).await?,
                    // Nothing else waits in a timer; a yield at the top lets others run.
                    _ => self.wait_for(tokio::task::yield_now()).await?,
                },
            }
        }
    }

    /// Until it is done; an error when the VM was replaced long ago.
    async fn wait_for(&self, what: impl Future<Output = ()>) -> Result<(), ScriptError> {
        tokio::select! {
            biased;
            () = self.vm.timers.over() => {
                Err(ScriptError::runtime(format!("it still ran {} s after its VM was replaced", RETIRED_FOR.as_secs())))
            }
            () = what => Ok(()),
        }
    }

    /// Takes the function out of the prelude's table.
    fn forget(&self) {
        let mut ex = self.exchange();
        let Some(session) = ex.lua.sessions.last().map(|s| s.session.clone()) else { return };
        let args = [Arg::Int(self.id.into()), Arg::Int(Mode::Drop as i64)];
        // It only clears a field; a VM that is out of memory loses it when it is closed.
        let _ = session.call(&mut ex, Phase::Timer, &self.vm.vm.timer_chunk(), &args);
    }
}
