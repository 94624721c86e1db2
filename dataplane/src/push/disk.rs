//! The table on disk, for a start without a controller: `set` frames between a line that says of what they are and one
//! that says that they are all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use routing::wire::{self, FRAME_MAX, Received, Set, ToPlane, decode_to_plane};
use routing::{Key, ObjectName, Value};
use serde::{Deserialize, Serialize};

use super::held::{Entry, Held};
use super::mount;

/// The format's version; another one is not read.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    /// Of Moongate: another one's hashes may be of other fields.
    version: String,
    applied: Option<(u64, u64)>,
    versions: BTreeMap<String, String>,
}

/// The last line.
#[derive(Serialize, Deserialize)]
struct Foot {
    /// How many lines there are between.
    keys: u64,
    /// Certificates that are not among them, since their keys would outlive the pod.
    #[serde(default)]
    left_out: BTreeSet<ObjectName>,
}

/// Why there is no table to start from.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it is of format {0}, this version reads format {FORMAT}")]
    Format(u32),
    #[error("it needs the feature {0:?}, which this version does not have")]
    Feature(String),
}

/// Where the table is kept.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) file: PathBuf,
    /// Moongate's.
    pub(super) version: String,
    /// Keep secrets also where the bytes outlive the pod.
    pub(super) persist_secrets: bool,
}

impl Store {
    /// The table of the last run; none: there is none.
    ///
    /// # Errors
    /// There is one, which cannot be used.
    pub(super) fn load(&self) -> Result<Option<Held>, LoadError> {
        match File::open(&self.file) {
            Ok(file) => read(BufReader::new(file), &self.version).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Replaces the file as one step. Only its owner can read it.
    ///
    /// # Errors
    /// It cannot be written; the earlier one stays.
    pub(super) fn save(&self, held: &Held) -> io::Result<()> {
        let directory = match self.file.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let with_secrets = self.persist_secrets || mount::is_in_memory(directory)?;
        // Made with mode 0600.
        let mut file = tempfile::Builder::new().prefix(".table-").tempfile_in(directory)?;
        write(BufWriter::new(file.as_file_mut()), held, &self.version, with_secrets)?;
        file.as_file().sync_all()?;
        file.persist(&self.file).map_err(|e| e.error)?;
        Ok(())
    }
}

/// Whether a value has a key or a password in it.
fn is_secret(value: &Value) -> bool {
    match value {
        Value::Certificate(_) => true,
        Value::Binding(binding) => !binding.secrets.is_empty(),
        _ => false,
    }
}

fn write(mut out: impl Write, held: &Held, version: &str, with_secrets: bool) -> io::Result<()> {
    let versions = held.versions.clone();
    let head = Head { format: FORMAT, version: version.to_owned(), applied: held.applied, versions };
    let mut line = |bytes: io::Result<Vec<u8>>| out.write_all(&bytes?);
    line(json_line(&head))?;
    let kept = held.kept.iter().map(|(hash, entry)| (Key::Script(*hash), entry));
    let all = held.table.iter().map(|(key, entry)| (key.clone(), entry)).chain(kept);
    // A table that came from there lacks them still.
    let (mut keys, mut left_out) = (0, held.left_out.clone());
    for (key, entry) in all {
        if !with_secrets && is_secret(&entry.value) {
            if let Key::Certificate(name) = key {
                left_out.insert(name);
            }
            continue;
        }
        let Entry { hash, needs, stand_in, value } = entry.clone();
        let set = Set { key, hash, needs, stand_in, value };
        line(wire::encode(&ToPlane::Set(set)).map_err(io::Error::other))?;
        keys += 1;
    }
    line(json_line(&Foot { keys, left_out }))?;
    out.flush()
}

fn json_line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

fn read(mut file: impl BufRead, version: &str) -> Result<Held, LoadError> {
    let damaged = |e: serde_json::Error| LoadError::Damaged(e.to_string());
    let head: Head = serde_json::from_slice(&next_line(&mut file)?).map_err(damaged)?;
    if head.format != FORMAT {
        return Err(LoadError::Format(head.format));
    }
    let mut held = Held { applied: head.applied, versions: head.versions, ..Held::default() };
    held.is_foreign = head.version != version;
    let mut keys = 0;
    loop {
        let line = next_line(&mut file)?;
        if let Ok(foot) = serde_json::from_slice::<Foot>(&line) {
            held.left_out = foot.left_out;
            return if foot.keys == keys { Ok(held) } else { Err(LoadError::Damaged("keys are missing".into())) };
        }
        keys += 1;
        match decode_to_plane(&line).map_err(|e| LoadError::Damaged(e.to_string()))? {
            Received::Frame(ToPlane::Set(set)) => take(set, &mut held)?,
            Received::Frame(_) => return Err(LoadError::Damaged("a line that is no value".into())),
            // A newer version's: the controller sends it again if it is still there.
            Received::Unknown(_) => {}
            Received::Unreadable { key, message, .. } => {
                let closed = wire::closed(&key, None, &message);
                held.unreadable.insert(key.clone(), message);
                if let Some(value) = closed {
                    let hash = routing::Hash::of_bytes(b"");
                    let entry = Entry { hash, needs: Vec::new(), stand_in: true, value: value.into() };
                    held.table.insert(key, entry);
                }
            }
        }
    }
}

fn take(set: Set, held: &mut Held) -> Result<(), LoadError> {
    if let Some(need) = set.missing() {
        return Err(LoadError::Feature(need.clone()));
    }
    held.table.insert(set.key.clone(), set.into());
    Ok(())
}

fn next_line(file: &mut impl BufRead) -> Result<Vec<u8>, LoadError> {
    let mut line = Vec::new();
    file.take(FRAME_MAX as u64).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ => Err(LoadError::Damaged("it is cut off".into())),
    }
}

#[cfg(test)]
mod tests;
