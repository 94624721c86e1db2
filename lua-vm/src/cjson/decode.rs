//! `decode`: one pass over the text; the tables in progress are on the Lua stack.

use std::ffi::{CStr, c_int};

use mlua_sys as lua;
use mlua_sys::lua_State;

use super::config::Config;
use super::{Patience, STATE, check_one_argument, config, number, place};
use crate::arena::{Arena, Frames};

/// What comes next in the text.
#[derive(Clone, Copy)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// Begin and length of its bytes in the text or, if it had escapes, in the buffer.
    String(*const u8, usize),
    /// And whether it is written as an integer.
    Number(f64, bool),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static CStr),
}

impl Token {
    /// As the errors name it.
    fn name(self) -> &'static CStr {
        match self {
            Self::ObjectBegin => c"T_OBJ_BEGIN",
            Self::ObjectEnd => c"T_OBJ_END",
            Self::ArrayBegin => c"T_ARR_BEGIN",
            Self::ArrayEnd => c"T_ARR_END",
            Self::String(..) => c"T_STRING",
            Self::Number(_, false) => c"T_NUMBER",
            Self::Number(_, true) => c"T_INTEGER",
            Self::Boolean(_) => c"T_BOOLEAN",
            Self::Null => c"T_NULL",
            Self::Colon => c"T_COLON",
            Self::Comma => c"T_COMMA",
            Self::End => c"T_END",
            Self::Error(text) => text,
        }
    }
}

/// A table in progress: the index of an array's item, 0 in an object (whose key is then on the stack too).
type Frame = i32;

struct Decoder<'a> {
    l: *mut lua_State,
    config: *const Config,
    text: &'a [u8],
    at: usize,
    /// Where the token began, or its error is.
    token_at: usize,
    strings: Arena,
    frames: Frames<Frame>,
    patience: Patience,
}

pub(super) unsafe extern "C-unwind" fn decode(l: *mut lua_State) -> c_int {
    // SAFETY: a function of the module, on its own stack: 1 text, 2 strings, 3 frames, then the tables. The text stays
    // where it is while it is on the stack. No local has a destructor.
    unsafe {
        check_one_argument(l);
        let mut len = 0;
        let text = lua::luaL_checklstring(l, 1, &mut len).cast::<u8>();
        let text = std::slice::from_raw_parts(text, len);
        if let [0, _, ..] | [_, 0, ..] = text {
            lua::luaL_error(l, c"JSON parser does not support UTF-16 or UTF-32".as_ptr());
        }
        lua::luaL_checkstack(l, 16, std::ptr::null());
        let config = config(l);
        let strings = Arena::take(l, STATE, place::BUFFER);
        let frames = Frames::take(l, STATE, place::FRAMES);
        let patience = Patience::new((*config).interrupt);
        let mut decoder = Decoder { l, config, text, at: 0, token_at: 0, strings, frames, patience };
        decoder.document();
        if (*config).keeps_buffer() {
            decoder.strings.keep(STATE, place::BUFFER);
            decoder.frames.keep(STATE, place::FRAMES);
        }
    }
    1
}

