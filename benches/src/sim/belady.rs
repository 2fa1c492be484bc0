//! What no cache can beat: Belady's optimum for entries, an upper bound for bytes.
//!
//! Both see the trace as intervals: from an access to the next one of the same key in the same version. An
//! access is a hit if and only if its entry was held for the whole interval before it, so a policy is a set
//! of intervals, and its hits are their number.
//!
//! - [`optimum`]: all weights are 1. Keep the entries whose next use is nearest; an entry without a next use
//!   in its version is not kept at all (bypass). Exact. O(n log n).
//! - [`bound`]: weights differ. Finding the optimum is NP-hard, so this is the relaxation of Berger et al.
//!   (PFOO, 2018): an interval occupies weight x length of the capacity x accesses there are; take the
//!   smallest first. No real policy, optimal ones included, has more hits.

use std::collections::BinaryHeap;

use crate::trace::Access;

/// Marks an access that its key does not follow in the same version.
const NO_NEXT: u32 = u32::MAX;

/// For each access, the index of the next one of the same key and version.
fn next_uses(accesses: &[Access]) -> Vec<u32> {
    let keys = accesses.iter().map(|access| access.key as usize + 1).max().unwrap_or(0);
    let mut last: Vec<Option<u32>> = vec![None; keys];
    let mut next = vec![NO_NEXT; accesses.len()];
    for (index, access) in (0_u32..).zip(accesses) {
        let previous = last[access.key as usize].replace(index);
        let same_version =
            previous.filter(|&previous| access.now_ms < accesses[previous as usize].deadline_ms);
        if let Some(previous) = same_version {
            next[previous as usize] = index;
        }
    }
    next
}

/// The most hits that any cache of `capacity` entries can have.
pub fn optimum(accesses: &[Access], capacity: u64) -> u64 {
    let next = next_uses(accesses);
    let keys = accesses.iter().map(|access| access.key as usize + 1).max().unwrap_or(0);
    let mut is_held = vec![false; keys];
    let mut held = 0_u64;
    let mut hits = 0;
    // Next uses of what is held, farthest first. Uses that have passed stay in the heap, but below every
    // use still to come, so the top is always somebody held.
    let mut farthest: BinaryHeap<(u32, u32)> = BinaryHeap::new();
    for (access, &next_use) in accesses.iter().zip(&next) {
        let key = access.key as usize;
        if is_held[key] {
            hits += 1;
            held -= 1;
        }
        is_held[key] = next_use != NO_NEXT;
        if !is_held[key] {
            continue;
        }
        held += 1;
        farthest.push((next_use, access.key));
        if held > capacity {
            let (_, victim) = farthest.pop().expect("something is held");
            is_held[victim as usize] = false;
            held -= 1;
        }
    }
    hits
}

/// At least as many hits as any cache of `capacity` weight can have.
pub fn bound(accesses: &[Access], capacity: u64) -> u64 {
    let mut areas: Vec<u128> = Vec::new();
    for (index, (access, next_use)) in (0_u32..).zip(accesses.iter().zip(next_uses(accesses))) {
        if next_use != NO_NEXT && u64::from(access.size) <= capacity {
            areas.push(u128::from(access.size) * u128::from(next_use - index));
        }
    }
    areas.sort_unstable();
    let mut room = u128::from(capacity) * accesses.len() as u128;
    let mut hits = 0;
    for area in areas {
        if area > room {
            break;
        }
        room -= area;
        hits += 1;
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::testing::{from_keys, random_trace, setup};
    use crate::sim::{SIMULATED, Setup};
    use crate::trace::Random;
    use std::collections::BTreeMap;

    /// Tries every choice: after each access, any subset of what was held plus the accessed entry may stay.
    fn brute_force(accesses: &[Access], capacity: u64) -> u64 {
        // State: sorted (key, deadline) held. Value: most hits so far.
        let mut states: BTreeMap<Vec<(u32, u64)>, u64> = BTreeMap::from([(Vec::new(), 0)]);
        let weights: BTreeMap<u32, u64> = accesses.iter().map(|a| (a.key, u64::from(a.size))).collect();
        for access in accesses {
            let mut following = BTreeMap::new();
            for (mut held, mut hits) in states {
                let found = held.iter().position(|&(key, _)| key == access.key);
                let is_hit = found.is_some_and(|at| access.now_ms < held[at].1);
                hits += u64::from(is_hit);
                if !is_hit {
                    held.retain(|&(key, _)| key != access.key);
                    held.push((access.key, access.deadline_ms));
                    held.sort_unstable();
                }
                for choice in 0..1_u32 << held.len() {
                    let kept: Vec<_> =
                        (0..held.len()).filter(|&at| choice >> at & 1 == 1).map(|at| held[at]).collect();
                    if kept.iter().map(|(key, _)| weights[key]).sum::<u64>() <= capacity {
                        let best = following.entry(kept).or_insert(hits);
                        *best = hits.max(*best);
                    }
                }
            }
            states = following;
        }
        states.into_values().max().expect("the empty choice always stays")
    }

    fn small_trace(seed: u64, is_weighed: bool) -> (Vec<Access>, u64) {
        let mut random = Random::new(seed);
        let mut versions = [0_u64; 6];
        let with_ttl = random.below(2) == 0;
        let accesses = (0..24).map(|now_ms| {
            let key = random.below(6);
            let version = &mut versions[key as usize];
            if *version <= now_ms {
                *version = if with_ttl { now_ms + 1 + random.below(12) } else { u64::MAX };
            }
            let size = if is_weighed { 1 + u32::try_from(key * 7 % 4).expect("small") } else { 1 };
            Access { key: u32::try_from(key).expect("small"), size, now_ms, deadline_ms: *version }
        });
        let accesses = accesses.collect();
        (accesses, 1 + random.below(4))
    }

    #[test]
    fn optimum_is_what_brute_force_finds() {
        for seed in 0..60 {
            let (accesses, capacity) = small_trace(seed, false);
            assert_eq!(optimum(&accesses, capacity), brute_force(&accesses, capacity), "seed {seed}");
        }
    }

    #[test]
    fn bound_is_never_below_brute_force() {
        for seed in 0..60 {
            for is_weighed in [false, true] {
                let (accesses, capacity) = small_trace(seed, is_weighed);
                let best = brute_force(&accesses, capacity);
                assert!(bound(&accesses, capacity) >= best, "seed {seed}");
            }
        }
    }

    #[test]
    fn by_hand() {
        // One entry: keep 1 over the first two accesses, bypass 2 and 3, hit 1 twice.
        let accesses = from_keys(&[1, 2, 1, 3, 1]);
        assert_eq!((optimum(&accesses, 1), optimum(&accesses, 0)), (2, 0));
        // A loop of 4 over 2 entries: two hits a round after the first.
        let accesses = from_keys(&[1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]);
        assert_eq!(optimum(&accesses, 2), brute_force(&accesses, 2));
        assert_eq!(optimum(&accesses, 4), 8);
    }

    #[test]
    fn no_simulated_policy_beats_it() {
        for seed in 0..60 {
            let (trace, capacity) = random_trace(seed);
            let is_weighed = trace.iter().any(|access| access.size > 1);
            let best = if is_weighed { bound(&trace, capacity) } else { optimum(&trace, capacity) };
            for (name, build) in SIMULATED {
                let mut policy = build(&Setup { capacity, ..setup(0) });
                let hits: u64 = trace.iter().map(|access| u64::from(policy.access(access))).sum();
                assert!(hits <= best, "{name}, seed {seed}: {hits} > {best}");
            }
        }
    }
}
