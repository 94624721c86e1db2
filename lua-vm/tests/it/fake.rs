//! A host that notes what scripts do to it.
use lua_vm::{Arg, Chunk, Host, Limits, Outcome, Phase, ScriptError, Session, Step, Value, Vm, VmOptions};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// A request whose variables and headers are maps.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) vars: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) headers: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) response: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) status: i32,
    pub(crate) output: Vec<u8>,
    pub(crate) logged: Vec<String>,
    pub(crate) exited: Option<i32>,
    /// What a thread waits for.
    pub(crate) waiting: bool,
    /// Runs for each output on the session's VM, as a body filter would.
    pub(crate) body_filter: Option<Chunk<Fake>>,
    pub(crate) phase: Option<Phase>,
    /// Answer to the next output instead of `Ok`.
    pub(crate) answer: Option<Outcome>,
    /// Dropped at the next output.
    pub(crate) drops: Option<(Session<Fake>, lua_vm::Thread<Fake>)>,
    /// Panics in `var_get("panic")` and in an output of `panic`.
    pub(crate) panics: bool,
}

impl Host for Fake {
    fn var_get(&mut self, name: &[u8]) -> Option<&[u8]> {
        assert!(!(self.panics && name == b"panic"), "asked to panic");
        self.vars.get(name).map(Vec::as_slice)
    }
    fn var_set(&mut self, name: &[u8], value: Option<&[u8]>) -> Result<i32, &[u8]> {
        if name == b"fixed" {
            return Err(b"variable \"fixed\" not changeable");
        }
        match value {
            Some(value) => self.vars.insert(name.to_vec(), value.to_vec()),
            None => self.vars.remove(name),
        };
        Ok(0)
    }
    fn req_header(&mut self, name: &[u8]) -> Option<&[u8]> {
        self.headers.get(name).map(Vec::as_slice)
    }
    fn resp_header_get(&mut self, name: &[u8]) -> Option<&[u8]> {
        self.response.get(name).map(Vec::as_slice)
    }
    fn resp_header_set(&mut self, name: &[u8], value: Option<&[u8]>, add: bool) -> Result<i32, &[u8]> {
        match (value, add) {
            (Some(value), true) => self.response.entry(name.to_vec()).or_default().extend_from_slice(value),
            (Some(value), false) => _ = self.response.insert(name.to_vec(), value.to_vec()),
            (None, _) => _ = self.response.remove(name),
        }
        Ok(0)
    }
    fn status_get(&mut self) -> i32 {
        self.status
    }
    fn status_set(&mut self, code: i32) -> Result<i32, &[u8]> {
        self.status = code;
        Ok(0)
    }
    fn exit(&mut self, code: i32) -> Result<i32, &[u8]> {
        self.exited = Some(code);
        Ok(i32::from(self.phase == Some(Phase::HeaderFilter)))
    }
    fn sleep(&mut self, seconds: f64) -> Result<i32, &[u8]> {
        if seconds == 7.0 {
            return Err(b"no timers left");
        }
        self.waiting = seconds < 100.0;
        Ok(i32::from(self.waiting))
    }
    fn now(&mut self) -> f64 {
        1_700_000_000.125
    }
    fn time(&mut self) -> f64 {
        1_700_000_000.0
    }
    fn update_time(&mut self) {}
    fn log(&mut self, level: i32, message: &[u8]) {
        self.logged.push(format!("{level} {}", String::from_utf8_lossy(message)));
    }
    fn output(&mut self, session: &Session<Self>, data: &[u8]) -> Outcome {
        assert!(!(self.panics && data == b"panic"), "asked to panic");
        self.drops = None;
        if let Some(filter) = self.body_filter.clone()
            && let Err(error) = session.call(self, Phase::BodyFilter, &filter, &[Arg::Str(data)])
        {
            return Outcome::Fail(Cow::Owned(error.message));
        }
        self.output.extend_from_slice(data);
        let answer = self.answer.take().unwrap_or(Outcome::Ok);
        self.waiting |= answer == Outcome::Wait;
        answer
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        memory_bytes: 16 << 20,
        cpu_per_resume: Duration::from_millis(20),
        cpu_per_request: Duration::from_millis(100),
        regex_match_limit: 100_000,
        regex_cache_entries: 1024,
    }
}

pub(crate) fn options(trusted: bool) -> VmOptions {
    VmOptions {
        name: "test".into(),
        trusted,
        limits: limits(),
        modules: BTreeMap::new(),
        dicts: vec![],
        package_path: None,
        budget: None,
    }
}

pub(crate) fn vm(trusted: bool) -> Vm<Fake> {
    Vm::new(options(trusted)).expect("a VM")
}

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Done,
    Exit(i32),
    Error(String),
}

/// Runs a script as a content handler; whatever it waits for is there at once. Returns its end and how often it waited.
pub(crate) fn run(vm: &Vm<Fake>, host: &mut Fake, source: &str) -> (Ended, usize) {
    match vm.load("=content", source) {
        Ok(chunk) => run_chunk(&vm.session(), host, &chunk),
        Err(error) => (Ended::Error(error.to_string()), 0),
    }
}

pub(crate) fn run_chunk(session: &Session<Fake>, host: &mut Fake, chunk: &Chunk<Fake>) -> (Ended, usize) {
    let mut thread = match session.thread(chunk, &[]) {
        Ok(thread) => thread,
        Err(error) => return (Ended::Error(error.to_string()), 0),
    };
    let mut waits = 0;
    let mut values: &[Value] = &[];
    host.phase = Some(Phase::Content);
    loop {
        let step = session.resume(&mut thread, host, Phase::Content, values);
        values = &[Value::Int(1)];
        match step {
            Step::Done => return (Ended::Done, waits),
            Step::Error(error) => return (Ended::Error(error.to_string()), waits),
            Step::Yield if host.waiting => {
                host.waiting = false;
                waits += 1;
            }
            Step::Yield => return (Ended::Exit(host.exited.expect("waits or exits")), waits),
        }
    }
}

/// What a script says in a fresh VM.
pub(crate) fn says(trusted: bool, source: &str) -> String {
    let vm = vm(trusted);
    let mut host = Fake::default();
    let (end, _) = run(&vm, &mut host, source);
    let said = String::from_utf8_lossy(&host.output).into_owned();
    match end {
        Ended::Done => said,
        other => format!("{said}{other:?}"),
    }
}

/// An error's message.
pub(crate) fn message(result: Result<Option<i64>, ScriptError>) -> String {
    result.expect_err("an error").message
}
