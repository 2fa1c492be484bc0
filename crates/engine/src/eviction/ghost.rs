//! The ghost table: fingerprints of keys that lately left, so that a quick return is noticed.
//!
//! ```text
//! sets of 4 ways x 2 bytes:  [fp fp fp fp][fp fp fp fp] ...     newest first, a fifth pushes the oldest out
//! ```
//! Invariants: I1: 0 is never a fingerprint, it marks an empty way. I2: a set's ways are ordered by age.
//! Costs: `remember` and `take` touch one set, 8 bytes. A foreign key is mistaken for a ghost with a probability
//! of 4 in 65,535.

use crate::random::mix;

const WAYS: usize = 4;

/// Remembered keys.
#[derive(Debug, Default)]
pub(crate) struct GhostTable {
    sets: Box<[[u16; WAYS]]>,
}

impl GhostTable {
    /// How many sets serve `keys` remembered keys.
    fn sets_for(keys: usize) -> usize {
        keys.div_ceil(WAYS)
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        self.sets.len() * WAYS * size_of::<u16>()
    }

    /// Makes the table serve `keys` keys; what it remembers stays as far as it can be placed.
    pub(crate) fn resize(&mut self, keys: usize) {
        let wanted = Self::sets_for(keys);
        if wanted == self.sets.len() {
            return;
        }
        let old = std::mem::replace(&mut self.sets, vec![[0; WAYS]; wanted].into_boxed_slice());
        if old.is_empty() {
            return;
        }
        // Sets divide the range of the hash in order, so a new set lies within, or begins in, one old set; its
        // ghosts may belong to any of the new sets it covers, so each of them gets a copy.
        for (i, set) in self.sets.iter_mut().enumerate() {
            *set = old[i * old.len() / wanted];
        }
    }

    #[inline]
    fn place(&self, hash: u64) -> (usize, u16) {
        let spread = mix(hash);
        let set = ((spread >> 32) * self.sets.len() as u64) >> 32;
        let fingerprint = u16::try_from(spread & 0xffff).expect("I3: sixteen bits");
        (usize::try_from(set).expect("I3: below the number of sets"), fingerprint.max(1))
    }

    /// Remembers a key that left.
    pub(crate) fn remember(&mut self, hash: u64) {
        if self.sets.is_empty() {
            return;
        }
        let (set, fingerprint) = self.place(hash);
        let ways = &mut self.sets[set];
        ways.rotate_right(1);
        ways[0] = fingerprint;
    }

    /// Whether the key left lately; it is forgotten with the answer.
    pub(crate) fn take(&mut self, hash: u64) -> bool {
        if self.sets.is_empty() {
            return false;
        }
        let (set, fingerprint) = self.place(hash);
        let ways = &mut self.sets[set];
        let Some(way) = ways.iter().position(|&way| way == fingerprint) else { return false };
        ways[way..].rotate_left(1);
        ways[WAYS - 1] = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn remembers_about_its_capacity_and_forgets_the_oldest() {
        let mut ghosts = GhostTable::default();
        ghosts.resize(1_024);
        assert_eq!(ghosts.allocated_bytes(), 2 * 1_024);
        (0..4_096).for_each(|i| ghosts.remember(mix(i)));
        let recent = (4_096 - 512..4_096).filter(|&i| ghosts.take(mix(i))).count();
        let old = (0..1_024).filter(|&i| ghosts.take(mix(i))).count();
        assert!(recent > 440, "most of the last half capacity are remembered: {recent}");
        assert!(old < 30, "the oldest are forgotten: {old}");
    }

    #[test]
    fn a_ghost_is_taken_once_and_survives_growth() {
        let mut ghosts = GhostTable::default();
        assert!(!ghosts.take(1));
        ghosts.resize(16);
        ghosts.remember(mix(1));
        ghosts.resize(64);
        assert!(ghosts.take(mix(1)));
        assert!(!ghosts.take(mix(1)));
        ghosts.resize(0);
        ghosts.remember(mix(1));
        assert!(!ghosts.take(mix(1)));
    }
}
