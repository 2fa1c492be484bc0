//! The data structures behind the keys. They know nothing of keys, locks, clocks or logs.

pub(crate) mod string;
