//! `ngx.shared.DICT`: finds a script's dicts and carries values between them and the prelude.
//!
//! A value goes to Lua in a fixed layout, so that one call is enough: a head of 24 bytes
//! (`kind: i32, flags: i32, stale: i32, pad: i32, number: f64`), then the bytes of a string.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::pack::{ENTRY_MAX, Packer};
use crate::exchange::Exchange;
use crate::lua::charge;
use crate::lua::shdict::{Dict, DictError, End, Found, Got, Put, Store, ttl_ms};
use crate::table::Scope;

/// What a value is, as the prelude knows it.
const BOOL: i32 = 1;
const NUMBER: i32 = 3;
const STRING: i32 = 4;

/// Keys that `get_keys` gives at most, in bytes: they are copied into the VM, whose limit must be able to say no first.
const MAX_KEYS_BYTES: usize = 8 * 1024 * 1024;

/// A worker's dicts by the number under which a VM's prelude knows them. A dict keeps its number as long as the worker
/// lives, so a call looks nothing up and takes no lock but the dict's own.
#[derive(Default)]
pub struct Slots(RefCell<SlotTable>);

#[derive(Default)]
struct SlotTable {
    dicts: Vec<Arc<Dict>>,
    numbers: HashMap<(Scope, String), usize>,
}

impl Slots {
    /// The number of a scope's dict, resolved anew: a VM asks once for each of its dicts.
    fn open(&self, scope: &Scope, name: &str, dict: Arc<Dict>) -> usize {
        let mut table = self.0.borrow_mut();
        let key = (scope.clone(), name.to_owned());
        if let Some(&number) = table.numbers.get(&key) {
            table.dicts[number] = dict;
            return number;
        }
        table.dicts.push(dict);
        let number = table.dicts.len() - 1;
        table.numbers.insert(key, number);
        number
    }

    fn get(&self, number: i32) -> Option<Arc<Dict>> {
        self.0.borrow().dicts.get(usize::try_from(number).ok()?).cloned()
    }
}

/// The number of a dict of the running script's scope, or -1.
pub(super) fn open(ex: &Exchange, name: &[u8]) -> i32 {
    let Some(scope) = super::scope(ex) else { return -1 };
    let Ok(name) = std::str::from_utf8(name) else { return -1 };
    let Some(dict) = ex.worker.shared.dicts.get(scope, name) else { return -1 };
    i32::try_from(ex.worker.dict_slots.open(scope, name, dict)).unwrap_or(-1)
}

/// Milliseconds since the epoch.
fn now() -> u64 {
    crate::lua::vars::time::now().as_millis() as u64
}

/// A value as it comes from Lua.
pub(super) fn put(kind: i32, text: &[u8], number: f64) -> Put<'_> {
    match kind {
        STRING => Put::Str(text),
        NUMBER => Put::Num(number),
        BOOL => Put::Bool(number != 0.0),
        _ => Put::Nil,
    }
}

/// Texts of errors outlive the call: `Display` of each is a literal.
fn text(error: DictError) -> &'static [u8] {
    match error {
        DictError::NilKey => b"nil key",
        DictError::EmptyKey => b"empty key",
        DictError::KeyTooLong => b"key too long",
        DictError::BadValueType => b"bad value type",
        DictError::NilValue => b"attempt to add or replace nil values",
        DictError::NotFound => b"not found",
        DictError::Exists => b"exists",
        DictError::NoMemory => b"no memory",
        DictError::NotANumber => b"not a number",
        DictError::ValueIsAList => b"value is a list",
        DictError::ValueNotAList => b"value not a list",
    }
}

type Lent<'a> = Result<Option<&'a [u8]>, &'a [u8]>;

/// Makes room for the head of a value; the string's bytes follow it.
fn head(buf: &mut Vec<u8>, found: Found) {
    let (kind, number) = match found.value {
        Got::Str => (STRING, 0.0),
        Got::Num(n) => (NUMBER, n),
        Got::Bool(b) => (BOOL, f64::from(u8::from(b))),
    };
    let mut head = [0; 24];
    head[..4].copy_from_slice(&kind.to_ne_bytes());
    head[4..8].copy_from_slice(&found.flags.to_ne_bytes());
    head[8..12].copy_from_slice(&i32::from(found.stale).to_ne_bytes());
    head[16..].copy_from_slice(&number.to_ne_bytes());
    if kind == STRING {
        buf.splice(..0, head);
    } else {
        buf.clear();
        buf.extend_from_slice(&head);
    }
}

/// `get`, `get_stale`
pub(super) fn get<'a>(ex: &'a mut Exchange, dict: i32, key: &[u8], stale: bool) -> Lent<'a> {
    let Some(dict) = ex.worker.dict_slots.get(dict) else { return Err(b"no such dict") };
    let buf = &mut ex.lua.scratch;
    buf.clear();
    let found = if stale { dict.get_stale(key, now(), buf) } else { dict.get(key, now(), buf) };
    match found {
        Ok(Some(found)) => {
            head(buf, found);
            Ok(Some(buf))
        }
        Ok(None) => Ok(None),
        Err(error) => Err(text(error)),
    }
}

