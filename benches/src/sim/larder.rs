//! Larder itself behind the face of the hit-ratio bench, once per eviction policy.
//!
//! Keys are 8 bytes, values the entry's size in 4. Entries are limited by `max_entries`, bytes by
//! `max_weight`, so the trace's own weights count and not the engine's overhead. Time is a manual clock set
//! to each access's millisecond; the engine expires entries itself, and `maintain` runs once per virtual
//! second as a service would call it. Shards are left to the engine: what users get is what is measured.
//!
//! `noeviction` does not take part: it refuses writes once full and has no hit ratio to speak of. The
//! volatile policies evict only keys with a TTL, so there every key gets one, far away if the trace gives
//! none.

use larder::{Budget, Engine, ManualClock, SetOptions, UnixMillis};

use super::{Contestant, Origin, Policy, Setup};
use crate::trace::{Access, NEVER_MS};

/// When the trace starts; any time away from zero would do.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// The TTL that stands for none under a volatile policy: a year, far beyond any trace.
const FAR_MS: u64 = 365 * 24 * 3_600_000;
/// Accesses, that is milliseconds, between two calls of `maintain`.
const MAINTAIN_EVERY_MS: u64 = 1_000;

/// One contestant per policy that evicts.
pub(super) fn contestants() -> Vec<Contestant> {
    let mut policies = larder::Policy::ALL.to_vec();
    policies.retain(|&policy| policy != larder::Policy::NoEviction);
    // The default first.
    policies.sort_by_key(|&policy| policy != larder::Policy::Admission);
    let row = |policy: larder::Policy| Contestant {
        name: format!("larder {policy}"),
        origin: Origin::Larder,
        build: Box::new(move |setup| Box::new(Larder::new(setup, policy))),
    };
    policies.into_iter().map(row).collect()
}

struct Larder {
    engine: Engine,
    clock: ManualClock,
    capacity: u64,
    maintain_at_ms: u64,
    needs_deadline: bool,
}

impl Larder {
    fn new(setup: &Setup, policy: larder::Policy) -> Self {
        let clock = ManualClock::new(UnixMillis(EPOCH_MS));
        let builder = Engine::builder().policy(policy).clock(clock.clone()).seed(setup.seed);
        let builder = if setup.is_weighed {
            builder.max_weight(setup.capacity, |_, value| weight_in(value)).expected_keys(setup.items as u64)
        } else {
            builder.max_entries(setup.capacity)
        };
        let engine = builder.build().expect("a limit, a policy and a clock make a valid engine");
        Self {
            engine,
            clock,
            capacity: setup.capacity,
            maintain_at_ms: 0,
            needs_deadline: policy.is_volatile(),
        }
    }

    fn store(&self, key: [u8; 8], access: &Access) {
        let mut options = SetOptions::new();
        if access.deadline_ms != NEVER_MS {
            options = options.expire_at(UnixMillis(EPOCH_MS + access.deadline_ms));
        } else if self.needs_deadline {
            options = options.expire_at(UnixMillis(EPOCH_MS + access.now_ms + FAR_MS));
        }
        let outcome = self.engine.set_with(key, access.size.to_le_bytes(), options);
        outcome.expect("a policy that evicts always finds room");
    }
}

/// The weight that an entry's value names.
fn weight_in(value: &[u8]) -> u32 {
    u32::from_le_bytes(value.try_into().expect("values are 4 bytes"))
}

impl Policy for Larder {
    fn access(&mut self, access: &Access) -> bool {
        self.clock.set(UnixMillis(EPOCH_MS + access.now_ms));
        if access.now_ms >= self.maintain_at_ms {
            self.maintain_at_ms = access.now_ms + MAINTAIN_EVERY_MS;
            let _remaining = self.engine.maintain(Budget::default());
        }
        let key = u64::from(access.key).to_be_bytes();
        let is_hit = self.engine.get(key).expect("only strings are stored").is_some();
        if !is_hit && u64::from(access.size) <= self.capacity {
            self.store(key, access);
        }
        is_hit
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{random_trace, setup};
    use super::*;

    #[test]
    fn every_policy_repeats_itself_and_respects_deadlines() {
        for contestant in contestants() {
            for seed in 0..4 {
                let (trace, _) = random_trace(seed);
                let roomy = Setup { capacity: 4_000, items: 4_000, is_weighed: seed % 2 == 1, ..setup(0) };
                // With room for all, a miss is the first access of a version and nothing else.
                let versions: std::collections::HashSet<_> =
                    trace.iter().map(|a| (a.key, a.deadline_ms)).collect();
                let expected = (trace.len() - versions.len()) as u64;
                assert_eq!(contestant.hits(&roomy, &trace), expected, "{}, seed {seed}", contestant.name);
                let tight = Setup { capacity: 5, items: 5, ..setup(0) };
                let hits = contestant.hits(&tight, &trace);
                assert_eq!(hits, contestant.hits(&tight, &trace), "{}, seed {seed}", contestant.name);
                assert!(hits > 0 && hits < expected, "{}, seed {seed}: {hits}", contestant.name);
            }
        }
    }
}
