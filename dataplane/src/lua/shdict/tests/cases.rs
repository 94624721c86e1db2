//! Small scripts against one dict: a call a line, with what it answers.

use super::*;

/// Runs lines of `call args -> answer`. Values: `'text'`, `true`, `false`, `nil`, or a number. `+N` lets N ms pass.
fn check(script: &str) {
    let dict = Dict::new(MIN_CAPACITY);
    let mut now = START;
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(ms) = line.strip_prefix('+') {
            now += ms.parse::<u64>().expect("milliseconds");
            continue;
        }
        let (call, expected) = line.split_once(" -> ").unwrap_or((line, "true"));
        let words: Vec<&str> = call.split_whitespace().collect();
        assert_eq!(run(&dict, &words, now), expected, "`{line}` in:\n{script}");
    }
    assert_eq!(dict.memory.used(), sum_of_costs(&dict), "the account, after:\n{script}");
}

fn value(word: &str) -> Put<'_> {
    match word {
        "true" => Put::Bool(true),
        "false" => Put::Bool(false),
        "nil" => Put::Nil,
        _ => match word.strip_prefix('\'') {
            Some(text) => Put::Str(text.trim_end_matches('\'').as_bytes()),
            None => Put::Num(word.parse().expect("a number")),
        },
    }
}

fn run(dict: &Dict, words: &[&str], now: u64) -> String {
    let arg = |at: usize| words.get(at).copied().unwrap_or("");
    let number = |at: usize| words.get(at).map_or(0, |word| word.parse::<i64>().expect("an integer"));
    let key = arg(1).as_bytes();
    let mut out = Vec::new();
    let how = match words[0] {
        "set" => Store::Set,
        "safe_set" => Store::SafeSet,
        "add" => Store::Add,
        "safe_add" => Store::SafeAdd,
        "replace" => Store::Replace,
        "fill" => {
            // `fill COUNT BYTES`: keys 0, 1, ...
            let value = vec![b'x'; number(2) as usize];
            let keys = (0..number(1)).map(|at| at.to_string());
            return keys
                .map(|key| stored(dict.store(Store::Set, key.as_bytes(), Put::Str(&value), 0, 0, now)))
                .last()
                .unwrap();
        }
        "big" => {
            // `big HOW BYTES`
            let value = vec![b'x'; number(2) as usize];
            let how = if arg(1) == "safe_set" { Store::SafeSet } else { Store::Set };
            return stored(dict.store(how, b"big", Put::Str(&value), 0, 0, now));
        }
        _ => return read_or_change(dict, words, key, now, &mut out),
    };
    stored(dict.store(how, key, value(arg(2)), number(3), number(4) as i32, now))
}

fn read_or_change(dict: &Dict, words: &[&str], key: &[u8], now: u64, out: &mut Vec<u8>) -> String {
    let arg = |at: usize| words.get(at).copied().unwrap_or("");
    let number = |at: usize| words.get(at).map_or(0, |word| word.parse::<i64>().expect("an integer"));
    let end = if words[0].starts_with('l') { End::Left } else { End::Right };
    match words[0] {
        "get" => found(dict.get(key, now, out), out),
        "get_stale" => found(dict.get_stale(key, now, out), out),
        "delete" => {
            dict.delete(key, now);
            "true".into()
        }
        "incr" => {
            let init = words.get(3).map(|word| word.parse().expect("a number"));
            let result = dict.incr(key, arg(2).parse().expect("a number"), init, number(4), now);
            result.map_or_else(
                error,
                |(value, forcible)| if forcible { format!("{value} forced") } else { value.to_string() },
            )
        }
        "lpush" | "rpush" => dict.push(end, key, value(arg(2)), now).map_or_else(error, |len| len.to_string()),
        "lpop" | "rpop" => {
            dict.pop(end, key, now, out).map_or_else(error, |got| got.map_or("nil".into(), |got| text(got, out)))
        }
        "llen" => dict.llen(key, now).map_or_else(error, |len| len.to_string()),
        "ttl" => dict.ttl(key, now).map_or_else(error, |ms| ms.to_string()),
        "expire" => dict.expire(key, number(2), now).map_or_else(error, |()| "true".into()),
        "flush_all" => {
            dict.flush_all(now);
            "true".into()
        }
        "flush_expired" => dict.flush_expired(number(1) as usize, now).to_string(),
        "keys" => {
            let max = if words.len() > 1 { number(1) as usize } else { 1024 };
            let max_bytes = if words.len() > 2 { number(2) as usize } else { usize::MAX };
            let keys = dict.get_keys(max, max_bytes, now);
            let text = keys.iter().map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
            if keys.is_empty() { "none".into() } else { text }
        }
        other => panic!("no such call: {other}"),
    }
}

