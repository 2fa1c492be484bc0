//! How a Rust value becomes stored bytes, and back.
//!
//! One blanket impl makes every serde type an [`Element`], so the stored form cannot be chosen by a trait of
//! ours. It is a property of the TYPE: the first thing that its `Deserialize` asks for, which a probe answers
//! with "stop" (see `probe`). The probe is a constant after inlining.
//!
//! ```text
//! asks for                      form          stored
//! i8..i128, u8..u128            Integer       7            the digits of INCR, one text an integer
//! f32, f64                      Float         3, 0.1, inf  the text of a score; NaN is refused
//! str, String, char             Text          alice        its UTF-8
//! bytes, byte_buf               Bytes         as they are
//! newtype struct                that of its content
//! all else, and any             MessagePack   structs and struct variants as maps with field names
//! ```
//!
//! - I1: `decode(encode(v))` gives back `v`, or `encode` refused `v`, as far as the type's own `Serialize` and
//!   `Deserialize` agree. MessagePack knows no nested option: `Some(None)` comes back as `None`.
//! - I2: bytes decode as a whole or not at all: a byte too many is an error.
//! - I3: no input makes decoding panic, recurse deeper than [`DEPTH_MAX`] containers, or allocate for a length
//!   that its bytes do not bear out (`scan` checks MessagePack before serde sees it).
//! - I4: the same scan runs over what `encode` writes, so `decode` does not refuse it for its shape.
//!
//! A single value describes itself as to a reader (`is_human_readable`), so an `IpAddr` alone is text; inside
//! MessagePack it is compact. `Vec<u8>` and `[u8; N]` are sequences to serde, hence MessagePack; raw bytes are
//! `bytes::Bytes`, `serde_bytes::ByteBuf` and their like.

mod error;
mod message_pack;
mod probe;
mod read;
mod scan;
mod write;

#[cfg(test)]
mod tests;

use serde::Serialize;
use serde::de::DeserializeOwned;

use error::Fault;
pub(crate) use probe::Form;

pub use error::{CodecError, CodecErrorKind};

/// The most containers (arrays and maps) that may lie in one another.
pub(crate) const DEPTH_MAX: usize = 32;

/// Marks what can be stored: every serde type that owns its data and may cross threads.
///
/// There is nothing to implement. Integers, floats, strings and byte buffers are stored as Redis stores them,
/// a newtype like its content, and every other type as MessagePack with field names.
pub trait Element: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Element for T {}

/// The stored form of a type; a constant once compiled.
#[inline]
pub(crate) fn form<T: Element>() -> Form {
    probe::form::<T>()
}

/// Encodes a value and lends the bytes to `f`, without a copy where the value holds them already.
#[inline]
pub(crate) fn encode_with<T: Element, R>(value: &T, f: impl FnOnce(&[u8]) -> R) -> Result<R, CodecError> {
    let form = form::<T>();
    let result = if form == Form::MessagePack {
        message_pack::write(value).map(|bytes| f(&bytes))
    } else {
        value.serialize(write::ScalarWriter { form, f })
    };
    result.map_err(Fault::of_type::<T>)
}

/// Encodes a value.
pub(crate) fn encode<T: Element>(value: &T) -> Result<Vec<u8>, CodecError> {
    if form::<T>() == Form::MessagePack {
        message_pack::write(value).map_err(Fault::of_type::<T>)
    } else {
        encode_with(value, <[u8]>::to_vec)
    }
}

/// Encodes a value at the end of `bytes`; an error leaves them as they were.
pub(crate) fn encode_into<T: Element>(value: &T, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
    encode_with(value, |encoded| bytes.extend_from_slice(encoded))
}

/// Decodes a value from the whole of `bytes`.
#[inline]
pub(crate) fn decode<T: Element>(bytes: &[u8]) -> Result<T, CodecError> {
    let result = if form::<T>() == Form::MessagePack {
        message_pack::read(bytes)
    } else {
        T::deserialize(read::ScalarReader { bytes })
    };
    result.map_err(Fault::of_type::<T>)
}
