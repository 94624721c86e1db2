//! What of a request's body was read, and where it is.

use std::io::Write;

/// Bodies up to this size stay in memory (`client_body_buffer_size` of nginx on 64 bit); larger ones go to an
/// unlinked temporary file.
pub const MEMORY_MAX: usize = 16 * 1024;

/// A request's body as far as something read it whole.
#[derive(Debug, Default)]
pub struct RequestBody {
    /// `Content-Length`, when the client declared one; none when chunked or over HTTP/2 without a length.
    pub declared: Option<u64>,
    /// The request has a body (perhaps an empty one).
    pub present: bool,
    /// Every byte of it came in.
    pub complete: bool,
    /// Bytes that came in so far.
    pub received: u64,
    /// What `ngx.req.read_body` (or request buffering, or `set_body_data`) holds; none before.
    pub held: Option<Held>,
    /// `ngx.req.discard_body` was called: what comes in is dropped.
    pub discard: bool,
    /// Between `ngx.req.init_body` and `finish_body`: `held` is being put together.
    pub building: bool,
}

/// A body that is held whole.
#[derive(Debug)]
pub enum Held {
    /// In memory.
    Memory(Vec<u8>),
    /// In an unlinked file, with its length.
    File(std::fs::File, u64),
}

impl Held {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, len) => *len,
        }
    }

    /// Whether it has no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds bytes; beyond [`MEMORY_MAX`] they move to a file.
    ///
    /// # Errors
    /// The file could not be made or written.
    pub fn extend(&mut self, data: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Memory(bytes) if bytes.len() + data.len() <= MEMORY_MAX => bytes.extend_from_slice(data),
            Self::Memory(bytes) => {
                let mut file = tempfile::tempfile()?;
                file.write_all(bytes)?;
                file.write_all(data)?;
                *self = Self::File(file, (bytes.len() + data.len()) as u64);
            }
            Self::File(file, len) => {
                file.write_all(data)?;
                *len += data.len() as u64;
            }
        }
        Ok(())
    }
}
