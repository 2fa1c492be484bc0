//! The byte format: little-endian integers, and [`Field`]s made of them.

/// The bytes not yet read.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    left: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { left: data }
    }

    /// Reads one field; `None` when the bytes do not suffice.
    pub(crate) fn take<T: Field>(&mut self) -> Option<T> {
        T::decode(self)
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.left.split_at_checked(count)?;
        self.left = tail;
        Some(head)
    }
}

/// Something that is read from an input and written to a seed.
pub(crate) trait Field: Sized {
    fn decode(input: &mut Input<'_>) -> Option<Self>;
    fn encode(&self, out: &mut Vec<u8>);
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn decode(input: &mut Input<'_>) -> Option<Self> {
                let bytes = input.bytes(size_of::<Self>())?;
                Some(Self::from_le_bytes(bytes.try_into().expect("as many bytes as were asked for")))
            }

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }
        }
    )*};
}

integers!(u8, u16, i64);

/// One bit of a byte, so that most changes of a byte change nothing.
impl Field for bool {
    fn decode(input: &mut Input<'_>) -> Option<Self> {
        Some(input.take::<u8>()? & 1 == 1)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        u8::from(*self).encode(out);
    }
}

/// Up to 255 bytes.
impl Field for Vec<u8> {
    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let count = input.take::<u8>()?;
        Some(input.bytes(usize::from(count))?.to_vec())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        u8::try_from(self.len()).expect("a raw value has at most 255 bytes").encode(out);
        out.extend(self);
    }
}

/// At most three of something.
impl<T: Field> Field for [Option<T>; 3] {
    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let mut items = [None, None, None];
        let count = usize::from(input.take::<u8>()? % 4);
        for item in &mut items[..count] {
            *item = Some(input.take()?);
        }
        Some(items)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let count = self.iter().flatten().count();
        u8::try_from(count).expect("at most three").encode(out);
        self.iter().flatten().for_each(|item| item.encode(out));
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    fn decode(input: &mut Input<'_>) -> Option<Self> {
        Some((input.take()?, input.take()?))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }
}