/// `set`, `safe_set`, `add`, `safe_add`, `replace` by number. The result: 1 when entries were evicted, plus twice the
/// number of the error (`not found`, `exists`, `no memory`, else other).
pub(super) fn store(ex: &Exchange, dict: i32, how: i32, key: &[u8], value: Put<'_>, ttl: f64, flags: i32) -> i32 {
    let Some(dict) = ex.worker.dict_slots.get(dict) else { return 4 << 1 };
    let how = match how {
        0 => Store::Set,
        1 => Store::SafeSet,
        2 => Store::Add,
        3 => Store::SafeAdd,
        _ => Store::Replace,
    };
    let stored = dict.store(how, key, value, ttl_ms(ttl), flags, now());
    let error = match stored.result {
        Ok(()) => 0,
        Err(DictError::NotFound) => 1,
        Err(DictError::Exists) => 2,
        Err(DictError::NoMemory) => 3,
        Err(_) => 4,
    };
    error << 1 | i32::from(stored.forcible)
}

/// `delete`
pub(super) fn delete(ex: &Exchange, dict: i32, key: &[u8]) {
    if let Some(dict) = ex.worker.dict_slots.get(dict) {
        dict.delete(key, now());
    }
}

/// `incr`: the new value in a value's head, whose `flags` say whether entries were evicted.
pub(super) fn incr<'a>(ex: &'a mut Exchange, dict: i32, key: &[u8], by: f64, init: Option<f64>, ttl: f64) -> Lent<'a> {
    let Some(dict) = ex.worker.dict_slots.get(dict) else { return Err(b"no such dict") };
    match dict.incr(key, by, init, ttl_ms(ttl), now()) {
        Ok((value, forcible)) => {
            head(&mut ex.lua.scratch, Found { value: Got::Num(value), flags: i32::from(forcible), stale: false });
            Ok(Some(&ex.lua.scratch))
        }
        Err(error) => Err(text(error)),
    }
}

fn end(left: bool) -> End {
    if left { End::Left } else { End::Right }
}

/// `lpush`, `rpush`
pub(super) fn push(ex: &Exchange, dict: i32, left: bool, key: &[u8], value: Put<'_>) -> Result<i32, &'static [u8]> {
    let dict = ex.worker.dict_slots.get(dict).ok_or(&b"no such dict"[..])?;
    let length = dict.push(end(left), key, value, now()).map_err(text)?;
    Ok(i32::try_from(length).unwrap_or(i32::MAX))
}

/// `lpop`, `rpop`
pub(super) fn pop<'a>(ex: &'a mut Exchange, dict: i32, left: bool, key: &[u8]) -> Lent<'a> {
    let Some(dict) = ex.worker.dict_slots.get(dict) else { return Err(b"no such dict") };
    let buf = &mut ex.lua.scratch;
    buf.clear();
    match dict.pop(end(left), key, now(), buf) {
        Ok(Some(value)) => {
            head(buf, Found { value, flags: 0, stale: false });
            Ok(Some(buf))
        }
        Ok(None) => Ok(None),
        Err(error) => Err(text(error)),
    }
}

/// `llen`
pub(super) fn llen(ex: &Exchange, dict: i32, key: &[u8]) -> Result<i32, &'static [u8]> {
    let dict = ex.worker.dict_slots.get(dict).ok_or(&b"no such dict"[..])?;
    let length = dict.llen(key, now()).map_err(text)?;
    Ok(i32::try_from(length).unwrap_or(i32::MAX))
}

/// `ttl` in seconds; not a number when there is no such key.
pub(super) fn ttl(ex: &Exchange, dict: i32, key: &[u8]) -> f64 {
    let ttl = ex.worker.dict_slots.get(dict).and_then(|dict| dict.ttl(key, now()).ok());
    ttl.map_or(f64::NAN, |ms| ms as f64 / 1000.0)
}

/// `expire`: whether there is such a key.
pub(super) fn expire(ex: &Exchange, dict: i32, key: &[u8], ttl: f64) -> bool {
    ex.worker.dict_slots.get(dict).is_some_and(|dict| dict.expire(key, ttl_ms(ttl), now()).is_ok())
}

/// `flush_all`
pub(super) fn flush_all(ex: &Exchange, dict: i32) {
    if let Some(dict) = ex.worker.dict_slots.get(dict) {
        dict.flush_all(now());
    }
}

/// `flush_expired`
pub(super) fn flush_expired(ex: &Exchange, dict: i32, max: i32) -> i32 {
    let Some(dict) = ex.worker.dict_slots.get(dict) else { return 0 };
    let max = usize::try_from(max).unwrap_or_default();
    i32::try_from(dict.flush_expired(max, now())).unwrap_or(i32::MAX)
}

/// `get_keys`, packed.
pub(super) fn keys(ex: &mut Exchange, dict: i32, max: i32) -> Option<&[u8]> {
    let dict = ex.worker.dict_slots.get(dict)?;
    let keys = dict.get_keys(usize::try_from(max).unwrap_or_default(), MAX_KEYS_BYTES, now());
    let size = keys.iter().map(|key| key.len() + ENTRY_MAX).sum();
    if !charge::has_room(ex, size) {
        return None;
    }
    let mut packer = Packer::new(&mut ex.lua.scratch, 0);
    for key in keys.iter() {
        packer.push(b"", Some(key));
    }
    Some(packer.finish())
}

/// `capacity` and `free_space`, in bytes.
pub(super) fn space(ex: &Exchange, dict: i32, free: bool) -> f64 {
    let Some(dict) = ex.worker.dict_slots.get(dict) else { return 0.0 };
    (if free { dict.free_space() } else { dict.capacity() }) as f64
}
