//! The form in which request paths are matched.
