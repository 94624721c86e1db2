//! The custom resources of group `moongate.dev`, version `v1alpha1`: what people write, as types.
//!
//! Code ([`LuaPlugin`], [`ClusterLuaPlugin`]) and use ([`LuaPluginBinding`], [`ClusterLuaPluginBinding`]) are kinds of
//! their own, so that RBAC can let a tenant use a plugin without writing one. [`MoongateConfig`] is the platform's.
//!
//! The doc comments of the types here are what `kubectl explain` shows: they speak to users.

#![expect(unreachable_pub, reason = "KubeSchema copies each struct, `pub` and all, into a function's body")]
#![expect(clippy::duplicated_attributes, reason = "each of a kind's `printcolumn` has a type and a path")]

pub mod apply;
pub mod binding;
pub mod check;
pub mod config;
pub mod duration;
pub mod manifest;
pub mod plugin;
pub mod quantity;
pub mod reference;
pub mod selector;
pub mod status;

pub use apply::{Unapplied, apply};
pub use binding::{
    ClusterLuaPluginBinding, ClusterLuaPluginBindingSpec, ClusterPluginRef, ClusterTargetKind, ClusterTargetRef,
    LuaPluginBinding, LuaPluginBindingSpec, PluginRef, PluginRefKind, SecretRef, TargetKind, TargetRef,
};
pub use config::{HostOwnership, LuaConfig, MoongateConfig, MoongateConfigSpec, NamespaceRights, NetworkConfig};
pub use duration::Duration;
pub use manifest::yaml;
pub use plugin::{
    AllowedNamespaces, ClusterLuaPlugin, ClusterLuaPluginSpec, ConfigMapRef, ConfigSchema, FailurePolicy, LuaPlugin,
    LuaPluginSpec, ModulesFrom, NamespacesFrom, Phases, PluginLimits, PluginSpec,
};
pub use quantity::Quantity;
pub use selector::Selector;
pub use status::{BindingStatus, ConfigStatus, PluginStatus, TargetStatus};

/// The API group of all kinds here.
pub const GROUP: &str = "moongate.dev";
/// Their version.
pub const VERSION: &str = "v1alpha1";
/// All scripts and inline modules of a plugin together: etcd takes 1.5 MiB an object, and the rest must fit too.
pub const SCRIPT_BYTES_MAX: usize = 900 * 1024;

/// What is wrong with a field of an object, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct FieldProblem {
    /// From the object's root, as `kubectl` spells it: `spec.http.proxyReadTimeout`.
    pub path: String,
    /// For people.
    pub message: String,
}

impl FieldProblem {
    /// A problem of the field at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}
