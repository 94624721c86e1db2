//! Values from Secrets at their places in a config.

use serde_json::{Map, Value};

use super::ConfigProblem;

/// Puts a secret where the path leads, making the objects on the way.
pub(super) fn insert(config: &mut Value, path: &[String], secret: &str) -> Result<(), ConfigProblem> {
    let problem = |message: &str| ConfigProblem { path: path.join("."), message: message.to_owned() };
    let mut place = config;
    for name in path {
        place = match place {
            Value::Object(fields) => fields.entry(name.clone()).or_insert(Value::Null),
            Value::Array(items) => name
                .parse::<usize>()
                .ok()
                .and_then(|index| items.get_mut(index))
                .ok_or_else(|| problem("a Secret's path leads to an item of a list that is not there"))?,
            Value::Null => {
                *place = Value::Object(Map::new());
                let Value::Object(fields) = place else { return Err(problem("cannot be")) };
                fields.entry(name.clone()).or_insert(Value::Null)
            }
            _ => return Err(problem("a Secret's path leads into a value that is no object")),
        };
    }
    if !place.is_null() {
        return Err(problem("has both a value and a Secret's: remove one of them"));
    }
    *place = Value::String(secret.to_owned());
    Ok(())
}

/// Takes it out again.
pub(super) fn remove(config: &mut Value, path: &[String]) {
    let Some((last, way)) = path.split_last() else { return };
    let mut place = Some(config);
    for name in way {
        place = place.and_then(|value| match value {
            Value::Object(fields) => fields.get_mut(name),
            Value::Array(items) => name.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            _ => None,
        });
    }
    match place {
        Some(Value::Object(fields)) => drop(fields.shift_remove(last)),
        // The other items keep their places.
        Some(Value::Array(items)) => {
            if let Some(item) = last.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                *item = Value::Null;
            }
        }
        _ => {}
    }
}
