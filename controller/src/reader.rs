//! How one key of the table is derived, and what was read for it.
//!
//! A derivation sees the store only through a [`Reader`], which records every read, of absent objects and of indices
//! too. The reverse of that record is the answer to "what depends on this change": nothing is kept by hand.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;

use routing::key::{BindingKey, ChainKey, PluginKey};
use routing::value::{UpstreamProtocol, Value};
use routing::{Key, ObjectName, RouteKey};

use crate::problem::Problem;
use crate::store::object::{
    Age, Backend, Binding, Config, ConfigMap, IngressClass, IngressHeader, Namespace, Plugin, Secret, Service, Slice,
};
use crate::store::{Claimant, Fact, Kind, ObjectId, PathTo, Store, TlsClaim};

/// What is derived: a key of the table, or the check of an object for problems that no key would tell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Goal {
    /// A key of the table.
    Key(Key),
    /// A check; it has no value.
    Check(ObjectId),
}

/// What a goal needs to know and its key does not say.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The key says everything.
    None,
    /// A script's source.
    Script(Arc<str>),
    /// Which Service, and how it is spoken to. The port is the Service's.
    Upstream(ObjectName, u16, UpstreamPolicy),
    /// Whose endpoints.
    Endpoints(ObjectName, u16),
}

/// What routes ask of an upstream, apart from where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct UpstreamPolicy {
    /// How it is spoken to; none: what the Service's `appProtocol` says.
    pub protocol: Option<UpstreamProtocol>,
}

/// The result of a derivation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The key has this value.
    Set(Value),
    /// The key does not exist.
    Absent,
    /// The value cannot be told: what is published stays, and where there is nothing, this stands in.
    Keep(Option<Value>),
}

/// The keys that have a value, as derivations may ask for them.
pub trait Published {
    /// Whether a key has a value.
    fn published(&self, key: &Key) -> Result<(), NotPublished>;
}

/// A key that has no value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotPublished {
    /// As far as known.
    pub why: String,
    /// It cannot be told now: a data plane may have an earlier one.
    pub is_kept: bool,
}

/// What a derivation sees.
pub struct Reader<'a> {
    store: &'a Store<'a>,
    published: &'a dyn Published,
    record: RefCell<Record>,
    unknown: Cell<bool>,
}

/// What a derivation read, and what it named.
#[derive(Debug, Default)]
pub struct Record {
    /// The facts that were read; may repeat.
    pub reads: Vec<Fact>,
    /// The keys that the value names, and that must exist as long as it does.
    pub names: Vec<(Key, Input)>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A reader of a store with nothing recorded.
    pub fn new(store: &'a Store<'a>, published: &'a dyn Published) -> Self {
        Self { store, published, record: RefCell::default(), unknown: Cell::new(false) }
    }

    /// The record, and whether something unknown was read.
    pub fn finish(self) -> (Record, bool) {
        (self.record.into_inner(), self.unknown.get())
    }

    /// Reports something that is wrong.
    pub fn report(&self, problem: Problem) {
        self.record.borrow_mut().problems.push(problem);
    }

    /// Names a key: it is derived as long as something names it.
    pub fn name(&self, key: Key, input: Input) {
        self.record.borrow_mut().names.push((key, input));
    }

    fn read(&self, fact: Fact) {
        self.record.borrow_mut().reads.push(fact);
    }

    fn read_object(&self, fact: Fact, kind: Kind, name: &ObjectName) {
        if !self.store.is_known(&ObjectId::new(kind, name.clone())) {
            self.unknown.set(true);
        }
        self.read(fact);
    }

