//! Access traces for the hit-ratio bench: read from text, or generated so that a bare clone has some.
//!
//! A trace file holds one access a line, plain or gzip: `key [size] [ttl]`, parted by blanks. The key is any
//! token, the size is in bytes, the TTL in seconds (decimals allowed). Blank lines are skipped, anything
//! else that does not parse is an error that names file and line.
//!
//! I1. Keys are dense: `0..keys`, in order of first appearance.
//! I2. Time is the access's index in milliseconds.
//! I3. A key keeps the size it first had, so every cache weighs it alike.
//! I4. Deadlines belong to the trace, not to the cache: the first access of a key, or the first after its
//!     deadline, starts a new version whose deadline is its time plus its TTL; later accesses carry that
//!     deadline and their own TTL is ignored. So the first access of a version is a miss for everybody, and
//!     Belady's optimum stays exact. An entry is live while `now_ms < deadline_ms`.
//!
//! Not here: timestamps of the recording. Traces rarely agree on them, and no eviction policy reads them.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

/// The deadline of what never expires.
pub const NEVER_MS: u64 = u64::MAX;

/// The longest TTL a trace may ask for: a thousand years, far from any overflow.
const TTL_SECONDS_MAX: f64 = 3.2e10;

/// The first two bytes of a gzip stream.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// One access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Dense key (I1).
    pub key: u32,
    /// Weight of the entry: bytes, or 1 when entries are counted.
    pub size: u32,
    /// When it happens (I2).
    pub now_ms: u64,
    /// When the key's present version ends (I4), [`NEVER_MS`] if it does not.
    pub deadline_ms: u64,
}

/// A whole trace.
#[derive(Debug, Clone)]
pub struct Trace {
    /// File name without its endings, or the generator's name.
    pub name: String,
    /// The accesses in order.
    pub accesses: Vec<Access>,
    /// Number of distinct keys.
    pub keys: usize,
    /// Sum of the sizes of the distinct keys.
    pub unique_bytes: u64,
    /// Whether every line gave a size.
    pub sized: bool,
    /// Whether any line gave a TTL.
    pub timed: bool,
}

/// Why a trace could not be read.
#[derive(Debug)]
pub enum TraceError {
    /// The file could not be opened or read.
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line does not parse.
    Line {
        /// Which file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The file holds no access.
    Empty {
        /// Which file.
        path: PathBuf,
    },
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Line { path, line, problem } => write!(f, "{}:{line}: {problem}", path.display()),
            Self::Empty { path } => write!(f, "{}: holds no access", path.display()),
        }
    }
}

impl std::error::Error for TraceError {}

impl Trace {
    /// Reads a trace file, gzip or plain, at most `limit` accesses of it.
    ///
    /// # Errors
    /// [`TraceError`], with file and line, if it cannot be read or does not parse.
    pub fn read(path: &Path, limit: usize) -> Result<Self, TraceError> {
        let io_error = |source| TraceError::Io { path: path.to_owned(), source };
        let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(io_error)?);
        let is_gzip = file.fill_buf().map_err(io_error)?.starts_with(&GZIP_MAGIC);
        if is_gzip {
            Self::parse(path, BufReader::new(MultiGzDecoder::new(file)), limit)
        } else {
            Self::parse(path, file, limit)
        }
    }

    fn parse(path: &Path, mut text: impl BufRead, limit: usize) -> Result<Self, TraceError> {
        let mut ids: HashMap<Box<[u8]>, u32> = HashMap::new();
        let mut recorder = Recorder::default();
        let mut line = Vec::new();
        let mut number = 0_u64;
        while recorder.accesses.len() < limit {
            line.clear();
            let read = text.read_until(b'\n', &mut line);
            if read.map_err(|source| TraceError::Io { path: path.to_owned(), source })? == 0 {
                break;
            }
            number += 1;
            let bad = |problem| TraceError::Line { path: path.to_owned(), line: number, problem };
            let Some((key, size, ttl_ms)) = parse_line(&line).map_err(bad)? else { continue };
            let id = match ids.get(key) {
                Some(&id) => id,
                None => {
                    let id =
                        u32::try_from(ids.len()).map_err(|_| bad("too many distinct keys".to_owned()))?;
                    ids.insert(key.into(), id);
                    id
                }
            };
            recorder.record(id, size, ttl_ms);
        }
        if recorder.accesses.is_empty() {
            return Err(TraceError::Empty { path: path.to_owned() });
        }
        Ok(recorder.finish(stem(path)))
    }
}

