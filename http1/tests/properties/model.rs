//! `Headers` against a list of pairs.

use http1::Headers;
use proptest::prelude::*;

type Field = (Vec<u8>, Vec<u8>);

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Push(Field),
    Set(Field),
    Remove(Vec<u8>),
    /// Keep the fields whose value is longer than this.
    Retain(usize),
    Clear,
    /// Through the wire and back, so that parsed fields are edited too. The flag adds white space that is normalised.
    Reparse(bool),
}

/// Few names, so that they meet; long values, so that the arena is squeezed.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec!["a", "A", "b", "Host", "host", "X-Long-Name"]).prop_map(|name| name.as_bytes().to_vec())
}

fn field() -> impl Strategy<Value = Field> {
    let value = prop_oneof![
        3 => prop::collection::vec(b'a'..=b'z', 0..10),
        1 => prop::collection::vec(b'a'..=b'z', 100..300),
    ];
    (name(), value)
}

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => field().prop_map(Operation::Push),
        8 => field().prop_map(Operation::Set),
        3 => name().prop_map(Operation::Remove),
        1 => (0usize..8).prop_map(Operation::Retain),
        1 => Just(Operation::Clear),
        1 => any::<bool>().prop_map(Operation::Reparse),
    ]
}

fn is(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}

fn apply(model: &mut Vec<Field>, headers: &mut Headers, operation: &Operation) {
    match operation {
        Operation::Push((name, value)) => {
            model.push((name.clone(), value.clone()));
            headers.push(name, value);
        }
        Operation::Set((name, value)) => {
            headers.set(name, value);
            match model.iter().position(|(other, _)| is(other, name)) {
                None => model.push((name.clone(), value.clone())),
                Some(first) => {
                    model[first] = (name.clone(), value.clone());
                    let mut at = 0;
                    model.retain(|(other, _)| {
                        at += 1;
                        at <= first + 1 || !is(other, name)
                    });
                }
            }
        }
        Operation::Remove(name) => {
            let before = model.len();
            model.retain(|(other, _)| !is(other, name));
            assert_eq!(headers.remove(name), before - model.len());
        }
        Operation::Retain(size) => {
            model.retain(|(_, value)| value.len() > *size);
            headers.retain(|_, value| value.len() > *size);
        }
        Operation::Clear => {
            model.clear();
            headers.clear();
        }
        Operation::Reparse(odd) => reparse(headers, *odd),
    }
}

fn reparse(headers: &mut Headers, odd: bool) {
    let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
    for (name, value) in headers.iter() {
        let (before, after): (&[u8], &[u8]) = if odd { (b":", b" \t\r\n") } else { (b": ", b"\r\n") };
        bytes.extend_from_slice(&[name, before, value, after].concat());
    }
    bytes.extend_from_slice(b"\r\n");
    let mut head = http1::ResponseHead::new();
    let limits = http1::Limits { head_bytes: 1 << 20, headers: http1::MAX_HEADERS };
    if http1::parse_response(&bytes, &limits, &http1::Method::Head, &mut head).is_ok() {
        *headers = head.headers;
    }
}

pub(crate) fn check(operations: &[Operation]) {
    let (mut model, mut headers) = (Vec::new(), Headers::new());
    for operation in operations {
        apply(&mut model, &mut headers, operation);
        let got: Vec<Field> = headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        assert_eq!(got, model, "after {operation:?}");
        assert_eq!((headers.len(), headers.is_empty()), (model.len(), model.is_empty()));
        assert_eq!(headers.bytes(), model.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>());
        for name in [&b"A"[..], b"HOST", b"x-long-name", b"absent"] {
            let values: Vec<&[u8]> =
                model.iter().filter(|field| is(&field.0, name)).map(|field| &field.1[..]).collect();
            assert_eq!(headers.get(name), values.first().copied());
            assert_eq!(headers.contains(name), !values.is_empty());
            assert!(headers.get_all(name).eq(values));
        }
    }
    let mut out = Vec::new();
    http1::encode_response(&mut out, http1::Version::Http11, 200, Some(b"OK"), &headers);
    let mut lines = b"HTTP/1.1 200 OK\r\n".to_vec();
    for (name, value) in &model {
        lines.extend_from_slice(&[&name[..], b": ", value, b"\r\n"].concat());
    }
    lines.extend_from_slice(b"\r\n");
    assert_eq!(out, lines);
}
