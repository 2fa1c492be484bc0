//! When a collection changes its encoding, and by which model its memory is counted.

use crate::memory::AllocatorModel;

/// Up to which size a collection keeps its small encoding, by Redis's names and with Redis's defaults.
///
/// # Examples
/// ```
/// use larder::{EncodingLimits, Engine};
/// let mut limits = EncodingLimits::default();
/// limits.hash_max_listpack_entries = 64;
/// let engine = Engine::builder().encoding_limits(limits).build()?;
/// # Ok::<(), larder::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodingLimits {
    /// `list-max-listpack-size`: positive, elements a node; -1 to -5, 4, 8, 16, 32 or 64 KiB a node.
    pub list_max_listpack_size: i32,
    /// `hash-max-listpack-entries`: fields.
    pub hash_max_listpack_entries: u32,
    /// `hash-max-listpack-value`: bytes of a field or value.
    pub hash_max_listpack_value: u32,
    /// `set-max-intset-entries`: members, all of them integers.
    pub set_max_intset_entries: u32,
    /// `set-max-listpack-entries`: members.
    pub set_max_listpack_entries: u32,
    /// `set-max-listpack-value`: bytes of a member.
    pub set_max_listpack_value: u32,
    /// `zset-max-listpack-entries`: members.
    pub zset_max_listpack_entries: u32,
    /// `zset-max-listpack-value`: bytes of a member.
    pub zset_max_listpack_value: u32,
    /// `hll-sparse-max-bytes`: bytes of a sparse HyperLogLog, header included.
    pub hll_sparse_max_bytes: u32,
    /// `stream-node-max-bytes`: bytes of one block of a stream; zero for no limit.
    pub stream_node_max_bytes: u32,
    /// `stream-node-max-entries`: entries of one block of a stream; zero for no limit.
    pub stream_node_max_entries: u32,
}

impl Default for EncodingLimits {
    fn default() -> Self {
        Self {
            list_max_listpack_size: -2,
            hash_max_listpack_entries: 512,
            hash_max_listpack_value: 64,
            set_max_intset_entries: 512,
            set_max_listpack_entries: 128,
            set_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            hll_sparse_max_bytes: 3_000,
            stream_node_max_bytes: 4_096,
            stream_node_max_entries: 100,
        }
    }
}

/// The limits that an engine has had, taken one by one: collections that have not changed since are where those left them.
#[cfg(any(test, fuzzing))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct LimitsHad {
    pub(crate) least: EncodingLimits,
    pub(crate) most: EncodingLimits,
}

#[cfg(any(test, fuzzing))]
impl LimitsHad {
    pub(crate) fn only(limits: EncodingLimits) -> Self {
        Self { least: limits, most: limits }
    }

    /// What is checked against the least are the nodes of lists alone.
    pub(crate) fn add(&mut self, new: EncodingLimits) {
        let Self { least, most } = self;
        least.list_max_listpack_size = match (least.list_max_listpack_size, new.list_max_listpack_size) {
            (old, new) if old < 0 && new < 0 => old.max(new),
            (old, new) if old >= 0 && new >= 0 => old.min(new),
            // Less than any count and any size.
            _ => 1,
        };
        most.list_max_listpack_size = match (most.list_max_listpack_size, new.list_max_listpack_size) {
            (old, new) if old >= 0 && new >= 0 => old.max(new),
            // Where elements are counted, a node is held to 8 KiB beside.
            (old, new) => old.min(new).min(-2),
        };
        for (most, new) in [
            (&mut most.hash_max_listpack_entries, new.hash_max_listpack_entries),
            (&mut most.hash_max_listpack_value, new.hash_max_listpack_value),
            (&mut most.set_max_intset_entries, new.set_max_intset_entries),
            (&mut most.set_max_listpack_entries, new.set_max_listpack_entries),
            (&mut most.set_max_listpack_value, new.set_max_listpack_value),
            (&mut most.zset_max_listpack_entries, new.zset_max_listpack_entries),
            (&mut most.zset_max_listpack_value, new.zset_max_listpack_value),
        ] {
            *most = new.max(*most);
        }
    }
}

/// What a change of a collection must know of its engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rules {
    pub(crate) limits: EncodingLimits,
    pub(crate) model: AllocatorModel,
    /// Seeds the hashes inside collections, so that nobody can choose members that collide.
    pub(crate) seed: u64,
}
