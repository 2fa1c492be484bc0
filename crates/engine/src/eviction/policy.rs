//! Eviction policies by name, and the constants of the admission policy.

use std::fmt;
use std::str::FromStr;

use crate::error::ConfigError;

/// Which entries make room when a limit is reached.
///
/// The first eight are Redis's `maxmemory-policy` values, sampled as Redis samples them; [`Policy::Admission`] is
/// larder's own and the default for an engine with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Policy {
    /// `noeviction`: writes that need room are refused, everything else works.
    NoEviction = 0,
    /// `allkeys-lru`: the least recently used of a sample of all keys.
    AllKeysLru = 1,
    /// `allkeys-lfu`: the least frequently used of a sample of all keys.
    AllKeysLfu = 2,
    /// `allkeys-random`: any key.
    AllKeysRandom = 3,
    /// `volatile-lru`: as `allkeys-lru`, among keys with a TTL.
    VolatileLru = 4,
    /// `volatile-lfu`: as `allkeys-lfu`, among keys with a TTL.
    VolatileLfu = 5,
    /// `volatile-random`: any key with a TTL.
    VolatileRandom = 6,
    /// `volatile-ttl`: the key with the nearest deadline.
    VolatileTtl = 7,
    /// `admission`: new keys pass a short ring and must be used there, or come back, to stay; then the
    /// least valuable of a sample goes, by frequency, age and size.
    Admission = 8,
}

/// Every policy with its name.
const NAMES: [(Policy, &str); 9] = [
    (Policy::NoEviction, "noeviction"),
    (Policy::AllKeysLru, "allkeys-lru"),
    (Policy::AllKeysLfu, "allkeys-lfu"),
    (Policy::AllKeysRandom, "allkeys-random"),
    (Policy::VolatileLru, "volatile-lru"),
    (Policy::VolatileLfu, "volatile-lfu"),
    (Policy::VolatileRandom, "volatile-random"),
    (Policy::VolatileTtl, "volatile-ttl"),
    (Policy::Admission, "admission"),
];

impl Policy {
    /// All policies, Redis's eight first.
    pub const ALL: [Self; 9] = [
        Self::NoEviction,
        Self::AllKeysLru,
        Self::AllKeysLfu,
        Self::AllKeysRandom,
        Self::VolatileLru,
        Self::VolatileLfu,
        Self::VolatileRandom,
        Self::VolatileTtl,
        Self::Admission,
    ];

    /// Returns the name, as Redis's configuration spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self as u8)].1
    }

    /// Returns whether only keys with a TTL are evicted.
    #[must_use]
    pub fn is_volatile(self) -> bool {
        matches!(self, Self::VolatileLru | Self::VolatileLfu | Self::VolatileRandom | Self::VolatileTtl)
    }

    /// Returns whether the policy counts accesses (so that `OBJECT FREQ` answers, and `OBJECT IDLETIME` does not).
    #[must_use]
    pub fn counts_accesses(self) -> bool {
        matches!(self, Self::AllKeysLfu | Self::VolatileLfu | Self::Admission)
    }

    pub(crate) fn from_number(number: u8) -> Self {
        NAMES.get(usize::from(number)).map_or(Self::NoEviction, |&(policy, _)| policy)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Policy {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        let found = NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        found.map(|&(policy, _)| policy).ok_or_else(|| {
            let known: Vec<&str> = NAMES.iter().map(|&(_, name)| name).collect();
            ConfigError::new("policy", format!("'{name}' is none of {}", known.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for (i, policy) in Policy::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(policy as u8), i);
            assert_eq!(policy.to_string().parse::<Policy>(), Ok(policy));
            assert_eq!(Policy::from_number(policy as u8), policy);
        }
        assert!("lru".parse::<Policy>().unwrap_err().to_string().contains("allkeys-lru"));
    }
}
