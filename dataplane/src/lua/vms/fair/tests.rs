use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UnixStream;

use super::{Bucket, Usage};
use crate::exchange::Exchange;
use crate::lua::vms::tests::run;
use crate::worker::{Shared, Worker};

/// What stands for some milliseconds of a script.
const EXPENSIVE: Duration = Duration::from_millis(10);

fn worker() -> Rc<Worker> {
    Worker::new(0, Arc::new(Shared::new(1)))
}

/// Runs of one namespace that come at once; the first sends to a socket that somebody waits for. In which order things
/// happen.
async fn order(share: u8, runs: usize) -> Vec<&'static str> {
    let (worker, bucket) = (worker(), Rc::new(Bucket::new(7, share)));
    let (sender, receiver) = UnixStream::pair().expect("sockets");
    let (sender, happened) = (Rc::new(sender), Rc::new(RefCell::new(Vec::new())));
    let storm = (0..runs).map(|_| {
        let (worker, bucket, sender, happened) = (worker.clone(), bucket.clone(), sender.clone(), happened.clone());
        tokio::task::spawn_local(async move {
            bucket.turn(&Exchange::fake(worker.clone())).await.expect("nobody else wants the worker");
            if happened.borrow().is_empty() {
                sender.try_write(b"x").expect("room for a byte");
            }
            happened.borrow_mut().push("run");
            bucket.spend(EXPENSIVE);
        })
    });
    let storm: Vec<_> = storm.collect();
    receiver.readable().await.expect("a byte comes");
    happened.borrow_mut().push("victim");
    for task in storm {
        task.await.expect("it ends");
    }
    happened.take()
}

#[test]
fn who_comes_by_a_socket_stands_behind_one_run() {
    run(async {
        for share in [1, 25, 100] {
            let order = order(share, 40).await;
            assert_eq!(order.len(), 41);
            let at = order.iter().position(|what| *what == "victim").expect("it came");
            assert!(at <= 2, "at {share} %: {order:?}");
        }
    });
}

#[test]
fn cheap_runs_stand_behind_nothing() {
    run(async {
        let (ex, bucket) = (Exchange::fake(worker()), Bucket::new(7, 25));
        let mut stood = 0;
        for _ in 0..1000 {
            let mut turn = std::pin::pin!(bucket.turn(&ex));
            let at_once = std::future::poll_fn(|cx| turn.as_mut().poll(cx).is_ready().into()).await;
            if !at_once {
                stood += 1;
                turn.await.expect("nobody else wants the worker");
            }
            bucket.spend(Duration::from_micros(20));
        }
        assert!(stood <= 10, "{stood} of 1000 runs, which took 20 ms");
    });
}

#[test]
fn a_namespace_over_its_share_is_refused_while_others_go_on() {
    run(async {
        let (worker, bucket) = (worker(), Rc::new(Bucket::new(7, 1)));
        bucket.spend(Duration::from_secs(10));
        let turns = [(); 3].map(|()| {
            let (worker, bucket) = (worker.clone(), bucket.clone());
            tokio::task::spawn_local(async move { bucket.turn(&Exchange::fake(worker.clone())).await })
        });
        let others = tokio::task::spawn_local({
            let worker = worker.clone();
            async move {
                loop {
                    worker.vms.usage.note(1);
                    worker.vms.usage.note(0);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        for turn in turns {
            turn.await.expect("it ends").expect_err("others want the worker");
        }
        others.abort();
        let _ = others.await;
        bucket.turn(&Exchange::fake(worker.clone())).await.expect("nobody else wants it any more");
        assert_eq!(bucket.debt(Instant::now()), None, "what nobody else wanted is not owed");
    });
}

#[test]
fn somebody_else_is_who_came_lately_and_is_not_oneself() {
    const STORM: u64 = 7;
    let (usage, start) = (Usage::default(), Instant::now());
    let at = |ms: u64| start + Duration::from_millis(ms);
    // Who is served when, and since when the storm has company then.
    let check = |ms: u64, user: u64, since: Option<u64>| {
        usage.note_at(user, at(ms));
        assert_eq!(usage.contended(STORM, at(ms)), since.map(at), "at {ms}");
    };
    check(0, STORM, None);
    check(1000, STORM, None);
    check(1010, 0, Some(1010));
    check(1020, STORM, Some(1010));
    check(1059, STORM, Some(1010));
    // The other was served 50 ms ago.
    check(1060, STORM, None);
    check(1100, 0, Some(1100));
    // The storm waits, and the other goes on alone.
    check(1140, 0, Some(1100));
    check(1180, 0, Some(1100));
    check(1220, STORM, Some(1220));
    check(1270, STORM, None);
    check(1400, 1, Some(1400));
    check(1500, 1, Some(1500));
}