/// All methods: in a call of `decode`; they may raise.
impl Decoder<'_> {
    unsafe fn document(&mut self) {
        // SAFETY: see the impl's comment.
        unsafe {
            let mut token = self.next();
            loop {
                if let Some(first) = self.begin(token) {
                    token = first;
                    continue;
                }
                // A value is whole; it may be the last of its table, and so on outwards.
                match self.store() {
                    Some(next) => token = next,
                    None => break,
                }
            }
            let end = self.next();
            if !matches!(end, Token::End) {
                self.fail(c"the end", end);
            }
        }
    }

    /// Pushes the value that begins with this token, or of a table that is not empty the begin: then its first value's
    /// token is the answer.
    unsafe fn begin(&mut self, token: Token) -> Option<Token> {
        // SAFETY: see the impl's comment.
        unsafe {
            match token {
                Token::String(start, len) => lua::lua_pushlstring_(self.l, start.cast(), len),
                Token::Number(number, _) => lua::lua_pushnumber(self.l, number),
                Token::Boolean(boolean) => lua::lua_pushboolean(self.l, c_int::from(boolean)),
                Token::Null => lua::lua_pushlightuserdata(self.l, std::ptr::null_mut()),
                Token::ObjectBegin | Token::ArrayBegin => {
                    let array = matches!(token, Token::ArrayBegin);
                    self.open(array);
                    match self.next() {
                        Token::ObjectEnd if !array => self.frames.pop(),
                        Token::ArrayEnd if array => self.frames.pop(),
                        first if array => return Some(first),
                        first => return Some(self.key(first)),
                    }
                }
                other => self.fail(c"value", other),
            }
            None
        }
    }

    unsafe fn open(&mut self, array: bool) {
        // SAFETY: see the impl's comment.
        unsafe {
            let depth = self.frames.depth() as c_int + 1;
            if depth > (*self.config).decode_max_depth || lua::lua_checkstack(self.l, 12) == 0 {
                let format = c"Found too many nested data structures (%d) at character %d";
                lua::luaL_error(self.l, format.as_ptr(), depth, self.at as c_int);
            }
            lua::lua_createtable(self.l, 0, 0);
            if array && (*self.config).marks_arrays() {
                lua::lua_rawgeti_(self.l, STATE, place::ARRAY_MT);
                lua::lua_setmetatable(self.l, -2);
            }
            self.frames.push(Frame::from(array));
        }
    }

    /// Pushes an object's key and answers its value's token.
    unsafe fn key(&mut self, token: Token) -> Token {
        // SAFETY: see the impl's comment.
        unsafe {
            match token {
                Token::String(start, len) => lua::lua_pushlstring_(self.l, start.cast(), len),
                other => self.fail(c"object key string", other),
            }
            let colon = self.next();
            if !matches!(colon, Token::Colon) {
                self.fail(c"colon", colon);
            }
            self.next()
        }
    }

    /// Puts the value on top into its table, and each table that ends by that into its own. The next value's token;
    /// `None` when the outermost value is whole.
    unsafe fn store(&mut self) -> Option<Token> {
        // SAFETY: see the impl's comment.
        unsafe {
            loop {
                let index = *self.frames.top()?;
                if index == 0 {
                    lua::lua_rawset(self.l, -3);
                } else {
                    lua::lua_rawseti_(self.l, -2, index);
                }
                match (self.next(), index) {
                    (Token::ObjectEnd, 0) => self.frames.pop(),
                    (Token::ArrayEnd, 1..) => self.frames.pop(),
                    (Token::Comma, 0) => {
                        let token = self.next();
                        return Some(self.key(token));
                    }
                    (Token::Comma, _) => {
                        if let Some(index) = self.frames.top() {
                            *index += 1;
                        }
                        return Some(self.next());
                    }
                    (other, 0) => self.fail(c"comma or object end", other),
                    (other, _) => self.fail(c"comma or array end", other),
                }
            }
        }
    }

    /// Raises.
    unsafe fn fail(&self, expected: &CStr, found: Token) {
        let format = c"Expected %s but found %s at character %d";
        let place = self.token_at as c_int + 1;
        // SAFETY: see the impl's comment.
        unsafe { lua::luaL_error(self.l, format.as_ptr(), expected.as_ptr(), found.name().as_ptr(), place) };
    }

    /// A byte of the text; 0, which ends it, beyond.
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn error(&mut self, text: &'static CStr) -> Token {
        self.token_at = self.at;
        Token::Error(text)
    }

    unsafe fn next(&mut self) -> Token {
        // SAFETY: see the impl's comment.
        unsafe { self.patience.spend(self.l) };
        if let Some(error) = self.skip_blanks() {
            return error;
        }
        self.token_at = self.at;
        let single = match self.byte(self.at) {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            0 => return Token::End,
            // SAFETY: see the impl's comment.
            b'"' => return unsafe { self.string() },
            _ => return self.word(),
        };
        self.at += 1;
        single
    }

    /// White space and, where they are allowed, comments; an error for one that does not end.
    fn skip_blanks(&mut self) -> Option<Token> {
        loop {
            while matches!(self.byte(self.at), b' ' | b'\t' | b'\n' | b'\r') {
                self.at += 1;
            }
            // SAFETY: the configuration is an upvalue of the running function.
            let comment = self.byte(self.at) == b'/' && unsafe { (*self.config).allows_comments() };
            match self.byte(self.at + 1) {
                b'/' if comment => {
                    while !matches!(self.byte(self.at), 0 | b'\n') {
                        self.at += 1;
                    }
                }
                b'*' if comment => {
                    self.at += 2;
                    while (self.byte(self.at), self.byte(self.at + 1)) != (b'*', b'/') {
                        if self.byte(self.at) == 0 {
                            return Some(self.error(c"unclosed multi-line comment"));
                        }
                        self.at += 1;
                    }
                    self.at += 2;
                }
                _ => return None,
            }
        }
    }

    /// `true`, `false`, `null` and numbers.
    fn word(&mut self) -> Token {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for (word, token) in
            [(&b"true"[..], Token::Boolean(true)), (b"false", Token::Boolean(false)), (b"null", Token::Null)]
        {
            if rest.starts_with(word) {
                self.at += word.len();
                return token;
            }
        }
        // SAFETY: the configuration is an upvalue of the running function.
        let lenient = unsafe { (*self.config).allows_invalid_numbers() };
        match rest.first() {
            Some(b'-' | b'0'..=b'9') if !lenient && is_invalid_number(rest) => self.error(c"invalid number"),
            Some(b'-' | b'0'..=b'9') => self.number(rest),
            Some(b'+' | b'i' | b'I' | b'n' | b'N') if lenient && is_invalid_number(rest) => self.number(rest),
            _ => self.error(c"invalid token"),
        }
    }

    fn number(&mut self, rest: &[u8]) -> Token {
        match number::parse(rest) {
            Some((number, len, integer)) => {
                self.at += len;
                Token::Number(number, integer)
            }
            None => self.error(c"invalid number"),
        }
    }

    /// At a quote.
    unsafe fn string(&mut self) -> Token {
        self.at += 1;
        let start = self.at;
        loop {
            match self.byte(self.at) {
                b'"' => {
                    let bytes = &self.text[start..self.at];
                    self.at += 1;
                    return Token::String(bytes.as_ptr(), bytes.len());
                }
                0 => return self.error(c"unexpected end of string"),
                // SAFETY: see the impl's comment.
                b'\\' => return unsafe { self.escaped_string(start) },
                _ => self.at += 1,
            }
        }
    }

    /// At the first escape of a string that began at `start`.
    unsafe fn escaped_string(&mut self, start: usize) -> Token {
        self.strings.truncate(0);
        let mut plain = start;
        loop {
            match self.byte(self.at) {
                b'"' => {
                    // SAFETY: see the impl's comment.
                    unsafe { self.strings.push(&self.text[plain..self.at]) };
                    self.at += 1;
                    let bytes = self.strings.bytes();
                    return Token::String(bytes.as_ptr(), bytes.len());
                }
                0 => return self.error(c"unexpected end of string"),
                b'\\' => {
                    // SAFETY: see the impl's comment.
                    unsafe { self.strings.push(&self.text[plain..self.at]) };
                    // SAFETY: see the impl's comment.
                    if let Some(error) = unsafe { self.escape() } {
                        return error;
                    }
                    plain = self.at;
                }
                _ => self.at += 1,
            }
        }
    }

    /// At a backslash: appends what it stands for.
    unsafe fn escape(&mut self) -> Option<Token> {
        let byte = match self.byte(self.at + 1) {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'f' => 12,
            b'r' => b'\r',
            b'u' => {
                let Some((code, len)) = self.unicode() else { return Some(self.error(c"invalid unicode escape code")) };
                self.at += len;
                let mut utf8 = [0; 4];
                // SAFETY: see the impl's comment.
                unsafe { self.strings.push(code.encode_utf8(&mut utf8).as_bytes()) };
                return None;
            }
            _ => return Some(self.error(c"invalid escape code")),
        };
        self.at += 2;
        // SAFETY: see the impl's comment.
        unsafe { self.strings.push_byte(byte) };
        None
    }

    /// The character of an escape, or of two that are a surrogate pair, and the length of both.
    fn unicode(&self) -> Option<(char, usize)> {
        let unit = self.hex(self.at + 2)?;
        match unit {
            0xd800..=0xdbff => {
                if (self.byte(self.at + 6), self.byte(self.at + 7)) != (b'\\', b'u') {
                    return None;
                }
                let low = self.hex(self.at + 8).filter(|low| (0xdc00..=0xdfff).contains(low))?;
                let code = 0x10000 + ((unit & 0x3ff) << 10 | (low & 0x3ff));
                char::from_u32(code).map(|code| (code, 12))
            }
            _ => char::from_u32(unit).map(|code| (code, 6)),
        }
    }

    fn hex(&self, at: usize) -> Option<u32> {
        (at..at + 4).try_fold(0, |number, at| Some(number << 4 | char::from(self.byte(at)).to_digit(16)?))
    }
}

/// What strict JSON does not know, though C reads it: a plus, leading zeros, hexadecimal, infinity, not a number.
fn is_invalid_number(text: &[u8]) -> bool {
    let digits = match text {
        [b'+', ..] => return true,
        [b'-', rest @ ..] => rest,
        _ => text,
    };
    match digits {
        [b'0', next, ..] => next | 0x20 == b'x' || next.is_ascii_digit(),
        [first, ..] if *first <= b'9' => false,
        _ => digits.get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")),
    }
}
