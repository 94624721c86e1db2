//! Who connects to the push.

use std::time::SystemTime;

/// A data plane's pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Of the pod and its ServiceAccount.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID: what tells two pods of one name apart.
    pub uid: String,
    /// The ServiceAccount's name.
    pub service_account: String,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.pod)
    }
}

/// A token that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// Whose it is.
    pub peer: Peer,
    /// Until when; none: it does not expire.
    pub expires: Option<SystemTime>,
}

/// A token that is not, or that could not be looked at. The message goes to the log and to the data plane; it never has
/// the token in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not good, or not a data plane's.
    #[error("the token is refused: {0}")]
    Denied(String),
    /// Nobody could say; it may be tried again.
    #[error("the token cannot be checked now: {0}")]
    Unavailable(String),
}

/// Tells whose a token is.
pub trait Authenticate: Send + Sync + 'static {
    /// Looks at a token.
    fn authenticate(&self, token: &str) -> impl Future<Output = Result<Authenticated, Refused>> + Send;
}
