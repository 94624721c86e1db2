//! `AdmissionReview` of `admission.k8s.io/v1`: what the API server sends and gets.

use serde::Deserialize;
use serde_json::{Value, json};

const API_VERSION: &str = "admission.k8s.io/v1";
/// The API server cuts a warning off here (and says so in its documentation).
const WARNING_BYTES_MAX: usize = 256;
/// All warnings together may have 4 KiB, and nobody reads twenty.
const WARNINGS_MAX: usize = 10;
/// Reasons of one refusal; people mend the first and try again.
const DENIALS_MAX: usize = 20;

/// What the API server wants to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Names the request.
    pub uid: String,
    /// What is done to the object.
    pub operation: Operation,
    /// The object's kind.
    pub kind: GroupVersionKind,
    /// `status`, `scale`, ...; none: the object itself.
    #[serde(default)]
    pub sub_resource: Option<String>,
    /// Empty for an object without one.
    #[serde(default)]
    pub namespace: String,
    /// The object as it would be; null when it is deleted.
    #[serde(default)]
    pub object: Value,
    /// The object as it is; null when it is made.
    #[serde(default)]
    pub old_object: Value,
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
    /// Someone connects to it.
    Connect,
}

/// Names a kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GroupVersionKind {
    /// Empty for the core group.
    pub group: String,
    /// Such as `v1`.
    pub version: String,
    /// Such as `Ingress`.
    pub kind: String,
}

/// Whether an object should be taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The object, as `Kind namespace/name`: `kubectl` names only the file in which it was.
    pub object: String,
    /// Why not; none: it should.
    pub denials: Vec<String>,
    /// What its author should know.
    pub warnings: Vec<String>,
}

/// Why a body is no review.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is not JSON of that shape.
    #[error("the body is no AdmissionReview of {API_VERSION}: {0}")]
    Shape(#[from] serde_json::Error),
    /// It is of another version, or of another kind.
    #[error("the body is {kind:?} of {api_version:?}, not an AdmissionReview of {API_VERSION}")]
    Other {
        /// As in the body.
        api_version: String,
        /// As in the body.
        kind: String,
    },
    /// It asks nothing.
    #[error("the AdmissionReview has no request")]
    NoRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    /// Understood once it is known to be of our version.
    #[serde(default)]
    request: Option<Value>,
}

impl Request {
    /// Reads a review.
    pub fn read(body: &[u8]) -> Result<Self, Malformed> {
        let Review { api_version, kind, request } = serde_json::from_slice(body)?;
        if (api_version.as_str(), kind.as_str()) != (API_VERSION, "AdmissionReview") {
            return Err(Malformed::Other { api_version, kind });
        }
        Ok(serde_json::from_value(request.ok_or(Malformed::NoRequest)?)?)
    }
}

impl Verdict {
    /// The review that answers a request.
    pub fn answer(&self, uid: &str) -> Value {
        let mut response = json!({"uid": uid, "allowed": self.denials.is_empty()});
        if !self.denials.is_empty() {
            response["status"] = json!({"code": 422, "reason": "Invalid", "message": self.message()});
        }
        if !self.warnings.is_empty() {
            response["warnings"] = self.shown_warnings().into();
        }
        json!({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response})
    }

    /// `kubectl` prints it after `admission webhook ... denied the request: `.
    fn message(&self) -> String {
        match self.denials.as_slice() {
            [one] => format!("{}, {one}", self.object),
            all => {
                let shown = all.iter().take(DENIALS_MAX).map(|denial| format!("\n- {denial}"));
                let rest = all.len().saturating_sub(DENIALS_MAX);
                let more = if rest > 0 { format!("\n- and {rest} more") } else { String::new() };
                format!("{} has {} problems:{}{more}", self.object, all.len(), shown.collect::<String>())
            }
        }
    }

    fn shown_warnings(&self) -> Vec<String> {
        let shorten = |text: &String| crate::problem::shorten(text.clone(), WARNING_BYTES_MAX);
        let mut shown: Vec<String> = self.warnings.iter().take(WARNINGS_MAX).map(shorten).collect();
        if self.warnings.len() > WARNINGS_MAX {
            let more = self.warnings.len() - WARNINGS_MAX;
            shown.push(format!("and {more} more; the object's status and Events have all"));
        }
        shown
    }
}
