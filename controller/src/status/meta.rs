//! What of an object's `metadata` and `status` is kept beside the store: as much as a write must know.

use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerIngress};
use kube::Resource;
use serde_json::{Value, json};

use crate::crd::{
    BindingStatus, ClusterLuaPlugin, ClusterLuaPluginBinding, ConfigStatus, LuaPlugin, LuaPluginBinding,
    MoongateConfig, PluginStatus,
};

/// An object as the API server last showed it, without what the store holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// `metadata.uid`: a write for an object must not reach another one of the same name.
    pub uid: String,
    /// `metadata.generation`; 0 where the API server counts none.
    pub generation: i64,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// Its status.
    pub status: Status,
}

/// The part of a status that is ours to write.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// `status.loadBalancer.ingress` of an Ingress.
    Ingress(Vec<IngressLoadBalancerIngress>),
    /// Of a LuaPlugin or ClusterLuaPlugin.
    Plugin(PluginStatus),
    /// Of a LuaPluginBinding or ClusterLuaPluginBinding.
    Binding(BindingStatus),
    /// Of a MoongateConfig.
    Config(ConfigStatus),
}

/// A kind of object whose status is written here.
pub trait Stated: Resource {
    /// Its status as it stands.
    fn status(&self) -> Status;
}

impl Meta {
    /// What is kept of an object.
    pub fn of<T: Stated>(object: &T) -> Self {
        let meta = object.meta();
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            status: object.status(),
        }
    }
}

impl Status {
    /// The merge patch that makes an object's status this one. The `uid` makes the API server refuse it for another
    /// object of the same name.
    pub fn patch(&self, uid: &str) -> Value {
        // A merge patch leaves a field that is absent as it is; null takes it out.
        let status = match self {
            Self::Ingress(addresses) => json!({"loadBalancer": {"ingress": or_null(addresses)}}),
            Self::Plugin(status) => json!({
                "conditions": or_null(&status.conditions),
                "dataPlanes": status.data_planes,
                "codeHash": status.code_hash,
                "lastError": status.last_error,
            }),
            Self::Binding(status) => {
                json!({"conditions": or_null(&status.conditions), "targets": or_null(&status.targets)})
            }
            Self::Config(status) => json!({"conditions": or_null(&status.conditions)}),
        };
        json!({"metadata": {"uid": uid}, "status": status})
    }
}

fn or_null<T: serde::Serialize>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

impl Stated for Ingress {
    fn status(&self) -> Status {
        let status = self.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        Status::Ingress(status.and_then(|balancer| balancer.ingress.clone()).unwrap_or_default())
    }
}

/// Kinds of ours have a typed status.
macro_rules! stated {
    ($($kind:ty => $status:ident),*) => {$(
        impl Stated for $kind {
            fn status(&self) -> Status {
                Status::$status(self.status.clone().unwrap_or_default())
            }
        }
    )*};
}

stated!(
    LuaPlugin => Plugin,
    ClusterLuaPlugin => Plugin,
    LuaPluginBinding => Binding,
    ClusterLuaPluginBinding => Binding,
    MoongateConfig => Config
);
