//! Copy-on-write containers under the large encodings: a clone is a capture of the root, and a node that a capture shares is
//! copied before it is changed.

pub(crate) mod radix;
pub(crate) mod tree;
