//! CPU limits: a thread that looks at the workers every few milliseconds and stops runs that are over their budget.
//!
//! A worker publishes its runs in a [`Slot`]: a stack of frames, since a run may nest others through the host (`say`
//! runs filters, perhaps in another VM). At each tick the watchdog reads the worker thread's CPU clock and charges what
//! was used since the last tick to the innermost frame, as a sampling profiler would; so a run pays a few stores, not a
//! system call. A frame over its budget is marked, and the worker gets a signal until it has acknowledged: the handler
//! arms a hook on the VM's own thread (`lua_sethook` from another thread would race with the interpreter), and the hook
//! raises out-of-memory, which runs no message handler, at every instruction until the host has control again.
//!
//! The thread sleeps while no VM runs.
use crate::ctx::Core;
use crate::limits;
use std::cell::Cell;
use std::ffi::c_int;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, compiler_fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// How often workers are looked at: a run may exceed its budget by this much and a little more.
const TICK: Duration = Duration::from_millis(5);

/// How often a worker that does not acknowledge is signalled: one signal can be lost in a dispatch update of LuaJIT.
const RETRY: Duration = Duration::from_millis(1);

/// Ticks without a run after which the thread sleeps until it is woken: short pauses of a busy worker cost no wake-up.
const IDLE_TICKS: u32 = 40;

/// Runs that nest on one worker. Filters make two or three.
pub(crate) const MAX_FRAMES: usize = 16;

/// Its default action is to be ignored, so that one that comes late does no harm.
const SIGNAL: c_int = libc::SIGURG;

/// The process's watchdog. Making a VM starts it; starting it early shows its failure early.
#[derive(Debug)]
pub struct Watchdog(());

impl Watchdog {
    /// Starts the thread, once per process, and installs the handler of `SIGURG`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> io::Result<Self> {
        global().map(|_| Self(()))
    }
}

/// One run on a worker's stack.
struct Frame {
    /// Unique on the worker.
    id: AtomicU64,
    /// The `id` that is to be stopped.
    kill: AtomicU64,
    /// CPU time that it may use, in nanoseconds.
    limit: AtomicU64,
    /// CPU time that the watchdog charged to it: see `pack`.
    charged: AtomicU64,
    core: AtomicPtr<Core>,
}

