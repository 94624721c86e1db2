//! The one store of objects, and the look-ups by which translation reads it.
//!
//! What can be read is a set of *facts*. Applying an object tells which facts are different from before; who has read
//! them must read again. A fact is as small as one reader's interest: a changed path of an Ingress is a change of one
//! route's claims, not of "the Ingress".

mod claims;
pub mod convert;
mod index;
pub mod object;
mod unreadable;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use routing::key::{BindingKey, ChainKey, PluginKey};
use routing::{Key, ObjectName, RouteKey};

use crate::layered::Map;
pub use claims::{Claimant, PathTo, Place, TlsClaim};
use index::{Entries, Index};
pub use object::{Age, Kind, Object, ObjectId};
use object::{
    Backend, Binding, Config, ConfigMap, Ingress, IngressClass, IngressHeader, Namespace, Plugin, Secret, Service,
    Slice,
};
pub use unreadable::unreadable;

/// In place of a class's name: what a binding attaches that may be for any class. No class has this name.
pub const EVERY_CLASS: &str = "(every)";

/// Something that translation reads; what it says may be that there is nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// An Ingress apart from its rules.
    Ingress(ObjectName),
    /// Who claims a route, with which backend.
    Claims(RouteKey),
    /// Which Ingresses name a host.
    Hosts(String),
    /// Which Ingresses claim a host's certificate.
    Tls(String),
    /// An IngressClass.
    Class(String),
    /// All IngressClasses.
    Classes,
    /// A Service.
    Service(ObjectName),
    /// The slices of a Service.
    Slices(ObjectName),
    /// The addresses of a namespace's Services and endpoints.
    Addresses(String),
    /// A Namespace.
    Namespace(String),
    /// A Secret.
    Secret(ObjectName),
    /// A ConfigMap.
    ConfigMap(ObjectName),
    /// A plugin.
    Plugin(PluginKey),
    /// A binding.
    Binding(BindingKey),
    /// Which bindings are attached to a place.
    Bindings(ChainKey),
    /// To which places of an Ingress bindings are attached.
    Chains(ObjectName),
    /// To which Services an Ingress sends which paths.
    Backends(ObjectName),
    /// A MoongateConfig.
    Config(String),
    /// Whether a key of the table has a value: not the store's, but read and invalidated as the store's facts are.
    Published(Key),
}

/// One step of the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The object is as this.
    Apply(Object),
    /// The object is gone.
    Delete(ObjectId),
    /// What the object is like cannot be known at the moment (its fetch failed, its kind is not listed yet): what is
    /// derived from it stays as it is, which an absent object would take away.
    Unknown(ObjectId),
}

/// The objects and their indices; or what would be different of those of another store.
#[derive(Debug, Default)]
pub struct Store<'a> {
    objects: Map<'a, ObjectId, Object>,
    unknown: Map<'a, ObjectId, ()>,
    claims: Index<'a, RouteKey, Claimant, Backend>,
    hosts: Index<'a, String, Age, ()>,
    tls: Index<'a, String, (Age, u32), TlsClaim>,
    slices: Index<'a, ObjectName, ObjectName, Arc<Slice>>,
    addresses: Index<'a, String, ObjectId, Vec<IpAddr>>,
    bindings: Index<'a, ChainKey, BindingKey, PluginKey>,
    chains: Index<'a, ObjectName, (ChainKey, BindingKey), ()>,
    backends: Index<'a, ObjectName, PathTo, ()>,
    classes: Index<'a, (), String, Arc<IngressClass>>,
}

/// What one object contributes to the indices.
#[derive(Default)]
struct Contribution {
    claims: Entries<RouteKey, Claimant, Backend>,
    hosts: Entries<String, Age, ()>,
    tls: Entries<String, (Age, u32), TlsClaim>,
    slices: Entries<ObjectName, ObjectName, Arc<Slice>>,
    addresses: Entries<String, ObjectId, Vec<IpAddr>>,
    bindings: Entries<ChainKey, BindingKey, PluginKey>,
    chains: Entries<ObjectName, (ChainKey, BindingKey), ()>,
    backends: Entries<ObjectName, PathTo, ()>,
    classes: Entries<(), String, Arc<IngressClass>>,
}

