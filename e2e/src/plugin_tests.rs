//! `lua-plugins/*/tests.yaml`: what a plugin does, as data. `lua-plugins/README.md` describes the format.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A file of tests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Requests and what is expected of them.
    pub tests: Vec<Test>,
    /// Configs that the plugin's schema refuses.
    #[serde(default)]
    pub refused: Vec<Refused>,
}

/// One test: steps, or one step written without the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// What holds.
    pub name: String,
    /// Of the binding.
    pub config: Value,
    /// What the upstream answers.
    #[serde(default)]
    pub upstream: Answer,
    #[serde(default)]
    request: Option<Request>,
    #[serde(default = "one")]
    repeat: u32,
    #[serde(default)]
    expect: Option<Expect>,
    #[serde(default)]
    steps: Vec<Step>,
}

/// What the upstream answers.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: BTreeMap<String, Value>,
}

impl Default for Answer {
    fn default() -> Self {
        Self { status: 200, headers: BTreeMap::new() }
    }
}

/// A request, perhaps several times, and what is expected of the last one.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What is sent.
    pub request: Request,
    /// How often.
    #[serde(default = "one")]
    pub repeat: u32,
    /// What comes back, and what the upstream got.
    pub expect: Expect,
}

/// What is sent.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(default = "get")]
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    #[serde(default)]
    remote_addr: Option<String>,
}

/// What comes back, and what the upstream got.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    status: u16,
    headers: BTreeMap<String, Value>,
    no_headers: Vec<String>,
    present: Vec<String>,
    body: Option<String>,
    upstream_headers: BTreeMap<String, Value>,
    no_upstream_headers: Vec<String>,
    no_upstream: bool,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            status: 200,
            headers: BTreeMap::new(),
            no_headers: Vec::new(),
            present: Vec::new(),
            body: None,
            upstream_headers: BTreeMap::new(),
            no_upstream_headers: Vec::new(),
            no_upstream: false,
        }
    }
}

/// A config that is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Why.
    pub name: String,
    /// The config.
    pub config: Value,
    /// A part of the problem's line.
    pub message: String,
}

fn one() -> u32 {
    1
}

fn get() -> String {
    "GET".into()
}

impl Test {
    /// Its steps.
    pub fn steps(&self) -> Vec<Step> {
        match (&self.request, &self.expect) {
            (Some(request), Some(expect)) if self.steps.is_empty() => {
                vec![Step { request: request.clone(), repeat: self.repeat, expect: expect.clone() }]
            }
            (None, None) if !self.steps.is_empty() => self.steps.clone(),
            _ => panic!("{}: either request and expect, or steps", self.name),
        }
    }
}

impl Request {
    /// As it is sent. The proxy trusts us, so that X-Forwarded-For says who the client is.
    pub fn bytes(&self, host: &str) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.path);
        if let Some(client) = &self.remote_addr {
            text += &format!("X-Forwarded-For: {client}\r\n");
        }
        for (name, value) in &self.headers {
            values(value).iter().for_each(|value| text += &format!("{name}: {value}\r\n"));
        }
        text + "\r\n"
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }
}

impl Answer {
    /// As the upstream sends it.
    pub fn bytes(&self, method: &str) -> String {
        let body = if method == "HEAD" { "" } else { "upstream" };
        let mut text = format!("HTTP/1.1 {} Status\r\nContent-Length: 8\r\n", self.status);
        for (name, value) in &self.headers {
            values(value).iter().for_each(|value| text += &format!("{name}: {value}\r\n"));
        }
        format!("{text}\r\n{body}")
    }
}

impl Expect {
    /// What is otherwise than expected; `upstream` is the head that the upstream got.
    pub fn differences(&self, response: &crate::Response, upstream: Option<&str>) -> Vec<String> {
        let mut found = Vec::new();
        let mut say = |wrong: bool, what: String| found.extend(wrong.then_some(what));
        say(response.status != self.status, format!("status {}, expected {}", response.status, self.status));
        let sent = |name: &str| of(response.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())), name);
        for (name, value) in &self.headers {
            say(sent(name) != values(value), format!("{name}: {:?}, expected {:?}", sent(name), values(value)));
        }
        for name in &self.no_headers {
            say(!sent(name).is_empty(), format!("{name}: {:?}, expected none", sent(name)));
        }
        for name in &self.present {
            say(sent(name).is_empty(), format!("no {name}"));
        }
        if let Some(body) = &self.body {
            say(response.text() != *body, format!("body {:?}, expected {body:?}", response.text()));
        }
        say(self.no_upstream && upstream.is_some(), format!("the upstream was asked: {upstream:?}"));
        let head = upstream.unwrap_or_default();
        let got = |name: &str| of(head.lines().skip(1).filter_map(|line| line.split_once(": ")), name);
        for (name, value) in &self.upstream_headers {
            say(
                got(name) != values(value),
                format!("upstream's {name}: {:?}, expected {:?}", got(name), values(value)),
            );
        }
        for name in &self.no_upstream_headers {
            say(!got(name).is_empty(), format!("upstream's {name}: {:?}, expected none", got(name)));
        }
        found
    }
}

fn of<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>, name: &str) -> Vec<String> {
    fields.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).collect()
}

/// One value or a list of them.
fn values(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().flat_map(values).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::{Expect, File};
    use crate::Response;

    #[test]
    fn each_expectation_can_fail() {
        let response = Response {
            status: 200,
            headers: vec![("X-A".into(), "1".into())],
            body: b"body".to_vec(),
            trailers: Vec::new(),
        };
        let check = |expect: &str, differences: usize| {
            let expect: Expect = serde_saphyr::from_str(expect).unwrap();
            let found = expect.differences(&response, Some("GET / HTTP/1.1\r\nX-U: 1\r\n\r\n"));
            assert_eq!(found.len(), differences, "{found:?}");
        };
        check("{status: 200, headers: {x-a: '1'}, no_headers: [X-B], present: [X-A], body: body}", 0);
        check("{upstream_headers: {x-u: '1'}, no_upstream_headers: [X-V]}", 0);
        check("{status: 201}", 1);
        check("{headers: {X-A: '2', X-B: '1'}}", 2);
        check("{headers: {X-A: ['1', '2']}}", 1);
        check("{no_headers: [x-a], present: [X-B], body: other}", 3);
        check("{upstream_headers: {X-U: '2'}, no_upstream_headers: [x-u], no_upstream: true}", 3);
    }

    #[test]
    fn a_file_with_an_unknown_field_is_refused() {
        let read = |text: &str| serde_saphyr::from_str::<File>(text).is_ok();
        assert!(read("tests: [{name: a, config: {}, request: {path: /}, expect: {status: 200}}]"));
        assert!(!read("tests: [{name: a, config: {}, request: {path: /}, expect: {statsu: 200}}]"));
    }
}
