//! Reads the corpus files. Shared by the test and by the example that makes fuzz seeds of them.
#![allow(clippy::panic, reason = "test code, also where clippy does not see that it is")]

/// One case of a corpus file.
pub(crate) struct Case {
    pub(crate) name: String,
    /// The method that a response answers.
    pub(crate) asked: String,
    pub(crate) send: Vec<u8>,
    /// Our verdict.
    pub(crate) ours: String,
    /// What is recorded of others, and why our verdict is what it is.
    pub(crate) why: String,
    pub(crate) nginx: String,
    pub(crate) hyper: String,
}

/// The cases of a corpus file. Panics on a malformed one.
pub(crate) fn cases(text: &str) -> Vec<Case> {
    let mut texts: Vec<(String, String)> = Vec::new();
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "" | "#" | "##" => {}
            "let" => {
                let (name, value) = rest.split_once(" = ").expect("let NAME = TEXT");
                texts.push((format!("{{{name}}}"), value.into()));
            }
            "case" => cases.push(Case {
                name: rest.into(),
                asked: "GET".into(),
                send: Vec::new(),
                ours: String::new(),
                why: String::new(),
                nginx: String::new(),
                hyper: String::new(),
            }),
            _ => {
                let case = cases.last_mut().expect("a line before the first case");
                match key {
                    "asked" => case.asked = rest.into(),
                    "send" => {
                        let full = texts.iter().fold(rest.to_owned(), |text, (name, value)| text.replace(name, value));
                        case.send.extend_from_slice(&unescape(&full));
                    }
                    "ours" => case.ours = rest.into(),
                    "why" => case.why = rest.into(),
                    "nginx" => case.nginx = rest.into(),
                    "hyper" => case.hyper = rest.into(),
                    _ => panic!("unknown key in {line:?}"),
                }
            }
        }
    }
    cases
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chars = text.bytes();
    while let Some(byte) = chars.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match chars.next().expect("an escape") {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let mut digit = || (chars.next().expect("two digits") as char).to_digit(16).expect("a digit") as u8;
                digit() << 4 | digit()
            }
            other => panic!("unknown escape \\{}", other as char),
        });
    }
    bytes
}

/// The bytes as they stand in a corpus file.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            0 => text.push_str("\\0"),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(byte as char),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}
