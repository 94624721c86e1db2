//! From a document to an object of the store.

use routing::ObjectName;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tree::{Node, Yaml};
use super::{typed, validate};
use crate::crd;
use crate::problem::{ObjectRef, Problem};
use crate::store::object::Kind;
use crate::store::{self, Object, ObjectId, convert};

/// Where objects are that say no namespace.
const DEFAULT_NAMESPACE: &str = "default";

/// What a document says.
#[derive(Debug)]
pub(super) struct Document {
    /// Where it begins.
    pub(super) line: u32,
    /// Whose version it is, as far as it says; none for what is not read at all.
    pub(super) id: Option<ObjectId>,
    /// None when it is not valid.
    pub(super) object: Option<Object>,
    /// What stands for one that is not valid, where it has no earlier version.
    pub(super) unreadable: Option<Object>,
    /// With their lines.
    pub(super) problems: Vec<(u32, Problem)>,
}

/// The objects of a document: itself, or the items of a `kind: List`.
pub(super) fn items(node: &Node) -> Vec<&Node> {
    let is_list = node.get("kind").and_then(Node::as_str).is_some_and(|kind| kind == "List" || kind.ends_with("List"));
    match node.get("items").map(|items| &items.value) {
        Some(Yaml::List(items)) if is_list => items.iter().flat_map(self::items).collect(),
        _ => vec![node],
    }
}

/// The line of a field of the object that begins at a line of a document.
pub(super) fn line_of(document: &Node, line: u32, field: &str) -> Option<u32> {
    items(document).into_iter().find(|item| item.line == line).map(|item| item.line_of(field))
}

/// Reads an object of a file.
pub(super) fn read(node: &Node) -> Document {
    read_from(node, false)
}

/// Reads an object as an API server sends it.
pub(super) fn read_sent(node: &Node) -> Document {
    read_from(node, true)
}

fn read_from(node: &Node, has_age: bool) -> Document {
    let mut document = Document { line: node.line, id: None, object: None, unreadable: None, problems: Vec::new() };
    match kind(node) {
        Ok(kind) => read_kind(node, kind, has_age, &mut document),
        Err(problem) => document.problems.push((node.line, *problem)),
    }
    document
}

/// The kind of an object, if it is one that is read.
fn kind(node: &Node) -> Result<Kind, Box<Problem>> {
    let text = |key: &str| node.get(key).and_then(Node::as_str);
    let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
        let message = "has no apiVersion and kind, so it is not a Kubernetes object";
        return Err(Box::new(Problem::error(ObjectRef::none(), "", "NotAnObject", message)));
    };
    let name = node.get("metadata").and_then(|m| m.get("name")).and_then(Node::as_str).unwrap_or_default();
    let object = ObjectRef { kind: kind.into(), namespace: String::new(), name: name.into() };
    match Kind::ALL.iter().find(|(_, name, _)| *name == kind) {
        Some((kind, _, version)) if *version == api_version => Ok(*kind),
        // A kind of the same name in another group (such as a Service of Knative) is another kind.
        Some((_, _, version)) if group(version) == group(api_version) => {
            let message = format!("apiVersion {api_version} is not read; write {version}");
            Err(Box::new(Problem::error(object, "apiVersion", "UnsupportedVersion", message)))
        }
        _ => {
            let kinds: Vec<&str> = Kind::ALL.iter().map(|(_, name, _)| *name).collect();
            let message = format!("{kind} of {api_version} is not read; the kinds that are: {}", kinds.join(", "));
            Err(Box::new(Problem::warning(object, "kind", "UnknownKind", message)))
        }
    }
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

fn read_kind(node: &Node, kind: Kind, has_age: bool, document: &mut Document) {
    let id = match identity(node, kind) {
        Ok(id) => id,
        Err((field, message)) => {
            let problem =
                Problem::error(ObjectRef::new(kind.name(), &ObjectName::cluster("")), field, "Invalid", message);
            document.problems.push((node.line_of(field), problem));
            return;
        }
    };
    document.id = Some(id.clone());
    let mut reading = Reading { node, id: &id, has_age, problems: Vec::new() };
    let object = reading.object(kind);
    document.problems = reading.problems;
    if object.is_none() {
        document.unreadable = store::unreadable(&id, &node.to_json());
    }
    document.object = object;
}

