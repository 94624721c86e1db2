//! What the translation says about the objects that have a status: problems, and what of them is in the table.

use std::collections::BTreeSet;

use routing::key::{BindingKey, ChainKey, PluginKey, PluginKind};
use routing::value::Value;
use routing::{Change, Hash, Key};

use super::meta::Meta;
use crate::problem::Problem;
use crate::store::object::plugin_id;
use crate::store::{Kind, Object, ObjectId};
use crate::table::{Step, Translator};

/// What is different after a step: each object in it is told whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// What translation says about objects.
    pub objects: Vec<(ObjectId, Facts)>,
    /// What the API server says about them; none: the object is gone.
    pub metas: Vec<(ObjectId, Option<Meta>)>,
    /// Of objects that could not be read, so that translation does not know them as they are now: why not; none: they
    /// can be read again.
    pub malformed: Vec<(ObjectId, Option<Problem>)>,
}

/// What translation says about an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// What its kind has besides.
    pub subject: Subject,
}

/// What a kind of object has besides its problems.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// An Ingress.
    Ingress {
        /// Its class is one of ours.
        is_own: bool,
    },
    /// A LuaPlugin or a ClusterLuaPlugin.
    Plugin {
        /// The hash of its code in the table; none: it is not in the table.
        code: Option<Hash>,
    },
    /// A LuaPluginBinding or a ClusterLuaPluginBinding.
    Binding {
        /// It is in the table.
        is_used: bool,
        /// What it is attached to, in the order of `targetRefs`.
        targets: Vec<ChainKey>,
    },
    /// A MoongateConfig.
    Config {
        /// It is the one that holds for the whole table.
        is_global: bool,
    },
}

impl View {
    /// What is different after a step of the translator.
    pub fn after(translator: &Translator, step: &Step, metas: Vec<(ObjectId, Option<Meta>)>) -> Self {
        let mut touched: BTreeSet<ObjectId> = step.looked_at.clone();
        touched.extend(step.problems.keys().filter_map(ObjectId::of_reference));
        touched.extend(step.changes.iter().map(Change::key).filter_map(object_of));
        touched.extend(metas.iter().map(|(id, _)| id.clone()));
        let objects = touched.into_iter().filter_map(|id| Some((facts(translator, &id)?, id)));
        Self { objects: objects.map(|(facts, id)| (id, facts)).collect(), metas, malformed: Vec::new() }
    }

    /// With objects that could not be read, or can be again.
    pub fn with_malformed(self, malformed: Vec<(ObjectId, Option<Problem>)>) -> Self {
        Self { malformed, ..self }
    }
}

/// The object that a key of the table is of.
fn object_of(key: &Key) -> Option<ObjectId> {
    match key {
        Key::Plugin(plugin) => Some(plugin_id(plugin)),
        Key::Binding(BindingKey::LuaPluginBinding(name)) => Some(ObjectId::new(Kind::LuaPluginBinding, name.clone())),
        Key::Binding(BindingKey::ClusterLuaPluginBinding(name)) => {
            Some(ObjectId::new(Kind::ClusterLuaPluginBinding, name.clone()))
        }
        _ => None,
    }
}

/// The key of the table that an object's code or config takes effect by, for kinds of ours.
pub(super) fn key_of(id: &ObjectId) -> Option<Key> {
    let name = id.name.clone();
    Some(match id.kind {
        Kind::LuaPlugin => Key::Plugin(PluginKey { kind: PluginKind::LuaPlugin, name }),
        Kind::ClusterLuaPlugin => Key::Plugin(PluginKey { kind: PluginKind::ClusterLuaPlugin, name }),
        Kind::LuaPluginBinding => Key::Binding(BindingKey::LuaPluginBinding(name)),
        Kind::ClusterLuaPluginBinding => Key::Binding(BindingKey::ClusterLuaPluginBinding(name)),
        Kind::MoongateConfig => Key::Settings,
        _ => return None,
    })
}

/// What holds for an object; none for what has no status, or is not there.
fn facts(translator: &Translator, id: &ObjectId) -> Option<Facts> {
    let published = || translator.get(&key_of(id)?).cloned();
    let subject = match (id.kind, translator.store().object(id)?) {
        (_, Object::Ingress(ingress)) => {
            // None of a canary's rules is served, so there is no address for it.
            let is_served = !ingress.header.annotations.is_canary;
            Subject::Ingress { is_own: is_served && translator.own_class(&id.name).is_some() }
        }
        (Kind::LuaPlugin | Kind::ClusterLuaPlugin, _) => Subject::Plugin { code: published().and_then(|v| code(&v)) },
        (_, Object::Binding(binding)) => {
            Subject::Binding { is_used: published().is_some(), targets: binding.targets.clone() }
        }
        (Kind::MoongateConfig, _) => Subject::Config { is_global: id.name.name == translator.options().config },
        _ => return None,
    };
    Some(Facts { problems: translator.problems_of(&id.reference()), subject })
}

/// The hash of a plugin's code: what runs, not with which priority or limits.
fn code(value: &Value) -> Option<Hash> {
    match value {
        Value::Plugin(plugin) => Some(Hash::of(&(&plugin.phases, &plugin.modules))),
        _ => None,
    }
}
