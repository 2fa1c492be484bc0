//! Walks over a captured list.

use std::fmt;
use std::marker::PhantomData;

use crate::collections::list::OwnedElements;
use crate::error::OpError;
use crate::typed::{CodecError, Element, decode};

/// The elements of a list as they were when the walk began, from both ends; see [`List::iter`](super::List::iter).
///
/// It holds no lock. What is written meanwhile it does not see.
pub struct ListElements<T> {
    key: Box<[u8]>,
    elements: OwnedElements,
    element: PhantomData<fn() -> T>,
}

impl<T: Element> ListElements<T> {
    pub(in crate::engine) fn new(key: &[u8], elements: OwnedElements) -> Self {
        Self { key: key.into(), elements, element: PhantomData }
    }

    /// Shows the stored bytes of the elements that are left, in order, without decoding them.
    ///
    /// **Complexity** O(m), m elements.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let list = engine.list::<u32>("list");
    /// list.extend_back([1, 22, 333])?;
    /// let mut bytes = 0;
    /// list.iter()?.for_each_bytes(|element| bytes += element.len());
    /// assert_eq!(bytes, 6);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn for_each_bytes(mut self, mut visit: impl FnMut(&[u8])) {
        while self.elements.next_with(&mut visit).is_some() {}
    }

    fn told(&self, decoded: Result<T, CodecError>) -> Result<T, OpError> {
        decoded.map_err(|source| OpError::codec(&self.key, source))
    }
}

impl<T> fmt::Debug for ListElements<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListElements").field("left", &self.elements.len()).finish_non_exhaustive()
    }
}

impl<T: Element> Iterator for ListElements<T> {
    type Item = Result<T, OpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let decoded = self.elements.next_with(|bytes| decode(bytes))?;
        Some(self.told(decoded))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.elements.len(), Some(self.elements.len()))
    }
}

impl<T: Element> DoubleEndedIterator for ListElements<T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let decoded = self.elements.next_back_with(|bytes| decode(bytes))?;
        Some(self.told(decoded))
    }
}

impl<T: Element> ExactSizeIterator for ListElements<T> {}
