//! Every C function that a namespace's script can come to is known, with what bounds it: LuaJIT looks whether a run is
//! to end only between instructions, so a C function that runs long without asking itself is a way past the limits.

use std::collections::BTreeSet;
use std::ffi::CString;

use super::{Vm, VmOptions, error_text};
use crate::loader::load_text;
use crate::regex;
use crate::{Host, Outcome, Session, cfun, host};
use mlua_sys as lua;

/// A function a line: where it is found, a tab, and its bound.
const KNOWN: &str = include_str!("bounds.tsv");

/// What a bound may be; the rest of the line says of what, or why.
const BOUNDS: [&str; 5] = [
    // Some instructions, whatever it gets.
    "constant", // In its arguments or its result, which the VM's memory limit bounds.
    "linear",   // It asks from time to time whether it is to end.
    "asks",     // What it gets is limited.
    "limit",    // It runs a script's function, whose instructions are looked at.
    "calls",
];

/// Finds every function that a script can come to by fields, keys, metatables, modules and objects of these, by the
/// real `debug` library, so that nothing hides. Lua functions are not looked into: what they hold is not reached.
const WALK: &str = r#"
local open = ...
local G, safe, loaded = _G, debug, package.loaded
loaded.debug = nil
rawset(G, "debug", nil)
open()
local dbg = loaded.debug
rawset(G, "debug", safe)
loaded.debug = safe

local function upvalue(f, name)
  for i = 1, 200 do
    local n, v = dbg.getupvalue(f, i)
    if n == name then return v end
  end
  error("no upvalue " .. name)
end

local seen, found, queue = {}, {}, {}
local function add(v, path)
  local t = type(v)
  if v == nil or t == "boolean" or t == "number" or t == "string" or seen[v] then return end
  seen[v] = true
  queue[#queue + 1] = { v, path }
end

local names = {}
for name in next, upvalue(upvalue(require, "find"), "ours") do names[#names + 1] = name end
table.sort(names)
assert(#names > 20)
local at = 1
local function walk()
  while queue[at] do
    local v, path = queue[at][1], queue[at][2]
    at = at + 1
    if type(v) == "function" then
      if dbg.getinfo(v, "S").what == "C" then found[#found + 1] = path end
    else
      add(dbg.getmetatable(v), path .. "<metatable>")
      local keys = {}
      if type(v) == "table" then
        for k in next, v do keys[#keys + 1] = k end
      end
      table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
      for _, k in ipairs(keys) do
        add(k, path .. "<key>")
        add(rawget(v, k), (path == "" and "" or path .. ".") .. tostring(k))
      end
    end
  end
end

add(require "string.buffer", "string.buffer")
for _, name in ipairs(names) do add(require(name), name) end
add(G, "")
walk()
local text, cjson, co = require "string.buffer", require "cjson", coroutine.create(function() end)
for _, pair in ipairs {
  { dbg.getmetatable(""), "('')<metatable>" }, { text.new(), "buffer" }, { cjson.new(), "cjson.new()" },
  { (ipairs {}), "ipairs {}" }, { 1LL, "1LL" }, { co, "coroutine" }, { ngx.null, "ngx.null" },
} do add(pair[1], pair[2]) end
walk()
return table.concat(found, "\n")
"#;

/// A host that offers nothing.
struct Nobody;

impl Host for Nobody {
    fn var_get(&mut self, _: &[u8]) -> Option<&[u8]> {
        None
    }
    fn var_set(&mut self, _: &[u8], _: Option<&[u8]>) -> Result<i32, &[u8]> {
        Ok(0)
    }
    fn resp_header_get(&mut self, _: &[u8]) -> Option<&[u8]> {
        None
    }
    fn resp_header_set(&mut self, _: &[u8], _: Option<&[u8]>, _: bool) -> Result<i32, &[u8]> {
        Ok(0)
    }
    fn status_get(&mut self) -> i32 {
        200
    }
    fn status_set(&mut self, _: i32) -> Result<i32, &[u8]> {
        Ok(0)
    }
    fn exit(&mut self, _: i32) -> Result<i32, &[u8]> {
        Ok(0)
    }
    fn sleep(&mut self, _: f64) -> Result<i32, &[u8]> {
        Ok(0)
    }
    fn now(&mut self) -> f64 {
        0.0
    }
    fn time(&mut self) -> f64 {
        0.0
    }
    fn update_time(&mut self) {}
    fn log(&mut self, _: i32, _: &[u8]) {}
    fn output(&mut self, _: &Session<Self>, _: &[u8]) -> Outcome {
        Outcome::Ok
    }
}

/// Runs the walk in a namespace's VM.
fn reached() -> BTreeSet<String> {
    let options = VmOptions { dicts: vec!["dict".into()], ..VmOptions::default() };
    let vm = Vm::<Nobody>::new(options).expect("a VM");
    let l = vm.core().l.get();
    // SAFETY: host mode; what runs is protected.
    let text = unsafe {
        assert_eq!(load_text(l, std::ptr::null(), "=walk", WALK.as_bytes()), lua::LUA_OK, "{}", error_text(l));
        lua::lua_pushcclosure(l, lua::luaopen_debug, 0);
        assert_eq!(lua::lua_pcall(l, 1, 1, 0), lua::LUA_OK, "{}", error_text(l));
        let text = error_text(l);
        lua::lua_settop(l, 0);
        text
    };
    text.lines().map(str::to_owned).collect()
}

#[test]
fn every_c_function_within_reach_has_a_bound() {
    let mut found = reached();
    let api = host::entries::<Nobody>().into_iter().chain(regex::ffi::entries()).map(|entry| entry.name.to_owned());
    found.extend(api.map(|name| format!("host {name}")));
    let own = cfun::functions::<Nobody>().into_iter().map(|(name, _)| CString::from(name));
    found.extend(own.map(|name| format!("prelude {}", name.to_string_lossy())));
    let mut known = BTreeSet::new();
    for line in KNOWN.lines().filter(|line| !line.starts_with('#')) {
        let (name, bound) = line.split_once('\t').unwrap_or((line, ""));
        let kind = bound.split([' ', ':', ';']).next().unwrap_or_default();
        assert!(BOUNDS.contains(&kind), "{name} has no bound of a known kind: {bound:?}");
        assert!(known.insert(name.to_owned()), "{name} is there twice");
    }
    let new: Vec<_> = found.difference(&known).collect();
    assert!(new.is_empty(), "a namespace's script can reach these. Say in bounds.tsv what bounds each: {new:#?}");
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(gone.is_empty(), "bounds.tsv has what cannot be reached: {gone:#?}");
}
