//! Random histories: a dict of one lock does what a naive list does that is written after OpenResty's steps.

use proptest::prelude::*;

use super::super::entry::ENTRY;
use super::*;

/// A call; times are how long after the one before.
#[derive(Clone, Debug)]
enum Call {
    Get(u8, bool),
    Store(Store, u8, Stuff, u8, i32),
    Delete(u8),
    Incr(u8, i8, Option<i8>, u8),
    Push(End, u8, Stuff),
    Pop(End, u8),
    Llen(u8),
    Ttl(u8),
    Expire(u8, u8),
    FlushAll,
    FlushExpired(usize),
    Keys(usize),
    Resize(usize),
    Pass(u8),
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
enum Stuff {
    Text(u8, usize),
    Num(i32),
    Bool(bool),
    Nil,
    List(Vec<Stuff>),
}

impl Stuff {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(byte, len) => vec![*byte; *len],
            _ => Vec::new(),
        }
    }

    fn put<'a>(&self, bytes: &'a [u8]) -> Put<'a> {
        match self {
            Self::Text(..) => Put::Str(bytes),
            Self::Num(number) => Put::Num(f64::from(*number)),
            Self::Bool(boolean) => Put::Bool(*boolean),
            Self::Nil | Self::List(_) => Put::Nil,
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Text(_, len) => len + 16,
            Self::Num(_) | Self::Bool(_) | Self::Nil => 0,
            Self::List(items) => 56 + items.iter().map(|item| 32 + item.cost()).sum::<usize>(),
        }
    }

    fn got(&self) -> String {
        format!("{:?}", self)
    }
}

/// What was read, in the same words.
fn got(value: Got, out: &[u8]) -> String {
    match value {
        Got::Str => Stuff::Text(out.first().copied().unwrap_or(b'-'), out.len()),
        Got::Num(number) => Stuff::Num(number as i32),
        Got::Bool(boolean) => Stuff::Bool(boolean),
    }
    .got()
}

fn key(at: u8) -> Vec<u8> {
    // Short and long ones.
    format!("{at}").repeat(if at.is_multiple_of(3) { 40 } else { 1 }).into_bytes()
}

struct Item {
    key: u8,
    value: Stuff,
    flags: i32,
    expires: u64,
}

impl Item {
    fn live(&self, now: u64) -> bool {
        self.expires == 0 || self.expires > now
    }

    fn cost(&self) -> usize {
        let key = key(self.key).len();
        ENTRY + if key > 30 { key + 16 } else { 0 } + self.value.cost()
    }
}

struct Model {
    /// Most recently used first.
    items: Vec<Item>,
    capacity: usize,
}

impl Model {
    fn used(&self) -> usize {
        self.items.iter().map(Item::cost).sum()
    }

    /// `n` as in `ngx_http_lua_shdict_expire`: 1 drops two ended entries, 0 first one by force.
    fn drop_old(&mut self, n: usize, now: u64) -> usize {
        let before = self.items.len();
        for n in n..3 {
            let Some(last) = self.items.last() else { break };
            if n != 0 && last.live(now) {
                break;
            }
            self.items.pop();
        }
        before - self.items.len()
    }

    fn at(&self, key: u8) -> Option<usize> {
        self.items.iter().position(|item| item.key == key)
    }

    /// Its place, at the front now, if its time is not over.
    fn touch(&mut self, key: u8, now: u64) -> bool {
        let Some(at) = self.at(key).filter(|&at| self.items[at].live(now)) else { return false };
        let item = self.items.remove(at);
        self.items.insert(0, item);
        true
    }

    fn insert(&mut self, item: Item, evictions: usize, now: u64) -> (Result<(), DictError>, bool) {
        let mut forced = false;
        for left in (0..=evictions).rev() {
            if self.used() + item.cost() <= self.capacity {
                self.items.insert(0, item);
                return (Ok(()), forced);
            }
            if left == 0 || self.drop_old(0, now) == 0 {
                break;
            }
            forced = true;
        }
        (Err(DictError::NoMemory), forced)
    }