/// The file name up to its first dot.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    name.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(&name).to_owned()
}

/// Key, size and TTL in milliseconds of a line, `None` for a blank one.
type Fields<'a> = Option<(&'a [u8], Option<u32>, Option<u64>)>;

fn parse_line(line: &[u8]) -> Result<Fields<'_>, String> {
    let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let Some(key) = fields.next() else { return Ok(None) };
    let text = |field| String::from_utf8_lossy(field).into_owned();
    let size = match fields.next() {
        None => None,
        Some(field) => match text(field).parse::<u32>() {
            Ok(size) if size > 0 => Some(size),
            _ => {
                return Err(format!(
                    "size `{}` is not a whole number of bytes from 1 to 2^32-1",
                    text(field)
                ));
            }
        },
    };
    let ttl_ms = match fields.next() {
        None => None,
        Some(field) => match text(field).parse::<f64>() {
            Ok(seconds) if seconds > 0.0 && seconds <= TTL_SECONDS_MAX => Some((seconds * 1e3).ceil() as u64),
            _ => return Err(format!("TTL `{}` is not a number of seconds above 0", text(field))),
        },
    };
    match fields.next() {
        None => Ok(Some((key, size, ttl_ms))),
        Some(field) => Err(format!("`{}` is too much: a line is `key [size] [ttl]`", text(field))),
    }
}

/// Turns raw accesses into a trace that keeps the invariants.
#[derive(Default)]
struct Recorder {
    accesses: Vec<Access>,
    /// Per key: size (I3) and deadline of the present version (I4).
    keys: Vec<(u32, u64)>,
    unsized_lines: bool,
    timed: bool,
}

impl Recorder {
    /// Adds an access. A key not seen before must be the next dense one.
    fn record(&mut self, key: u32, size: Option<u32>, ttl_ms: Option<u64>) {
        let now_ms = self.accesses.len() as u64;
        let deadline_ms = ttl_ms.map_or(NEVER_MS, |ttl_ms| now_ms + ttl_ms);
        self.unsized_lines |= size.is_none();
        self.timed |= ttl_ms.is_some();
        match self.keys.get_mut(key as usize) {
            None => {
                assert_eq!(key as usize, self.keys.len(), "I1: keys are dense");
                self.keys.push((size.unwrap_or(1), deadline_ms));
            }
            Some((_, version_end)) if *version_end <= now_ms => *version_end = deadline_ms,
            Some(_) => {}
        }
        let (size, deadline_ms) = self.keys[key as usize];
        self.accesses.push(Access { key, size, now_ms, deadline_ms });
    }

    fn finish(self, name: String) -> Trace {
        Trace {
            name,
            keys: self.keys.len(),
            unique_bytes: self.keys.iter().map(|&(size, _)| u64::from(size)).sum(),
            sized: !self.unsized_lines,
            timed: self.timed,
            accesses: self.accesses,
        }
    }
}

/// What to generate where no trace is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Generator {
    /// Zipf 0.99 over a fixed key set.
    Zipf,
    /// Zipf 0.99 whose popular keys move on, one rank every 20 accesses.
    Drift,
    /// Zipf 0.99 with a quarter of the time spent in scans of keys never seen again.
    Scan,
    /// One loop over a key set larger than any sensible capacity, with a little noise.
    Loop,
    /// Popular keys with TTLs among short-lived sessions.
    Churn,
}

