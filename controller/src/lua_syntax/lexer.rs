//! From bytes to tokens, as LuaJIT's lexer does it.

use super::Fault;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Number,
    Text,
    /// A keyword or a symbol, by its text.
    Word(&'static str),
    Eof,
}

/// A piece of the source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

const KEYWORDS: [&str; 24] = [
    "and", "break", "const", "continue", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
    "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

/// The longest first, so that the first that fits is the right one.
const SYMBOLS: [&str; 41] = [
    "...", "~>>", "..", "==", "~=", "!=", "<=", ">=", "<<", ">>", "::", "?.", "??", "&&", "||", "->", "+", "-", "*",
    "/", "%", "^", "#", "<", ">", "=", "(", ")", "{", "}", "[", "]", ";", ":", ",", ".", "~", "!", "&", "|", "?",
];

/// Reads tokens one by one.
pub(super) struct Lexer<'a> {
    source: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    /// A lexer at the start of a chunk: after a byte order mark and a `#!` line. Bytecode is refused.
    pub(super) fn new(source: &'a str) -> Result<Self, Fault> {
        let mut at = if source.starts_with('\u{feff}') { 3 } else { 0 };
        if source[at..].starts_with('#') {
            at += source[at..].find('\n').unwrap_or(source.len() - at);
        }
        if source[at..].trim_start_matches(['\n', '\r']).starts_with('\u{1b}') {
            let message = "precompiled bytecode is refused: give the Lua source".to_owned();
            return Err(Fault { at, message });
        }
        Ok(Self { source: source.as_bytes(), at })
    }

    /// The text of a token.
    pub(super) fn text(&self, token: &Token) -> &'a [u8] {
        &self.source[token.start..token.end]
    }

    /// The next token.
    pub(super) fn next(&mut self) -> Result<Token, Fault> {
        self.skip_blank()?;
        let start = self.at;
        let kind = match self.peek(0) {
            None => Kind::Eof,
            Some(b) if is_name_start(b) => self.name(),
            Some(b) if b.is_ascii_digit() => self.number(start)?,
            Some(b'.') if self.peek(1).is_some_and(|b| b.is_ascii_digit()) => self.number(start)?,
            Some(quote @ (b'"' | b'\'')) => self.text_literal(quote)?,
            Some(b'[') if matches!(self.peek(1), Some(b'[' | b'=')) => self.long_text()?,
            Some(_) => self.symbol()?,
        };
        Ok(Token { kind, start, end: self.at })
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    fn fault<T>(&self, at: usize, message: impl Into<String>) -> Result<T, Fault> {
        Err(Fault { at, message: message.into() })
    }

    /// Skips white space and comments.
    fn skip_blank(&mut self) -> Result<(), Fault> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c), _) => self.at += 1,
                (Some(b'-'), Some(b'-')) => self.comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn comment(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += 2;
        if let Some(level) = self.long_bracket() {
            return self.long_rest(start, level, "comment");
        }
        let rest = &self.source[self.at..];
        self.at += rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
        Ok(())
    }

    /// The number of `=` in an opening long bracket that stands here, if one does.
    fn long_bracket(&self) -> Option<usize> {
        let equals = self.source.get(self.at + 1..)?.iter().take_while(|b| **b == b'=').count();
        (self.peek(0) == Some(b'[') && self.peek(1 + equals) == Some(b'[')).then_some(equals)
    }

    fn long_text(&mut self) -> Result<Kind, Fault> {
        match self.long_bracket() {
            Some(level) => self.long_rest(self.at, level, "string").map(|()| Kind::Text),
            None => self.fault(self.at, "invalid long string delimiter: write [[, [=[ and so on"),
        }
    }

    /// From an opening long bracket to behind the closing one.
    fn long_rest(&mut self, start: usize, level: usize, what: &str) -> Result<(), Fault> {
        self.at += level + 2;
        while let Some(b) = self.peek(0) {
            self.at += 1;
            if b != b']' {
                continue;
            }
            let equals = self.source[self.at..].iter().take(level).take_while(|b| **b == b'=').count();
            if equals == level && self.peek(level) == Some(b']') {
                self.at += level + 1;
                return Ok(());
            }
        }
        let close = format!("]{}]", "=".repeat(level.min(8)));
        self.fault(start, format!("unfinished long {what}: no {close} follows"))
    }

    fn name(&mut self) -> Kind {
        let rest = &self.source[self.at..];
        let length = rest.iter().position(|b| !is_name(*b)).unwrap_or(rest.len());
        self.at += length;
        let word = KEYWORDS.iter().find(|keyword| keyword.as_bytes() == &rest[..length]);
        word.map_or(Kind::Name, |keyword| Kind::Word(keyword))
    }

    fn symbol(&mut self) -> Result<Kind, Fault> {
        let rest = &self.source[self.at..];
        match SYMBOLS.iter().find(|symbol| rest.starts_with(symbol.as_bytes())) {
            Some(symbol) => {
                self.at += symbol.len();
                Ok(Kind::Word(symbol))
            }
            None => {
                let shown = char::from(rest[0]).escape_default();
                self.fault(self.at, format!("unexpected symbol near '{shown}'"))
            }
        }
    }

    /// Takes all that LuaJIT takes for a number, and then looks whether it is one.
    fn number(&mut self, start: usize) -> Result<Kind, Fault> {
        let after_zeros = self.source[start..].strip_prefix(b"0").unwrap_or_default().iter().find(|b| **b != b'_');
        let exponent = if matches!(after_zeros, Some(b'x' | b'X')) { b'p' } else { b'e' };
        let mut last = 0;
        while let Some(b) = self.peek(0) {
            if !(is_name(b) || b == b'.' || (matches!(b, b'+' | b'-') && last | 0x20 == exponent)) {
                break;
            }
            // Underscores between the digits are for the eye.
            last = if b == b'_' { last } else { b };
            self.at += 1;
        }
        let text = &self.source[start..self.at];
        if is_number(&text.to_ascii_lowercase().into_iter().filter(|b| *b != b'_').collect::<Vec<_>>()) {
            return Ok(Kind::Number);
        }
        self.fault(start, format!("malformed number near '{}'", shown(text)))
    }

    fn text_literal(&mut self, quote: u8) -> Result<Kind, Fault> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek(0) {
                None | Some(b'\n' | b'\r') => {
                    let message = format!("unfinished string: no {} on this line", char::from(quote));
                    return self.fault(start, message);
                }
                Some(b'\\') => self.escape()?,
                Some(b) => {
                    self.at += 1;
                    if b == quote {
                        return Ok(Kind::Text);
                    }
                }
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let after = &self.source[start + 1..];
        let digits = |from: usize, n: usize, is: fn(&u8) -> bool| {
            after.get(from..).unwrap_or_default().iter().take(n).take_while(|b| is(b)).count()
        };
        let length = match after.first() {
            // The text ends here; the caller says so.
            None => 0,
            Some(b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'\\' | b'"' | b'\'') => 1,
            Some(b'\n' | b'\r') => {
                if after.starts_with(b"\r\n") || after.starts_with(b"\n\r") {
                    2
                } else {
                    1
                }
            }
            Some(b'z') => 1 + digits(1, usize::MAX, |b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)),
            Some(b'x') if digits(1, 2, u8::is_ascii_hexdigit) == 2 => 3,
            Some(b'u') => match unicode_escape(after) {
                Some(length) => length,
                None => return self.fault(start, "invalid escape sequence: write \\u{0} to \\u{10FFFF}"),
            },
            Some(b'0'..=b'9') => {
                let count = digits(0, 3, u8::is_ascii_digit);
                if number_of(&after[..count], 10) > 255 {
                    return self.fault(start, "invalid escape sequence: no byte is above \\255");
                }
                count
            }
            Some(_) => return self.fault(start, "invalid escape sequence: write \\\\ for a backslash"),
        };
        self.at += 1 + length;
        Ok(())
    }
}