    fn store(&mut self, how: Store, key: u8, value: Stuff, ttl: u8, flags: i32, now: u64) -> String {
        if value == Stuff::Nil && matches!(how, Store::Add | Store::SafeAdd | Store::Replace) {
            return format!("{:?}", Stored { result: Err(DictError::NilValue), forcible: false });
        }
        self.drop_old(1, now);
        let live = self.touch(key, now);
        let condition = match how {
            Store::Add | Store::SafeAdd if live => Some(DictError::Exists),
            Store::Replace if !live => Some(DictError::NotFound),
            _ => None,
        };
        if let Some(error) = condition {
            return format!("{:?}", Stored { result: Err(error), forcible: false });
        }
        self.items.retain(|item| item.key != key);
        let (result, forcible) = if value == Stuff::Nil {
            (Ok(()), false)
        } else {
            let expires = if ttl == 0 { 0 } else { now + u64::from(ttl) };
            let evictions = if matches!(how, Store::SafeSet | Store::SafeAdd) { 0 } else { 30 };
            self.insert(Item { key, value, flags, expires }, evictions, now)
        };
        format!("{:?}", Stored { result, forcible })
    }

    fn incr(&mut self, key: u8, by: i8, init: Option<i8>, ttl: u8, now: u64) -> String {
        self.drop_old(1, now);
        let result = if self.touch(key, now) {
            match &mut self.items[0].value {
                Stuff::Num(number) => {
                    *number += i32::from(by);
                    Ok((*number, false))
                }
                _ => Err(DictError::NotANumber),
            }
        } else if let Some(init) = init {
            self.items.retain(|item| item.key != key);
            let value = i32::from(init) + i32::from(by);
            let expires = if ttl == 0 { 0 } else { now + u64::from(ttl) };
            let (result, forced) = self.insert(Item { key, value: Stuff::Num(value), flags: 0, expires }, 30, now);
            result.map(|()| (value, forced))
        } else {
            Err(DictError::NotFound)
        };
        format!("{result:?}")
    }

    fn push(&mut self, end: End, key: u8, value: Stuff, now: u64) -> String {
        if matches!(value, Stuff::Bool(_) | Stuff::Nil) {
            return format!("{:?}", Err::<usize, _>(DictError::BadValueType));
        }
        self.drop_old(1, now);
        let live = self.touch(key, now);
        if !live {
            self.items.retain(|item| item.key != key);
            let list = Item { key, value: Stuff::List(Vec::new()), flags: 0, expires: 0 };
            if self.used() + list.cost() + 32 + value.cost() > self.capacity {
                return format!("{:?}", Err::<usize, _>(DictError::NoMemory));
            }
            self.items.insert(0, list);
        }
        let room = self.used() + 32 + value.cost() <= self.capacity;
        let result = match &mut self.items[0].value {
            Stuff::List(_) if !room => Err(DictError::NoMemory),
            Stuff::List(items) => {
                items.insert(if end == End::Left { 0 } else { items.len() }, value);
                Ok(items.len())
            }
            _ => Err(DictError::ValueNotAList),
        };
        format!("{result:?}")
    }

    fn pop(&mut self, end: End, key: u8, now: u64) -> String {
        self.drop_old(1, now);
        if !self.touch(key, now) {
            return "Ok(None)".into();
        }
        let Stuff::List(items) = &mut self.items[0].value else {
            return format!("Err({:?})", DictError::ValueNotAList);
        };
        let value = items.remove(if end == End::Left { 0 } else { items.len() - 1 });
        if items.is_empty() {
            self.items.remove(0);
        }
        format!("Ok(Some({}))", value.got())
    }

    fn get(&mut self, key: u8, stale: bool, now: u64) -> String {
        if !stale {
            self.drop_old(1, now);
        }
        let live = self.touch(key, now);
        let Some(at) = self.at(key).filter(|_| live || stale) else { return "Ok(None)".into() };
        match &self.items[at].value {
            Stuff::List(_) => format!("Err({:?})", DictError::ValueIsAList),
            value => format!("Ok({} {} {})", value.got(), self.items[at].flags, !live),
        }
    }
}