impl Generator {
    /// Generates `count` accesses; the same arguments give the same trace.
    pub fn generate(self, count: usize, seed: u64) -> Trace {
        let mut source =
            Source { random: Random::new(seed), ids: HashMap::new(), recorder: Recorder::default() };
        match self {
            Self::Zipf => source.drift(count, usize::MAX),
            Self::Drift => source.drift(count, 20),
            Self::Scan => source.scan(count),
            Self::Loop => source.looping(count),
            Self::Churn => source.churn(count),
        }
        source.recorder.finish(format!("{self:?}").to_lowercase())
    }
}

/// A generator at work: renumbers its own key space to dense keys.
struct Source {
    random: Random,
    ids: HashMap<u64, u32>,
    recorder: Recorder,
}

impl Source {
    fn emit(&mut self, key: u64, size: u32, ttl_ms: Option<u64>) {
        let next = u32::try_from(self.ids.len()).expect("a generated trace has fewer keys than accesses");
        let id = *self.ids.entry(key).or_insert(next);
        self.recorder.record(id, Some(size), ttl_ms);
    }

    fn drift(&mut self, count: usize, accesses_per_step: usize) {
        let zipf = Zipf::new(20_000, 0.99);
        for index in 0..count {
            let key = (zipf.sample(&mut self.random) + index / accesses_per_step) as u64;
            self.emit(key, size_of_key(key), None);
        }
    }

    fn scan(&mut self, count: usize) {
        const PHASE: usize = 5_000;
        let zipf = Zipf::new(20_000, 0.99);
        let mut fresh = 1 << 32;
        for index in 0..count {
            let key = if index / PHASE % 4 == 3 {
                fresh += 1;
                fresh
            } else {
                zipf.sample(&mut self.random) as u64
            };
            self.emit(key, size_of_key(key), None);
        }
    }

    fn looping(&mut self, count: usize) {
        const LENGTH: u64 = 10_000;
        let mut position = 0;
        for _ in 0..count {
            let is_noise = self.random.below(20) == 0;
            let key = if is_noise { LENGTH + self.random.below(LENGTH) } else { position % LENGTH };
            position += u64::from(!is_noise);
            self.emit(key, size_of_key(key), None);
        }
    }

    fn churn(&mut self, count: usize) {
        let zipf = Zipf::new(10_000, 0.9);
        let mut newest_session = 0;
        for _ in 0..count {
            if self.random.below(10) < 6 {
                let key = zipf.sample(&mut self.random) as u64;
                self.emit(key, size_of_key(key), Some(2_000 + size_hash(key) % 60_000));
            } else {
                newest_session += u64::from(self.random.below(4) == 0);
                let key = (1 << 32) + newest_session.saturating_sub(self.random.below(400));
                self.emit(key, size_of_key(key), Some(3_000));
            }
        }
    }
}

/// Spreads a key's bits.
fn size_hash(key: u64) -> u64 {
    Random::new(key).next()
}

/// A size from 64 B to 8 KB, each doubling as likely as the next.
fn size_of_key(key: u64) -> u32 {
    let hash = size_hash(key);
    let power = 6 + hash % 7;
    u32::try_from((1_u64 << power) + (hash >> 32) % (1 << power)).expect("below 2^13")
}

