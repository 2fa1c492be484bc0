//! The TTL column of a packed hash: one slot a field, in the fields' order, in one allocation.
//!
//! ```text
//! narrow  [base low][base high][slot][slot]...        slot 0: lives for ever, else base + slot - 1
//! wide    [!0][!0][low][high][low][high]...           the same with 64 bits and base 0
//! ```
//! A slot of 32 bits reaches 49 days, and the base is put so that the deadlines lie in the middle of it. Deadlines further
//! apart make the column wide; it becomes narrow again when it is next rebuilt and they fit.
//!
//! Invariants: I1: at least one slot holds a deadline; a column without one is dropped by its owner. I2: as many slots as
//! fields. I3: a deadline is at most [`LATEST_MS`].
//!
//! Cost: reading O(1); writing O(1), or O(n) where the column is rebuilt; the earliest O(n).

/// The words before the slots.
const HEAD: usize = 2;
/// The words before the slots of a wide column: no base is as late.
const WIDE: [u32; HEAD] = [u32::MAX; HEAD];
/// How far apart the deadlines of a narrow column may lie.
const SPAN_MS: u64 = u32::MAX as u64 - 1;
/// The latest deadline that a slot holds.
pub(super) const LATEST_MS: u64 = u64::MAX - 1;

/// Deadlines of fields, by the fields' index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Times {
    words: Box<[u32]>,
}

impl Times {
    /// A column of these deadlines; `None` if there is none among them.
    pub(super) fn new(deadlines: &[Option<u64>]) -> Option<Self> {
        let present = || deadlines.iter().flatten().map(|&at| at.min(LATEST_MS));
        let (first, last) = (present().min()?, present().max()?);
        let span = last - first;
        let words = if span <= SPAN_MS {
            let base = first - first.min((SPAN_MS - span) / 2);
            let slot = |at: u64| u32::try_from(at - base + 1).expect("the span fits the slot");
            let slots = deadlines.iter().map(|at| at.map_or(0, |at| slot(at.min(LATEST_MS))));
            halves(base).into_iter().chain(slots).collect()
        } else {
            let slots = deadlines.iter().flat_map(|at| halves(at.map_or(0, |at| at.min(LATEST_MS) + 1)));
            WIDE.into_iter().chain(slots).collect()
        };
        Some(Self { words })
    }

    fn is_wide(&self) -> bool {
        self.words[..HEAD] == WIDE
    }

    fn base_ms(&self) -> u64 {
        join(self.words[0], self.words[1])
    }

