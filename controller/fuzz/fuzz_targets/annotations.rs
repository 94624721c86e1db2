//! Lines of `key: value`: every annotation is either understood or a problem, and only of our two prefixes.
#![no_main]

use std::collections::BTreeMap;

use controller::annotations::{NGINX, OURS, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    let annotations: BTreeMap<String, String> = lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let (parsed, problems) = parse(&annotations);
    for problem in &problems {
        assert!(problem.key.starts_with(NGINX) || problem.key.starts_with(OURS), "{problem}");
        assert!(annotations.contains_key(&problem.key) && !problem.message.is_empty());
    }
    assert_eq!(parse(&annotations), (parsed, problems));
});
