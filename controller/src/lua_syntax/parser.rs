//! The grammar, by recursive descent. Recursion is bounded as LuaJIT bounds it.

mod expressions;

use super::lexer::{Kind, Lexer, Token, shown};
use super::scope::Scope;
use super::{Fault, line_of};

/// LuaJIT's `LJ_MAX_XLEVEL`: blocks and expressions within each other. The stack that this many levels take here is a
/// small part of a thread's smallest.
const LEVELS_MAX: u32 = 200;
/// Reads a chunk.
pub(super) struct Parser<'a> {
    source: &'a str,
    lexer: Lexer<'a>,
    token: Token,
    /// The one after, once it was looked at.
    ahead: Option<Token>,
    scope: Scope<'a>,
    levels: u32,
}

/// What kind of expression was read, as far as statements care.
#[derive(Clone, Copy)]
enum Place {
    /// A name: may be assigned to.
    Name(Token),
    /// An index: may be assigned to.
    Index,
    /// A call: may stand alone.
    Call,
    /// None of these.
    Other,
}

/// What an expression may not have where it stands.
#[derive(Clone, Copy, Default)]
struct Context {
    /// Between `?` and `:` a colon ends the expression, so that methods need parentheses.
    no_colon: bool,
    /// At a statement's start `name ->` is no function.
    statement: bool,
    /// In a list of variables that are assigned to there is no `?.`.
    no_navigation: bool,
}

impl<'a> Parser<'a> {
    pub(super) fn new(source: &'a str) -> Result<Self, Fault> {
        let mut lexer = Lexer::new(source)?;
        let token = lexer.next()?;
        Ok(Self { source, lexer, token, ahead: None, scope: Scope::new(), levels: 0 })
    }

    /// The whole chunk: the body of a function that takes `...`.
    pub(super) fn chunk(mut self) -> Result<(), Fault> {
        self.scope.open_function();
        self.scope.set_vararg();
        self.block()?;
        if self.token.kind != Kind::Eof {
            return self.expected("<eof>");
        }
        self.scope.close_function()
    }