    pub(super) fn len(&self) -> usize {
        (self.words.len() - HEAD) / if self.is_wide() { 2 } else { 1 }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<u64> {
        if self.is_wide() {
            let at = HEAD + 2 * index;
            join(*self.words.get(at)?, *self.words.get(at + 1)?).checked_sub(1)
        } else {
            let slot = u64::from(*self.words.get(HEAD + index)?);
            slot.checked_sub(1).map(|after| self.base_ms() + after)
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Option<u64>> {
        (0..self.len()).map(|index| self.get(index))
    }

    pub(super) fn earliest(&self) -> Option<u64> {
        if self.is_wide() {
            return self.iter().flatten().min();
        }
        // Slot 0, which lives for ever, wraps to the largest number.
        let least = self.words[HEAD..].iter().map(|slot| slot.wrapping_sub(1)).min()?;
        (least != u32::MAX).then(|| self.base_ms() + u64::from(least))
    }

    /// Changes one slot; `None` if that was the last deadline (I1).
    #[must_use]
    pub(super) fn with(mut self, index: usize, deadline: Option<u64>) -> Option<Self> {
        if !self.is_wide() {
            let slot = match deadline {
                None => Some(0),
                Some(at) => at
                    .min(LATEST_MS)
                    .checked_sub(self.base_ms())
                    .and_then(|after| u32::try_from(after + 1).ok()),
            };
            if let Some(slot) = slot {
                self.words[HEAD + index] = slot;
                let any = slot != 0 || self.words[HEAD..].iter().any(|&slot| slot != 0);
                return any.then_some(self);
            }
        }
        self.rebuilt(|deadlines| deadlines[index] = deadline)
    }

    /// Adds a slot at the end.
    #[must_use]
    pub(super) fn with_new(self, deadline: Option<u64>) -> Option<Self> {
        if self.is_wide() {
            return self.rebuilt(|deadlines| deadlines.push(deadline));
        }
        let index = self.len();
        let mut words = self.words.into_vec();
        words.reserve_exact(1);
        words.push(0);
        let grown = Self { words: words.into_boxed_slice() };
        if deadline.is_some() { grown.with(index, deadline) } else { Some(grown) }
    }

    /// Takes slots out.
    #[must_use]
    pub(super) fn without(self, index: usize) -> Option<Self> {
        if self.is_wide() {
            return self.rebuilt(|deadlines| {
                deadlines.remove(index);
            });
        }
        let mut words = self.words.into_vec();
        words.remove(HEAD + index);
        let any = words[HEAD..].iter().any(|&slot| slot != 0);
        any.then(|| Self { words: words.into_boxed_slice() })
    }

    fn rebuilt(self, change: impl FnOnce(&mut Vec<Option<u64>>)) -> Option<Self> {
        let mut deadlines: Vec<_> = self.iter().collect();
        change(&mut deadlines);
        Self::new(&deadlines)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self, fields: usize) {
        assert_eq!(self.len(), fields, "I2: as many slots as fields");
        assert!(self.iter().any(|at| at.is_some()), "I1: a column holds a deadline");
        assert_eq!(self.earliest(), self.iter().flatten().min());
    }
}

fn halves(wide: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = wide.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn deadline() -> impl Strategy<Value = Option<u64>> {
        const NOW: u64 = 1_700_000_000_000;
        prop_oneof![
            3 => Just(None),
            6 => (NOW..NOW + 100_000).prop_map(Some),
            1 => (NOW - SPAN_MS..NOW + 2 * SPAN_MS).prop_map(Some),
            1 => prop_oneof![Just(0), Just(1), Just(LATEST_MS), Just(LATEST_MS - 1)].prop_map(Some),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_a_vector(
            steps in proptest::collection::vec((0_u8..4, any::<prop::sample::Index>(), deadline()), 1..60),
        ) {
            let mut model: Vec<Option<u64>> = vec![None; 3];
            let mut times = Times::new(&model);
            prop_assert!(times.is_none());
            for (kind, index, deadline) in steps {
                match kind {
                    0 => model.push(deadline),
                    1 | 2 if !model.is_empty() => {
                        let at = index.index(model.len());
                        model[at] = deadline;
                        times = match times {
                            Some(times) => times.with(at, deadline),
                            None => Times::new(&model),
                        };
                    }
                    _ if !model.is_empty() => {
                        let at = index.index(model.len());
                        model.remove(at);
                        times = times.and_then(|times| times.without(at));
                    }
                    _ => {}
                }
                if kind == 0 {
                    times = match times {
                        Some(times) => times.with_new(deadline),
                        None => Times::new(&model),
                    };
                }
                match &times {
                    Some(times) => {
                        times.validate(model.len());
                        prop_assert!(times.iter().eq(model.iter().copied()));
                        prop_assert_eq!(times.get(model.len()), None);
                    }
                    None => prop_assert!(model.iter().all(Option::is_none)),
                }
            }
        }
    }

    #[test]
    fn a_slot_takes_four_bytes_and_deadlines_far_apart_take_eight() {
        let near =
            Times::new(&[Some(1_700_000_000_000), None, Some(1_700_086_400_000)]).expect("it has some");
        assert_eq!(near.heap_bytes(), 4 * (HEAD + 3));
        let later = near.clone().with(1, Some(1_700_000_000_000 + 20 * 86_400_000)).expect("it has some");
        assert_eq!(later.heap_bytes(), near.heap_bytes());
        let wide = near.with(1, Some(4_000_000_000_000)).expect("it has some");
        assert_eq!(wide.heap_bytes(), 4 * (HEAD + 6));
        let narrow = wide.with(1, None).expect("it has some");
        assert_eq!(narrow.heap_bytes(), 4 * (HEAD + 3));
    }
}
