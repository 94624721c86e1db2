//! What is wrong with an object, where, and what to do about it.
//!
//! Translation never fails: it yields a table and problems. A problem belongs to exactly one object; it becomes a
//! line of `moongate check`, a condition of a status, or an Event.

use std::path::Path;
use std::sync::Arc;

use routing::ObjectName;

/// Names the object that a problem is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// As in the object's `kind`; empty for a file that could not be read as objects at all.
    pub kind: String,
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectRef {
    /// An object of a kind.
    pub fn new(kind: impl Into<String>, name: &ObjectName) -> Self {
        Self { kind: kind.into(), namespace: name.namespace.clone(), name: name.name.clone() }
    }

    /// Nothing in particular: the problem is of a file.
    pub fn none() -> Self {
        Self { kind: String::new(), namespace: String::new(), name: String::new() }
    }
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind.is_empty(), self.namespace.is_empty()) {
            (true, _) => Ok(()),
            (false, true) => write!(f, "{} {}", self.kind, self.name),
            (false, false) => write!(f, "{} {}/{}", self.kind, self.namespace, self.name),
        }
    }
}

/// Where an object was read from, in standalone mode.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The file.
    pub file: Arc<Path>,
    /// The line of the field, or of the object when the field's is not known; from 1.
    pub line: u32,
}

/// Whether a problem costs something that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something that the object asks for does not happen.
    Error,
    /// It works, though probably not as meant.
    Warning,
}

/// Who can mend a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The object itself is wrong, whatever others there are.
    Object,
    /// Something that it names is not there, or not (yet) as it must be.
    Reference,
    /// Another object has what it asks for.
    Collision,
    /// It is not served, not used, or not allowed, as others' objects are now.
    Surroundings,
}

/// One thing that is wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// The object.
    pub object: ObjectRef,
    /// Where it was read from; none in a cluster.
    pub source: Option<Source>,
    /// The path of the field, such as `spec.rules[0].http.paths[1].backend`; empty for the whole object.
    pub field: String,
    /// CamelCase, as a condition's or an Event's reason.
    pub reason: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// Whether it costs something.
    pub severity: Severity,
}

impl Problem {
    /// Something that the object asks for and does not get.
    pub fn error(
        object: ObjectRef,
        field: impl Into<String>,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let (field, message) = (field.into(), message.into());
        Self { object, source: None, field, reason, message, severity: Severity::Error }
    }

    /// Something that works, though probably not as meant.
    pub fn warning(
        object: ObjectRef,
        field: impl Into<String>,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(object, field, reason, message) }
    }

    /// Who can mend it. A reason that is not listed is taken for one that others can mend: admission only warns of those,
    /// and to let a mistake through costs less than to refuse objects for the order in which they come.
    pub fn cause(&self) -> Cause {
        match self.reason {
            // A module of a ConfigMap.
            "InvalidScript" if self.field.starts_with("spec.modulesFrom") => Cause::Reference,
            "Invalid"
            | "InvalidScript"
            | "InvalidSchema"
            | "InvalidConfig"
            | "UnknownField"
            | "InvalidAnnotation"
            | "RoutesClosed"
            | "UnsupportedAnnotation"
            | "UnsupportedBackend"
            | "UnsupportedParameters"
            | "UnsupportedVersion"
            | "CanaryNotSupported"
            | "NoBackend"
            | "PhaseNotRun" => Cause::Object,
            "PathConflict" | "HostOwned" | "CertificateConflict" | "Conflicted" => Cause::Collision,
            "ServiceNotFound"
            | "PortNotFound"
            | "ExternalNameRefused"
            | "SecretNotFound"
            | "SecretKeyNotFound"
            | "SecretNotReadable"
            | "InvalidCertificate"
            | "CertificateMismatch"
            | "ConfigMapNotFound"
            | "PluginNotFound"
            | "PluginInvalid"
            | "TargetNotFound"
            | "ConfigNotFound"
            | "ConfigRequired" => Cause::Reference,
            _ => Cause::Surroundings,
        }
    }
}

/// `file:line: error: Kind namespace/name, field: message (Reason)`, with what is not known left out.
impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(Source { file, line }) = &self.source {
            write!(f, "{}:{line}: ", file.display())?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.object)?;
        match (self.object.kind.is_empty(), self.field.is_empty()) {
            (false, false) => write!(f, ", {}: ", self.field)?,
            (true, false) => write!(f, "{}: ", self.field)?,
            (false, true) => f.write_str(": ")?,
            (true, true) => {}
        }
        write!(f, "{} ({})", self.message, self.reason)
    }
}

/// At most so many bytes, cut at a character.
pub(crate) fn shorten(mut text: String, most: usize) -> String {
    if text.len() > most {
        let mut end = most.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{ObjectRef, Problem, Source};
    use routing::ObjectName;

    #[test]
    fn a_problem_prints_as_one_line_with_what_is_known() {
        let shop = ObjectRef::new("Ingress", &ObjectName::new("shop", "web"));
        let mut problem = Problem::error(shop, "spec.rules[0]", "ServiceNotFound", "no Service shop/a; create it");
        assert_eq!(
            problem.to_string(),
            "error: Ingress shop/web, spec.rules[0]: no Service shop/a; create it (ServiceNotFound)"
        );
        problem.source = Some(Source { file: std::path::Path::new("a.yaml").into(), line: 7 });
        problem.field.clear();
        assert_eq!(
            problem.to_string(),
            "a.yaml:7: error: Ingress shop/web: no Service shop/a; create it (ServiceNotFound)"
        );
        let file = Problem::warning(ObjectRef::none(), "", "Empty", "nothing in it");
        assert_eq!(file.to_string(), "warning: nothing in it (Empty)");
    }
}
