//! Every allocation of a request fails once, through the real host: the request may fail, the process and the VM may not.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use dataplane::listener;
use dataplane::lua::vms::ScopeVm;
use dataplane::table::Scope;
use dataplane::table::compile::Compiler;
use dataplane::worker::{Shared, Worker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::block::Block;
use super::client::{self, Response};
use super::{logs, table, upstream};

/// Where each function of the host is called in `sweep.t`.
const CALLED: &[(&str, &str)] = &[
    ("var_get", "ngx.var.uri"),
    ("var_set", "ngx.var.args = "),
    ("req_header", "ngx.var.http_host"),
    ("req_headers", "ngx.req.get_headers()"),
    ("req_header_set", "ngx.req.set_header"),
    ("req_method", "ngx.req.get_method()"),
    ("req_method_set", "ngx.req.set_method"),
    ("req_uri_set", "ngx.req.set_uri("),
    ("req_jump", ", true)\nend"),
    ("req_uri_args", "ngx.req.get_uri_args()"),
    ("req_args_set", "ngx.req.set_uri_args"),
    ("req_post_args", "ngx.req.get_post_args()"),
    ("req_raw_header", "ngx.req.raw_header()"),
    ("req_start_time", "ngx.req.start_time()"),
    ("req_http_version", "ngx.req.http_version()"),
    ("req_is_internal", "ngx.req.is_internal()"),
    ("body_read", "ngx.req.read_body()"),
    ("body_discard", "ngx.req.discard_body()"),
    ("body_data", "ngx.req.get_body_data()"),
    ("body_file", "ngx.req.get_body_file()"),
    ("body_set", "ngx.req.set_body_data"),
    ("body_set_file", "ngx.req.set_body_file"),
    ("body_init", "ngx.req.init_body"),
    ("body_append", "ngx.req.append_body"),
    ("body_finish", "ngx.req.finish_body"),
    ("resp_header_get", "ngx.header.x_up"),
    ("resp_header_all", "ngx.header.set_cookie"),
    ("resp_header_set", "ngx.header.content_length = nil"),
    ("resp_headers", "ngx.resp.get_headers()"),
    ("status_get", "ngx.status, "),
    ("status_set", "ngx.status = 202"),
    ("reason_set", "resp.set_status"),
    ("headers_sent", "ngx.headers_sent"),
    ("arg_data", "= ngx.arg[1]"),
    ("arg_eof", "ngx.arg[2]\n"),
    ("arg_set_data", "ngx.arg[1] = "),
    ("arg_set_eof", "ngx.arg[2] = true"),
    ("exit", "ngx.exit(403)"),
    ("redirect", "ngx.redirect("),
    ("sleep", "ngx.sleep("),
    ("timer_add", "ngx.timer.at"),
    ("timer_count", "ngx.timer.pending_count()"),
    ("now", "ngx.now()"),
    ("time", "ngx.time()"),
    ("monotonic", "monotonic_time()"),
    ("update_time", "ngx.update_time()"),
    ("time_text", "ngx.localtime()"),
    ("http_time", "ngx.http_time("),
    ("cookie_time", "ngx.cookie_time("),
    ("parse_http_time", "ngx.parse_http_time("),
    ("worker_id", "ngx.worker.id()"),
    ("worker_count", "ngx.worker.count()"),
    ("worker_pid", "ngx.worker.pid()"),
    ("worker_exiting", "ngx.worker.exiting()"),
    ("log_level", "get_sys_filter_level()"),
    ("escape_uri", "ngx.escape_uri("),
    ("unescape_uri", "ngx.unescape_uri("),
    ("decode_args", "ngx.decode_args("),
    ("encode_base64", "ngx.encode_base64("),
    ("decode_base64", "ngx.decode_base64("),
    ("md5", "ngx.md5("),
    ("sha1", "ngx.sha1_bin("),
    ("hmac_sha1", "ngx.hmac_sha1("),
    ("crc32", "ngx.crc32_short("),
    ("quote_sql", "ngx.quote_sql_str("),
    ("dict_open", "ngx.shared.dogs"),
    ("dict_get", "dict:get("),
    ("dict_store", "dict:set("),
    ("dict_delete", "dict:delete("),
    ("dict_incr", "dict:incr("),
    ("dict_push", "dict:rpush("),
    ("dict_pop", "dict:lpop("),
    ("dict_llen", "dict:llen("),
    ("dict_ttl", "dict:ttl("),
    ("dict_expire", "dict:expire("),
    ("dict_flush_all", "dict:flush_all("),
    ("dict_flush_expired", "dict:flush_expired("),
    ("dict_keys", "dict:get_keys("),
    ("dict_space", "dict:free_space("),
    ("balancer_peer", "balancer.set_current_peer("),
    ("balancer_more_tries", "balancer.set_more_tries("),
    ("balancer_last_failure", "balancer.get_last_failure("),
    ("balancer_timeouts", "balancer.set_timeouts("),
    ("log", "ngx.log("),
    ("output", "ngx.say("),
    ("send_headers", "ngx.send_headers"),
    ("flush", "ngx.flush(true)"),
    ("eof", "ngx.eof()"),
];

/// A worker on this thread, whose VM a test can reach.
struct Bed {
    worker: Rc<Worker>,
    address: SocketAddr,
    scope: Scope,
}

impl Bed {
    async fn new(blocks: &[Block], scope: Scope) -> Self {
        let shared = Arc::new(Shared::new(1));
        let problems = Compiler::new(shared.clone()).apply(&table::commit(blocks, upstream::start()));
        assert!(problems.is_empty(), "{problems:?}");
        let worker = Worker::new(0, shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("an address");
        tokio::task::spawn_local(listener::accept(worker.clone(), listener, None));
        Self { worker, address, scope }
    }

    fn vm(&self) -> Rc<ScopeVm> {
        self.worker.vms.get(&self.worker, &self.scope).expect("a VM")
    }

    async fn request(&self, block: &Block) -> Response {
        let (bytes, method) = client::bytes_of(block);
        let mut stream = tokio::net::TcpStream::connect(self.address).await.expect("connect");
        stream.write_all(&bytes).await.expect("write");
        let mut raw = Vec::new();
        // An error here (a reset) is a response that is not whole.
        let _ = stream.read_to_end(&mut raw).await;
        client::parse(&raw, &method)
    }

    /// Fails one allocation after the other until requests meet none that fails; in the one VM, or each in the first
    /// request of another, which loads scripts, modules and tables.
    async fn sweep(&self, block: &Block, is_fresh: bool) {
        let whole = self.request(block).await;
        assert!(whole.whole && whole.status < 500, "{}: {}", block.name, whole.show());
        let (mut n, mut unharmed) = (0, 0);
        // Making a VM for each takes its time.
        let step = if is_fresh && std::env::var_os("MOONGATE_SLOW").is_none() { 5 } else { 1 };
        // Traces are compiled meanwhile, which changes what is allocated: several in a row meet no failure at the end.
        while unharmed < 3 {
            n += step;
            if is_fresh {
                self.worker.vms.close();
            }
            let vm = self.vm();
            logs::clear();
            vm.vm.fail_allocation(n);
            let response = self.request(block).await;
            self.timers_end(&vm).await;
            let is_met = !vm.vm.fail_allocation(0);
            unharmed = if is_met { 0 } else { unharmed + 1 };
            assert!(is_met || response.status == whole.status, "{}: {}", block.name, response.show());
            let again = self.request(block).await;
            assert_eq!(
                again.status,
                whole.status,
                "{}, after allocation {n}: {}{}",
                block.name,
                again.show(),
                logs::all()
            );
            assert!(again.whole, "{}, after allocation {n}", block.name);
            assert!(Rc::ptr_eq(&vm, &self.vm()), "the VM goes on");
        }
        assert!(n > 5, "{}: only {n} allocations", block.name);
    }

    /// Until no callback runs that a request has started.
    async fn timers_end(&self, vm: &ScopeVm) {
        while vm.timers.running() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn run(operator: bool) {
    logs::start();
    let text = include_str!("sweep.t");
    let text =
        if operator { text.replace("\n=== ", "\n--- operator\n=== ") + "--- operator\n" } else { text.to_owned() };
    let blocks = Block::parse_all("sweep.t", &text);
    let scope = if operator { Scope::Operator } else { Scope::Namespace("t".into()) };
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(tokio::runtime::LocalOptions::default()).expect("a runtime");
    runtime.block_on(async {
        let bed = Bed::new(&blocks, scope).await;
        for block in &blocks {
            bed.sweep(block, false).await;
            bed.sweep(block, true).await;
        }
        bed.worker.vms.close();
    });
}

pub(crate) fn every_function_is_called() {
    let text = include_str!("sweep.t");
    let named: Vec<&str> = CALLED.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, lua_vm::host_methods(), "what the host offers is called in sweep.t");
    for (name, call) in CALLED {
        assert!(text.contains(call), "{name}: {call}");
    }
}