    fn advance(&mut self) -> Result<Token, Fault> {
        let next = match self.ahead.take() {
            Some(token) => token,
            None => self.lexer.next()?,
        };
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn look_ahead(&mut self) -> Result<Kind, Fault> {
        if self.ahead.is_none() {
            self.ahead = Some(self.lexer.next()?);
        }
        Ok(self.ahead.map_or(Kind::Eof, |token| token.kind))
    }

    fn is(&self, word: &str) -> bool {
        matches!(self.token.kind, Kind::Word(w) if w == word)
    }

    /// Takes the word if it stands here.
    fn take(&mut self, word: &str) -> Result<bool, Fault> {
        let is = self.is(word);
        if is {
            self.advance()?;
        }
        Ok(is)
    }

    fn need(&mut self, word: &str) -> Result<(), Fault> {
        if self.take(word)? { Ok(()) } else { self.expected(word) }
    }

    /// The closing word of something that began at `start`.
    fn close(&mut self, word: &str, what: &str, start: usize) -> Result<(), Fault> {
        if self.take(word)? {
            return Ok(());
        }
        let (here, there) = (line_of(self.source, self.token.start), line_of(self.source, start));
        if here == there {
            return self.expected(word);
        }
        let near = self.near();
        self.fault(format!("'{word}' expected (to close '{what}' at line {there}) near '{near}'"))
    }

    fn near(&self) -> String {
        if self.token.kind == Kind::Eof { "<eof>".into() } else { shown(self.lexer.text(&self.token)) }
    }

    fn fault<T>(&self, message: impl Into<String>) -> Result<T, Fault> {
        Err(Fault { at: self.token.start, message: message.into() })
    }

    fn expected<T>(&self, what: &str) -> Result<T, Fault> {
        self.fault(format!("'{what}' expected near '{}'", self.near()))
    }

    fn unexpected<T>(&self) -> Result<T, Fault> {
        self.fault(format!("unexpected symbol near '{}'", self.near()))
    }

    fn name(&mut self) -> Result<Token, Fault> {
        if !is_name(self.token.kind) {
            return self.expected("<name>");
        }
        self.advance()
    }

    fn declare(&mut self, name: &Token) -> Result<(), Fault> {
        self.scope.declare(self.lexer.text(name), name.start, false)
    }

    fn enter(&mut self) -> Result<(), Fault> {
        self.levels += 1;
        if self.levels >= LEVELS_MAX {
            return self.fault(format!("more than {LEVELS_MAX} blocks or expressions within each other: split it up"));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.levels -= 1;
    }

    fn at_block_end(&self) -> bool {
        is_block_end(self.token.kind)
    }

    /// Statements up to the block's end; the caller opens and closes the scope.
    fn block(&mut self) -> Result<(), Fault> {
        self.enter()?;
        while !self.at_block_end() {
            if self.is("return") {
                self.return_statement()?;
                break;
            }
            self.statement()?;
            self.take(";")?;
        }
        self.leave();
        Ok(())
    }

    fn scoped_block(&mut self, is_loop: bool) -> Result<(), Fault> {
        self.scope.open_block(is_loop);
        self.block()?;
        self.scope.leave_block()
    }

    fn return_statement(&mut self) -> Result<(), Fault> {
        self.advance()?;
        if !self.at_block_end() && !self.is(";") {
            self.expressions()?;
        }
        self.take(";")?;
        Ok(())
    }

    fn statement(&mut self) -> Result<(), Fault> {
        let start = self.token.start;
        let Kind::Word(word) = self.token.kind else { return self.expression_statement() };
        match word {
            "if" => self.if_statement(start),
            "while" => {
                self.advance()?;
                self.expression()?;
                self.need("do")?;
                self.scoped_block(true)?;
                self.close("end", "while", start)
            }
            "do" => {
                self.advance()?;
                self.scoped_block(false)?;
                self.close("end", "do", start)
            }
            "for" => self.for_statement(start),
            "repeat" => self.repeat_statement(start),
            "function" => self.function_statement(start),
            "local" => self.local_statement(false),
            "const" if is_name(self.look_ahead()?) || self.look_ahead()? == Kind::Word("function") => {
                self.local_statement(true)
            }
            "::" => self.labels(),
            "break" => self.jump_statement(),
            "continue" if is_block_end(self.look_ahead()?) => self.jump_statement(),
            ";" => Ok(()),
            "goto" if is_name(self.look_ahead()?) => {
                self.advance()?;
                let label = self.name()?;
                self.scope.goto(self.lexer.text(&label), label.start);
                Ok(())
            }
            _ => self.expression_statement(),
        }
    }

    /// `break` or `continue`.
    fn jump_statement(&mut self) -> Result<(), Fault> {
        if !self.scope.in_loop() {
            return self.fault(format!("{} outside a loop", self.near()));
        }
        self.advance().map(drop)
    }

    fn if_statement(&mut self, start: usize) -> Result<(), Fault> {
        loop {
            self.advance()?;
            self.expression()?;
            self.need("then")?;
            self.scoped_block(false)?;
            if !self.is("elseif") {
                break;
            }
        }
        if self.take("else")? {
            self.scoped_block(false)?;
        }
        self.close("end", "if", start)
    }

    fn for_statement(&mut self, start: usize) -> Result<(), Fault> {
        self.advance()?;
        let first = self.name()?;
        let mut names = vec![first];
        if self.take("=")? {
            self.expression()?;
            self.need(",")?;
            self.expression()?;
            if self.take(",")? {
                self.expression()?;
            }
        } else {
            while self.take(",")? {
                names.push(self.name()?);
            }
            if !self.is("in") {
                return self.expected("=' or 'in");
            }
            self.advance()?;
            self.expressions()?;
        }
        self.need("do")?;
        self.scope.open_block(true);
        for _ in 0..3 {
            // The loop's own state takes three.
            self.scope.declare(b"(for)", start, false)?;
        }
        names.iter().try_for_each(|name| self.declare(name))?;
        self.block()?;
        self.scope.leave_block()?;
        self.close("end", "for", start)
    }

    fn repeat_statement(&mut self, start: usize) -> Result<(), Fault> {
        self.advance()?;
        self.scope.open_block(true);
        self.block()?;
        self.close("until", "repeat", start)?;
        // The condition sees the block's locals.
        self.expression()?;
        self.scope.leave_block()
    }

    fn function_statement(&mut self, start: usize) -> Result<(), Fault> {
        self.advance()?;
        let name = self.name()?;
        self.scope.name(self.lexer.text(&name), name.start)?;
        if !self.is(".") && !self.is(":") {
            self.scope.assign(self.lexer.text(&name), name.start)?;
        }
        while self.take(".")? {
            self.name()?;
        }
        let is_method = self.take(":")?;
        if is_method {
            self.name()?;
        }
        self.function_body(is_method, start)
    }

    /// `local` or `const`.
    fn local_statement(&mut self, is_const: bool) -> Result<(), Fault> {
        let start = self.token.start;
        self.advance()?;
        if self.take("function")? {
            let name = self.name()?;
            self.scope.declare(self.lexer.text(&name), name.start, is_const)?;
            return self.function_body(false, start);
        }
        let mut names = vec![self.name()?];
        while self.take(",")? {
            names.push(self.name()?);
        }
        if self.take("=")? {
            self.expressions()?;
        }
        names.iter().try_for_each(|name| self.scope.declare(self.lexer.text(name), name.start, is_const))
    }

    /// Labels that follow each other, which end a block together if they end it.
    fn labels(&mut self) -> Result<(), Fault> {
        let mut labels = Vec::new();
        while self.take("::")? {
            labels.push(self.name()?);
            self.need("::")?;
            while self.take(";")? {}
        }
        let at_end = self.at_block_end() && !self.is("until");
        labels.iter().try_for_each(|label| self.scope.label(self.lexer.text(label), label.start, at_end))
    }

    /// A call or an assignment.
    fn expression_statement(&mut self) -> Result<(), Fault> {
        let (mut place, navigates) = self.suffixed(Context { statement: true, ..Context::default() })?;
        if matches!(place, Place::Call) && !self.is("=") && !self.is(",") {
            return Ok(());
        }
        if navigates && self.is(",") {
            return self.fault("syntax error near ',': `?.` is not for lists of variables");
        }
        self.check_assignable(place)?;
        if self.compound_operator()? {
            return self.expression();
        }
        while self.take(",")? {
            (place, _) = self.suffixed(Context { no_navigation: true, ..Context::default() })?;
            self.check_assignable(place)?;
        }
        self.need("=")?;
        self.expressions()
    }

    fn check_assignable(&self, place: Place) -> Result<(), Fault> {
        match place {
            Place::Name(name) => self.scope.assign(self.lexer.text(&name), name.start),
            Place::Index => Ok(()),
            Place::Call | Place::Other => self.fault(format!("syntax error near '{}'", self.near())),
        }
    }

    /// Takes `+=` and its like, written without a space; `~=` is exclusive or.
    fn compound_operator(&mut self) -> Result<bool, Fault> {
        if self.take("~=")? {
            return Ok(true);
        }
        let compound = matches!(
            self.token.kind,
            Kind::Word("+" | "-" | "*" | "/" | "%" | "&" | "|" | "~" | "<<" | ">>" | "~>>" | "..")
        );
        let joined = self.source.as_bytes().get(self.token.end) == Some(&b'=');
        if compound && joined && self.look_ahead()? == Kind::Word("=") {
            self.advance()?;
            self.advance()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Parameters and block, up to the function's `end`.
    fn function_body(&mut self, is_method: bool, start: usize) -> Result<(), Fault> {
        self.scope.open_function();
        if is_method {
            self.scope.declare(b"self", start, false)?;
        }
        self.parameters("(", ")")?;
        self.block()?;
        self.close("end", "function", start)?;
        self.scope.close_function()
    }

    fn parameters(&mut self, open: &str, close: &str) -> Result<(), Fault> {
        self.need(open)?;
        while !self.is(close) {
            if self.take("...")? {
                self.scope.set_vararg();
                break;
            }
            let name = self.name()?;
            self.declare(&name)?;
            if !self.take(",")? {
                break;
            }
            if self.is(close) {
                return self.expected("<name>");
            }
        }
        self.need(close)
    }
}

/// LuaJIT's newer keywords are names where they mean nothing; so is `goto` outside of 5.2 mode.
fn is_name(kind: Kind) -> bool {
    matches!(kind, Kind::Name | Kind::Word("goto" | "const" | "continue"))
}

fn is_block_end(kind: Kind) -> bool {
    matches!(kind, Kind::Eof | Kind::Word("end" | "else" | "elseif" | "until"))
}