impl Frame {
    const fn new() -> Self {
        Self {
            id: AtomicU64::new(0),
            kill: AtomicU64::new(u64::MAX),
            limit: AtomicU64::new(u64::MAX),
            charged: AtomicU64::new(0),
            core: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    fn to_be_killed(&self) -> bool {
        self.kill.load(Ordering::Relaxed) == self.id.load(Ordering::Relaxed)
    }
}

/// Microseconds and the low bits of the id of the run that they are charged to, in one word: the worker may be at the
/// next run already when the watchdog writes.
fn pack(id: u64, nanos: u64) -> u64 {
    (id << 40) | (nanos / 1000).min((1 << 40) - 1)
}

/// What `pack` has for this id, in nanoseconds.
fn unpack(packed: u64, id: u64) -> u64 {
    if packed >> 40 == id & 0xff_ffff { (packed & ((1 << 40) - 1)) * 1000 } else { 0 }
}

/// What a worker thread publishes. Written by its thread; the watchdog writes `kill` and `charged`.
pub(crate) struct Slot {
    /// Frames in use; 0 while no VM runs.
    depth: AtomicU32,
    /// Runs begun so far.
    runs: AtomicU64,
    frames: [Frame; MAX_FRAMES],
    thread: libc::pid_t,
    clock: libc::clockid_t,
}

/// What the watchdog remembers of a slot between ticks.
struct Seen {
    slot: Arc<Slot>,
    runs: u64,
    cpu: u64,
    meters: [Meter; MAX_FRAMES],
}

/// CPU time charged to the run of one frame, in nanoseconds.
#[derive(Clone, Copy, Default)]
struct Meter {
    id: u64,
    /// Of ticks at both of whose ends the run was there.
    own: u64,
    /// Of the tick in which it began, which it shared: counts for the request, not for this run's own limit, so that no
    /// run is stopped before it has used its limit.
    shared: u64,
}

struct Global {
    slots: Mutex<Vec<Seen>>,
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
    /// Whether `membarrier` orders a worker's store before its look at `asleep`; else the thread never sleeps long.
    barrier: bool,
}

thread_local! {
    /// For the signal handler, which must not touch a thread-local with a destructor.
    static CURRENT: Cell<*const Slot> = const { Cell::new(std::ptr::null()) };
    static REGISTERED: Registered = const { Registered(Cell::new(None)) };
}

/// Takes the thread's slot off the list when the thread ends.
struct Registered(Cell<Option<Arc<Slot>>>);

impl Drop for Registered {
    fn drop(&mut self) {
        CURRENT.set(std::ptr::null());
        if let (Some(slot), Ok(global)) = (self.0.take(), global()) {
            lock(&global.slots).retain(|seen| !Arc::ptr_eq(&seen.slot, &slot));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic of another thread leaves the list as good as it was.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The slot of this thread, on the list of the watchdog's.
pub(crate) fn register() -> io::Result<Arc<Slot>> {
    let global = global()?;
    let existing = REGISTERED.with(|r| {
        let slot = r.0.take();
        r.0.set(slot.clone());
        slot
    });
    if let Some(slot) = existing {
        return Ok(slot);
    }
    let mut clock = 0;
    // SAFETY: `clock` is valid for writing and the thread is this one.
    let rc = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
    if rc != 0 {
        return Err(io::Error::from_raw_os_error(rc));
    }
    let slot = Arc::new(Slot {
        depth: AtomicU32::new(0),
        runs: AtomicU64::new(0),
        frames: [const { Frame::new() }; MAX_FRAMES],
        // SAFETY: no arguments.
        thread: unsafe { libc::gettid() },
        clock,
    });
    lock(&global.slots).push(Seen { slot: slot.clone(), runs: 0, cpu: 0, meters: Default::default() });
    REGISTERED.with(|r| r.0.set(Some(slot.clone())));
    CURRENT.set(Arc::as_ptr(&slot));
    Ok(slot)
}

impl Slot {
    /// Begins a run that may use `limit` of CPU time; false when too many nest.
    pub(crate) fn begin(&self, core: &Core, limit: Duration) -> bool {
        let depth = self.depth.load(Ordering::Relaxed) as usize;
        let Some(frame) = self.frames.get(depth) else { return false };
        let id = self.runs.load(Ordering::Relaxed) + 1;
        self.runs.store(id, Ordering::Relaxed);
        frame.id.store(id, Ordering::Relaxed);
        frame.limit.store(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        frame.core.store(std::ptr::from_ref(core).cast_mut(), Ordering::Relaxed);
        // The frame is whole before a signal handler or the watchdog can see it.
        self.depth.store(depth as u32 + 1, Ordering::Release);
        // The watchdog's `membarrier` makes this order hold between the threads.
        compiler_fence(Ordering::SeqCst);
        wake_if_asleep();
        true
    }

    /// Ends the innermost run; returns the CPU time that was charged to it.
    pub(crate) fn end(&self, core: &Core) -> Duration {
        let depth = self.depth.load(Ordering::Relaxed).saturating_sub(1);
        let frame = &self.frames[depth as usize];
        let used = unpack(frame.charged.load(Ordering::Relaxed), frame.id.load(Ordering::Relaxed));
        self.depth.store(depth, Ordering::Release);
        compiler_fence(Ordering::SeqCst);
        limits::disarm(core);
        // The run outside may have been marked meanwhile, when the handler could not arm its hook.
        self.arm_if_marked();
        Duration::from_nanos(used)
    }

    /// Is the innermost run to be stopped?
    pub(crate) fn killed(&self) -> bool {
        let depth = self.depth.load(Ordering::Relaxed) as usize;
        depth > 0 && self.frames[depth - 1].to_be_killed()
    }

    /// On the slot's own thread, also from the signal handler.
    fn arm_if_marked(&self) {
        let depth = self.depth.load(Ordering::Acquire) as usize;
        if depth > 0 && self.frames[depth - 1].to_be_killed() {
            let core = self.frames[depth - 1].core.load(Ordering::Relaxed);
            // SAFETY: the frame is in use, so its VM runs on this thread and lives.
            unsafe { limits::arm(&*core) };
        }
    }
}

extern "C" fn on_signal(_: c_int) {
    let slot = CURRENT.get();
    if !slot.is_null() {
        // SAFETY: the thread's own slot, which its `Registered` keeps as long as the pointer is set.
        unsafe { (*slot).arm_if_marked() };
    }
}

fn global() -> io::Result<&'static Global> {
    static GLOBAL: OnceLock<Result<Global, c_int>> = OnceLock::new();
    static STARTED: Mutex<bool> = Mutex::new(false);
    let global = GLOBAL.get_or_init(prepare).as_ref().map_err(|errno| io::Error::from_raw_os_error(*errno))?;
    let mut started = lock(&STARTED);
    if !*started {
        let builder = std::thread::Builder::new().name("lua-watchdog".into());
        let handle = builder.spawn(move || watch(global))?;
        _ = global.thread.set(handle.thread().clone());
        GLOBAL_REF.store(std::ptr::from_ref(global).cast_mut(), Ordering::Release);
        *started = true;
    }
    Ok(global)
}

/// `global()` without its checks, for the hot path.
static GLOBAL_REF: AtomicPtr<Global> = AtomicPtr::new(std::ptr::null_mut());

fn wake_if_asleep() {
    // SAFETY: points at a static once it is set, which it is before any slot exists.
    let Some(global) = (unsafe { GLOBAL_REF.load(Ordering::Relaxed).as_ref() }) else { return };
    if global.asleep.load(Ordering::Relaxed) && global.asleep.swap(false, Ordering::AcqRel) {
        global.thread.get().inspect(|thread| thread.unpark());
    }
}

fn prepare() -> Result<Global, c_int> {
    // SAFETY: the handler is async-signal-safe: it reads atomics and a constant-initialised thread-local, and calls
    // `lua_sethook` on a VM of its own thread, as LuaJIT's own command line does from its handler.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        if libc::sigaction(SIGNAL, &action, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL));
        }
    }
    let barrier = membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
    Ok(Global { slots: Mutex::default(), asleep: AtomicBool::new(false), thread: OnceLock::new(), barrier })
}

fn membarrier(command: c_int) -> bool {
    // SAFETY: takes two integers more, and no pointer.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

fn watch(global: &Global) {
    let mut idle = 0;
    loop {
        let (mut active, mut pending) = (false, false);
        for seen in lock(&global.slots).iter_mut() {
            let looked = look(seen, idle == 0);
            active |= looked.active;
            pending |= looked.pending;
        }
        idle = if active { 0 } else { idle + 1 };
        if idle > IDLE_TICKS {
            sleep_until_woken(global);
            idle = 1;
        }
        pause(if pending { RETRY } else { TICK });
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, whose whole work is to wait for the next tick")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn sleep_until_woken(global: &Global) {
    global.asleep.store(true, Ordering::SeqCst);
    let ordered = global.barrier && membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    let busy = lock(&global.slots).iter().any(|seen| seen.slot.depth.load(Ordering::SeqCst) > 0);
    if !busy {
        match ordered {
            true => std::thread::park(),
            // Without the barrier a wake-up can be missed: look again soon.
            false => std::thread::park_timeout(20 * TICK),
        }
    }
    global.asleep.store(false, Ordering::SeqCst);
}

struct Looked {
    active: bool,
    /// A kill that is not acknowledged yet.
    pending: bool,
}

/// One tick for one worker. `regular`: the last tick was one period ago, so the clock's difference says something.
fn look(seen: &mut Seen, regular: bool) -> Looked {
    let slot = &*seen.slot;
    let depth = (slot.depth.load(Ordering::Acquire) as usize).min(MAX_FRAMES);
    let runs = slot.runs.load(Ordering::Relaxed);
    let before = std::mem::replace(&mut seen.runs, runs);
    if depth == 0 && runs == before {
        return Looked { active: false, pending: false };
    }
    let Some(cpu) = cpu_time(slot.clock) else { return Looked { active: false, pending: false } };
    let delta = cpu.saturating_sub(std::mem::replace(&mut seen.cpu, cpu));
    let mut pending = false;
    for (i, (frame, meter)) in slot.frames.iter().zip(&mut seen.meters).enumerate().take(depth) {
        let id = frame.id.load(Ordering::Acquire);
        if meter.id != id {
            *meter = Meter { id, ..Meter::default() };
        }
        if i + 1 == depth && regular {
            if id <= before {
                meter.own += delta;
            } else {
                meter.shared += delta.min(TICK.as_nanos() as u64);
            }
            frame.charged.store(pack(id, meter.own + meter.shared), Ordering::Relaxed);
        }
        if meter.own >= frame.limit.load(Ordering::Relaxed) {
            // Of this id: should the run have ended meanwhile, it means nothing.
            frame.kill.store(id, Ordering::Release);
            pending = true;
        }
    }
    if pending {
        // SAFETY: a signal to a thread of this process; one that ended is an error, which does not matter.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), slot.thread, SIGNAL) };
    }
    Looked { active: true, pending }
}

fn cpu_time(clock: libc::clockid_t) -> Option<u64> {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is valid for writing.
    if unsafe { libc::clock_gettime(clock, &mut t) } != 0 {
        return None;
    }
    Some((t.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(t.tv_nsec as u64))
}
