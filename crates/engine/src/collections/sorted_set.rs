//! Interim: replaced by the real structure.
use super::{Body, Rules};
use crate::effect::Delta;
use crate::engine::{Encoding, ValueType};
use crate::memory::AllocatorModel;

#[derive(Debug, Clone)]
pub(crate) struct SortedSet;

impl Body for SortedSet {
    const TYPE: ValueType = ValueType::SortedSet;
    fn empty(_: &Rules) -> Self {
        Self
    }
    fn is_vacant(&self) -> bool {
        true
    }
    fn encoding(&self) -> Encoding {
        Encoding::Raw
    }
    fn charged(&self, _: AllocatorModel) -> u64 {
        0
    }
    fn digest(&self) -> u64 {
        0
    }
    fn apply(&mut self, _: &Delta, _: &Rules) {}
    fn deltas(&self, _: &mut dyn FnMut(Delta)) {}
    fn free_some(&mut self, _: usize) -> bool {
        true
    }
    #[cfg(any(test, fuzzing))]
    fn validate(&self, _: &Rules) {}
    arm!(SortedSet);
}
