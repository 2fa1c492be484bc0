//! The value of a collection's entry, one arm a type.

use super::Body;
use super::hash::Hash;
use super::list::List;
use super::rules::Rules;
use super::set::Set;
use super::sorted_set::SortedSet;
use super::stream::Stream;
use crate::effect::Delta;
use crate::engine::{Encoding, ValueType};
use crate::memory::AllocatorModel;

/// A collection with the stamp of its last change.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// Differs after every change, within an engine's life: two equal stamps under one key mean the same content.
    pub(crate) stamp: u64,
    pub(crate) body: Collection,
}

/// A collection of any type.
#[derive(Debug, Clone)]
pub(crate) enum Collection {
    List(List),
    Set(Set),
    Hash(Hash),
    SortedSet(SortedSet),
    Stream(Stream),
}

macro_rules! each {
    ($collection:expr, $body:ident => $result:expr) => {
        match $collection {
            Collection::List($body) => $result,
            Collection::Set($body) => $result,
            Collection::Hash($body) => $result,
            Collection::SortedSet($body) => $result,
            Collection::Stream($body) => $result,
        }
    };
}

/// Fills in the three functions of [`Body`] that name the arm.
macro_rules! arm {
    ($arm:ident) => {
        fn into_collection(self) -> $crate::collections::Collection {
            $crate::collections::Collection::$arm(self)
        }

        fn of(collection: &$crate::collections::Collection) -> Option<&Self> {
            match collection {
                $crate::collections::Collection::$arm(body) => Some(body),
                _ => None,
            }
        }

        fn of_mut(collection: &mut $crate::collections::Collection) -> Option<&mut Self> {
            match collection {
                $crate::collections::Collection::$arm(body) => Some(body),
                _ => None,
            }
        }
    };
}

impl Collection {
    pub(crate) fn empty(value_type: ValueType, rules: &Rules) -> Option<Self> {
        Some(match value_type {
            ValueType::String => return None,
            ValueType::List => Self::List(List::empty(rules)),
            ValueType::Set => Self::Set(Set::empty(rules)),
            ValueType::Hash => Self::Hash(Hash::empty(rules)),
            ValueType::SortedSet => Self::SortedSet(SortedSet::empty(rules)),
            ValueType::Stream => Self::Stream(Stream::empty(rules)),
        })
    }

    /// An empty collection of the same type.
    pub(crate) fn empty_like(other: &Self) -> Self {
        fn of<B: Body>(_: &B) -> Collection {
            B::empty(&Rules::default()).into_collection()
        }
        each!(other, body => of(body))
    }

    pub(crate) fn value_type(&self) -> ValueType {
        fn of<B: Body>(_: &B) -> ValueType {
            B::TYPE
        }
        each!(self, body => of(body))
    }

    pub(crate) fn encoding(&self) -> Encoding {
        each!(self, body => body.encoding())
    }

    pub(crate) fn charged(&self, model: AllocatorModel) -> u64 {
        each!(self, body => body.charged(model))
    }

    pub(crate) fn is_vacant(&self) -> bool {
        each!(self, body => body.is_vacant())
    }

    pub(crate) fn digest_at(&self, now_ms: u64) -> Option<u64> {
        each!(self, body => body.digest_at(now_ms))
    }

    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        each!(self, body => body.next_deadline_ms())
    }

    pub(crate) fn apply(&mut self, delta: &Delta, rules: &Rules) {
        each!(self, body => body.apply(delta, rules));
    }

    pub(crate) fn deltas(&self, emit: &mut dyn FnMut(Delta)) {
        each!(self, body => body.deltas(emit));
    }

    pub(crate) fn expire_due(
        &mut self,
        now_ms: u64,
        budget: usize,
        rules: &Rules,
        emit: &mut dyn FnMut(Delta),
    ) -> usize {
        each!(self, body => body.expire_due(now_ms, budget, rules, emit))
    }

    pub(crate) fn free_some(&mut self, nodes: usize) -> bool {
        each!(self, body => body.free_some(nodes))
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate_between(&self, narrowest: &Rules, widest: &Rules) {
        each!(self, body => body.validate_between(narrowest, widest));
    }
}
