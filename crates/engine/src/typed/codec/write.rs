//! Writes one integer, float, text or byte string, and lends the bytes to a closure.
//!
//! - I1: a value of another kind than the form is refused. What was written could not be read back.
//!
//! Text and bytes are lent as the value holds them, numbers from the stack; nothing is allocated except for
//! 128-bit integers beyond 64 bits and for values that only know how to print themselves.

use std::fmt;

use serde::Serialize;
use serde::ser::{Impossible, Serializer};

use super::error::{CodecErrorKind, Fault};
use super::probe::Form;
use crate::collections::string::number;

/// Waits for the one value.
pub(super) struct ScalarWriter<F> {
    pub(super) form: Form,
    pub(super) f: F,
}

impl<R, F: FnOnce(&[u8]) -> R> ScalarWriter<F> {
    #[inline]
    fn write(self, form: Form, bytes: &[u8]) -> Result<R, Fault> {
        if self.form == form { Ok((self.f)(bytes)) } else { mismatch() }
    }

    fn write_float(self, text: Option<number::NumberText>) -> Result<R, Fault> {
        if self.form != Form::Float {
            return mismatch();
        }
        let text = text.ok_or(CodecErrorKind::NotANumber)?;
        Ok((self.f)(text.as_bytes()))
    }
}

#[cold]
fn mismatch<R>() -> Result<R, Fault> {
    Err(CodecErrorKind::FormMismatch.into())
}

macro_rules! integers {
    ($($method:ident $int:ident $format:ident)*) => {$(
        #[inline]
        fn $method(self, value: $int) -> Result<R, Fault> {
            self.write(Form::Integer, number::$format(value.into()).as_bytes())
        }
    )*};
}

macro_rules! mismatch {
    ($($method:ident($($ignored:ty),*) -> $ok:ty;)*) => {$(
        fn $method(self, $(_: $ignored),*) -> Result<$ok, Fault> {
            mismatch()
        }
    )*};
}

type Never<R> = Impossible<R, Fault>;

impl<R, F: FnOnce(&[u8]) -> R> Serializer for ScalarWriter<F> {
    type Ok = R;
    type Error = Fault;
    type SerializeSeq = Never<R>;
    type SerializeTuple = Never<R>;
    type SerializeTupleStruct = Never<R>;
    type SerializeTupleVariant = Never<R>;
    type SerializeMap = Never<R>;
    type SerializeStruct = Never<R>;
    type SerializeStructVariant = Never<R>;

    integers! {
        serialize_i8 i8 format_i64
        serialize_i16 i16 format_i64
        serialize_i32 i32 format_i64
        serialize_i64 i64 format_i64
        serialize_u8 u8 format_u64
        serialize_u16 u16 format_u64
        serialize_u32 u32 format_u64
        serialize_u64 u64 format_u64
    }

    fn serialize_i128(self, value: i128) -> Result<R, Fault> {
        match i64::try_from(value) {
            Ok(value) => self.serialize_i64(value),
            Err(_) => self.write(Form::Integer, value.to_string().as_bytes()),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<R, Fault> {
        match u64::try_from(value) {
            Ok(value) => self.serialize_u64(value),
            Err(_) => self.write(Form::Integer, value.to_string().as_bytes()),
        }
    }

    fn serialize_f32(self, value: f32) -> Result<R, Fault> {
        self.write_float(number::format_f32(value))
    }

    fn serialize_f64(self, value: f64) -> Result<R, Fault> {
        self.write_float(number::format_f64(value))
    }

    fn serialize_char(self, value: char) -> Result<R, Fault> {
        self.write(Form::Text, value.encode_utf8(&mut [0; 4]).as_bytes())
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<R, Fault> {
        self.write(Form::Text, value.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<R, Fault> {
        self.write(Form::Bytes, value)
    }

    fn collect_str<V: fmt::Display + ?Sized>(self, value: &V) -> Result<R, Fault> {
        self.write(Form::Text, value.to_string().as_bytes())
    }

    #[inline]
    fn serialize_newtype_struct<V: Serialize + ?Sized>(self, _: &'static str, value: &V) -> Result<R, Fault> {
        value.serialize(self)
    }

    fn serialize_some<V: Serialize + ?Sized>(self, _: &V) -> Result<R, Fault> {
        mismatch()
    }

    fn serialize_newtype_variant<V: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &V,
    ) -> Result<R, Fault> {
        mismatch()
    }

    mismatch! {
        serialize_bool(bool) -> R;
        serialize_none() -> R;
        serialize_unit() -> R;
        serialize_unit_struct(&'static str) -> R;
        serialize_unit_variant(&'static str, u32, &'static str) -> R;
        serialize_seq(Option<usize>) -> Never<R>;
        serialize_tuple(usize) -> Never<R>;
        serialize_tuple_struct(&'static str, usize) -> Never<R>;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Never<R>;
        serialize_map(Option<usize>) -> Never<R>;
        serialize_struct(&'static str, usize) -> Never<R>;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Never<R>;
    }
}
