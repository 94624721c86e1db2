//! From objects to the values of keys: one function per section, pure and total.
//!
//! Each derives one key from what it reads, names the keys that its value refers to, and reports what is wrong with
//! the objects on the way. A bad object costs itself and nothing else.

mod binding;
mod certificate;
mod chain;
mod check;
mod class;
mod endpoints;
mod host;
mod namespace;
mod plugin;
mod policy;
mod route;
mod settings;
mod upstream;

use routing::{Key, ObjectName, Value};

use crate::crd::Selector;
use crate::reader::{Goal, Input, Outcome, Reader};

/// What IngressClasses of ours say in `spec.controller`, unless the release says otherwise.
pub const CONTROLLER: &str = "moongate.dev/ingress-controller";
/// The MoongateConfig and the IngressClass that a release has by default.
pub const DEFAULT_NAME: &str = "moongate";

/// What the release sets: command line, not objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// `--controller-class`: what IngressClasses of ours say in `spec.controller`.
    pub controller: String,
    /// `--watch-ingress-without-class`: Ingresses that name no class are ours, also when no class is the default.
    pub watch_without_class: bool,
    /// A class that is ours without an IngressClass object: in standalone mode, where nothing installs one.
    pub implicit_class: Option<String>,
    /// `--ingress-class`: the class that the old annotation may name without there being an IngressClass.
    pub annotation_class: Option<String>,
    /// `--namespace-selector`: Ingresses of other namespaces are not ours, and neither are their plugins.
    pub namespace_selector: Option<Selector>,
    /// `--default-ssl-certificate`: for hosts without one, unless the MoongateConfig names another.
    pub default_certificate: Option<ObjectName>,
    /// `--config`: the MoongateConfig that holds for the whole table.
    pub config: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            controller: CONTROLLER.into(),
            watch_without_class: false,
            implicit_class: None,
            annotation_class: None,
            namespace_selector: None,
            default_certificate: None,
            config: DEFAULT_NAME.into(),
        }
    }
}

impl Options {
    /// Standalone mode's: everything in the files is meant for us unless it names another class.
    pub fn standalone() -> Self {
        Self { watch_without_class: true, implicit_class: Some(DEFAULT_NAME.into()), ..Self::default() }
    }
}

/// The class of an Ingress, if its controller is ours.
pub fn own_class(ingress: &routing::ObjectName, options: &Options, reader: &Reader<'_>) -> Option<String> {
    let header = reader.ingress(ingress)?;
    let name = class::named(header, options, reader).ok()?;
    let is_ours = match reader.class(&name) {
        Some(class) => class::is_ours(class, options),
        None => name.is_empty() || class::is_ours_by_name(&name, header.class_annotation.is_some(), options),
    };
    is_ours.then_some(name)
}

/// Derives a goal.
pub fn derive(goal: &Goal, input: &Input, options: &Options, reader: &Reader<'_>) -> Outcome {
    let key = match goal {
        Goal::Key(key) => key,
        Goal::Check(object) => {
            check::check(object, options, reader);
            return Outcome::Absent;
        }
    };
    match (key, input) {
        (Key::Settings, _) => settings::derive(options, reader),
        (Key::Host(host), _) => host::derive(host, options, reader),
        (Key::Route(route), _) => route::derive(route, options, reader),
        (Key::Chain(chain), _) => chain::derive(chain, options, reader),
        (Key::Binding(binding), _) => binding::derive(binding, options, reader),
        (Key::Plugin(plugin), _) => plugin::derive(plugin, options, reader),
        (Key::Namespace(namespace), _) => namespace::derive(namespace, options, reader),
        (Key::Certificate(secret), _) => certificate::derive(secret, reader),
        (Key::Script(_), Input::Script(source)) => Outcome::Set(Value::Script(source.to_string())),
        (Key::Upstream(_), Input::Upstream(service, port, policy)) => upstream::derive(service, *port, policy, reader),
        (Key::Endpoints(_), Input::Endpoints(service, port)) => endpoints::derive(service, *port, reader),
        // Whoever names these keys gives their input.
        (Key::Script(_) | Key::Upstream(_) | Key::Endpoints(_), _) => Outcome::Absent,
    }
}
