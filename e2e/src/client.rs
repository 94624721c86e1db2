//! Clients: raw sockets for what no library would send, curl for what people use.

pub mod parse;
pub mod stream;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::Command;

pub use parse::Response;
use stream::Stream;

use crate::certificates::Certificate;
use crate::{DEADLINE, process};

/// A connection on which any bytes may be sent.
pub struct Client {
    stream: Stream,
    /// Received and not yet taken.
    buffer: Vec<u8>,
}

impl Client {
    /// Connects; reads and writes fail after [`DEADLINE`].
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|e| panic!("{address}: {e}"))
    }

    /// Connects where nobody may listen.
    pub fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self { stream: Stream::connect(address)?, buffer: Vec::new() })
    }

    /// HTTP/1.1 over TLS, if the server has this certificate for the name.
    pub fn secure(address: SocketAddr, name: &str, certificate: &Certificate) -> std::io::Result<Self> {
        Ok(Self { stream: Stream::secure(address, name, "http/1.1", certificate)?, buffer: Vec::new() })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes.as_ref()).unwrap_or_else(|e| panic!("cannot send: {e}"));
        self
    }

    /// Sends bytes; the other side may have closed.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&mut self) -> &mut Self {
        self.stream.tcp().shutdown(Shutdown::Write).expect("the socket is connected");
        self
    }

    /// One GET on this connection, kept alive.
    pub fn get(&mut self, host: &str, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).response("GET")
    }

    /// The next response to a request of this method; 1xx ones are responses of their own here.
    pub fn response(&mut self, method: &str) -> Response {
        self.try_response(method).unwrap_or_else(|e| panic!("no response: {e}; received {:?}", self.text()))
    }

    /// The next response, or why there is none.
    pub fn try_response(&mut self, method: &str) -> Result<Response, String> {
        loop {
            let parsed = parse::response(&self.buffer, method, false)?;
            if let Some((response, length)) = parsed {
                self.buffer.drain(..length);
                return Ok(response);
            }
            if self.receive().map_err(|e| e.to_string())? == 0 {
                let ended = parse::response(&self.buffer, method, true)?;
                let (response, length) = ended.ok_or("the connection ended")?;
                self.buffer.drain(..length);
                return Ok(response);
            }
        }
    }

    /// Receives until `text` has come, and returns everything up to its end.
    pub fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = find(&self.buffer, text.as_bytes()) {
                let taken: Vec<u8> = self.buffer.drain(..at + text.len()).collect();
                return String::from_utf8_lossy(&taken).into_owned();
            }
            match self.receive() {
                Ok(n) if n > 0 => {}
                other => panic!("{text:?} did not come: {other:?}; received {:?}", self.text()),
            }
        }
    }

    /// Receives this many bytes and drops them; fewer only at the connection's end. Returns how many.
    pub fn take(&mut self, count: usize) -> usize {
        while self.buffer.len() < count && self.more() {}
        let taken = count.min(self.buffer.len());
        self.buffer.drain(..taken);
        taken
    }

    /// Receives to the connection's end, an error included, and returns what came.
    pub fn rest(&mut self) -> String {
        while self.more() {}
        let taken = self.text();
        self.buffer.clear();
        taken
    }

    /// Whether something has come that was not received yet.
    pub fn has_come(&mut self) -> bool {
        let tcp = self.stream.tcp();
        tcp.set_nonblocking(true).expect("a socket");
        let peeked = tcp.peek(&mut [0]);
        tcp.set_nonblocking(false).expect("a socket");
        !self.buffer.is_empty() || peeked.is_ok_and(|n| n > 0)
    }

    /// Whether the other side closes without sending anything more.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.more()
    }

    /// Receives; false at the connection's end, an error included. That nothing comes is neither.
    fn more(&mut self) -> bool {
        match self.receive() {
            Ok(n) => n > 0,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came within {DEADLINE:?}, and the connection is still there")
            }
            Err(_) => false,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    fn receive(&mut self) -> std::io::Result<usize> {
        let mut piece = [0; 16 * 1024];
        let n = self.stream.read(&mut piece)?;
        self.buffer.extend_from_slice(&piece[..n]);
        Ok(n)
    }
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// curl with these arguments and `--include`; fails where curl does.
pub fn curl(arguments: &[&str]) -> Response {
    let output = process::run(Command::new("curl").args(["-sS", "-i", "--max-time", "20"]).args(arguments));
    assert!(output.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let mut bytes = output.stdout.as_slice();
    loop {
        // What curl prints is decoded already, so a body goes on to the end of the output.
        let (response, length) = parse::printed(bytes).unwrap_or_else(|e| panic!("curl {arguments:?}: {e}"));
        if response.status >= 200 {
            return response;
        }
        bytes = &bytes[length..];
    }
}

/// `--resolve` for a host on a loopback port.
pub fn resolve(host: &str, address: SocketAddr) -> String {
    format!("{host}:{}:127.0.0.1", address.port())
}
