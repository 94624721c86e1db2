//! What is in scope: locals, upvalues, loops and labels, with LuaJIT's limits on them.

use std::collections::{HashMap, HashSet};

use super::Fault;

/// LuaJIT's `LJ_MAX_LOCVAR`.
const LOCALS_MAX: usize = 200;
/// LuaJIT's `LJ_MAX_UPVAL`.
const UPVALUES_MAX: usize = 60;

/// The functions around the place that is read, the innermost last.
pub(super) struct Scope<'a> {
    functions: Vec<Function<'a>>,
    /// For each name, its locals that are visible now, the innermost last. It makes a name cost the same however many
    /// locals there are.
    locals: HashMap<&'a [u8], Vec<Local>>,
}

struct Local {
    /// Its function's place in `functions`.
    owner: usize,
    /// Declared by `const`: it may be neither assigned to nor declared again.
    is_const: bool,
}

struct Function<'a> {
    vararg: bool,
    locals: Vec<&'a [u8]>,
    upvalues: HashSet<&'a [u8]>,
    blocks: Vec<Block<'a>>,
}

struct Block<'a> {
    is_loop: bool,
    /// How many locals the function had at the block's start.
    locals: usize,
    /// With the number of locals in scope there.
    labels: HashMap<&'a [u8], usize>,
    /// Those that no label that was seen answers yet.
    gotos: Vec<Goto<'a>>,
}

struct Goto<'a> {
    name: &'a [u8],
    locals: usize,
    at: usize,
}

impl<'a> Scope<'a> {
    pub(super) fn new() -> Self {
        Self { functions: Vec::new(), locals: HashMap::new() }
    }

    fn function(&mut self) -> &mut Function<'a> {
        self.functions.last_mut().expect("a chunk is a function, and it is open while its text is read")
    }

    fn block(&mut self) -> &mut Block<'a> {
        self.function().blocks.last_mut().expect("a function's body is a block")
    }

    /// Enters a function with its body's block.
    pub(super) fn open_function(&mut self) {
        let (locals, upvalues) = (Vec::new(), HashSet::new());
        self.functions.push(Function { vararg: false, locals, upvalues, blocks: Vec::new() });
        self.open_block(false);
    }

    /// Leaves the function; its gotos must all have found their labels.
    pub(super) fn close_function(&mut self) -> Result<(), Fault> {
        let missing = self.close_block()?;
        self.functions.pop();
        match missing.first() {
            Some(goto) => {
                let message = format!("undefined label '{}'", String::from_utf8_lossy(goto.name));
                Err(Fault { at: goto.at, message })
            }
            None => Ok(()),
        }
    }

    pub(super) fn set_vararg(&mut self) {
        self.function().vararg = true;
    }

    pub(super) fn is_vararg(&mut self) -> bool {
        self.function().vararg
    }

    pub(super) fn open_block(&mut self, is_loop: bool) {
        let locals = self.function().locals.len();
        self.function().blocks.push(Block { is_loop, locals, labels: HashMap::new(), gotos: Vec::new() });
    }

    /// Leaves a block that is not a function's body: gotos that found no label look for one further out.
    pub(super) fn leave_block(&mut self) -> Result<(), Fault> {
        let gotos = self.close_block()?;
        self.block().gotos.extend(gotos);
        Ok(())
    }

    fn close_block(&mut self) -> Result<Vec<Goto<'a>>, Fault> {
        let function = self.functions.last_mut().expect("a block is in a function");
        let block = function.blocks.pop().expect("every block that is closed was opened");
        let mut missing = Vec::new();
        for goto in block.gotos {
            match block.labels.get(goto.name) {
                Some(locals) if *locals > goto.locals => {
                    let local = function.locals.get(goto.locals).copied().unwrap_or_default();
                    let name = String::from_utf8_lossy(goto.name);
                    let message =
                        format!("<goto {name}> jumps into the scope of local '{}'", String::from_utf8_lossy(local));
                    return Err(Fault { at: goto.at, message });
                }
                Some(_) => {}
                None => missing.push(Goto { locals: goto.locals.min(block.locals), ..goto }),
            }
        }
        for name in function.locals.split_off(block.locals) {
            self.locals.get_mut(name).and_then(Vec::pop);
        }
        Ok(missing)
    }

    pub(super) fn in_loop(&mut self) -> bool {
        self.function().blocks.iter().any(|block| block.is_loop)
    }

    pub(super) fn declare(&mut self, name: &'a [u8], at: usize, is_const: bool) -> Result<(), Fault> {
        let owner = self.functions.len() - 1;
        let same = self.locals.entry(name).or_default();
        if same.last().is_some_and(|local| local.is_const) {
            let message = format!("attempt to re-declare const variable '{}'", String::from_utf8_lossy(name));
            return Err(Fault { at, message });
        }
        same.push(Local { owner, is_const });
        let function = self.function();
        function.locals.push(name);
        if function.locals.len() > LOCALS_MAX {
            let message = format!("more than {LOCALS_MAX} local variables in a function: put some into a table");
            return Err(Fault { at, message });
        }
        Ok(())
    }

    /// A name is read or written: where it is a local of an outer function, it is an upvalue of those within.
    pub(super) fn name(&mut self, name: &'a [u8], at: usize) -> Result<(), Fault> {
        let Some(Local { owner, .. }) = self.locals.get(name).and_then(|locals| locals.last()) else {
            return Ok(());
        };
        // Where one function has it, those further out have it too.
        for function in self.functions[owner + 1..].iter_mut().rev() {
            if !function.upvalues.insert(name) {
                break;
            }
            if function.upvalues.len() > UPVALUES_MAX {
                let message = format!("more than {UPVALUES_MAX} upvalues in a function: put some into a table");
                return Err(Fault { at, message });
            }
        }
        Ok(())
    }

    /// A name is assigned to.
    pub(super) fn assign(&self, name: &'a [u8], at: usize) -> Result<(), Fault> {
        match self.locals.get(name).and_then(|locals| locals.last()) {
            Some(Local { is_const: true, .. }) => {
                let message = format!("attempt to assign to const variable '{}'", String::from_utf8_lossy(name));
                Err(Fault { at, message })
            }
            _ => Ok(()),
        }
    }

    /// A label. One at the end of its block, with nothing but labels after it, is outside the scope of its locals.
    pub(super) fn label(&mut self, name: &'a [u8], at: usize, at_end: bool) -> Result<(), Fault> {
        let locals = self.function().locals.len();
        let block = self.block();
        let locals = if at_end { block.locals } else { locals };
        if block.labels.insert(name, locals).is_some() {
            return Err(Fault { at, message: format!("duplicate label '{}'", String::from_utf8_lossy(name)) });
        }
        Ok(())
    }

    pub(super) fn goto(&mut self, name: &'a [u8], at: usize) {
        let function = self.function();
        let locals = function.locals.len();
        // A label that stands before the goto, in any block around it, answers at once.
        if !function.blocks.iter().any(|block| block.labels.contains_key(name)) {
            self.block().gotos.push(Goto { name, locals, at });
        }
    }
}
