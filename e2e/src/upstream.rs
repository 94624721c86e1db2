//! Servers behind Moongate.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::process::Process;
use crate::{DEADLINE, until};

/// A TCP server whose connections run a function each, in a thread of their own.
pub struct Upstream {
    /// Where it listens.
    pub port: u16,
    accepted: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Upstream {
    /// Serves each connection by `serve`.
    pub fn start(serve: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = listener.local_addr().expect("it is bound").port();
        let (accepted, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let upstream = Self { port, accepted: accepted.clone(), ended: ended.clone() };
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                accepted.fetch_add(1, Ordering::SeqCst);
                let serve = serve.clone();
                std::thread::spawn(move || serve(Connection::new(stream)));
            }
        });
        upstream
    }

    /// Answers each request with 200 and this body, connections kept alive.
    pub fn answering(body: &'static str) -> Self {
        Self::start(move |mut c| {
            while c.request().is_some() {
                c.answer(200, body);
            }
        })
    }

    /// Answers each request with its own head and body, as they arrived.
    pub fn echo() -> Self {
        Self::start(|mut c| {
            while let Some(request) = c.request() {
                c.answer(200, &format!("{}{}", request.head, String::from_utf8_lossy(&request.body)));
            }
        })
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts, which then ends and closes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// A request as it arrived.
#[derive(Debug, Default)]
pub struct Request {
    /// The request line and the fields with their line ends, the empty line included.
    pub head: String,
    /// The body without its transfer coding.
    pub body: Vec<u8>,
    /// The trailer section, line ends included; empty without one.
    pub trailers: String,
}

impl Request {
    /// A header's value; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.trim())
    }

    /// The method.
    pub fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    /// The target as it was sent.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

/// One connection of an upstream.
pub struct Connection {
    /// Both directions; reads may have been buffered in `reader`.
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(6 * DEADLINE)).expect("a positive time");
        let reader = BufReader::new(stream.try_clone().expect("a descriptor"));
        Self { stream, reader }
    }

    /// The next request's head; none at the connection's end.
    pub fn head(&mut self) -> Option<Request> {
        let mut head = String::new();
        loop {
            let start = head.len();
            if self.reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
            if &head[start..] == "\r\n" {
                return Some(Request { head, ..Request::default() });
            }
        }
    }

    /// Reads the body that a head announces.
    pub fn body(&mut self, request: &mut Request) -> Option<()> {
        if request.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
            loop {
                let size = usize::from_str_radix(self.line()?.trim(), 16).ok()?;
                if size == 0 {
                    break;
                }
                let start = request.body.len();
                request.body.resize(start + size, 0);
                self.reader.read_exact(&mut request.body[start..]).ok()?;
                self.line()?;
            }
            loop {
                let line = self.line()?;
                if line == "\r\n" {
                    return Some(());
                }
                request.trailers += &line;
            }
        }
        let length = request.header("content-length").parse().unwrap_or(0);
        request.body.resize(length, 0);
        self.reader.read_exact(&mut request.body).ok()
    }

    /// The next request with its body.
    pub fn request(&mut self) -> Option<Request> {
        let mut request = self.head()?;
        self.body(&mut request)?;
        Some(request)
    }

    /// The next bytes, whatever they are; none at the end.
    pub fn bytes(&mut self) -> Option<Vec<u8>> {
        let bytes = self.reader.fill_buf().ok()?.to_vec();
        self.reader.consume(bytes.len());
        (!bytes.is_empty()).then_some(bytes)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        (self.reader.read_line(&mut line).ok()? > 0).then_some(line)
    }

    /// Sends bytes; whether the other side still took them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends a response with a length.
    pub fn answer(&mut self, status: u16, body: &str) -> bool {
        self.send(format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }
}

/// A free loopback port, for a server that cannot be told to choose one.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    listener.local_addr().expect("it is bound").port()
}

/// Waits until something listens.
pub fn await_port(port: u16, process: &mut Process) {
    until("a listening port", || {
        assert!(process.ended().is_none(), "it ended:\n{}", process.log());
        TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|e| e.to_string())
    });
}

/// nginx with these lines in its `server` block.
pub fn nginx(directory: &Path, server: &str) -> (Process, u16) {
    let port = free_port();
    let home = directory.join(format!("nginx-{port}"));
    std::fs::create_dir(&home).expect("the directory is ours");
    let at = home.display();
    let temporary: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|t| format!("{t}_temp_path {at}/{t};")).join(" ");
    let config = format!(
        "daemon off; master_process off; pid {at}/pid; error_log stderr;
         events {{ worker_connections 4096; }}
         http {{ access_log off; keepalive_requests 1000000; {temporary}
           server {{ listen 127.0.0.1:{port} backlog=4096; {server} }} }}"
    );
    let file = home.join("nginx.conf");
    std::fs::write(&file, config).expect("the directory is ours");
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("nginx");
    command.env("PATH", path).args(["-e", "stderr", "-p"]).arg(&home).arg("-c").arg(&file);
    let mut process = Process::start(&mut command, &home, "nginx");
    await_port(port, &mut process);
    (process, port)
}

/// A Python program of `e2e/python/`, which is given a free port as its first argument.
pub fn python(directory: &Path, program: &str, arguments: &[&str]) -> (Process, u16) {
    let port = free_port();
    let mut command = crate::process::python();
    command.arg(crate::tidy::root().join("e2e/python").join(program)).arg(port.to_string()).args(arguments);
    let mut process = Process::start(&mut command, directory, &format!("{program}-{port}"));
    await_port(port, &mut process);
    (process, port)
}
