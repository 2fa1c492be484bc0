//! Choices: what a generator is driven by, and what is shrunk in place of the things generated.
//!
//! ```text
//! tape      [ 40211 | 0 | 9800 | ... ]          draw(10) reads one: 40211 * 10 / 65536 = 6
//! generator which command, which options, ...   a tape that has ended reads as zeroes
//! ```
//! Invariants: T1: a smaller choice never draws a larger number, and zero draws zero: generators put the plainest case
//! first, so shrinking a tape shrinks what it makes. T2: the same tape makes the same thing.
//!
//! Cost: two bytes a draw. Draws of more than 65,536 cases are not uniform and are not needed.

/// Drawn choices, or an endless supply of random ones that are written down.
#[derive(Debug, Clone)]
pub(super) struct Tape {
    choices: Vec<u16>,
    at: usize,
    /// The state of a splitmix64 generator that goes on where the choices end.
    random: Option<u64>,
}

impl Tape {
    /// Makes an endless tape from a seed.
    pub(super) fn random(seed: u64) -> Self {
        Self { choices: Vec::new(), at: 0, random: Some(seed) }
    }

    /// Makes a tape of these choices, and zeroes after them.
    pub(super) fn replay(choices: Vec<u16>) -> Self {
        Self { choices, at: 0, random: None }
    }

    /// Returns the choices that were read.
    pub(super) fn into_choices(mut self) -> Vec<u16> {
        self.choices.truncate(self.at);
        self.choices
    }

    fn next(&mut self) -> u16 {
        let at = self.at;
        self.at += 1;
        if let Some(&choice) = self.choices.get(at) {
            return choice;
        }
        let Some(state) = &mut self.random else { return 0 };
        let choice = u16::try_from(splitmix(state) >> 48).expect("16 of 64 bits");
        self.choices.push(choice);
        choice
    }

    /// Draws a number below `cases`; 0 for no case at all.
    pub(super) fn draw(&mut self, cases: usize) -> usize {
        let cases = u64::try_from(cases).unwrap_or(u64::MAX).min(1 << 32);
        usize::try_from((u64::from(self.next()) * cases) >> 16).unwrap_or_default()
    }

    /// Draws true in so many cases of a hundred; the plain case is false.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.draw(100) + percent >= 100
    }

    /// Draws one of the items; the first is the plainest.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        let index = self.draw(items.len());
        items.get(index).expect("T1: a draw is below the number of cases, and no list of cases is empty")
    }

    /// Draws an index, each as often as its weight says.
    pub(super) fn weighted(&mut self, weights: impl Iterator<Item = u32> + Clone) -> usize {
        let total: u32 = weights.clone().sum();
        let mut left = u32::try_from(self.draw(usize::try_from(total).unwrap_or(usize::MAX))).unwrap_or(0);
        for (index, weight) in weights.enumerate() {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return index,
            }
        }
        0
    }
}

/// The next number of the sequence that `state` stands for.
pub(super) fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The tapes to try in place of one, most promising first. The first `kept` choices stay.
pub(super) fn simpler(choices: &[u16], kept: usize) -> Vec<Vec<u16>> {
    let length = choices.len();
    let mut tapes = Vec::new();
    for end in [kept, length / 4, length / 2, length / 4 * 3, length.saturating_sub(1)] {
        if end >= kept && end < length {
            tapes.push(choices.iter().copied().take(end).collect());
        }
    }
    for size in [8, 4, 2, 1] {
        for start in (kept..length.saturating_sub(size)).step_by(size.div_ceil(2)) {
            let rest = choices.iter().skip(start + size);
            tapes.push(choices.iter().take(start).chain(rest).copied().collect());
        }
    }
    let smaller: [fn(u16) -> u16; 3] = [|_| 0, |choice| choice / 2, |choice| choice.saturating_sub(700)];
    for change in smaller {
        for index in kept..length {
            let mut tape = choices.to_vec();
            if let Some(choice) = tape.get_mut(index).filter(|choice| **choice > 0) {
                *choice = change(*choice);
                tapes.push(tape);
            }
        }
    }
    tapes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_repeats_itself_and_ends_in_zeroes() {
        let mut first = Tape::random(5);
        let drawn: Vec<usize> = (0..50).map(|cases| first.draw(cases)).collect();
        let mut second = Tape::replay(first.into_choices());
        assert_eq!((0..50).map(|cases| second.draw(cases)).collect::<Vec<_>>(), drawn);
        assert_eq!(second.draw(1_000), 0);
        assert!(!second.chance(99));
    }

    #[test]
    fn draws_are_in_range_and_reach_its_ends() {
        let mut tape = Tape::random(1);
        let drawn: Vec<usize> = (0..2_000).map(|_| tape.draw(7)).collect();
        assert!((0..7).all(|case| drawn.contains(&case)) && drawn.iter().all(|&case| case < 7));
        let heavy = (0..2_000).filter(|_| tape.weighted([1, 0, 9].into_iter()) == 2).count();
        assert!((1_700..1_900).contains(&heavy), "{heavy}");
        assert!((0..2_000).all(|_| tape.weighted([1, 0, 9].into_iter()) != 1));
    }

    #[test]
    fn every_simpler_tape_is_shorter_or_smaller_and_keeps_its_head() {
        let choices = [9, 100, 0, 65_535, 7, 7, 7, 7, 7, 7, 1];
        for tape in simpler(&choices, 1) {
            assert!(tape.len() < choices.len() || tape.iter().zip(choices).all(|(new, old)| *new <= old));
            assert_ne!(tape, choices);
            assert_eq!(tape.first(), Some(&9));
        }
        assert!(simpler(&[4], 1).is_empty());
    }
}
