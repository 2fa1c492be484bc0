//! Keys, values and streams of operations, all made before a clock starts.
//!
//! A key is 16 hex digits of a bijection of its index, so keys differ and do not sort by index, plus 0 to 8
//! further digits when the shape is mixed. A stream holds whole keys in the order of use, 32 bytes an
//! operation: a service finds a key in the request it has just read, so the key itself should not cost a
//! cache miss. A value starts with the key's index, which lets every hit be checked.

/// How long keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyShape {
    /// 16 to 24 bytes.
    Mixed,
    /// Exactly 16 bytes.
    Sixteen,
}

/// What an operation of a stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Reads the key.
    Get,
    /// Writes the key.
    Set,
}

/// One operation with its key.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Op {
    index: u32,
    key_len: u8,
    kind: Kind,
    key: [u8; 24],
}

impl Op {
    /// Makes an operation on the key of this index.
    pub fn new(kind: Kind, index: u32, shape: KeyShape) -> Op {
        let mut key = [0; 24];
        let first = mix(u64::from(index));
        write_hex(first, &mut key[..16]);
        let key_len = match shape {
            KeyShape::Sixteen => 16,
            KeyShape::Mixed => {
                write_hex(mix(first), &mut key[16..]);
                16 + (first % 9) as u8
            }
        };
        Op { index, key_len, kind, key }
    }

    /// Returns the key's bytes.
    #[inline]
    pub fn key(&self) -> &[u8] {
        &self.key[..usize::from(self.key_len)]
    }

    /// Returns the key's index, which is also what its value starts with.
    #[inline]
    pub fn index(&self) -> u64 {
        u64::from(self.index)
    }

    /// Returns what to do.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl AsRef<[u8]> for Op {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.key()
    }
}

/// Writes the index into the first eight bytes of a value.
#[inline]
pub fn stamp(value: &mut [u8], index: u64) {
    value[..8].copy_from_slice(&index.to_le_bytes());
}

/// Reads the index back out of a value, which makes the value's memory be touched.
#[inline]
pub fn head(value: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&value[..8]);
    u64::from_le_bytes(bytes)
}

/// Which keys a stream asks for.
#[derive(Clone, Debug)]
pub enum Draw {
    /// Every key equally often.
    Uniform(u32),
    /// Key of rank r with weight 1 / r^0.99.
    Zipf(Zipf),
}

impl Draw {
    fn sample(&self, random: &mut Random) -> u32 {
        match self {
            Draw::Uniform(keys) => (random.unit() * f64::from(*keys)) as u32,
            Draw::Zipf(zipf) => zipf.sample(random),
        }
    }
}

/// The Zipf distribution with exponent 0.99 by its summed weights: exact, a binary search a sample.
#[derive(Clone, Debug)]
pub struct Zipf {
    summed: Vec<f64>,
}

impl Zipf {
    /// Sums the weights of `keys` ranks.
    pub fn new(keys: u32) -> Zipf {
        let mut sum = 0.0;
        let summed = (1..=keys).map(|rank| {
            sum += f64::from(rank).powf(-0.99);
            sum
        });
        Zipf { summed: summed.collect() }
    }

    /// Draws a key; ranks are spread over the indices, so that popular keys were not inserted side by side.
    fn sample(&self, random: &mut Random) -> u32 {
        let total = self.summed.last().copied().unwrap_or(1.0);
        let point = random.unit() * total;
        let rank = self.summed.partition_point(|&sum| sum < point).min(self.summed.len() - 1);
        // A prime that no key count here is a multiple of makes this one-to-one.
        (rank as u64 * 2_654_435_761 % self.summed.len() as u64) as u32
    }
}

/// What a stream is made of.
#[derive(Clone, Debug)]
pub struct Blend {
    /// The keys that are read, and written unless `cold_writes` says otherwise.
    pub draw: Draw,
    /// Share of writes, 0 to 1.
    pub writes: f64,
    /// When set, every second write goes to a key drawn evenly from this range of indices.
    pub cold_writes: Option<std::ops::Range<u32>>,
    /// How long keys are.
    pub shape: KeyShape,
}

impl Blend {
    /// Makes a stream of `length` operations; the same seed gives the same stream.
    pub fn stream(&self, length: usize, seed: u64) -> Vec<Op> {
        let mut random = Random::new(seed);
        (0..length).map(|_| self.op(&mut random)).collect()
    }

    fn op(&self, random: &mut Random) -> Op {
        if random.unit() >= self.writes {
            return Op::new(Kind::Get, self.draw.sample(random), self.shape);
        }
        let index = match &self.cold_writes {
            Some(cold) if random.next_u64() & 1 == 0 => {
                cold.start + (random.unit() * f64::from(cold.end - cold.start)) as u32
            }
            _ => self.draw.sample(random),
        };
        Op::new(Kind::Set, index, self.shape)
    }
}

/// A small seeded generator (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Starts a sequence.
    pub fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// Returns the next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Returns a number from 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn write_hex(mut value: u64, out: &mut [u8]) {
    for byte in out.iter_mut().rev() {
        *byte = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_keep_their_lengths() {
        let mut seen = std::collections::BTreeSet::new();
        for index in 0..10_000 {
            let op = Op::new(Kind::Get, index, KeyShape::Mixed);
            assert!((16..=24).contains(&op.key().len()));
            assert!(seen.insert(op.key().to_vec()), "key {index} came twice");
            assert_eq!(Op::new(Kind::Set, index, KeyShape::Sixteen).key(), &op.key()[..16]);
        }
        assert_eq!(size_of::<Op>(), 32);
    }

    #[test]
    fn zipf_reaches_every_rank_once_and_prefers_the_first() {
        let zipf = Zipf::new(1_000);
        let mut random = Random::new(1);
        let mut counts = vec![0_u32; 1_000];
        for _ in 0..200_000 {
            counts[zipf.sample(&mut random) as usize] += 1;
        }
        let share = f64::from(counts[0]) / 200_000.0;
        let expected = 1.0 / (1..=1_000).map(|r| f64::from(r).powf(-0.99)).sum::<f64>();
        assert!((share - expected).abs() < 0.005, "rank 1 came {share:.4} of the time, not {expected:.4}");
        assert!(counts.iter().all(|&count| count > 0), "a key is never drawn");
    }

    #[test]
    fn blends_keep_their_share_of_writes() {
        let blend = Blend {
            draw: Draw::Uniform(100),
            writes: 0.05,
            cold_writes: Some(100..1_600),
            shape: KeyShape::Mixed,
        };
        let stream = blend.stream(100_000, 3);
        let sets: Vec<_> = stream.iter().filter(|op| op.kind() == Kind::Set).collect();
        assert!((4_500..5_500).contains(&sets.len()));
        let cold = sets.iter().filter(|op| op.index() >= 100).count();
        assert!((2_200..2_800).contains(&cold));
        assert!(stream.iter().all(|op| op.kind() == Kind::Set || op.index() < 100));
    }

    #[test]
    fn a_value_carries_its_index() {
        let mut value = [7; 32];
        stamp(&mut value, 123_456);
        assert_eq!(head(&value), 123_456);
        assert_eq!(value[8], 7);
    }
}
