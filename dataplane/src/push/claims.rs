//! Whom to follow, of the controllers that claim to lead. Without I/O.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use routing::wire::Lead;

/// A stream.
pub(super) type Id = u64;

/// The claims of all streams.
#[derive(Debug)]
pub(super) struct Claims {
    claims: BTreeMap<Id, Lead>,
    followed: Option<Id>,
    /// The highest term that ended lately, and when: a lower one may be of a leader that does not know yet that it is
    /// none any more.
    ended: Option<(u64, Instant)>,
    refuse_lower: Duration,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Follow this one.
    Follow {
        /// It.
        id: Id,
        /// What it claims.
        lead: Lead,
        /// Who was followed before.
        instead_of: Option<Id>,
    },
    /// Nothing changes, unless this time comes.
    Stay(Option<Instant>),
}

/// Later and fresher claims are greater.
fn rank(lead: Lead) -> (u64, bool) {
    (lead.term, !lead.stale)
}

impl Claims {
    pub(super) fn new(refuse_lower: Duration) -> Self {
        Self { claims: BTreeMap::new(), followed: None, ended: None, refuse_lower }
    }

    /// A controller claims to lead.
    pub(super) fn claim(&mut self, id: Id, lead: Lead) {
        self.claims.insert(id, lead);
        // It begins anew: what it sent before is void, and it waits for an answer.
        if self.followed == Some(id) {
            self.followed = None;
        }
    }

    /// It leads no more, or is gone.
    pub(super) fn end(&mut self, id: Id, now: Instant) {
        if self.followed == Some(id) {
            self.followed = None;
        }
        let Some(lead) = self.claims.remove(&id).filter(|lead| !lead.stale) else { return };
        match self.ended {
            Some((term, at)) if term > lead.term && now < at + self.refuse_lower => {}
            _ => self.ended = Some((lead.term, now)),
        }
    }

    pub(super) fn is_followed(&self, id: Id) -> bool {
        self.followed == Some(id)
    }

    /// Who is followed.
    pub(super) fn followed(&self) -> Option<Id> {
        self.followed
    }

    /// Whom to follow now, given the term of the table that is there.
    pub(super) fn choose(&mut self, applied: Option<u64>, now: Instant) -> Choice {
        let may = |lead: &Lead| !lead.stale || applied.is_none_or(|applied| applied <= lead.term);
        let candidates = self.claims.iter().filter(|(_, lead)| may(lead));
        // Of equals the first: two that take turns would be worse.
        let Some((&id, &lead)) = candidates.max_by_key(|(id, lead)| (rank(**lead), std::cmp::Reverse(**id))) else {
            return Choice::Stay(None);
        };
        if let Some(followed) = self.followed
            && self.claims.get(&followed).is_some_and(|other| rank(*other) >= rank(lead))
        {
            return Choice::Stay(None);
        }
        if let Some((term, at)) = self.ended
            && term > lead.term
            && now < at + self.refuse_lower
        {
            return Choice::Stay(Some(at + self.refuse_lower));
        }
        Choice::Follow { id, lead, instead_of: self.followed.replace(id) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use routing::wire::Lead;

    use super::{Choice, Claims};

    fn lead(term: u64) -> Lead {
        Lead { term, stale: false }
    }

    fn stale(term: u64) -> Lead {
        Lead { term, stale: true }
    }

    fn follow(id: u64, lead: Lead, instead_of: Option<u64>) -> Choice {
        Choice::Follow { id, lead, instead_of }
    }

    #[test]
    fn the_highest_term_is_followed() {
        let now = Instant::now();
        let mut claims = Claims::new(Duration::from_secs(60));
        assert_eq!(claims.choose(None, now), Choice::Stay(None));
        claims.claim(1, lead(4));
        assert_eq!(claims.choose(None, now), follow(1, lead(4), None));
        assert_eq!(claims.choose(None, now), Choice::Stay(None), "told once");
        claims.claim(2, lead(3));
        assert_eq!(claims.choose(Some(4), now), Choice::Stay(None), "a lower one");
        claims.claim(3, lead(4));
        assert_eq!(claims.choose(Some(4), now), Choice::Stay(None), "an equal one");
        claims.claim(4, lead(5));
        assert_eq!(claims.choose(Some(4), now), follow(4, lead(5), Some(1)));
    }

    #[test]
    fn a_lower_term_is_refused_for_a_while_after_a_higher_one() {
        let start = Instant::now();
        let mut claims = Claims::new(Duration::from_secs(60));
        claims.claim(1, lead(7));
        claims.choose(None, start);
        claims.claim(2, lead(0));
        claims.end(1, start);
        let end = start + Duration::from_secs(60);
        assert_eq!(claims.choose(Some(7), start), Choice::Stay(Some(end)));
        assert_eq!(claims.choose(Some(7), end - Duration::from_millis(1)), Choice::Stay(Some(end)));
        assert_eq!(claims.choose(Some(7), end), follow(2, lead(0), None), "the Lease was deleted");
    }

    #[test]
    fn a_lower_terms_end_does_not_shorten_that() {
        let start = Instant::now();
        let mut claims = Claims::new(Duration::from_secs(60));
        claims.claim(1, lead(7));
        claims.end(1, start);
        claims.claim(2, lead(3));
        claims.end(2, start + Duration::from_secs(59));
        claims.claim(3, lead(5));
        let end = start + Duration::from_secs(60);
        assert_eq!(claims.choose(Some(7), start + Duration::from_secs(59)), Choice::Stay(Some(end)));
    }

    #[test]
    fn the_same_term_goes_on_at_once() {
        let now = Instant::now();
        let mut claims = Claims::new(Duration::from_secs(60));
        claims.claim(1, lead(7));
        claims.choose(None, now);
        claims.end(1, now);
        claims.claim(2, lead(7));
        assert_eq!(claims.choose(Some(7), now), follow(2, lead(7), None));
    }

    #[test]
    fn a_claim_that_is_made_again_is_answered_again() {
        let now = Instant::now();
        let mut claims = Claims::new(Duration::from_secs(60));
        claims.claim(1, lead(7));
        claims.choose(None, now);
        claims.claim(1, lead(8));
        assert_eq!(claims.choose(Some(7), now), follow(1, lead(8), None));
    }

    #[test]
    fn a_stale_claim_is_better_than_nothing_and_than_an_older_table_only() {
        let now = Instant::now();
        let check = |applied, followed| {
            let mut claims = Claims::new(Duration::from_secs(60));
            claims.claim(1, stale(4));
            let expected = if followed { follow(1, stale(4), None) } else { Choice::Stay(None) };
            assert_eq!(claims.choose(applied, now), expected, "{applied:?}");
        };
        check(None, true);
        check(Some(3), true);
        check(Some(4), true);
        check(Some(5), false);
        let mut claims = Claims::new(Duration::from_secs(60));
        claims.claim(1, stale(4));
        claims.choose(None, now);
        claims.claim(2, lead(4));
        assert_eq!(claims.choose(Some(4), now), follow(2, lead(4), Some(1)), "it leads again, by another name");
    }
}
