//! What holds for any text as a file; the fuzz target and the smoke test share it.

use std::collections::HashSet;

use controller::Translator;
use controller::files::read_text;
use controller::store::{Object, Update};
use controller::translate::Options;

/// Reading and translating ends; the table is the same whether the objects come one by one or at once; without them
/// nothing is left. The number of objects.
pub(crate) fn check(text: &str) -> usize {
    let (mut objects, _) = read_text(text);
    let mut seen = HashSet::new();
    objects.retain(|object| seen.insert(object.id()));

    let mut at_once = translator();
    at_once.change(objects.iter().cloned().map(Update::Apply));
    let mut one_by_one = translator();
    for object in &objects {
        one_by_one.change([Update::Apply(object.clone())]);
    }
    assert_eq!(one_by_one.table(), at_once.table());
    assert_eq!(one_by_one.problems(), at_once.problems());

    one_by_one.change(objects.iter().map(Object::id).map(Update::Delete));
    assert_eq!(one_by_one.table().0.len(), 1, "the settings");
    assert_eq!(one_by_one.problems(), []);
    objects.len()
}

fn translator() -> Translator {
    let mut translator = Translator::new(Options::standalone());
    translator.change([]);
    translator
}