    /// An Ingress apart from its rules.
    pub fn ingress(&self, name: &ObjectName) -> Option<&'a Arc<IngressHeader>> {
        self.read_object(Fact::Ingress(name.clone()), Kind::Ingress, name);
        self.store.header(name)
    }

    /// Who claims a route, the oldest first.
    pub fn claims(&self, key: &RouteKey) -> impl Iterator<Item = (&'a Claimant, &'a Backend)> + use<'a> {
        self.read(Fact::Claims(key.clone()));
        self.store.claims(key)
    }

    /// Which Ingresses name a host, the oldest first.
    pub fn hosts(&self, host: &str) -> impl Iterator<Item = &'a Age> + use<'a> {
        self.read(Fact::Hosts(host.to_owned()));
        self.store.hosts(host)
    }

    /// Who claims a host's certificate, the oldest first.
    pub fn tls(&self, host: &str) -> impl Iterator<Item = (&'a (Age, u32), &'a TlsClaim)> + use<'a> {
        self.read(Fact::Tls(host.to_owned()));
        self.store.tls(host)
    }

    /// An IngressClass.
    pub fn class(&self, name: &str) -> Option<&'a Arc<IngressClass>> {
        let name = ObjectName::cluster(name);
        self.read_object(Fact::Class(name.name.clone()), Kind::IngressClass, &name);
        self.store.class_object(&name)
    }

    /// All IngressClasses by name.
    pub fn classes(&self) -> impl Iterator<Item = &'a Arc<IngressClass>> + use<'a> {
        self.read(Fact::Classes);
        self.store.classes()
    }

    /// A Service.
    pub fn service(&self, name: &ObjectName) -> Option<&'a Arc<Service>> {
        self.read_object(Fact::Service(name.clone()), Kind::Service, name);
        self.store.service(name)
    }

    /// The slices of a Service.
    pub fn slices(&self, service: &ObjectName) -> impl Iterator<Item = &'a Arc<Slice>> + use<'a> {
        self.read(Fact::Slices(service.clone()));
        self.store.slices(service)
    }

    /// The addresses of a namespace's Services and endpoints; may repeat.
    pub fn addresses(&self, namespace: &str) -> impl Iterator<Item = IpAddr> + use<'a> {
        self.read(Fact::Addresses(namespace.to_owned()));
        self.store.addresses(namespace)
    }

    /// A Namespace.
    pub fn namespace(&self, name: &str) -> Option<&'a Arc<Namespace>> {
        let name = ObjectName::cluster(name);
        self.read_object(Fact::Namespace(name.name.clone()), Kind::Namespace, &name);
        self.store.namespace_object(&name)
    }

    /// A Secret.
    pub fn secret(&self, name: &ObjectName) -> Option<&'a Arc<Secret>> {
        self.read_object(Fact::Secret(name.clone()), Kind::Secret, name);
        self.store.secret(name)
    }

    /// A ConfigMap.
    pub fn config_map(&self, name: &ObjectName) -> Option<&'a Arc<ConfigMap>> {
        self.read_object(Fact::ConfigMap(name.clone()), Kind::ConfigMap, name);
        self.store.config_map(name)
    }

    /// A plugin.
    pub fn plugin(&self, key: &PluginKey) -> Option<&'a Arc<Plugin>> {
        let id = crate::store::object::plugin_id(key);
        self.read_object(Fact::Plugin(key.clone()), id.kind, &id.name);
        self.store.plugin(key)
    }

    /// A binding's object.
    pub fn binding(&self, key: &BindingKey) -> Option<&'a Arc<Binding>> {
        let id = Binding::id_of(key);
        self.read_object(Fact::Binding(key.clone()), id.kind, &id.name);
        self.store.binding(key)
    }

    /// The bindings that are attached to a place, with their plugins.
    pub fn bindings(&self, chain: &ChainKey) -> impl Iterator<Item = (&'a BindingKey, &'a PluginKey)> + use<'a> {
        self.read(Fact::Bindings(chain.clone()));
        self.store.bindings(chain)
    }

    /// To which Services an Ingress sends which paths.
    pub fn backends(&self, ingress: &ObjectName) -> impl Iterator<Item = &'a PathTo> + use<'a> {
        self.read(Fact::Backends(ingress.clone()));
        self.store.backends(ingress)
    }

    /// The places of an Ingress to which bindings are attached; may repeat.
    pub fn chains(&self, ingress: &ObjectName) -> impl Iterator<Item = &'a ChainKey> + use<'a> {
        self.read(Fact::Chains(ingress.clone()));
        self.store.chains(ingress)
    }

    /// A MoongateConfig.
    pub fn config(&self, name: &str) -> Option<&'a Arc<Config>> {
        let name = ObjectName::cluster(name);
        self.read_object(Fact::Config(name.name.clone()), Kind::MoongateConfig, &name);
        self.store.config_object(&name)
    }

    /// Whether another key has a value.
    pub fn published(&self, key: &Key) -> Result<(), NotPublished> {
        self.read(Fact::Published(key.clone()));
        self.published.published(key)
    }
}
