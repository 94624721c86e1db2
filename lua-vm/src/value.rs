//! Values that cross between host and script.
use crate::{Handle, Host, ScriptError};

/// What the host gives back to a script that waited.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `nil`
    Nil,
    /// A boolean.
    Bool(bool),
    /// A whole number; Lua has doubles, so beyond 2^53 it is rounded.
    Int(i64),
    /// A number.
    Num(f64),
    /// A string of bytes.
    Str(Vec<u8>),
}

impl Value {
    /// Bytes that pushing this value may take.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Value::Str(s) => s.len(),
            _ => 0,
        }
    }
}

/// An argument of a chunk.
pub enum Arg<'a, H: Host> {
    /// A table that `Vm::table` made.
    Handle(&'a Handle<H>),
    /// A whole number.
    Int(i64),
    /// A number.
    Num(f64),
    /// A boolean.
    Bool(bool),
    /// A string of bytes.
    Str(&'a [u8]),
    /// `nil`
    Nil,
}

/// What a chunk that ran to its end returned: its first result when that is a number.
pub type Returned = Option<i64>;

/// The phase a run belongs to; `ngx.get_phase()` gives its name.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Once per VM.
    Init = 0,
    /// Once per VM after `Init`.
    InitWorker,
    /// Before the route is chosen.
    ServerRewrite,
    /// Before access.
    Rewrite,
    /// May the client have this?
    Access,
    /// Answers instead of an upstream.
    Content,
    /// Chooses the upstream's peer.
    Balancer,
    /// Sees the response's head.
    HeaderFilter,
    /// Sees each piece of the response's body.
    BodyFilter,
    /// After the response.
    Log,
    /// A timer's callback.
    Timer,
}

impl Phase {
    /// Every phase in the order of its number.
    pub const ALL: [Phase; 11] = [
        Phase::Init,
        Phase::InitWorker,
        Phase::ServerRewrite,
        Phase::Rewrite,
        Phase::Access,
        Phase::Content,
        Phase::Balancer,
        Phase::HeaderFilter,
        Phase::BodyFilter,
        Phase::Log,
        Phase::Timer,
    ];

    /// The name that `ngx.get_phase()` gives.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Init => "init",
            Phase::InitWorker => "init_worker",
            Phase::ServerRewrite => "server_rewrite",
            Phase::Rewrite => "rewrite",
            Phase::Access => "access",
            Phase::Content => "content",
            Phase::Balancer => "balancer",
            Phase::HeaderFilter => "header_filter",
            Phase::BodyFilter => "body_filter",
            Phase::Log => "log",
            Phase::Timer => "timer",
        }
    }
}

/// How a resume ended.
#[derive(Debug)]
pub enum Step {
    /// The entry function returned.
    Done,
    /// The host has noted what the script waits for, or that the script exited. An exited thread is dropped, never resumed.
    Yield,
    /// The script failed or was stopped; the thread is dropped.
    Error(ScriptError),
}
