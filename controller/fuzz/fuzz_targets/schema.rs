//! `[schema, config]` as JSON: neither does harm, and a config with its defaults is one that fits, and stays.
#![no_main]

use controller::schema::Schema;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let Ok((schema, config)) = serde_json::from_str::<(Value, Value)>(text) else { return };
    let Ok(schema) = Schema::parse(&schema) else { return };
    let Value::Object(config) = config else { return };
    let Ok(Value::Object(applied)) = schema.apply(&config) else { return };
    assert_eq!(schema.apply(&applied), Ok(Value::Object(applied.clone())), "defaults are filled in once");
});