fn error(error: DictError) -> String {
    error.to_string()
}

fn stored(stored: Stored) -> String {
    let text = stored.result.map_or_else(error, |()| "true".into());
    if stored.forcible { text + " forced" } else { text }
}

fn text(got: Got, out: &[u8]) -> String {
    match got {
        Got::Str => format!("'{}'", String::from_utf8_lossy(out)),
        Got::Num(number) => number.to_string(),
        Got::Bool(boolean) => boolean.to_string(),
    }
}

fn found(result: Result<Option<Found>, DictError>, out: &[u8]) -> String {
    result.map_or_else(error, |found| {
        found.map_or("nil".into(), |found| {
            let flags = if found.flags == 0 { String::new() } else { format!(" flags {}", found.flags) };
            format!("{}{flags}{}", text(found.value, out), if found.stale { " stale" } else { "" })
        })
    })
}

#[test]
fn values_and_flags() {
    check(
        "get k -> nil
         set k 'text' 0 0
         get k -> 'text'
         set k '' 0 7
         get k -> '' flags 7
         set k -0.5
         get k -> -0.5
         set k true 0 -1
         get k -> true flags -1
         set k false
         get k -> false
         set k nil
         get k -> nil
         set k 'a'
         delete k
         delete k
         get k -> nil",
    );
}

#[test]
fn conditions() {
    check(
        "replace k 1 -> not found
         add k 1
         add k 2 -> exists
         get k -> 1
         replace k 'two' 0 5
         get k -> 'two' flags 5
         safe_add k 3 -> exists
         add k nil -> attempt to add or replace nil values
         safe_add k nil -> attempt to add or replace nil values
         replace k nil -> attempt to add or replace nil values
         safe_set k nil
         safe_add k 3
         get k -> 3
         set t 1 10
         +10
         replace t 2 -> not found
         add t 2
         get t -> 2
         ttl t -> 0",
    );
}

#[test]
fn times() {
    check(
        "ttl k -> not found
         expire k 5 -> not found
         set k 'v' 100 3
         ttl k -> 100
         +99
         get k -> 'v' flags 3
         ttl k -> 1
         set other 1
         +1
         get_stale k -> 'v' flags 3 stale
         get k -> nil
         get k -> nil
         get_stale other -> 1
         set k 1 -5
         ttl k -> 0
         expire k 50
         ttl k -> 50
         expire k 0
         +1000
         get k -> 1
         set k 2 2147483648000
         ttl k -> 2147483648000
         set k 2 9223372036854775807
         get k -> 2",
    );
    // The entry stays until it is the oldest: then the next call drops it.
    check(
        "set k 1 10
         set other 1
         +20
         ttl k -> -10
         expire k 10
         get k -> 1
         +20
         get other -> 1
         ttl k -> -10
         expire k 10
         +20
         get k -> nil
         ttl k -> not found",
    );
}