impl<'l> Store<'l> {
    /// The same, to be changed without it.
    pub(crate) fn over(base: &'l Store<'l>) -> Self {
        Self {
            objects: Map::over(&base.objects),
            unknown: Map::over(&base.unknown),
            claims: Index::over(&base.claims),
            hosts: Index::over(&base.hosts),
            tls: Index::over(&base.tls),
            slices: Index::over(&base.slices),
            addresses: Index::over(&base.addresses),
            bindings: Index::over(&base.bindings),
            chains: Index::over(&base.chains),
            backends: Index::over(&base.backends),
            classes: Index::over(&base.classes),
        }
    }

    /// Takes a step. The facts that are different afterwards.
    pub fn update(&mut self, update: Update) -> BTreeSet<Fact> {
        let mut touched = BTreeSet::new();
        match update {
            Update::Apply(object) => {
                let id = object.id();
                self.known(&id, true, &mut touched);
                self.replace(id, Some(object), &mut touched);
            }
            Update::Delete(id) => {
                self.known(&id, true, &mut touched);
                self.replace(id, None, &mut touched);
            }
            Update::Unknown(id) => self.known(&id, false, &mut touched),
        }
        touched
    }

    /// Whether the object's state is known (present or absent).
    pub fn is_known(&self, id: &ObjectId) -> bool {
        !self.unknown.contains(id)
    }

    /// An object.
    pub fn object(&self, id: &ObjectId) -> Option<&Object> {
        self.objects.get(id)
    }

    /// Every object, in no order.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().map(|(_, object)| object)
    }

    fn known(&mut self, id: &ObjectId, known: bool, touched: &mut BTreeSet<Fact>) {
        let changed = match known {
            true => self.unknown.remove(id).is_some(),
            false => self.unknown.insert(id.clone(), ()).is_none(),
        };
        if changed {
            touched.extend(own_fact(id));
        }
    }

    fn replace(&mut self, id: ObjectId, new: Option<Object>, touched: &mut BTreeSet<Fact>) {
        let old = match &new {
            Some(new) => self.objects.insert(id.clone(), new.clone()),
            None => self.objects.remove(&id),
        };
        if own_differs(old.as_ref(), new.as_ref()) {
            touched.extend(own_fact(&id));
        }
        if old == new {
            return;
        }
        let old = old.as_ref().map(contribution).unwrap_or_default();
        let new = new.as_ref().map(contribution).unwrap_or_default();
        self.claims.replace(old.claims, new.claims, |k| _ = touched.insert(Fact::Claims(k.clone())));
        self.hosts.replace(old.hosts, new.hosts, |k| _ = touched.insert(Fact::Hosts(k.clone())));
        self.tls.replace(old.tls, new.tls, |k| _ = touched.insert(Fact::Tls(k.clone())));
        self.slices.replace(old.slices, new.slices, |k| _ = touched.insert(Fact::Slices(k.clone())));
        self.addresses.replace(old.addresses, new.addresses, |k| _ = touched.insert(Fact::Addresses(k.clone())));
        self.bindings.replace(old.bindings, new.bindings, |k| _ = touched.insert(Fact::Bindings(k.clone())));
        self.chains.replace(old.chains, new.chains, |k| _ = touched.insert(Fact::Chains(k.clone())));
        self.backends.replace(old.backends, new.backends, |k| _ = touched.insert(Fact::Backends(k.clone())));
        self.classes.replace(old.classes, new.classes, |()| _ = touched.insert(Fact::Classes));
    }
}

