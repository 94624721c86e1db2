//! Host and path to route.
