//! The Lua parser ends on every text, with a place that is in the text, and does not mind what follows a comment.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    match controller::lua_syntax::check(source) {
        Ok(()) => {
            // What compiles, compiles with a comment behind it.
            assert_eq!(controller::lua_syntax::check(&format!("{source}\n-- end")), Ok(()));
        }
        Err(problem) => {
            let lines = source.bytes().filter(|byte| *byte == b'\n').count() + 1;
            assert!(problem.line >= 1 && problem.line as usize <= lines, "{problem}");
            assert!(problem.column >= 1 && !problem.message.is_empty(), "{problem}");
        }
    }
});
