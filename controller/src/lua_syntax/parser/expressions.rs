//! Expressions: operators by precedence, operands with what stands behind them, tables and short functions.

use super::super::Fault;
use super::super::lexer::{Kind, Token};
use super::{Context, Parser, Place, is_name};

/// A unary operator binds tighter than all binary ones but `^`.
const UNARY: u8 = 12;

impl Parser<'_> {
    pub(super) fn expressions(&mut self) -> Result<(), Fault> {
        self.expression()?;
        while self.take(",")? {
            self.expression()?;
        }
        Ok(())
    }

    pub(super) fn expression(&mut self) -> Result<(), Fault> {
        self.conditional(Context::default())
    }

    /// Operators, and `a ? b : c` around them.
    fn conditional(&mut self, context: Context) -> Result<(), Fault> {
        self.binary(0, context)?;
        if self.take("?")? {
            // LuaJIT does not count these levels, and its stack overflows.
            self.enter()?;
            self.conditional(Context { no_colon: true, ..Context::default() })?;
            self.need(":")?;
            self.conditional(Context::default())?;
            self.leave();
        }
        Ok(())
    }

    /// Operands with binary operators between that bind tighter than `limit`.
    fn binary(&mut self, limit: u8, context: Context) -> Result<(), Fault> {
        self.enter()?;
        if matches!(self.token.kind, Kind::Word("not" | "!" | "-" | "#" | "~")) {
            self.advance()?;
            self.binary(UNARY, context)?;
        } else {
            self.simple(context)?;
        }
        while let Some((left, right)) = binding(self.token.kind)
            && left > limit
        {
            self.advance()?;
            self.binary(right, context)?;
        }
        self.leave();
        Ok(())
    }

    fn simple(&mut self, context: Context) -> Result<(), Fault> {
        match self.token.kind {
            Kind::Number | Kind::Text | Kind::Word("nil" | "true" | "false") => self.advance().map(drop),
            Kind::Word("...") => {
                if !self.scope.is_vararg() {
                    return self.fault("cannot use '...' outside a vararg function near '...'");
                }
                self.advance().map(drop)
            }
            Kind::Word("{") => self.table(),
            Kind::Word("function") => {
                let start = self.token.start;
                self.advance()?;
                self.function_body(false, start)
            }
            Kind::Word("|" | "||") => self.short_function(None, context),
            _ => self.suffixed(context).map(drop),
        }
    }

    /// A name or an expression in parentheses, with indices and calls behind it. Also: whether it has a `?.`.
    pub(super) fn suffixed(&mut self, context: Context) -> Result<(Place, bool), Fault> {
        let start = self.token.start;
        let mut navigates = false;
        let mut place = if self.is("(") {
            self.advance()?;
            self.expression()?;
            self.close(")", "(", start)?;
            Place::Other
        } else if is_name(self.token.kind) {
            let name = self.advance()?;
            if self.is("->") && !context.statement {
                self.short_function(Some(name), context)?;
                return Ok((Place::Other, false));
            }
            self.scope.name(self.lexer.text(&name), name.start)?;
            Place::Name(name)
        } else {
            return self.unexpected();
        };
        while let Some(next) = self.suffix(context, &mut navigates)? {
            place = next;
        }
        Ok((place, navigates))
    }

    /// One index or call, if one follows.
    fn suffix(&mut self, context: Context, navigates: &mut bool) -> Result<Option<Place>, Fault> {
        let mut navigation = !context.no_navigation && self.take("?.")?;
        *navigates |= navigation;
        let place = match self.token.kind {
            Kind::Word("[") => {
                self.advance()?;
                self.expression()?;
                self.need("]")?;
                Place::Index
            }
            Kind::Word(":") if context.no_colon => {
                return if navigation { self.unexpected() } else { Ok(None) };
            }
            Kind::Word(":") => {
                self.advance()?;
                self.name()?;
                navigation = self.take("?.")?;
                *navigates |= navigation;
                self.arguments()?;
                Place::Call
            }
            Kind::Word("(" | "{") | Kind::Text => {
                self.arguments()?;
                Place::Call
            }
            Kind::Word(".") if !navigation => {
                self.advance()?;
                self.name()?;
                Place::Index
            }
            _ if navigation => {
                self.name()?;
                Place::Index
            }
            _ => return Ok(None),
        };
        Ok(Some(place))
    }

    fn arguments(&mut self) -> Result<(), Fault> {
        let start = self.token.start;
        match self.token.kind {
            Kind::Text => self.advance().map(drop),
            Kind::Word("{") => self.table(),
            Kind::Word("(") => {
                self.advance()?;
                if !self.is(")") {
                    self.expressions()?;
                }
                self.close(")", "(", start)
            }
            _ => self.fault(format!("function arguments expected near '{}'", self.near())),
        }
    }

    fn table(&mut self) -> Result<(), Fault> {
        let start = self.token.start;
        self.advance()?;
        while !self.is("}") {
            if self.take("[")? {
                self.expression()?;
                self.need("]")?;
                self.need("=")?;
            } else if is_name(self.token.kind) && self.look_ahead()? == Kind::Word("=") {
                self.advance()?;
                self.advance()?;
            }
            self.expression()?;
            if !self.take(",")? && !self.take(";")? {
                break;
            }
        }
        self.close("}", "{", start)
    }

    /// `x -> x + 1`, `|x, y| -> x + y`, `|| -> do ... end`; a single parameter was read already.
    fn short_function(&mut self, parameter: Option<Token>, context: Context) -> Result<(), Fault> {
        let start = self.token.start;
        self.enter()?;
        self.scope.open_function();
        match parameter {
            Some(name) => self.declare(&name)?,
            None if self.take("||")? => {}
            None => self.parameters("|", "|")?,
        }
        self.need("->")?;
        if self.take("do")? {
            self.block()?;
            self.close("end", "do", start)?;
        } else {
            self.conditional(context)?;
        }
        self.leave();
        self.scope.close_function()
    }
}

/// How tightly an operator binds to its left and its right; one that binds tighter to the left than to the right groups
/// to the right.
fn binding(kind: Kind) -> Option<(u8, u8)> {
    let Kind::Word(operator) = kind else { return None };
    match operator {
        "or" | "||" | "??" => Some((1, 1)),
        "and" | "&&" => Some((2, 2)),
        "<" | ">" | "<=" | ">=" | "~=" | "!=" | "==" => Some((3, 3)),
        "|" => Some((4, 4)),
        "~" => Some((5, 5)),
        "&" => Some((6, 6)),
        "<<" | ">>" | "~>>" => Some((7, 7)),
        ".." => Some((9, 8)),
        "+" | "-" => Some((10, 10)),
        "*" | "/" | "%" => Some((11, 11)),
        "^" => Some((14, 13)),
        _ => None,
    }
}
