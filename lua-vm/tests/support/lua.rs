//! Runs scripts in a VM whose host only keeps what they say.

use std::time::Duration;

use lua_vm::{Chunk, Host, Limits, Outcome, Phase, Session, Step, Value, Vm, VmOptions};

/// What scripts wrote.
#[derive(Default)]
pub(crate) struct Page {
    output: Vec<u8>,
}

impl Host for Page {
    fn var_get(&mut self, _: &[u8]) -> Option<&[u8]> {
        None
    }
    fn var_set(&mut self, _: &[u8], _: Option<&[u8]>) -> Result<i32, &[u8]> {
        Ok(0)
    }
    fn resp_header_get(&mut self, _: &[u8]) -> Option<&[u8]> {
        None
    }
    fn resp_header_set(&mut self, _: &[u8], _: Option<&[u8]>, _: bool) -> Result<i32, &[u8]> {
        Ok(0)
    }
    fn status_get(&mut self) -> i32 {
        200
    }
    fn status_set(&mut self, _: i32) -> Result<i32, &[u8]> {
        Ok(0)
    }
    fn exit(&mut self, _: i32) -> Result<i32, &[u8]> {
        Ok(0)
    }
    fn sleep(&mut self, _: f64) -> Result<i32, &[u8]> {
        Ok(1)
    }
    fn now(&mut self) -> f64 {
        0.0
    }
    fn time(&mut self) -> f64 {
        0.0
    }
    fn update_time(&mut self) {}
    fn log(&mut self, _: i32, _: &[u8]) {}
    fn output(&mut self, _: &Session<Self>, data: &[u8]) -> Outcome {
        self.output.extend_from_slice(data);
        Outcome::Ok
    }
}

/// A VM: trusted, or a namespace's with time enough for tests.
pub(crate) fn vm(trusted: bool) -> Vm<Page> {
    let limits = Limits {
        memory_bytes: 64 * 1024 * 1024,
        cpu_per_resume: Duration::from_secs(20),
        cpu_per_request: Duration::from_secs(60),
        regex_match_limit: 100_000,
        regex_cache_entries: 1024,
    };
    Vm::new(VmOptions { trusted, limits, ..VmOptions::default() }).expect("a VM")
}

/// What a script says, as text; sleeping resumes at once. Its error, when it fails.
pub(crate) fn run(vm: &Vm<Page>, script: &str) -> Result<String, String> {
    let chunk: Chunk<Page> = vm.load("=test", script).map_err(|error| error.message)?;
    let session = vm.session();
    let mut page = Page::default();
    let mut thread = session.thread(&chunk, &[]).map_err(|error| error.message)?;
    loop {
        match session.resume(&mut thread, &mut page, Phase::Content, &[] as &[Value]) {
            Step::Done => return Ok(String::from_utf8_lossy(&page.output).into_owned()),
            Step::Yield => {}
            Step::Error(error) => return Err(error.message),
        }
    }
}
