//! A block of a `.t` file, and whether a response is what it says.

use super::client::Response;
use super::logs;

/// A block.
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// The host that routes to it.
    pub(crate) host: String,
    sections: Vec<(String, String)>,
}

impl Block {
    /// The blocks of a file: `=== name`, then `--- section` with lines, or `--- section: value`.
    pub(crate) fn parse_all(file: &str, text: &str) -> Vec<Self> {
        let mut blocks: Vec<Self> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(name) = line.strip_prefix("=== ") {
                let host = format!("{}-{}.test", file.trim_end_matches(".t").replace('_', "-"), blocks.len());
                blocks.push(Self { name: name.into(), line: number, host, sections: Vec::new() });
                continue;
            }
            let Some(block) = blocks.last_mut() else { continue };
            if let Some(section) = line.strip_prefix("--- ") {
                let (name, value) = section.split_once(':').unwrap_or((section, ""));
                let mut value = value.trim().to_owned();
                if !value.is_empty() {
                    value.push('\n');
                }
                block.sections.push((name.trim().into(), value));
            } else if let Some((_, text)) = block.sections.last_mut() {
                text.push_str(line);
                text.push('\n');
            } else {
                assert!(
                    line.trim().is_empty() || line.starts_with('#'),
                    "{file}:{number}: outside of a section: {line}"
                );
            }
        }
        for (name, text) in blocks.iter_mut().flat_map(|b| &mut b.sections) {
            // Blank lines before the next section belong to nothing.
            let end = text.trim_end_matches('\n').len();
            text.truncate(end);
            if end > 0 && !name.ends_with(" chomp") {
                text.push('\n');
            }
            *name = name.trim_end_matches(" chomp").into();
        }
        blocks
    }

    pub(crate) fn get(&self, section: &str) -> Option<&str> {
        self.sections.iter().find(|(name, _)| name == section).map(|(_, text)| text.as_str())
    }

    pub(crate) fn has(&self, section: &str) -> bool {
        self.get(section).is_some()
    }

    fn all<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a str> {
        self.sections.iter().filter(move |(name, _)| name == section).map(|(_, text)| text.as_str())
    }

    /// What of the response is not as it should be.
    pub(crate) fn compare(&self, response: &Response) -> Result<(), String> {
        let mut wrong = Vec::new();
        let status = self.get("status").map_or(200, |s| s.trim().parse().expect("a status"));
        if response.status != status {
            wrong.push(format!("status {} instead of {status}", response.status));
        }
        if let Some(body) = self.get("response_body")
            && response.text() != body
        {
            wrong.push(format!("body:\n{:?}\ninstead of\n{body:?}", response.text()));
        }
        for part in self.all("body_has").flat_map(str::lines) {
            if !response.text().contains(part) {
                wrong.push(format!("the body has no {part:?}"));
            }
        }
        for part in self.all("body_lacks").flat_map(str::lines) {
            if response.text().contains(part) {
                wrong.push(format!("the body has {part:?}"));
            }
        }
        for line in self.all("header").flat_map(str::lines) {
            let (name, value) = line.split_once(':').expect("Name: value");
            let values = response.header(name.trim());
            if !values.iter().any(|v| *v == value.trim()) {
                wrong.push(format!("header {name}: {values:?}, none is {:?}", value.trim()));
            }
        }
        for name in self.all("no_header").flat_map(str::lines) {
            if !response.header(name.trim()).is_empty() {
                wrong.push(format!("header {name} is there: {:?}", response.header(name.trim())));
            }
        }
        if self.has("cut") == response.whole {
            wrong.push(format!("the response is {}whole", if response.whole { "" } else { "not " }));
        }
        for text in self.all("error_log").flat_map(str::lines) {
            if !logs::wait_for(text) {
                wrong.push(format!("not logged: {text}"));
            }
        }
        for text in self.all("no_error_log").flat_map(str::lines) {
            if logs::has(text) {
                wrong.push(format!("logged: {text}"));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        wrong.push(format!("the response was:\n{}", response.show()));
        wrong.push(format!("the log was:\n{}", logs::all()));
        Err(wrong.join("\n"))
    }
}
