//! A server for pods of the tests: says which pod answered, may be slow, and drains when it is asked to end.
//!
//! `/` answers the pod's name, `/echo` the request's head, `/slow/MS` after MS milliseconds; `/status/N` with a status.
//! With `LOG` it prints the first line of each request.
//! On SIGTERM it goes on for `LINGER_MS` (10000), each answer then closing its connection, and ends.
#![forbid(unsafe_code)]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A request's head; more is refused.
const HEAD_MAX: usize = 64 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let listener = TcpListener::bind(("0.0.0.0", variable("PORT", "8080").parse()?)).await?;
    let pod: &'static str = variable("POD_NAME", &variable("HOSTNAME", "backend")).leak();
    let log = std::env::var_os("LOG").is_some();
    let linger = Duration::from_millis(variable("LINGER_MS", "10000").parse()?);
    let (ending, ends) = watch::channel(false);
    let mut term = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            // Too many open files, and the like: the next one may go.
            let Ok((stream, _)) = listener.accept().await else { continue };
            tokio::spawn(serve(stream, pod, log, ends.clone()));
        }
    });
    term.recv().await;
    ending.send(true)?;
    tokio::time::sleep(linger).await;
    Ok(())
}

async fn serve(mut stream: TcpStream, pod: &str, log: bool, ending: watch::Receiver<bool>) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if buffer.len() > HEAD_MAX || stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end);
        if log {
            println!("{}", head.lines().next().unwrap_or_default());
        }
        let field = |name: &str| {
            head.lines().filter_map(|line| line.split_once(':')).find(|(n, _)| n.eq_ignore_ascii_case(name))
        };
        let length = field("content-length").and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0usize);
        while buffer.len() < length {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
        buffer.drain(..length);
        let (status, body) = answer(&head, pod).await;
        let close =
            *ending.borrow() || field("connection").is_some_and(|(_, v)| v.trim().eq_ignore_ascii_case("close"));
        let connection = if close { "close" } else { "keep-alive" };
        let response = format!(
            "HTTP/1.1 {status} OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nX-Pod: {pod}\r\nConnection: {connection}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(response.as_bytes()).await.ok()?;
        if close {
            return None;
        }
    }
}

async fn answer(head: &str, pod: &str) -> (u16, String) {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let number = |prefix: &str| path.split(prefix).nth(1).and_then(|rest| rest.parse::<u64>().ok());
    if let Some(milliseconds) = number("/slow/") {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
    if let Some(status) = number("/status/") {
        return (status.try_into().unwrap_or(500), format!("{pod}\n"));
    }
    match path.ends_with("/echo") {
        true => (200, head.to_owned()),
        false => (200, format!("{pod}\n")),
    }
}
