//! Finds the stored form of a type by asking its `Deserialize` what it wants.
//!
//! The probe is a deserializer that holds nothing: every request ends at once with an error, and the error is
//! the answer. Only a newtype is let through to its content. No value of the type is ever made, save by a type
//! that asks for nothing.
//!
//! - I1: the answer depends on the type alone, so it folds to a constant.
//! - I2: the probe ends: a newtype of itself (which no value can have) stops after [`NEWTYPES_MAX`] steps.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};

const NEWTYPES_MAX: u8 = 16;

/// How the values of a type are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Decimal digits.
    Integer,
    /// A float in text form.
    Float,
    /// UTF-8.
    Text,
    /// Bytes as they are.
    Bytes,
    /// MessagePack with field names.
    MessagePack,
}

/// Asks the type for its form.
#[inline]
pub(super) fn form<T: DeserializeOwned>() -> Form {
    match T::deserialize(Probe { newtypes: 0 }) {
        Ok(_) => Form::MessagePack,
        Err(Answer(form)) => form,
    }
}

struct Probe {
    newtypes: u8,
}

/// The answer, in the guise of an error.
#[derive(Debug)]
struct Answer(Form);

impl Error for Answer {
    /// A type that refuses before it asks has no form of its own.
    fn custom<M: fmt::Display>(_: M) -> Self {
        Self(Form::MessagePack)
    }
}

impl std::error::Error for Answer {}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stored as {:?}", self.0)
    }
}

macro_rules! answer {
    ($form:ident: $($method:ident($($ignored:ty),*))*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, $(_: $ignored,)* _: V) -> Result<V::Value, Answer> {
            Err(Answer(Form::$form))
        }
    )*};
}

impl<'de> Deserializer<'de> for Probe {
    type Error = Answer;

    answer! { Integer:
        deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64() deserialize_i128()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
    }
    answer! { Float: deserialize_f32() deserialize_f64() }
    answer! { Text: deserialize_char() deserialize_str() deserialize_string() }
    answer! { Bytes: deserialize_bytes() deserialize_byte_buf() }
    answer! { MessagePack:
        deserialize_any() deserialize_bool() deserialize_option() deserialize_unit()
        deserialize_unit_struct(&'static str) deserialize_seq() deserialize_tuple(usize)
        deserialize_tuple_struct(&'static str, usize) deserialize_map()
        deserialize_struct(&'static str, &'static [&'static str])
        deserialize_enum(&'static str, &'static [&'static str])
        deserialize_identifier() deserialize_ignored_any()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Answer> {
        if self.newtypes == NEWTYPES_MAX {
            return Err(Answer(Form::MessagePack));
        }
        visitor.visit_newtype_struct(Self { newtypes: self.newtypes + 1 })
    }
}