/// SplitMix64: small, seeded, good enough for a workload.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `0.0..1.0`.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Ranks by Zipf's law, from a table of cumulative weights.
struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    fn new(ranks: usize, exponent: f64) -> Self {
        let mut total = 0.0;
        let weights = (1..=ranks).map(|rank| {
            total += (rank as f64).powf(-exponent);
            total
        });
        Self { cumulative: weights.collect() }
    }

    fn sample(&self, random: &mut Random) -> usize {
        let last = self.cumulative.len() - 1;
        let point = random.unit() * self.cumulative[last];
        self.cumulative.partition_point(|&weight| weight <= point).min(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn parse(text: &str) -> Result<Trace, TraceError> {
        Trace::parse(Path::new("dir/some.txt.gz"), text.as_bytes(), usize::MAX)
    }

    #[test]
    fn keys_become_dense_and_keep_their_first_size() {
        let trace = parse("b 10\na 20\n\nb 99\r\n").unwrap();
        assert_eq!(trace.name, "some");
        assert_eq!((trace.keys, trace.unique_bytes, trace.sized, trace.timed), (2, 30, true, false));
        let seen: Vec<_> = trace.accesses.iter().map(|a| (a.key, a.size, a.now_ms)).collect();
        assert_eq!(seen, [(0, 10, 0), (1, 20, 1), (0, 10, 2)]);
    }

    #[test]
    fn a_missing_size_makes_the_trace_unsized() {
        assert!(!parse("a 10\nb\n").unwrap().sized);
    }

    #[test]
    fn deadlines_follow_versions() {
        // TTLs of 2 ms at times 0 and 2; the access at time 1 may not prolong the first version.
        let trace = parse("a 1 0.002\na 1 9\na 1 0.002\na 1\na 1\n").unwrap();
        let ends: Vec<_> = trace.accesses.iter().map(|a| a.deadline_ms).collect();
        assert_eq!(ends, [2, 2, 4, 4, NEVER_MS]);
        assert!(trace.timed);
    }

    #[test]
    fn bad_lines_name_file_and_line() {
        for (text, expected) in [
            ("a\nb x\n", "dir/some.txt.gz:2: size `x`"),
            ("a 0\n", "dir/some.txt.gz:1: size `0`"),
            ("\n\na 1 -3\n", "dir/some.txt.gz:3: TTL `-3`"),
            ("a 1 nan\n", "dir/some.txt.gz:1: TTL `nan`"),
            ("a 1 2 3\n", "dir/some.txt.gz:1: `3` is too much"),
            ("\n", "dir/some.txt.gz: holds no access"),
        ] {
            let message = parse(text).expect_err(text).to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn reads_gzip_and_plain_alike_up_to_the_limit() {
        let folder = std::env::temp_dir().join(format!("larder-trace-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (plain, packed) = (folder.join("t.txt"), folder.join("t.gz"));
        std::fs::write(&plain, "1 5\n2 6\n1 5\n").unwrap();
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(&packed).unwrap(), flate2::Compression::fast());
        encoder.write_all(b"1 5\n2 6\n1 5\n").unwrap();
        encoder.finish().unwrap();
        let (a, b) = (Trace::read(&plain, 9).unwrap(), Trace::read(&packed, 9).unwrap());
        let cut = Trace::read(&packed, 2).unwrap();
        let missing = Trace::read(&folder.join("none"), 9);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(a.accesses, b.accesses);
        assert_eq!(cut.accesses, a.accesses[..2]);
        assert!(matches!(missing, Err(TraceError::Io { .. })));
    }

    #[test]
    fn generators_repeat_and_differ_by_seed() {
        for generator in
            [Generator::Zipf, Generator::Drift, Generator::Scan, Generator::Loop, Generator::Churn]
        {
            let one = generator.generate(4_000, 1);
            assert_eq!(one.accesses.len(), 4_000);
            assert_eq!(one.accesses, generator.generate(4_000, 1).accesses);
            assert_ne!(one.accesses, generator.generate(4_000, 2).accesses, "{generator:?}");
            assert!(one.sized);
            assert_eq!(one.timed, generator == Generator::Churn);
            assert!(one.accesses.iter().all(|a| (a.key as usize) < one.keys && a.now_ms < a.deadline_ms));
        }
    }

    #[test]
    fn zipf_favours_low_ranks() {
        let (zipf, mut random) = (Zipf::new(1_000, 0.99), Random::new(3));
        let mut counts = vec![0_u32; 1_000];
        for _ in 0..100_000 {
            counts[zipf.sample(&mut random)] += 1;
        }
        // Rank 1 has 1/7.73 of the weight of 1000 ranks, rank 10 a tenth of that, near enough.
        assert!((12_000..14_000).contains(&counts[0]), "{}", counts[0]);
        assert!((1_100..1_600).contains(&counts[9]), "{}", counts[9]);
    }
}
