//! `moongate probe`: one request, until it is answered as it should be. The image has neither shell nor curl; `helm test`
//! and people within a cluster need a client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::cli::Probe;

/// A response head that is longer is not what anybody probes for.
const HEAD_MAX: u64 = 64 * 1024;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// For one try: connecting, sending, and each read.
const TRY: Duration = Duration::from_secs(5);

/// Asks until the status is the expected one; the last answer is the error.
pub(crate) fn run(probe: &Probe) -> anyhow::Result<ExitCode> {
    let url = Url::parse(&probe.url)?;
    let until = Instant::now() + Duration::from_secs(probe.timeout.into());
    loop {
        let error = match status(&url, probe.host.as_deref()) {
            Ok(status) if status == probe.status => {
                println!("{} answered {status}", probe.url);
                return Ok(ExitCode::SUCCESS);
            }
            Ok(status) => anyhow::anyhow!("{} answered {status}, not {}", probe.url, probe.status),
            Err(error) => error.context(format!("asking {}", probe.url)),
        };
        if Instant::now() + PAUSE >= until {
            return Err(error);
        }
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "this process has nothing else to do")]
fn pause() {
    std::thread::sleep(PAUSE);
}

#[derive(Debug, PartialEq, Eq)]
struct Url {
    authority: String,
    address: String,
    target: String,
}

impl Url {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let rest = text.strip_prefix("http://").context("the URL has to begin with http://")?;
        let (authority, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        ensure!(!authority.is_empty(), "the URL has no host");
        ensure!(!text.contains(|c: char| c.is_ascii_control() || c == ' '), "the URL has spaces or control characters");
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let target = if target.is_empty() { "/" } else { target };
        Ok(Self { authority: authority.to_owned(), address, target: target.to_owned() })
    }
}

/// The status of one request.
fn status(url: &Url, host: Option<&str>) -> anyhow::Result<u16> {
    let address =
        url.address.to_socket_addrs().context("resolving its host")?.next().context("its host has no address")?;
    let mut tcp = TcpStream::connect_timeout(&address, TRY).context("connecting")?;
    tcp.set_read_timeout(Some(TRY))?;
    tcp.set_write_timeout(Some(TRY))?;
    let host = host.unwrap_or(&url.authority);
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: moongate-probe\r\nConnection: close\r\n\r\n",
        url.target
    );
    tcp.write_all(head.as_bytes()).context("sending")?;
    let mut line = Vec::new();
    BufReader::new(tcp.take(HEAD_MAX)).read_until(b'\n', &mut line).context("reading the answer")?;
    let line = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line));
    match line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).map(|s| s.trim().parse()) {
        Some(Ok(status)) => Ok(status),
        _ => bail!("no HTTP: {line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::{Url, run};
    use crate::cli::Probe;

    #[test]
    fn urls_are_taken_apart() {
        let check = |text: &str, address: &str, target: &str| {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.address.as_str(), url.target.as_str()), (address, target), "{text}");
        };
        check("http://a", "a:80", "/");
        check("http://a:8080/b?c", "a:8080", "/b?c");
        check("http://[::1]:80/", "[::1]:80", "/");
        check("http://[::1]/", "[::1]:80", "/");
        for refused in ["https://a/", "a", "http://", "http:///x", "http://a/\r\nX: y", "http://a/ b"] {
            assert!(Url::parse(refused).is_err(), "{refused}");
        }
    }

    /// A server that answers each request with the next of these.
    fn server(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut tcp, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let length = tcp.read(&mut request).unwrap();
                assert!(String::from_utf8_lossy(&request[..length]).contains("\r\nHost: h\r\n"));
                tcp.write_all(answer.as_bytes()).unwrap();
            }
        });
        format!("http://{address}/")
    }

    fn probe(url: String, timeout: u16) -> anyhow::Result<std::process::ExitCode> {
        run(&Probe { url, host: Some("h".into()), status: 204, timeout })
    }

    #[test]
    fn it_asks_until_the_status_is_the_expected_one() {
        let url = server(&["HTTP/1.1 404 Not Found\r\n\r\n", "nonsense\r\n", "HTTP/1.1 204 No Content\r\n\r\n"]);
        probe(url, 60).unwrap();
    }

    #[test]
    fn the_last_answer_is_the_error() {
        let error = probe(server(&["HTTP/1.1 503 Service Unavailable\r\n\r\n"]), 0).unwrap_err();
        assert!(error.to_string().ends_with("answered 503, not 204"), "{error}");
        let error = probe(server(&["nonsense\r\n"]), 0).unwrap_err();
        assert!(format!("{error:#}").ends_with("no HTTP: \"nonsense\\r\""), "{error:#}");
    }
}
