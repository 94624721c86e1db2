//! Spare exchanges of a worker: their buffers keep their capacity.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Conn, Exchange, Out, Request, RequestBody, Response};
use crate::lua::LuaState;
use crate::worker::Worker;

/// Exchanges kept for reuse; more are freed.
const KEPT_MAX: usize = 256;

/// A buffer that grew beyond this is not kept.
const CAPACITY_MAX: usize = 64 * 1024;

/// A worker's spare exchanges.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "the boxes are what is handed out: an exchange is too large to be moved")]
pub struct Exchanges(RefCell<Vec<Box<Exchange>>>);

impl Exchanges {
    /// A clean exchange for a request on a connection.
    pub fn take(&self, worker: &Rc<Worker>, conn: &Rc<Conn>) -> Box<Exchange> {
        match self.0.borrow_mut().pop() {
            Some(mut ex) => {
                ex.conn = conn.clone();
                ex.req.client = conn.peer;
                ex.req.scheme = if conn.tls.is_some() { "https" } else { "http" };
                ex.started = worker.now();
                ex
            }
            None => Exchange::new(worker.clone(), conn.clone()),
        }
    }

    /// Takes an exchange back whose request is over.
    pub fn give(&self, mut ex: Box<Exchange>) {
        let mut pool = self.0.borrow_mut();
        let fits = matches!(&ex.out, Out::H1(out) if out.bytes.capacity() <= CAPACITY_MAX);
        if pool.len() < KEPT_MAX
            && fits
            && ex.req.raw_head.capacity() <= CAPACITY_MAX
            && ex.lua.scratch.capacity() <= CAPACITY_MAX
        {
            ex.clean();
            pool.push(ex);
        }
    }

    /// Frees all: each holds its worker.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

impl Exchange {
    /// As new, but for the capacity of its buffers.
    fn clean(&mut self) {
        self.req.clean();
        self.resp.clean();
        if let Out::H1(out) = &mut self.out {
            out.clear();
        }
        self.route = None;
        self.tries.clear();
        if self.lua.used {
            let scratch = std::mem::take(&mut self.lua.scratch);
            self.lua = LuaState { scratch, ..LuaState::default() };
        }
    }
}

impl Request {
    /// Field by field: moving the whole out and in again would copy a kilobyte for each request.
    fn clean(&mut self) {
        self.host.clear();
        self.matched.clear();
        self.path.clear();
        self.raw_head.clear();
        (self.normalised, self.path_changed, self.args_changed, self.http2) = (false, false, false, false);
        self.args = None;
        self.forwarded = None;
        self.id = None;
        self.head_bytes = 0;
        self.head_only = false;
        self.body = RequestBody::default();
        self.trailers = None;
    }
}

impl Response {
    fn clean(&mut self) {
        let headers = std::mem::take(&mut self.headers);
        *self = Self { headers, ..Self::default() };
        self.headers.clear();
    }
}
