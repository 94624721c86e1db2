//! What ends a request early: what happened, whose fault it is, and whether another try may help.

use std::fmt;

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The client's.
    Downstream,
    /// The upstream's.
    Upstream,
    /// A script's.
    Lua,
    /// Ours, or the machine's.
    Internal,
}

impl Source {
    /// As in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Downstream => "downstream",
            Self::Upstream => "upstream",
            Self::Lua => "lua",
            Self::Internal => "internal",
        }
    }
}

/// What happened. Each kind has one HTTP status (see [`Kind::status`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is not HTTP, or ambiguous.
    BadRequest,
    /// Its head is too large.
    HeadTooLarge,
    /// Its target is too long.
    TargetTooLong,
    /// An HTTP version, transfer coding or method that is not served.
    NotImplemented,
    /// An HTTP version that is not served.
    Version,
    /// The client was too slow.
    ClientTimeout,
    /// The client went away.
    ClientClosed,
    /// The body is larger than the route allows.
    BodyTooLarge,
    /// No route.
    NoRoute,
    /// The authority does not belong to this connection.
    Misdirected,
    /// The route may not be served (fail closed), or has no endpoint.
    Unavailable,
    /// No connection to an endpoint.
    Connect,
    /// The connection took too long.
    ConnectTimeout,
    /// The upstream was too slow.
    UpstreamTimeout,
    /// The upstream closed before it answered.
    UpstreamClosed,
    /// The upstream's answer is not HTTP, or ambiguous.
    UpstreamProtocol,
    /// A script failed.
    Script,
    /// Something of ours failed.
    Internal,
}

impl Kind {
    /// The status that the client sees. 499 is nginx's for a client that went away: only in logs.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::ClientTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::Misdirected => 421,
            Self::HeadTooLarge => 431,
            Self::ClientClosed => 499,
            Self::NoRoute => 404,
            Self::Script | Self::Internal => 500,
            Self::NotImplemented => 501,
            Self::Connect | Self::UpstreamClosed | Self::UpstreamProtocol => 502,
            Self::Unavailable => 503,
            Self::ConnectTimeout | Self::UpstreamTimeout => 504,
            Self::Version => 505,
        }
    }

    /// Whose fault it is.
    pub fn source(self) -> Source {
        match self {
            Self::BadRequest
            | Self::HeadTooLarge
            | Self::TargetTooLong
            | Self::NotImplemented
            | Self::Version
            | Self::ClientTimeout
            | Self::ClientClosed
            | Self::BodyTooLarge
            | Self::NoRoute
            | Self::Misdirected => Source::Downstream,
            Self::Connect
            | Self::ConnectTimeout
            | Self::UpstreamTimeout
            | Self::UpstreamClosed
            | Self::UpstreamProtocol => Source::Upstream,
            Self::Script => Source::Lua,
            Self::Unavailable | Self::Internal => Source::Internal,
        }
    }
}

/// What ended a request early.
#[derive(Debug)]
pub struct Error {
    /// What happened.
    pub kind: Kind,
    /// Another endpoint may be tried, as far as the upstream's state goes (the request's is checked elsewhere).
    pub retry: bool,
    /// For the log.
    pub message: String,
}

/// Ends a request early, or goes on.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that no other try would mend.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, retry: false, message: message.into() }
    }

    /// An error after which another endpoint may be tried.
    pub fn retriable(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, retry: true, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.message, self.kind.source().as_str(), self.kind.status())
    }
}

impl std::error::Error for Error {}
