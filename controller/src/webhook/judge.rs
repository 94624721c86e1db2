//! The check of an object that is about to be stored, against the table as it is.

use jiff::Timestamp;
use serde_json::Value;

use super::review::{Operation, Request, Verdict};
use crate::files;
use crate::problem::{Cause, Problem, Severity};
use crate::schema::nearest;
use crate::store::{Kind, Object, ObjectId, Update};
use crate::table::{Layered, Translator};

/// Whether an object should be taken. The table is not changed.
pub fn judge(table: &Translator, request: &Request) -> Verdict {
    let Some(kind) = kind(request) else { return Verdict::default() };
    if is_always_allowed(kind, request) {
        return Verdict::default();
    }
    let (id, object, mut problems) = files::object(&completed(&request.object, &request.namespace));
    if kind == Kind::Ingress {
        // The API server has validated it; it may be newer than we are.
        problems.retain(|problem| problem.reason != "UnknownField");
    }
    if let (Some(id), Some(object)) = (&id, object) {
        let mut with = Layered::over(table);
        if kind == Kind::Ingress {
            let class = class_name(&object);
            problems.extend(changed(&mut with, id, object));
            if with.own_class(&id.name).is_none() {
                return Verdict { warnings: no_class(&with, class).into_iter().collect(), ..Verdict::default() };
            }
        } else if matches!(kind, Kind::LuaPluginBinding | Kind::ClusterLuaPluginBinding) {
            problems.extend(changed(&mut with, id, object));
        } else {
            problems.extend(with.check(object));
        }
    } else if kind == Kind::Ingress && !may_be_own(table, &request.object) {
        return Verdict::default();
    }
    problems.sort();
    problems.dedup();
    let object = id.map(|id| id.reference().to_string()).unwrap_or_else(|| request.kind.kind.clone());
    let known = if problems.is_empty() { Vec::new() } else { known(table, request) };
    Verdict { object, ..verdict(problems, &known) }
}

/// The kinds that are looked at; of others, and of parts of objects, nothing is said.
fn kind(request: &Request) -> Option<Kind> {
    let asked = format!("{}/{}", request.kind.group, request.kind.version);
    let (kind, ..) =
        Kind::ALL.into_iter().find(|(_, name, version)| *name == request.kind.kind && *version == asked)?;
    let is_whole = request.sub_resource.as_deref().unwrap_or_default().is_empty();
    (is_whole && (kind.is_ours() || kind == Kind::Ingress)).then_some(kind)
}

/// What must be possible whatever is wrong: to delete, to let go of what is being deleted, and to change what is not
/// looked at here, such as a label or a finalizer.
fn is_always_allowed(kind: Kind, request: &Request) -> bool {
    let (new, old) = (&request.object, &request.old_object);
    let is_same = |path: &str| new.pointer(path).unwrap_or(&Value::Null) == old.pointer(path).unwrap_or(&Value::Null);
    match request.operation {
        Operation::Delete | Operation::Connect => true,
        Operation::Create => false,
        Operation::Update => {
            let is_leaving = new.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null());
            is_leaving || is_same("/spec") && (kind != Kind::Ingress || is_same("/metadata/annotations"))
        }
    }
}

/// An object with what the API server may fill in later.
fn completed(object: &Value, namespace: &str) -> Value {
    let mut object = object.clone();
    let Some(Value::Object(meta)) = object.get_mut("metadata") else { return object };
    let text = |meta: &serde_json::Map<String, Value>, key: &str| {
        meta.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if text(meta, "name").is_empty() {
        meta.insert("name".into(), format!("{}new", text(meta, "generateName")).into());
    }
    if !namespace.is_empty() {
        meta.insert("namespace".into(), namespace.into());
    }
    if text(meta, "creationTimestamp").is_empty() {
        // Without a time it would be older than all others.
        meta.insert("creationTimestamp".into(), Timestamp::now().to_string().into());
    }
    object
}

/// What is wrong with an object once it is there.
fn changed(table: &mut Layered<'_>, id: &ObjectId, object: Object) -> Vec<Problem> {
    table.change([Update::Apply(object)]);
    table.problems_of(&id.reference())
}

/// The class that an Ingress names by its field: by the annotation, controllers without an IngressClass go too.
fn class_name(object: &Object) -> Option<String> {
    match object {
        Object::Ingress(ingress) => ingress.header.class.clone().filter(|_| ingress.header.class_annotation.is_none()),
        _ => None,
    }
}

/// An Ingress that is not ours is none of our business, unless its class is no one's and nearly one of ours.
fn no_class(table: &Layered<'_>, class: Option<String>) -> Option<String> {
    let class = class?;
    let mut ours = Vec::new();
    for known in table.store().classes() {
        if known.name == class {
            return None;
        }
        if known.controller == table.options().controller {
            ours.push(known.name.as_str());
        }
    }
    let meant = nearest(&class, ours.into_iter())?;
    Some(format!("spec.ingressClassName: there is no IngressClass {class}, so nobody serves this; {meant} was meant?"))
}

/// Whether an Ingress that is not valid could be ours: if it names a class, it is one of ours.
fn may_be_own(table: &Translator, object: &Value) -> bool {
    let annotation =
        object.pointer("/metadata/annotations").and_then(|a| a.get(crate::store::convert::CLASS_ANNOTATION));
    let class = annotation.or_else(|| object.pointer("/spec/ingressClassName")).and_then(Value::as_str);
    let Some(class) = class else { return false };
    let id = ObjectId::new(Kind::IngressClass, routing::ObjectName::cluster(class));
    matches!(table.store().object(&id), Some(Object::IngressClass(c)) if c.controller == table.options().controller)
}

/// What is wrong with the object as it is: an update that leaves it so makes nothing worse.
fn known(table: &Translator, request: &Request) -> Vec<Problem> {
    if request.operation != Operation::Update {
        return Vec::new();
    }
    let (id, _, mut problems) = files::object(&completed(&request.old_object, &request.namespace));
    problems.extend(id.into_iter().flat_map(|id| table.problems_of(&id.reference())));
    problems
}

fn verdict(problems: Vec<Problem>, known: &[Problem]) -> Verdict {
    let mut verdict = Verdict::default();
    for problem in problems {
        let text = match problem.field.as_str() {
            "" => problem.message.clone(),
            field => format!("{field}: {}", problem.message),
        };
        let is_own_fault = problem.severity == Severity::Error && problem.cause() == Cause::Object;
        match is_own_fault && !known.contains(&problem) {
            true => verdict.denials.push(text),
            false => verdict.warnings.push(text),
        }
    }
    verdict
}
