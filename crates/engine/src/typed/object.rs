//! A decoded value of any type behind one pointer: a type-erased `Arc`.
//!
//! Invariants: I1: `data` came from `Arc::<T>::into_raw` for the very `T` that `table` was made for, and this
//! object owns one of its counts. I2: a reference to `T` is handed out only when the caller's `T` is that type.
//! Cost: a checked reference is one comparison of table addresses; the type's id is asked only when they differ
//! (the same type may have several tables, one a code generation unit).
#![expect(unsafe_code, reason = "type erasure that keeps a hit at one comparison; the safe face is Object")]

use std::any::{TypeId, type_name};
use std::ptr::NonNull;
use std::sync::Arc;

use super::codec::{self, CodecError, Element};

struct Table {
    type_id: fn() -> TypeId,
    type_name: fn() -> &'static str,
    /// An `Arc`'s two counters and the value, as they lie in one allocation.
    allocation_bytes: usize,
    /// Makes another owned count. Safety: `data` is a count of this table's type.
    retain: unsafe fn(NonNull<()>),
    /// Takes an owned count back and drops it. Safety: `data` is such a count of this table's type.
    release: unsafe fn(NonNull<()>),
    /// Encodes. Safety: `data` points to a live value of this table's type.
    encode: unsafe fn(NonNull<()>) -> Result<Vec<u8>, CodecError>,
}

const fn arc_bytes(value_bytes: usize, value_align: usize) -> usize {
    const COUNTERS_BYTES: usize = 2 * size_of::<usize>();
    let align = if value_align > align_of::<usize>() { value_align } else { align_of::<usize>() };
    (COUNTERS_BYTES.next_multiple_of(align) + value_bytes).next_multiple_of(align)
}

struct TableOf<T>(std::marker::PhantomData<T>);

impl<T: Element> TableOf<T> {
    const TABLE: &'static Table = &Table {
        type_id: TypeId::of::<T>,
        type_name: type_name::<T>,
        allocation_bytes: arc_bytes(size_of::<T>(), align_of::<T>()),
        retain: |data| {
            // SAFETY: by the field's contract this is a count of an Arc<T>.
            unsafe { Arc::increment_strong_count(data.cast::<T>().as_ptr()) };
        },
        release: |data| {
            // SAFETY: by the field's contract this is an owned count of an Arc<T>.
            drop(unsafe { Arc::from_raw(data.cast::<T>().as_ptr()) });
        },
        encode: |data| {
            // SAFETY: by the field's contract this is a live T.
            codec::encode(unsafe { data.cast::<T>().as_ref() })
        },
    };
}

/// A decoded value, its type, and the weight that its owner gave it.
pub(crate) struct Object {
    table: &'static Table,
    data: NonNull<()>,
    weight: u64,
}

// SAFETY: an object owns a count of an Arc<T>, and every Element is Send + Sync.
unsafe impl Send for Object {}
// SAFETY: as above.
unsafe impl Sync for Object {}

impl Object {
    pub(crate) fn new<T: Element>(value: Arc<T>, weight: u64) -> Self {
        let data =
            NonNull::new(Arc::into_raw(value).cast_mut()).expect("I1: an Arc's content has an address");
        Self { table: TableOf::<T>::TABLE, data: data.cast(), weight }
    }

    #[inline]
    fn is<T: Element>(&self) -> bool {
        std::ptr::eq(self.table, TableOf::<T>::TABLE) || (self.table.type_id)() == TypeId::of::<T>()
    }

    #[inline]
    pub(crate) fn downcast_ref<T: Element>(&self) -> Option<&T> {
        if !self.is::<T>() {
            return None;
        }
        // SAFETY: the type has just been checked (I1, I2), and this object keeps the value alive.
        Some(unsafe { self.data.cast::<T>().as_ref() })
    }

    #[inline]
    pub(crate) fn downcast_arc<T: Element>(&self) -> Option<Arc<T>> {
        if !self.is::<T>() {
            return None;
        }
        let data = self.data.cast::<T>().as_ptr();
        // SAFETY: `data` came from Arc::into_raw (I1); the new count belongs to the Arc that is returned.
        Some(unsafe {
            Arc::increment_strong_count(data);
            Arc::from_raw(data)
        })
    }

    /// Whether both are the same value, not merely equal ones.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.data == other.data
    }

    pub(crate) fn type_name(&self) -> &'static str {
        (self.table.type_name)()
    }

    /// The weight that the owner gave, in bytes beyond the value itself.
    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    /// The bytes of the allocation that holds the value: an `Arc`'s two counters and the value.
    pub(crate) fn allocation_bytes(&self) -> usize {
        self.table.allocation_bytes
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        // SAFETY: this object keeps a live value of the table's type (I1).
        unsafe { (self.table.encode)(self.data) }
    }
}

impl Clone for Object {
    fn clone(&self) -> Self {
        // SAFETY: this object owns a count (I1); the new one belongs to the copy.
        unsafe { (self.table.retain)(self.data) };
        Self { table: self.table, data: self.data, weight: self.weight }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: this object owned the count (I1), and this is its end.
        unsafe { (self.table.release)(self.data) };
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Object({})", self.type_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_type_comes_out() {
        let object = Object::new(Arc::new(String::from("x")), 9);
        assert_eq!(object.downcast_ref::<String>().map(String::as_str), Some("x"));
        assert!(object.downcast_ref::<u64>().is_none());
        assert!(object.downcast_arc::<u64>().is_none());
        assert_eq!(object.weight(), 9);
        assert!(object.type_name().contains("String"));
    }

    #[test]
    fn counts_are_kept() {
        let value = Arc::new(String::from("x"));
        let object = Object::new(Arc::clone(&value), 0);
        let copy = object.clone();
        let out = object.downcast_arc::<String>();
        assert_eq!(Arc::strong_count(&value), 4);
        drop((object, copy, out));
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
