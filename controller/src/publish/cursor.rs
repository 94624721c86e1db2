//! What a data plane still has to get: a place in the order of the table's changes, and, after it said what it holds,
//! one bit a key.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use routing::wire::{self, Known, PROBLEMS_MAX, Received, ToPlane};
use routing::{Hash, Key};

use super::table::{Content, Entry, Table};

/// Lines are sent in pieces of about this size: what a data plane that does not read can cost is a few of them.
pub(super) const PIECE: usize = 16 * 1024;

/// Entries looked at for one piece, so that the table's lock is short.
const ENTRIES_MAX: usize = 1024;

/// Keys held there and not here, beyond which the whole table is sent instead.
const STRAYS_MAX: usize = 1024;

/// A data plane's place.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// What changed up to here is sent.
    place: (u64, usize),
    resume: Option<Resume>,
    /// Held there, and not here.
    strays: Vec<Key>,
    /// What it does not get in this batch is gone.
    whole: bool,
    /// Keys that it cannot have, with the reason.
    pub(super) withheld: BTreeMap<Arc<Key>, String>,
}

/// Catching up from what a data plane holds.
#[derive(Debug, Default)]
struct Resume {
    /// By slot: it holds this key's value.
    held: Vec<u64>,
    /// The next slot to look at.
    slot: usize,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Piece {
    /// To be sent; more may follow.
    Lines(Vec<Bytes>),
    /// The data plane has everything: to be committed.
    End {
        /// It may have more than that.
        whole: bool,
    },
}

impl Cursor {
    /// A place from which everything is sent but what [`Self::holds`] then tells.
    pub(super) fn new(table: &Table) -> Self {
        let resume = Some(Resume::default());
        Self { place: (table.sequence(), usize::MAX), resume, ..Self::default() }
    }

    /// A data plane with these features holds this pair.
    pub(super) fn holds(&mut self, table: &Table, features: &[String], key: Known<Key>, hash: Hash) {
        let Known::Yes(key) = key else {
            // It is of a newer version, and cannot be named in a frame.
            self.whole = true;
            return;
        };
        match said(table, &key, features) {
            Some((slot, content)) if content.hash == hash && !is_conditional(table, &key) => {
                self.resume.get_or_insert_default().hold(slot);
            }
            Some(_) => {}
            None if self.strays.len() < STRAYS_MAX => self.strays.push(key),
            None => self.whole = true,
        }
    }

    /// Everything that it holds is told.
    pub(super) fn told(&mut self, table: &Table) {
        if self.whole {
            self.start_whole(table);
        }
    }

    /// Whether there is something to send.
    pub(super) fn is_behind(&self, table: &Table) -> bool {
        self.resume.is_some() || !self.strays.is_empty() || self.place.0 < table.sequence()
    }

    /// The next piece of a batch.
    pub(super) fn next(&mut self, table: &Table, features: &[String]) -> Piece {
        if self.place.0 < table.forgotten() {
            self.start_whole(table);
        }
        let mut piece = Lines::default();
        let done = self.resume(table, features, &mut piece) && self.follow(table, features, &mut piece);
        if done && piece.is_empty() {
            // What changed without a line is passed, too.
            self.place = (table.sequence(), usize::MAX);
            return Piece::End { whole: std::mem::take(&mut self.whole) };
        }
        Piece::Lines(piece.finish())
    }

    fn start_whole(&mut self, table: &Table) {
        *self = Self { whole: true, ..Self::new(table) };
    }

    /// What differs from what it holds. False: there may be more.
    fn resume(&mut self, table: &Table, features: &[String], piece: &mut Lines) -> bool {
        let upto = self.place.0;
        if let Some(mut resume) = self.resume.take() {
            for (n, (slot, entry)) in table.at_slot(resume.slot).enumerate() {
                if piece.is_full() || n == ENTRIES_MAX {
                    resume.slot = slot;
                    self.resume = Some(resume);
                    return false;
                }
                // What changed since comes by its change.
                let is_said = entry.content.as_ref().is_some_and(|content| content.is_for(features));
                if is_said && entry.sequence <= upto && !resume.is_held(slot) {
                    self.line(table, entry, features, piece);
                }
            }
        }
        while let Some(key) = self.strays.pop() {
            // It may be back since.
            if said(table, &key, features).is_none() {
                piece.push(delete(&key));
            }
            if piece.is_full() {
                return false;
            }
        }
        true
    }