/// Both do the call; both answers in the same words.
fn run(call: &Call, dict: &Dict, model: &mut Model, now: &mut u64) -> (String, String) {
    let (at, mut out) = (*now, Vec::new());
    match call.clone() {
        Call::Get(k, stale) => {
            let found = if stale { dict.get_stale(&key(k), at, &mut out) } else { dict.get(&key(k), at, &mut out) };
            let found = match found {
                Ok(Some(found)) => format!("Ok({} {} {})", got(found.value, &out), found.flags, found.stale),
                Ok(None) => "Ok(None)".into(),
                Err(error) => format!("Err({error:?})"),
            };
            (found, model.get(k, stale, at))
        }
        Call::Store(how, k, value, ttl, flags) => {
            let stored = dict.store(how, &key(k), value.put(&value.bytes()), i64::from(ttl), flags, at);
            (format!("{stored:?}"), model.store(how, k, value, ttl, flags, at))
        }
        Call::Delete(k) => {
            dict.delete(&key(k), at);
            model.drop_old(1, at);
            model.items.retain(|item| item.key != k);
            Default::default()
        }
        Call::Incr(k, by, init, ttl) => {
            let result = dict.incr(&key(k), f64::from(by), init.map(f64::from), i64::from(ttl), at);
            (format!("{:?}", result.map(|(value, forced)| (value as i32, forced))), model.incr(k, by, init, ttl, at))
        }
        Call::Push(end, k, value) => {
            let result = dict.push(end, &key(k), value.put(&value.bytes()), at);
            (format!("{result:?}"), model.push(end, k, value, at))
        }
        Call::Pop(end, k) => {
            let popped = match dict.pop(end, &key(k), at, &mut out) {
                Ok(Some(value)) => format!("Ok(Some({}))", got(value, &out)),
                Ok(None) => "Ok(None)".into(),
                Err(error) => format!("Err({error:?})"),
            };
            (popped, model.pop(end, k, at))
        }
        Call::Llen(k) => {
            model.drop_old(1, at);
            let expected = match model.touch(k, at).then(|| &model.items[0].value) {
                Some(Stuff::List(items)) => Ok(items.len()),
                Some(_) => Err(DictError::ValueNotAList),
                None => Ok(0),
            };
            (format!("{:?}", dict.llen(&key(k), at)), format!("{expected:?}"))
        }
        Call::Ttl(k) => {
            let left = model.at(k).map(|i| model.items[i].expires).ok_or(DictError::NotFound);
            let left = left.map(|end| if end == 0 { 0 } else { end as i64 - at as i64 });
            (format!("{:?}", dict.ttl(&key(k), at)), format!("{left:?}"))
        }
        Call::Expire(k, ttl) => {
            let place = model.at(k).ok_or(DictError::NotFound);
            let done = place.map(|i| model.items[i].expires = if ttl == 0 { 0 } else { at + u64::from(ttl) });
            (format!("{:?}", dict.expire(&key(k), i64::from(ttl), at)), format!("{done:?}"))
        }
        call => run_on_all(&call, dict, model, now),
    }
}

fn run_on_all(call: &Call, dict: &Dict, model: &mut Model, now: &mut u64) -> (String, String) {
    let at = *now;
    match *call {
        Call::FlushAll => {
            dict.flush_all(at);
            model.items.iter_mut().for_each(|item| item.expires = 1);
            model.drop_old(0, at);
            Default::default()
        }
        Call::FlushExpired(max) => {
            let (before, mut left) = (model.items.len(), if max == 0 { usize::MAX } else { max });
            for i in (0..before).rev() {
                if left > 0 && !model.items[i].live(at) {
                    model.items.remove(i);
                    left -= 1;
                }
            }
            (dict.flush_expired(max, at).to_string(), (before - model.items.len()).to_string())
        }
        Call::Keys(max) => {
            let keys = dict.get_keys(max, usize::MAX, at);
            let keys: Vec<_> = keys.iter().map(<[u8]>::to_vec).collect();
            let limit = if max == 0 { usize::MAX } else { max };
            let live = model.items.iter().rev().filter(|item| item.live(at));
            let expected: Vec<_> = live.map(|item| key(item.key)).take(limit).collect();
            (format!("{keys:?}"), format!("{expected:?}"))
        }
        Call::Resize(bytes) => {
            dict.resize(bytes, at);
            model.capacity = bytes;
            while model.used() > model.capacity {
                model.drop_old(0, at);
            }
            Default::default()
        }
        Call::Pass(ms) => {
            *now += u64::from(ms);
            Default::default()
        }
        _ => unreachable!("calls of one key are above"),
    }
}

