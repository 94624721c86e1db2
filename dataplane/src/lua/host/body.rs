//! `ngx.req`: the request's body. Errors are lua-nginx-module's texts (`ngx_http_lua_req_body.c`).

use std::fs::File;

use crate::exchange::Exchange;
use crate::exchange::body::{Held, MEMORY_MAX};
use crate::lua::{Op, charge};

const DISCARDED: &str = "request body already discarded asynchronously";
const NOT_READ: &str = "request body not read yet";
/// A body that a script builds may take so much of the disk: 64 times what clients may send by default.
const BUILT_MAX: u64 = 64 * 1024 * 1024;

const NOT_INITIALIZED: &str = "request_body not initialized";

type Result<T> = std::result::Result<T, &'static str>;

/// `ngx.req.read_body`: true when the script has to wait for it.
///
/// # Errors
/// The VM has no room for it.
pub(super) fn read(ex: &mut Exchange) -> Result<bool> {
    if ex.req.body.held.is_some() || ex.req.body.discard {
        return Ok(false);
    }
    if !ex.req.body.present {
        ex.req.body.held = Some(Held::Memory(Vec::new()));
        return Ok(false);
    }
    // What it may take until it goes to a file; what it does take is known once it is read.
    let most = ex.req.body.declared.and_then(|n| usize::try_from(n).ok()).map_or(MEMORY_MAX, |n| n.min(MEMORY_MAX));
    charge::body(ex, most)?;
    ex.lua.op = Some(Op::ReadBody);
    Ok(true)
}

/// `ngx.req.discard_body`
pub(super) fn discard(ex: &mut Exchange) {
    ex.req.body.discard = true;
    ex.req.body.held = None;
    ex.lua.body.clear();
}

/// `ngx.req.get_body_data`: none when it was not read, is empty, or lies in a file. `max` cuts it when positive.
pub(super) fn data(ex: &Exchange, max: f64) -> Option<&[u8]> {
    match &ex.req.body.held {
        Some(Held::Memory(bytes)) if !bytes.is_empty() => {
            let len = if max >= 1.0 { bytes.len().min(max as usize) } else { bytes.len() };
            Some(&bytes[..len])
        }
        _ => None,
    }
}

/// `ngx.req.get_body_file`: a name under which this process can open the unlinked file; a namespace gets none.
pub(super) fn file(ex: &mut Exchange) -> Option<&[u8]> {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    if !super::is_operator(ex) {
        return None;
    }
    let Some(Held::File(file, _)) = &ex.req.body.held else { return None };
    let fd = file.as_raw_fd();
    ex.lua.scratch.clear();
    write!(ex.lua.scratch, "/proc/self/fd/{fd}").ok()?;
    Some(&ex.lua.scratch)
}

/// The body that may be replaced.
fn replaceable(ex: &Exchange) -> Result<()> {
    if ex.req.body.discard {
        return Err(DISCARDED);
    }
    if ex.req.body.held.is_none() {
        return Err(NOT_READ);
    }
    Ok(())
}

/// A body replaces the client's: the upstream gets this one, and Content-Length says so to scripts.
fn replace(ex: &mut Exchange, held: Held) {
    let length = held.len();
    ex.req.body.held = Some(held);
    ex.req.head.headers.remove(b"transfer-encoding");
    ex.req.head.headers.set(b"Content-Length", length.to_string().as_bytes());
}

/// `ngx.req.set_body_data`
pub(super) fn set(ex: &mut Exchange, data: &[u8]) -> Result<()> {
    replaceable(ex)?;
    charge::body(ex, if data.len() > MEMORY_MAX { 0 } else { data.len() })?;
    let mut held = Held::Memory(Vec::new());
    held.extend(data).map_err(|_| "fail to write file")?;
    replace(ex, held);
    Ok(())
}

/// `ngx.req.set_body_file`
///
/// # Errors
/// As the others, or why the file cannot be opened.
pub(super) fn set_file(ex: &mut Exchange, name: &[u8], remove: bool) -> std::result::Result<(), String> {
    replaceable(ex)?;
    if !super::is_operator(ex) {
        return Err("files are not available to the Lua of a namespace".into());
    }
    let path = String::from_utf8_lossy(name).into_owned();
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.map_err(|_| format!("stat() \"{path}\" failed"))?;
    if !metadata.is_file() {
        return Err(format!("stat() \"{path}\" failed"));
    }
    if remove {
        // The open file stays readable. One that cannot be removed is the operator's to see, not the request's.
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::error!(target: "lua", "unlink() \"{path}\" failed ({error})");
        }
    }
    replace(ex, Held::File(file, metadata.len()));
    Ok(())
}

/// `ngx.req.init_body`
pub(super) fn init(ex: &mut Exchange, size: f64) -> std::result::Result<(), String> {
    replaceable(ex)?;
    if size < 0.0 {
        return Err(format!("bad size argument: {size}"));
    }
    ex.req.body.held = Some(Held::Memory(Vec::new()));
    ex.req.body.building = true;
    Ok(())
}

/// `ngx.req.append_body`
pub(super) fn append(ex: &mut Exchange, data: &[u8]) -> Result<()> {
    let Some(held) = ex.req.body.held.as_ref().filter(|_| ex.req.body.building) else { return Err(NOT_INITIALIZED) };
    let length = held.len().saturating_add(data.len() as u64);
    if length > BUILT_MAX {
        return Err("request body built by a script is over the limit of 64 MiB");
    }
    let in_memory = usize::try_from(length).ok().filter(|n| *n <= MEMORY_MAX && matches!(held, Held::Memory(_)));
    charge::body(ex, in_memory.unwrap_or(0))?;
    match &mut ex.req.body.held {
        Some(held) => held.extend(data).map_err(|_| "fail to write file"),
        None => Err(NOT_INITIALIZED),
    }
}

/// `ngx.req.finish_body`
pub(super) fn finish(ex: &mut Exchange) -> Result<()> {
    if !ex.req.body.building {
        return Err(NOT_INITIALIZED);
    }
    ex.req.body.building = false;
    match ex.req.body.held.take() {
        Some(held) => replace(ex, held),
        None => return Err(NOT_INITIALIZED),
    }
    Ok(())
}

/// `ngx.req.get_post_args`: the packed arguments; none when there are none.
///
/// # Errors
/// Raised, except that of a body in a file, which is returned: `in_file` says so.
pub(super) fn post_args(ex: &mut Exchange, max: i32) -> std::result::Result<Option<&[u8]>, &'static str> {
    if ex.req.body.discard {
        return Ok(None);
    }
    match &ex.req.body.held {
        None => Err("no request body found; maybe you should turn on lua_need_request_body?"),
        Some(Held::File(..)) => Err(IN_FILE),
        Some(Held::Memory(bytes)) if bytes.is_empty() => Ok(None),
        Some(Held::Memory(bytes)) => {
            super::request::pack_args(&mut ex.lua.scratch, bytes, max);
            Ok(Some(&ex.lua.scratch))
        }
    }
}

/// The one error of `get_post_args` that is returned and not raised.
const IN_FILE: &str = "request body in temp file not supported";
