//! A test's own namespace in the cluster, and its client of the API server.

/// A namespace of a test.
pub struct Bed {}