type Wrong = (&'static str, String);

fn identity(node: &Node, kind: Kind) -> Result<ObjectId, Wrong> {
    let meta = |key: &str| node.get("metadata").and_then(|m| m.get(key));
    let name = meta("name").and_then(Node::as_str).unwrap_or_default();
    if !validate::is_object_name(name) {
        let message = format!("{name:?} is not an object's name: lower-case letters, digits, - and . are allowed");
        return Err(("metadata.name", message));
    }
    if kind.is_cluster_scoped() {
        return Ok(ObjectId::new(kind, ObjectName::cluster(name)));
    }
    let namespace = match meta("namespace") {
        Some(namespace) => namespace.as_str().unwrap_or_default(),
        None => DEFAULT_NAMESPACE,
    };
    if !validate::is_dns_label(namespace) {
        let message = format!("{namespace:?} is not a namespace's name: lower-case letters, digits and - are allowed");
        return Err(("metadata.namespace", message));
    }
    Ok(ObjectId::new(kind, ObjectName::new(namespace, name)))
}

/// An object on its way from a node.
struct Reading<'a> {
    node: &'a Node,
    id: &'a ObjectId,
    /// An API server has made it, and says when.
    has_age: bool,
    problems: Vec<(u32, Problem)>,
}

impl Reading<'_> {
    fn object(&mut self, kind: Kind) -> Option<Object> {
        match kind {
            Kind::Ingress => self.parse(validate::ingress).map(convert::ingress),
            Kind::IngressClass => self.parse(validate::ingress_class).map(convert::ingress_class),
            Kind::Service => self.parse(validate::service).map(convert::service),
            Kind::EndpointSlice => self.parse(validate::endpoint_slice).map(convert::endpoint_slice),
            Kind::Namespace => self.parse(validate::nothing).map(convert::namespace),
            Kind::Secret => self.parse(validate::nothing).map(convert::secret),
            Kind::ConfigMap => self.parse(validate::nothing).map(convert::config_map),
            Kind::LuaPlugin => self.parse::<crd::LuaPlugin>(validate::nothing).map(convert::lua_plugin),
            Kind::ClusterLuaPlugin => {
                self.parse::<crd::ClusterLuaPlugin>(validate::nothing).map(convert::cluster_lua_plugin)
            }
            Kind::LuaPluginBinding => {
                self.parse::<crd::LuaPluginBinding>(validate::nothing).map(convert::lua_plugin_binding)
            }
            Kind::ClusterLuaPluginBinding => {
                self.parse::<crd::ClusterLuaPluginBinding>(validate::nothing).map(convert::cluster_lua_plugin_binding)
            }
            Kind::MoongateConfig => self.parse::<crd::MoongateConfig>(validate::nothing).map(convert::moongate_config),
        }
    }

    /// Reads the node as a type of the API, and refuses what the API server would.
    fn parse<T>(&mut self, validate: fn(&T, &mut validate::Wrong)) -> Option<T>
    where
        T: DeserializeOwned + Serialize + kube::Resource,
    {
        if self.id.kind.is_ours() && !self.fits_its_definition() {
            return None;
        }
        let mut object: T = match typed::read(self.node) {
            Ok(object) => object,
            Err(e) => {
                let problem = Problem::error(self.id.reference(), e.field, "Invalid", e.message);
                self.problems.push((e.line, problem));
                return None;
            }
        };
        if self.has_unknown_fields(&object) && self.id.kind.is_ours() {
            return None;
        }
        let meta = object.meta_mut();
        meta.name = Some(self.id.name.name.clone());
        meta.namespace = Some(self.id.name.namespace.clone()).filter(|n| !n.is_empty());
        if !self.has_age {
            // There is no API server to have made it: names decide who is oldest.
            meta.creation_timestamp = None;
        }
        let mut wrong = Vec::new();
        validate(&object, &mut wrong);
        let is_valid = wrong.is_empty();
        for (field, message) in wrong {
            let line = self.node.line_of(&field);
            self.problems.push((line, Problem::error(self.id.reference(), field, "Invalid", message)));
        }
        is_valid.then_some(object)
    }

    /// Whether an object of our kinds is what its CustomResourceDefinition asks for.
    fn fits_its_definition(&mut self) -> bool {
        let found = crd::check::object(&self.node.to_json());
        for crd::FieldProblem { path, message } in &found {
            let problem = Problem::error(self.id.reference(), path, "Invalid", message);
            self.problems.push((self.node.line_of(path), problem));
        }
        found.is_empty()
    }

    /// Whether there are fields that nothing reads. A misspelt `access` must not become a plugin that lets all pass, so
    /// our kinds are refused, as `kubectl apply` refuses them; others come from elsewhere and may be newer than we are.
    fn has_unknown_fields<T: Serialize>(&mut self, object: &T) -> bool {
        let Ok(known) = serde_json::to_value(object) else { return false };
        let found = typed::unknown_fields(self.node, &known);
        for (field, line) in &found {
            let message = "there is no such field; nothing reads it";
            let object = self.id.reference();
            let problem = match self.id.kind.is_ours() {
                true => Problem::error(object, field, "UnknownField", message),
                false => Problem::warning(object, field, "UnknownField", message),
            };
            self.problems.push((*line, problem));
        }
        !found.is_empty()
    }
}
