//! What a controller cannot tell: a data plane keeps what it has of it.

use super::*;

/// A leader that cannot tell 0, 1 and 4, as one that started after their objects broke.
fn late_leader() -> State {
    let mut state = State::new(AT_ONCE);
    commit(&mut state, vec![stand_in(0, 7), keep(1), set(2, 0), stand_in(3, 7), keep(4)]);
    state.lead(2);
    state
}

#[test]
fn what_a_leader_cannot_tell_stays_where_it_is_held() {
    let mut old = leader(0..3);
    let mut plane = Plane::join(&mut old, "a");
    plane.drain(&mut old);
    let mut new = late_leader();
    let shows = |plane: &Plane| -> Vec<(Key, Value)> {
        plane.table.iter().map(|(key, (_, value))| (key.clone(), value.as_ref().clone())).collect()
    };
    for (sets, keeps) in [(2, 2), (0, 0)] {
        plane.leave(&mut old);
        plane.rejoin(&mut new);
        plane.drain(&mut new);
        assert_eq!((plane.sets, plane.keeps, plane.deletes), (sets, keeps, 0));
        assert_eq!(shows(&plane), [(host(0), value(0)), (host(1), value(0)), (host(2), value(0)), (host(3), value(7))]);
    }
    // What stands in may be another, and a value that is as what stood in is one.
    commit(&mut new, vec![stand_in(0, 8), stand_in(3, 8), stand_in(1, 8)]);
    plane.drain(&mut new);
    assert_eq!(shows(&plane), [(host(0), value(0)), (host(1), value(0)), (host(2), value(0)), (host(3), value(8))]);
    commit(&mut new, vec![set(0, 8), delete(1), set(3, 8)]);
    plane.drain(&mut new);
    assert_eq!(shows(&plane), [(host(0), value(8)), (host(2), value(0)), (host(3), value(8))]);
    commit(&mut new, vec![keep(3), stand_in(2, 9), delete(4)]);
    plane.drain(&mut new);
    assert_eq!(shows(&plane), [(host(0), value(8)), (host(2), value(0)), (host(3), value(8))], "they are good now");
    plane.is_equal(&new);
}

#[test]
fn a_data_plane_that_cannot_keep_has_what_stands_in() {
    let mut old = leader(0..3);
    let mut plane = Plane::join_with(&mut old, "a", Vec::new());
    plane.drain(&mut old);
    let mut new = late_leader();
    for (sets, deletes) in [(2, 1), (0, 0)] {
        plane.leave(&mut old);
        plane.rejoin(&mut new);
        plane.drain(&mut new);
        assert_eq!((plane.sets, plane.deletes), (sets, deletes));
        assert_eq!(plane.table.keys().collect::<Vec<_>>(), [&host(0), &host(2), &host(3)]);
    }
    assert_eq!(plane.table[&host(0)].1.as_ref(), &value(7));
}

#[test]
fn a_value_that_is_too_large_takes_nothing_away() {
    let huge = |n: u8| {
        let key = Key::Script(Hash::of_bytes(&[n]));
        Change::Set(key, Arc::new(Value::Script("x".repeat(wire::FRAME_MAX))))
    };
    let small = Change::Set(huge(1).key().clone(), Arc::new(Value::Script("return 1".into())));
    let publisher = Publisher::new(Options::default());
    let commit = |changes| publisher.commit(changes, &BTreeSet::new(), versions(0), versions(0));
    assert_eq!(commit(vec![small]).problems.len(), 0);
    let keys: Vec<Key> = commit(vec![huge(1), huge(2)]).problems.into_iter().map(|problem| problem.key).collect();
    assert_eq!(keys, [huge(1).key().clone(), huge(2).key().clone()]);
    let mut state = publisher.0.state();
    state.flush(Instant::now() + Duration::from_secs(1));
    let is_keep = |n| state.table().get(huge(n).key()).map(|(_, content)| content.is_keep);
    assert_eq!((is_keep(1), is_keep(2)), (Some(false), Some(true)));
}
