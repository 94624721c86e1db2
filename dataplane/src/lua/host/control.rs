//! `ngx.exit`, `ngx.redirect`, `ngx.sleep`: what suspends or ends a script.

use std::time::Duration;

use lua_vm::Phase;

use super::escape;
use crate::exchange::Exchange;
use crate::lua::{Exit, Op, charge};

/// The script goes on after `ngx.exit`: header_filter and balancer run to their end.
const RETURNS: i32 = 1;
/// The script ends here.
const ENDS: i32 = 0;

/// `ngx.exit`. The prelude has checked the phase.
pub(super) fn exit(ex: &mut Exchange, code: i32) -> i32 {
    let mut code = code;
    // 408, 444 and 499 end the connection whatever was sent; any other answer comes too late.
    if ex.real && ex.resp.head_sent && code >= 300 && !matches!(code, 408 | 444 | 499) {
        if code != i32::from(ex.resp.status) {
            let text = format!(
                "attempt to set status {code} via ngx.exit after sending out the response status {}",
                ex.resp.status
            );
            super::log::host_error(ex, &text);
        }
        code = 200;
    }
    ex.lua.exit = Some(Exit::Code(code));
    match ex.lua.phase {
        Some(Phase::HeaderFilter | Phase::Balancer) => RETURNS,
        _ => ENDS,
    }
}

/// `ngx.redirect`
///
/// # Errors
/// The texts of lua-nginx-module's `ngx_http_lua_control.c`.
pub(super) fn redirect(ex: &mut Exchange, uri: &[u8], status: i32) -> Result<(), String> {
    let status = u16::try_from(status).unwrap_or_default();
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Err("only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, ngx.HTTP_PERMANENT_REDIRECT, \
                    ngx.HTTP_SEE_OTHER, and ngx.HTTP_TEMPORARY_REDIRECT are allowed"
            .into());
    }
    if ex.resp.head_sent {
        return Err("attempt to call ngx.redirect after sending out the headers".into());
    }
    if let Some(byte) = uri.iter().find(|b| b.is_ascii_control()) {
        return Err(format!("unsafe byte \"0x{byte:02x}\" in redirect uri \"{}\"", escape::log(uri)));
    }
    charge::keep(ex, uri.len())?;
    ex.lua.exit = Some(Exit::Redirect(uri.to_vec(), status));
    Ok(())
}

/// `ngx.sleep`; even of no time it lets others run.
pub(super) fn sleep(ex: &mut Exchange, seconds: f64) {
    // A year is for ever, and what a Duration cannot hold would panic.
    let seconds = seconds.clamp(0.0, 31_536_000.0);
    ex.lua.op = Some(Op::Sleep(Duration::from_millis((seconds * 1000.0) as u64)));
}
