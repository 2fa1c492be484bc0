//! Copy-on-write trees under the large encodings: a capture is a clone of the root, a write copies what a capture shares.

pub(crate) mod tree;
