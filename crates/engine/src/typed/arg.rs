//! What may be given where an element of type `T` is expected.

use bytes::Bytes;

use super::codec::{CodecError, Element, encode_with};

mod sealed {
    /// Keeps [`Arg`](super::Arg) to the types listed there.
    pub trait Sealed<T> {}
}

/// An argument for an element of type `T`: a `T`, a `&T`, and for texts and byte strings a borrowed form.
///
/// `&str` stands for `String` and `Bytes`; `&[u8]` and `&[u8; N]` stand for `Bytes`. There is nothing to implement.
pub trait Arg<T: Element>: sealed::Sealed<T> {
    /// Lends the stored bytes of the element to `f`.
    ///
    /// # Errors
    /// If the element cannot be encoded.
    fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> Result<R, CodecError>;
}

impl<T: Element> sealed::Sealed<T> for T {}

impl<T: Element> Arg<T> for T {
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> Result<R, CodecError> {
        encode_with(self, f)
    }
}

impl<T: Element> sealed::Sealed<T> for &T {}

impl<T: Element> Arg<T> for &T {
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> Result<R, CodecError> {
        encode_with(*self, f)
    }
}

macro_rules! borrowed {
    ($($form:ty as $element:ty, $bytes:expr;)*) => {$(
        impl sealed::Sealed<$element> for $form {}

        impl Arg<$element> for $form {
            #[inline]
            fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> Result<R, CodecError> {
                let bytes: fn(&Self) -> &[u8] = $bytes;
                Ok(f(bytes(self)))
            }
        }
    )*};
}

borrowed! {
    &str as String, |text| text.as_bytes();
    &str as Bytes, |text| text.as_bytes();
    &[u8] as Bytes, |bytes| bytes;
    &String as Bytes, |text| text.as_bytes();
    &Vec<u8> as Bytes, |bytes| bytes;
}

impl<const N: usize> sealed::Sealed<Bytes> for &[u8; N] {}

impl<const N: usize> Arg<Bytes> for &[u8; N] {
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> Result<R, CodecError> {
        Ok(f(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<T: Element>(arg: impl Arg<T>) -> Vec<u8> {
        arg.with(<[u8]>::to_vec).expect("encodes")
    }

    #[test]
    fn borrowed_forms_store_what_the_owned_ones_store() {
        assert_eq!(bytes::<String>("alice"), bytes::<String>(String::from("alice")));
        assert_eq!(bytes::<String>(&String::from("alice")), b"alice");
        assert_eq!(bytes::<Bytes>(b"raw"), bytes::<Bytes>(Bytes::from_static(b"raw")));
        assert_eq!(bytes::<Bytes>(&b"raw"[..]), b"raw");
        assert_eq!(bytes::<Bytes>("text"), b"text");
        assert_eq!(bytes::<u64>(42), b"42");
        assert_eq!(bytes::<u64>(&42), b"42");
    }
}
