//! Kills at random moments, many in one VM, which must stay sound. `LUA_VM_SOAK=3000 cargo test soak` for a long one.
use crate::fake::{Ended, Fake, run, vm};
use crate::limits::{LOOPS, SOUND};
use lua_vm::{ErrorKind, Phase, Step};
use std::time::Duration;

#[test]
fn soak() {
    let rounds: usize = std::env::var("LUA_VM_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    for trusted in [true, false] {
        let t = vm(trusted);
        let chunks: Vec<_> = LOOPS.iter().map(|(name, source)| (*name, t.load("=content", source).unwrap())).collect();
        let sound = t.load("=content", SOUND).unwrap();
        for i in 0..rounds {
            let (name, chunk) = &chunks[(i * 7919) % chunks.len()];
            let session = t.session();
            // At the first tick at which the run was there before.
            session.limit_resume(Duration::from_micros(1));
            let mut host = Fake::default();
            let mut thread = session.thread(chunk, &[]).unwrap();
            match session.resume(&mut thread, &mut host, Phase::Content, &[]) {
                Step::Error(error) => assert_eq!(error.kind, ErrorKind::Cpu, "{name} in round {i}: {error}"),
                other => panic!("{name} in round {i}: {other:?}"),
            }
            drop((thread, session));
            let (end, _) = crate::fake::run_chunk(&t.session(), &mut host, &sound);
            assert_eq!(end, Ended::Done, "after {name} in round {i}");
        }
        (0..10).for_each(|_| t.collect());
        assert!(t.memory_bytes() < 1 << 20, "{}", t.memory_bytes());
        assert_eq!(run(&t, &mut Fake::default(), SOUND).0, Ended::Done);
    }
}
