//! Child processes that end with their handle.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// A running program; ended when it is dropped.
pub struct Process {
    child: Child,
    /// What it has written to stderr goes here.
    pub log: PathBuf,
    /// What it has written to stdout goes here.
    pub output: PathBuf,
}

impl Process {
    /// Starts a program; its output goes to files in `directory`.
    pub fn start(command: &mut Command, directory: &Path, name: &str) -> Self {
        let (log, output) = (directory.join(format!("{name}.err")), directory.join(format!("{name}.out")));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&output).expect("the directory is ours"))
            .stderr(File::create(&log).expect("the directory is ours"))
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        Self { child, log, output }
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// What it wrote to stdout so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.is_ok_and(|s| s.success()), "cannot send {name}");
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        crate::until("the end of a process", || self.ended().ok_or_else(|| self.log()))
    }

    /// Resident memory, in bytes.
    pub fn rss(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).expect("the process runs");
        let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("statm has a second number");
        pages * 4096
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"))
}

/// Python with the libraries of `requirements.txt`, installed by `scripts/install-test-deps`.
pub fn python() -> Command {
    let python = crate::tidy::root().join(".cache/test-venv/bin/python");
    assert!(python.exists(), "run scripts/install-test-deps (or `make test`): {} is missing", python.display());
    Command::new(python)
}
