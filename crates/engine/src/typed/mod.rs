//! Typed values: the decoded object lies in the entry, and a hit hands out a reference or an `Arc`.
//!
//! ```text
//! entry: [header | object: table, Arc<T>, weight | key | (bytes, if another path wrote or read them)]
//! typed set      -> object alone              byte get   -> encodes once, then object and bytes
//! typed get      -> object, or decodes once, then object and bytes
//! ```
//! Invariants: I1: object and bytes of one entry are the same value: a write replaces the entry whole. I2: encoding,
//! decoding, loaders, closures of `update` and the `Drop` of objects run outside every lock; what they made is installed
//! only if the entry is still the one that was read.

mod arg;
mod codec;
mod flight;
mod handle;
mod load;
mod object;

#[cfg(test)]
mod tests;

pub use arg::Arg;
pub use codec::{CodecError, CodecErrorKind, Element};
pub(crate) use codec::{decode, encode, encode_into};
pub(crate) use flight::FlightEntry;
pub use handle::Typed;
pub(crate) use object::Object;
