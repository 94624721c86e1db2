//! Responses as tests read them. Strict where it matters to a test: a wrong framing is an error, not a guess.

use super::find;

/// A response.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its header fields in their order, in their case.
    pub headers: Vec<(String, String)>,
    /// Its body, without transfer coding.
    pub body: Vec<u8>,
    /// Its trailer fields.
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// The values of a header, joined by `, `; empty when there is none.
    pub fn header(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
        values.collect::<Vec<_>>().join(", ")
    }

    /// Whether it has a header.
    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = self.text();
        let cut: String = body.chars().take(500).collect();
        write!(f, "{} {:?} {cut:?} ({} bytes) {:?}", self.status, self.headers, self.body.len(), self.trailers)
    }
}

/// The response at the start of `bytes` and its length; none while it is not complete. `ended`: no more bytes come.
pub fn response(bytes: &[u8], method: &str, ended: bool) -> Result<Option<(Response, usize)>, String> {
    let Some((mut response, head)) = head(bytes)? else { return Ok(None) };
    let body = &bytes[head..];
    let chunked = response.header("transfer-encoding").eq_ignore_ascii_case("chunked");
    let length = response.header("content-length");
    if chunked && !length.is_empty() {
        return Err("both Content-Length and Transfer-Encoding".into());
    }
    if method == "HEAD" || matches!(response.status, 100..=199 | 204 | 304) {
        return Ok(Some((response, head)));
    }
    if chunked {
        let Some((body, trailers, taken)) = chunks(body)? else { return Ok(None) };
        (response.body, response.trailers) = (body, trailers);
        return Ok(Some((response, head + taken)));
    }
    let length = match length.as_str() {
        "" if ended => body.len(),
        "" => return Ok(None),
        text => text.parse().map_err(|_| format!("Content-Length: {text}"))?,
    };
    if body.len() < length {
        return if ended { Err(format!("{} of {length} bytes came", body.len())) } else { Ok(None) };
    }
    response.body = body[..length].to_vec();
    Ok(Some((response, head + length)))
}

/// A response as `curl -i` prints it: the body goes on to the end.
pub fn printed(bytes: &[u8]) -> Result<(Response, usize), String> {
    let (mut response, head) = head(bytes)?.ok_or("no complete head")?;
    if response.status < 200 {
        return Ok((response, head));
    }
    response.body = bytes[head..].to_vec();
    Ok((response, bytes.len()))
}

fn head(bytes: &[u8]) -> Result<Option<(Response, usize)>, String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let mut words = status_line.splitn(3, ' ');
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|s| s.parse().ok());
    let Some(status) = status.filter(|_| version.starts_with("HTTP/")) else {
        return Err(format!("status line {status_line:?}"));
    };
    let headers = lines.map(field).collect::<Result<_, _>>()?;
    Ok(Some((Response { status, headers, body: Vec::new(), trailers: Vec::new() }, end + 4)))
}

fn field(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("field {line:?}"))?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

type Fields = Vec<(String, String)>;

fn chunks(mut bytes: &[u8]) -> Result<Option<(Vec<u8>, Fields, usize)>, String> {
    let whole = bytes.len();
    let mut body = Vec::new();
    loop {
        let Some(end) = find(bytes, b"\r\n") else { return Ok(None) };
        let size = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let size = usize::from_str_radix(&size, 16).map_err(|_| format!("chunk size {size:?}"))?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            break;
        }
        if bytes.len() < size + 2 {
            return Ok(None);
        }
        body.extend_from_slice(&bytes[..size]);
        if &bytes[size..size + 2] != b"\r\n" {
            return Err("no line end after a chunk".into());
        }
        bytes = &bytes[size + 2..];
    }
    let mut trailers = Vec::new();
    loop {
        let Some(end) = find(bytes, b"\r\n") else { return Ok(None) };
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 2..];
        if line.is_empty() {
            return Ok(Some((body, trailers, whole - bytes.len())));
        }
        trailers.push(field(&line)?);
    }
}

#[cfg(test)]
mod tests {
    use super::response;

    #[test]
    fn responses_end_where_their_framing_says() {
        let check = |bytes: &str, method: &str, ended: bool, expected: Result<Option<(&str, usize)>, ()>| {
            let got = response(bytes.as_bytes(), method, ended);
            let got = got.map(|r| r.map(|(r, n)| (r.text(), n))).map_err(drop);
            assert_eq!(got, expected.map(|r| r.map(|(b, n)| (b.to_owned(), n))), "{bytes:?}");
        };
        let ok = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}");
        check(&ok("Content-Length: 2\r\n\r\nabc"), "GET", false, Ok(Some(("ab", 40))));
        check(&ok("Content-Length: 5\r\n\r\nabc"), "GET", false, Ok(None));
        check(&ok("Content-Length: 5\r\n\r\nabc"), "GET", true, Err(()));
        check(&ok("Content-Length: 5\r\n\r\n"), "HEAD", false, Ok(Some(("", 38))));
        check(&ok("\r\nabc"), "GET", false, Ok(None));
        check(&ok("\r\nabc"), "GET", true, Ok(Some(("abc", 22))));
        check(
            &ok("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\nz"),
            "GET",
            false,
            Ok(Some(("ab", 65))),
        );
        check(&ok("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n"), "GET", false, Ok(None));
        check(&ok("Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n"), "GET", false, Err(()));
        check(&ok("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nab"), "GET", false, Err(()));
        check("SSH-2.0\r\n\r\n", "GET", false, Err(()));
    }
}
