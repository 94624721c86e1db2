//! Writes the corpus as seeds for the fuzz targets: `seeds DIR` fills `DIR/TARGET/`.
use std::path::Path;

#[allow(dead_code, reason = "the corpus test uses all of it")]
#[path = "../tests/shared/reader.rs"]
mod reader;

fn main() -> std::io::Result<()> {
    let Some(dir) = std::env::args().nth(1) else { return Err(std::io::Error::other("usage: seeds DIR")) };
    let dir = Path::new(&dir);
    let requests = reader::cases(include_str!("../tests/corpus/requests.txt"));
    let responses = reader::cases(include_str!("../tests/corpus/responses.txt"));
    for (number, case) in requests.iter().enumerate() {
        write(dir, "request_head", number, 0, &case.send)?;
        if let Some(head) = find(&case.send, b"\r\n\r\n") {
            write(dir, "chunked", number, 0, &case.send[head + 4..])?;
        }
        if let Some(line) = find(&case.send, b"\r\n") {
            write(dir, "agreement", number, 0, &case.send[line + 2..])?;
        }
    }
    for (number, case) in responses.iter().enumerate() {
        let asked = if case.asked == "HEAD" { 0x80 } else { 0 };
        write(dir, "response_head", number, asked, &case.send)?;
        if let Some(line) = find(&case.send, b"\r\n") {
            write(dir, "agreement", requests.len() + number, 0, &case.send[line + 2..])?;
        }
    }
    Ok(())
}

/// The first byte of an input chooses the reads and what else a target wants to vary.
fn write(dir: &Path, target: &str, number: usize, first: u8, bytes: &[u8]) -> std::io::Result<()> {
    let dir = dir.join(target);
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join(format!("case-{number:03}")), [&[first], bytes].concat())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