    /// What changed since. False: there may be more.
    fn follow(&mut self, table: &Table, features: &[String], piece: &mut Lines) -> bool {
        let mut entries = table.after(self.place);
        for _ in 0..ENTRIES_MAX {
            if piece.is_full() {
                return false;
            }
            let Some((slot, entry)) = entries.next() else { return true };
            self.line(table, entry, features, piece);
            self.place = (entry.sequence, slot);
        }
        false
    }

    fn line(&mut self, table: &Table, entry: &Entry, features: &[String], piece: &mut Lines) {
        let Some(content) = entry.content.as_ref().filter(|content| content.is_for(features)) else {
            self.withheld.remove(&entry.key);
            piece.push(delete(&entry.key));
            return;
        };
        let Some(missing) = missing(table, &entry.key, &content.needs, features) else {
            self.withheld.remove(&entry.key);
            piece.push(content.line.clone());
            return;
        };
        let reason = format!("this data plane is too old: it does not have the feature {missing:?}; upgrade it");
        piece.push(instead(&entry.key, &content.line, &reason));
        if self.withheld.len() < PROBLEMS_MAX {
            self.withheld.insert(entry.key.clone(), reason);
        }
    }
}

/// A key's slot and what is said of it to a data plane with these features.
fn said<'a>(table: &'a Table, key: &Key, features: &[String]) -> Option<(usize, &'a Content)> {
    table.get(key).filter(|(_, content)| content.is_for(features))
}

/// Whether a key's value depends on the data plane: then what it holds may be a substitute.
fn is_conditional(table: &Table, key: &Key) -> bool {
    missing(table, key, table.get(key).map_or(&[], |(_, c)| &c.needs), &[]).is_some()
}

/// The first feature that a key needs, itself or by its host, and that is not there.
fn missing(table: &Table, key: &Key, needs: &[String], features: &[String]) -> Option<String> {
    let lacks = |needs: &[String]| needs.iter().find(|need| !features.contains(need)).cloned();
    lacks(needs).or_else(|| match key {
        Key::Route(route) => lacks(&table.get(&Key::Host(route.host.clone()))?.1.needs),
        _ => None,
    })
}

/// What is sent of a value that a data plane cannot have.
fn instead(key: &Key, line: &Bytes, reason: &str) -> Bytes {
    let (value, stand_in) = match wire::decode_to_plane(line.trim_ascii_end()) {
        Ok(Received::Frame(ToPlane::Set(set))) => (Some(set.value), set.stand_in),
        _ => (None, false),
    };
    match (key, wire::closed(key, value.as_deref(), reason)) {
        // Without settings nothing works: it uses what it knows of them.
        (Key::Settings | Key::Host(_), _) => line.clone(),
        (_, Some(closed)) => {
            let (_, line) = wire::encode_set(key, &closed, &[], stand_in).expect("a route that refuses is small");
            line.into()
        }
        (_, None) => delete(key),
    }
}

fn delete(key: &Key) -> Bytes {
    let frame = ToPlane::Delete { key: key.clone() };
    wire::encode(&frame).expect("a key is an object's name, which is short").into()
}

impl Resume {
    fn hold(&mut self, slot: usize) {
        if self.held.len() <= slot / 64 {
            self.held.resize(slot / 64 + 1, 0);
        }
        self.held[slot / 64] |= 1 << (slot % 64);
    }

    fn is_held(&self, slot: usize) -> bool {
        self.held.get(slot / 64).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }
}

/// Lines of one piece. A large one is not copied: all data planes share it.
#[derive(Default)]
struct Lines {
    done: Vec<Bytes>,
    small: BytesMut,
}

impl Lines {
    fn is_empty(&self) -> bool {
        self.done.is_empty() && self.small.is_empty()
    }

    fn is_full(&self) -> bool {
        !self.done.is_empty() || self.small.len() >= PIECE
    }

    fn push(&mut self, line: Bytes) {
        if line.len() < PIECE {
            return self.small.extend_from_slice(&line);
        }
        let before = self.small.split().freeze();
        self.done.extend([before, line].into_iter().filter(|bytes| !bytes.is_empty()));
    }

    fn finish(mut self) -> Vec<Bytes> {
        if !self.small.is_empty() {
            self.done.push(self.small.freeze());
        }
        self.done
    }
}