/// The fact that an object's own content is; none where only an index is read.
fn own_fact(id: &ObjectId) -> Option<Fact> {
    let name = id.name.clone();
    Some(match id.kind {
        Kind::Ingress => Fact::Ingress(name),
        Kind::IngressClass => Fact::Class(name.name),
        Kind::Service => Fact::Service(name),
        Kind::EndpointSlice => return None,
        Kind::Namespace => Fact::Namespace(name.name),
        Kind::Secret => Fact::Secret(name),
        Kind::ConfigMap => Fact::ConfigMap(name),
        Kind::LuaPlugin | Kind::ClusterLuaPlugin => Fact::Plugin(plugin_key(id)),
        Kind::LuaPluginBinding => Fact::Binding(BindingKey::LuaPluginBinding(name)),
        Kind::ClusterLuaPluginBinding => Fact::Binding(BindingKey::ClusterLuaPluginBinding(name)),
        Kind::MoongateConfig => Fact::Config(name.name),
    })
}

fn plugin_key(id: &ObjectId) -> PluginKey {
    let kind = match id.kind {
        Kind::ClusterLuaPlugin => routing::key::PluginKind::ClusterLuaPlugin,
        _ => routing::key::PluginKind::LuaPlugin,
    };
    PluginKey { kind, name: id.name.clone() }
}

/// Whether an object's own fact differs: an Ingress's is its header.
fn own_differs(old: Option<&Object>, new: Option<&Object>) -> bool {
    match (old, new) {
        (Some(Object::Ingress(old)), Some(Object::Ingress(new))) => old.header != new.header,
        (old, new) => old != new,
    }
}

fn contribution(object: &Object) -> Contribution {
    let mut to = Contribution::default();
    match object {
        Object::Ingress(ingress) => {
            to.claims = claims::routes(ingress);
            to.hosts = claims::hosts(ingress);
            to.tls = claims::certificates(ingress);
            to.backends = claims::backends(ingress);
        }
        Object::IngressClass(class) => to.classes.push(((), class.name.clone(), class.clone())),
        Object::Service(service) => {
            to.addresses.push((service.name.namespace.clone(), object.id(), service.cluster_ips.clone()));
        }
        Object::EndpointSlice(slice) if !slice.service.is_empty() => {
            let service = ObjectName::new(&slice.name.namespace, &slice.service);
            to.slices.push((service, slice.name.clone(), slice.clone()));
            let addresses = slice.endpoints.iter().map(|e| e.address).collect();
            to.addresses.push((slice.name.namespace.clone(), object.id(), addresses));
        }
        Object::Binding(binding) => {
            for target in binding.own_targets() {
                to.bindings.push((target.clone(), binding.key.clone(), binding.plugin.clone()));
                if let ChainKey::Ingress(i) | ChainKey::Host(i, _) | ChainKey::Path(i, ..) = target {
                    to.chains.push((i.clone(), (target.clone(), binding.key.clone()), ()));
                }
            }
        }
        _ => {}
    }
    to
}

/// A getter of one kind's objects.
macro_rules! get {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $kind:expr, $type:ty) => {
        $(#[$doc])*
        pub(crate) fn $name(&self, name: &ObjectName) -> Option<&Arc<$type>> {
            match self.objects.get(&ObjectId::new($kind, name.clone())) {
                Some(Object::$variant(object)) => Some(object),
                _ => None,
            }
        }
    };
}

/// Reads; translation makes them through a [`crate::reader::Reader`], which records them.
impl<'l> Store<'l> {
    get!(ingress, Ingress, Kind::Ingress, Ingress);
    get!(service, Service, Kind::Service, Service);
    get!(secret, Secret, Kind::Secret, Secret);
    get!(config_map, ConfigMap, Kind::ConfigMap, ConfigMap);
    get!(class_object, IngressClass, Kind::IngressClass, IngressClass);
    get!(namespace_object, Namespace, Kind::Namespace, Namespace);
    get!(config_object, Config, Kind::MoongateConfig, Config);

