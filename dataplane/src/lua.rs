//! Lua on the request path: the VMs of a worker, the phases of a request, and the `ngx.*` API.
//!
//! - [`vms`]: a worker's VMs: made, replaced, retired
//! - [`waits`]: code that cannot run yet, for its plugin's status
//! - [`phases`]: runs the scripts of a phase, in order, with OpenResty's semantics
//! - [`host`]: what scripts can ask of us: `lua_vm::Host` for [`crate::exchange::Exchange`], one file per `ngx.*` area
//! - [`vars`]: what `ngx.var` reads and writes
//! - [`network`]: where the Lua of a namespace may connect to
//! - [`timers`]: callbacks of `ngx.timer`
//! - [`charge`]: what of a request's memory its scripts pay for
//! - [`shdict`], [`encoding`]: shared dicts and pure functions behind the API

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lua_vm::Phase;

use crate::table::PluginUse;

pub mod charge;
pub mod encoding;
pub mod failures;
pub mod host;
pub mod network;
pub mod phases;
pub mod shdict;
pub mod timers;
pub mod vars;
pub mod vms;
pub mod waits;

/// What a suspended script waits for. The host method that starts it sets [`LuaState::op`]; the script yields; the
/// phase's driver awaits it and resumes the script with its results.
#[derive(Debug)]
pub enum Op {
    /// `ngx.sleep`. Resumes with nothing.
    Sleep(Duration),
    /// `ngx.req.read_body`. Resumes with nothing; `req.body.held` is set then. An error ends the request (413, 408, 499).
    ReadBody,
    /// `ngx.flush(true)`, or `say` above the high-water mark. Resumes with `1`, or `nil, err`.
    Flush,
}

/// What a script asked for by `ngx.exit`, `ngx.redirect` and the like, which yield and never return in yieldable
/// phases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `ngx.exit(code)`: `ngx.OK` (0), `ngx.ERROR` (-1), `ngx.DECLINED` (-5) or an HTTP status.
    Code(i32),
    /// `ngx.redirect(uri, status)`.
    Redirect(Vec<u8>, u16),
    /// `ngx.req.set_uri(uri, true)`
    Jump,
}

/// What the scripts of a request share with their host.
#[derive(Default)]
pub struct LuaState {
    /// Anything below was set: scripts ran, or variables were declared.
    pub used: bool,
    /// The VMs that this request has used, each with the request's session in it; kept to the request's end.
    pub sessions: Vec<vms::RequestVm>,
    /// Which of them the running script uses.
    pub at: usize,
    /// The phase that runs; none: no script runs.
    pub phase: Option<Phase>,
    /// The plugin whose script runs: scope of its dicts, its variables, names in the log.
    pub running: Option<Arc<PluginUse>>,
    /// What the script asked for, once it yielded.
    pub exit: Option<Exit>,
    /// What the script waits for, once it yielded.
    pub op: Option<Op>,
    /// `ngx.arg` of body_filter.
    pub arg: FilterArg,
    /// What scripts wrote to variables that plugins declare (`spec.variables`), whose initial values the plan has.
    /// None: cleared.
    pub vars: Vec<(String, Option<Vec<u8>>)>,
    /// The peer that a balancer script chose for the next try.
    pub peer: Option<SocketAddr>,
    /// Tries that a balancer script granted beyond the first (`set_more_tries`).
    pub more_tries: u32,
    /// Connect, send and read time-outs that a balancer script set for the next try (`set_timeouts`); none: the route's.
    pub timeouts: [Option<Duration>; 3],
    /// Where host methods build the values that they lend to Lua.
    pub scratch: Vec<u8>,
    /// What of the queue towards the client a script is charged.
    pub output: charge::Charge,
    /// What of `req.body.held` a script is charged.
    pub body: charge::Charge,
    /// What of `arg` a script is charged.
    pub arg_charge: charge::Charge,
    /// Output to an HTTP/1.0 client that waits for its end, so that its length can be said (`lua_http10_buffering`).
    pub buffered: Option<Vec<u8>>,
    /// The script called `ngx.eof()`.
    pub eof: bool,
    /// `ngx.exit(ngx.ERROR)` or 444: the connection closes without a response.
    pub abort: bool,
}

/// `ngx.arg` of body_filter: what the filter gets and leaves.
#[derive(Debug, Default)]
pub struct FilterArg {
    /// `ngx.arg[1]`
    pub data: Vec<u8>,
    /// `ngx.arg[2]`
    pub eof: bool,
    /// The script assigned `ngx.arg[1]`.
    pub changed: bool,
}