#[test]
fn counting() {
    check(
        "incr k 1 -> not found
         incr k 1 0 -> 1
         incr k 2.5 100 -> 3.5
         incr k -3.5 -> 0
         set k 'text'
         incr k 1 0 -> not a number
         set k true
         incr k 1 -> not a number
         delete k
         incr k 1 10 50 -> 11
         +49
         ttl k -> 1
         incr k 1 10 50 -> 12
         ttl k -> 1
         set other 1
         set k 5 100 9
         +100
         incr k 1 -> not found
         incr k 1 0 30 -> 1
         get k -> 1
         ttl k -> 30
         rpush l 1 -> 1
         incr l 1 0 -> not a number",
    );
}

#[test]
fn lists() {
    check(
        "llen l -> 0
         lpop l -> nil
         rpop l -> nil
         rpush l 'b' -> 1
         lpush l 'a' -> 2
         rpush l 3 -> 3
         llen l -> 3
         lpop l -> 'a'
         rpop l -> 3
         rpop l -> 'b'
         rpop l -> nil
         get l -> nil
         rpush l 'x' -> 1
         get l -> value is a list
         get_stale l -> value is a list
         rpush l true -> bad value type
         rpush l nil -> bad value type
         add l 1 -> exists
         set l 1
         lpush l 1 -> value not a list
         lpop l -> value not a list
         llen l -> value not a list
         delete l
         rpush l 1 -> 1
         set other 1
         expire l 10
         +10
         llen l -> 0
         lpop l -> nil
         rpush l 2 -> 1
         ttl l -> 0",
    );
}

#[test]
fn keys_and_flushing() {
    check(
        "keys -> none
         set a 1
         set b 2 10
         set c 3
         keys -> a b c
         get a -> 1
         keys -> b c a
         keys 2 -> b c
         keys 0 2 -> b c
         get_stale b -> 2
         keys 0 -> c a b
         +10
         keys -> c a
         flush_expired -> 1
         flush_expired -> 0
         keys -> c a
         set b 2
         get a -> 1
         flush_all
         keys -> none
         get b -> nil
         get_stale a -> nil",
    );
    // One old entry goes at once, with two more whose time is over; the others are there until room is needed.
    check(
        "set a 1
         set b 1
         set c 1
         set d 1
         flush_all
         get_stale c -> nil
         get_stale d -> 1 stale
         expire d 0
         get d -> 1
         set e 1 1
         set f 1 1
         set g 1 1
         get d -> 1
         set h 1
         +1
         flush_expired 2 -> 2
         flush_expired 0 -> 1",
    );
}

#[test]
fn full() {
    // 8192 bytes hold 7 entries of 1000 bytes with their overhead of 96 and 16.
    check(
        "fill 7 1000
         keys -> 0 1 2 3 4 5 6
         big safe_set 1000 -> no memory
         keys -> 0 1 2 3 4 5 6
         big set 1000 -> true forced
         keys -> 1 2 3 4 5 6 big
         big safe_set 1000
         big safe_set 2000 -> no memory
         keys -> 1 2 3 4 5 6
         big set 3000 -> true forced
         keys -> 3 4 5 6 big
         big set 2999
         big set 9000 -> no memory forced
         keys -> none",
    );
    // Numbers and pushes: a list gets no room by eviction.
    check(
        "fill 7 1000
         big set 100
         set n 1
         incr m 1 0 -> 1
         keys -> 0 1 2 3 4 5 6 big n m
         rpush l 1 -> no memory
         incr o 1 0 -> 1 forced
         keys -> 1 2 3 4 5 6 big n m o
         rpush l 1 -> 1
         delete 1
         rpush l 2 -> 2
         incr n 1 -> 2",
    );
    // What expired goes with the one evicted, and is not `forced` on its own.
    check(
        "set a 1 1
         set b 1 1
         set c 1 1
         fill 6 1000
         big set 500
         keys 3 -> a b c
         +1
         big set 1200
         keys -> 0 1 2 3 4 5 big",
    );
}
