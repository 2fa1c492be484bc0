//! Reads one integer, float, text or byte string from its stored form.
//!
//! - I1: it answers exactly the requests to which the probe answered with a form of their own. Any other one
//!   comes from a type whose requests change from call to call, and is refused.
//! - I2: the number given to the visitor has the width that was asked for.

use serde::de::{Deserializer, Visitor};

use super::error::{CodecErrorKind, Fault};
use crate::collections::string::number;

/// The whole stored value.
pub(super) struct ScalarReader<'a> {
    pub(super) bytes: &'a [u8],
}

macro_rules! integers {
    ($($method:ident $visit:ident $parse:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let value = number::$parse(self.bytes).and_then(|value| value.try_into().ok());
            visitor.$visit(value.ok_or_else(|| self.not_this_integer())?)
        }
    )*};
}

macro_rules! mismatch {
    ($($method:ident($($ignored:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $(_: $ignored,)* _: V) -> Result<V::Value, Fault> {
            Err(CodecErrorKind::FormMismatch.into())
        }
    )*};
}

impl<'de> ScalarReader<'de> {
    #[cold]
    fn not_this_integer(&self) -> Fault {
        if number::is_integer(self.bytes) {
            CodecErrorKind::IntegerOutOfRange.into()
        } else {
            CodecErrorKind::NotAnInteger.into()
        }
    }

    #[inline]
    fn text(&self) -> Result<&'de str, Fault> {
        std::str::from_utf8(self.bytes).map_err(|_| CodecErrorKind::NotText.into())
    }
}

impl<'de> Deserializer<'de> for ScalarReader<'de> {
    type Error = Fault;

    integers! {
        deserialize_i8 visit_i8 parse_i64
        deserialize_i16 visit_i16 parse_i64
        deserialize_i32 visit_i32 parse_i64
        deserialize_i64 visit_i64 parse_i64
        deserialize_i128 visit_i128 parse_i128
        deserialize_u8 visit_u8 parse_u64
        deserialize_u16 visit_u16 parse_u64
        deserialize_u32 visit_u32 parse_u64
        deserialize_u64 visit_u64 parse_u64
        deserialize_u128 visit_u128 parse_u128
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_f32(number::parse_f32(self.bytes).ok_or(CodecErrorKind::NotAFloat)?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_f64(number::parse_f64(self.bytes).ok_or(CodecErrorKind::NotAFloat)?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_bytes(self.bytes)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_bytes(self.bytes)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    mismatch! {
        deserialize_any() deserialize_bool() deserialize_option() deserialize_unit()
        deserialize_unit_struct(&'static str) deserialize_seq() deserialize_tuple(usize)
        deserialize_tuple_struct(&'static str, usize) deserialize_map()
        deserialize_struct(&'static str, &'static [&'static str])
        deserialize_enum(&'static str, &'static [&'static str])
        deserialize_identifier() deserialize_ignored_any()
    }
}