    pub(crate) fn header(&self, name: &ObjectName) -> Option<&Arc<IngressHeader>> {
        self.ingress(name).map(|i| &i.header)
    }

    pub(crate) fn plugin(&self, key: &PluginKey) -> Option<&Arc<Plugin>> {
        match self.objects.get(&object::plugin_id(key)) {
            Some(Object::Plugin(plugin)) => Some(plugin),
            _ => None,
        }
    }

    pub(crate) fn binding(&self, key: &BindingKey) -> Option<&Arc<Binding>> {
        let id = match key {
            BindingKey::LuaPluginBinding(name) => ObjectId::new(Kind::LuaPluginBinding, name.clone()),
            BindingKey::ClusterLuaPluginBinding(name) => ObjectId::new(Kind::ClusterLuaPluginBinding, name.clone()),
            BindingKey::Default(_) => return None,
        };
        match self.objects.get(&id) {
            Some(Object::Binding(binding)) => Some(binding),
            _ => None,
        }
    }

    pub(crate) fn claims<'a>(
        &'a self,
        key: &RouteKey,
    ) -> impl Iterator<Item = (&'a Claimant, &'a Backend)> + use<'a, 'l> {
        self.claims.get(key)
    }

    pub(crate) fn hosts<'a>(&'a self, host: &str) -> impl Iterator<Item = &'a Age> + use<'a, 'l> {
        self.hosts.get(&host.to_owned()).map(|(age, ())| age)
    }

    pub(crate) fn tls<'a>(&'a self, host: &str) -> impl Iterator<Item = (&'a (Age, u32), &'a TlsClaim)> + use<'a, 'l> {
        self.tls.get(&host.to_owned())
    }

    pub(crate) fn classes(&self) -> impl Iterator<Item = &Arc<IngressClass>> {
        self.classes.get(&()).map(|(_, class)| class)
    }

    pub(crate) fn slices<'a>(&'a self, service: &ObjectName) -> impl Iterator<Item = &'a Arc<Slice>> + use<'a, 'l> {
        self.slices.get(service).map(|(_, slice)| slice)
    }

    pub(crate) fn addresses<'a>(&'a self, namespace: &str) -> impl Iterator<Item = IpAddr> + use<'a, 'l> {
        self.addresses.get(&namespace.to_owned()).flat_map(|(_, addresses)| addresses).copied()
    }

    pub(crate) fn bindings<'a>(
        &'a self,
        chain: &ChainKey,
    ) -> impl Iterator<Item = (&'a BindingKey, &'a PluginKey)> + use<'a, 'l> {
        self.bindings.get(chain)
    }

    pub(crate) fn chains<'a>(&'a self, ingress: &ObjectName) -> impl Iterator<Item = &'a ChainKey> + use<'a, 'l> {
        self.chains.get(ingress).map(|((chain, _), ())| chain)
    }

    pub(crate) fn backends<'a>(&'a self, ingress: &ObjectName) -> impl Iterator<Item = &'a PathTo> + use<'a, 'l> {
        self.backends.get(ingress).map(|(path, ())| path)
    }

    /// Whether the facts that make a key worth deriving say anything at all.
    pub(crate) fn says(&self, fact: &Fact) -> bool {
        match fact {
            Fact::Claims(key) => self.claims.has(key),
            Fact::Hosts(host) | Fact::Tls(host) => self.hosts.has(host) || self.tls.has(host),
            Fact::Ingress(name) => self.ingress(name).is_some(),
            Fact::Binding(key) => self.binding(key).is_some(),
            Fact::Plugin(key) => self.plugin(key).is_some(),
            Fact::Class(name) => self.class_object(&ObjectName::cluster(name)).is_some(),
            Fact::Config(name) => self.config_object(&ObjectName::cluster(name)).is_some(),
            _ => false,
        }
    }
}