fn stuff() -> impl Strategy<Value = Stuff> {
    prop_oneof![
        // Lengths around those that let 30 evictions suffice, or not.
        3 => (b'a'..=b'c', 1..40_usize).prop_map(|(byte, len)| Stuff::Text(byte, len)),
        2 => (b'a'..=b'c', 400..1500_usize).prop_map(|(byte, len)| Stuff::Text(byte, len)),
        1 => (b'a'..=b'c', 4000..9000_usize).prop_map(|(byte, len)| Stuff::Text(byte, len)),
        3 => any::<i8>().prop_map(|number| Stuff::Num(number.into())),
        1 => any::<bool>().prop_map(Stuff::Bool),
        1 => Just(Stuff::Nil),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let key = || 0..70_u8;
    let ttl = || prop_oneof![Just(0_u8), 1..60_u8];
    let how =
        prop::sample::select(vec![Store::Set, Store::Set, Store::SafeSet, Store::Add, Store::SafeAdd, Store::Replace]);
    let end = || prop::sample::select(vec![End::Left, End::Right]);
    prop_oneof![
        4 => (key(), any::<bool>()).prop_map(|(k, stale)| Call::Get(k, stale)),
        8 => (how, key(), stuff(), ttl(), 0..3_i32).prop_map(|(how, k, value, ttl, flags)| Call::Store(how, k, value, ttl, flags)),
        1 => key().prop_map(Call::Delete),
        4 => (key(), any::<i8>(), any::<Option<i8>>(), ttl()).prop_map(|(k, by, init, ttl)| Call::Incr(k, by, init, ttl)),
        4 => (end(), key(), stuff()).prop_map(|(end, k, value)| Call::Push(end, k, value)),
        2 => (end(), key()).prop_map(|(end, k)| Call::Pop(end, k)),
        1 => key().prop_map(Call::Llen),
        1 => key().prop_map(Call::Ttl),
        1 => (key(), ttl()).prop_map(|(k, ttl)| Call::Expire(k, ttl)),
        1 => prop_oneof![Just(Call::FlushAll), (0..4_usize).prop_map(Call::FlushExpired), (0..4_usize).prop_map(Call::Keys)],
        1 => (8192..20_000_usize).prop_map(Call::Resize),
        3 => (0..30_u8).prop_map(Call::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn does_what_the_model_does(calls in prop::collection::vec(call(), 1..300)) {
        let dict = Dict::new(MIN_CAPACITY);
        let mut model = Model { items: Vec::new(), capacity: MIN_CAPACITY };
        let mut now = START;
        for (at, call) in calls.iter().enumerate() {
            let (ours, expected) = run(call, &dict, &mut model, &mut now);
            prop_assert_eq!(ours, expected, "call {}: {:?}", at, call);
            prop_assert_eq!(dict.free_space(), model.capacity - model.used(), "call {}: {:?}", at, call);
        }
        let order: Vec<Vec<u8>> = dict.get_keys(0, usize::MAX, now).iter().map(<[u8]>::to_vec).collect();
        let expected: Vec<_> = model.items.iter().rev().filter(|item| item.live(now)).map(|item| key(item.key)).collect();
        prop_assert_eq!(order, expected);
        prop_assert_eq!(dict.memory.used(), sum_of_costs(&dict));
    }
}
