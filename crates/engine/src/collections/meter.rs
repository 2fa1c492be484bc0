//! Counts what a large encoding's nodes cost, as they come and go.

use crate::memory::AllocatorModel;

/// An `Arc`'s two counters before its content.
pub(crate) const ARC_BYTES: usize = 16;

/// A running total by the allocator model. Every allocation is added once with the size that was asked for, and taken off
/// with the same size.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    model: AllocatorModel,
    bytes: u64,
}

impl Meter {
    pub(crate) fn new(model: AllocatorModel) -> Self {
        Self { model, bytes: 0 }
    }

    /// An allocation of this size came; zero costs nothing.
    #[inline]
    pub(crate) fn add(&mut self, size: usize) {
        self.bytes += self.model.charge(size);
    }

    /// An allocation of this size went.
    #[inline]
    pub(crate) fn sub(&mut self, size: usize) {
        self.bytes =
            self.bytes.checked_sub(self.model.charge(size)).expect("I1: no more is taken off than was added");
    }

    /// An allocation changed its size.
    #[inline]
    pub(crate) fn resize(&mut self, was: usize, now: usize) {
        if was != now {
            self.add(now);
            self.sub(was);
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn model(&self) -> AllocatorModel {
        self.model
    }
}