/// The length of `u{XXX}` when it is one of a code point that LuaJIT encodes.
fn unicode_escape(after: &[u8]) -> Option<usize> {
    let rest = after.strip_prefix(b"u{")?;
    let count = rest.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let code = number_of(&rest[..count], 16);
    // LuaJIT refuses surrogates too.
    let valid = count > 0 && code < 0x11_0000 && !(0xd800..0xe000).contains(&code);
    (valid && rest.get(count) == Some(&b'}')).then_some(count + 3)
}

/// The number that the digits say, or one that is too large for anything here.
fn number_of(digits: &[u8], base: u32) -> u32 {
    let value = |b: &u8| char::from(*b).to_digit(base).unwrap_or(0);
    digits.iter().fold(0, |sum: u32, b| sum.saturating_mul(base).saturating_add(value(b)))
}

/// LuaJIT's numbers, in lower case: decimal, hexadecimal (with fraction and `p` exponent), binary; integers may have `ll`
/// or `ull`, and any of them `i`.
fn is_number(text: &[u8]) -> bool {
    let (body, suffixed) = match text.strip_suffix(b"ull").or_else(|| text.strip_suffix(b"ll")) {
        Some(body) => (body, true),
        None => (text, false),
    };
    if let Some(digits) = body.strip_prefix(b"0b") {
        let digits = if suffixed { digits } else { digits.strip_suffix(b"i").unwrap_or(digits) };
        return !digits.is_empty() && digits.iter().all(|b| matches!(b, b'0' | b'1'));
    }
    let body = if suffixed { body } else { body.strip_suffix(b"i").unwrap_or(body) };
    let (body, exponent_mark, is_digit): (_, _, fn(&u8) -> bool) = match body.strip_prefix(b"0x") {
        Some(body) => (body, b'p', u8::is_ascii_hexdigit),
        None => (body, b'e', u8::is_ascii_digit),
    };
    let (mantissa, exponent) = match body.iter().position(|b| *b == exponent_mark) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let digits = mantissa.iter().filter(|b| is_digit(b)).count();
    let dots = mantissa.iter().filter(|b| **b == b'.').count();
    let whole = dots == 0 && exponent.is_none();
    let exponent_holds = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        !exponent.is_empty() && exponent.iter().all(u8::is_ascii_digit)
    });
    digits > 0 && dots <= 1 && digits + dots == mantissa.len() && exponent_holds && (whole || !suffixed)
}

fn is_name_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_' || b >= 0x80
}

fn is_name(b: u8) -> bool {
    is_name_start(b) || b.is_ascii_digit()
}

/// A token for people: its beginning, when it is long.
pub(super) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}
