//! Command lines from bytes, executed by an engine that checks itself.
//!
//! ```text
//! bytes  'T' setup text   one line each: a command as one types it, or `!advance SECONDS`, `!maintain`
//!        setup bytes      lines out of the generator of larder-commands, driven by the bytes
//! setup  bits 0, 1: the number of shards; bit 2: small thresholds; bit 3: RESP3. As a digit: '0', '4', '8'
//! ```
//! Text keeps its meaning when the command table changes, so the committed corpus is text, and a failure of either
//! kind prints its history as text: a file for `corpus/commands`.
//!
//! - C1: every line has exactly one complete reply, in RESP2 and in RESP3.
//! - C2: under `cfg(fuzzing)` the engine's `validate()` holds after every line.
//! - C3: the effects of all lines, applied to an empty engine, give the same state.
//! - C4: an emptied engine holds no bytes.

use std::collections::BTreeSet;
use std::time::Duration;

use arbitrary::Unstructured;
use larder::{Budget, EncodingLimits, Engine, ManualClock};
use larder_commands::generate::Generator;
use larder_commands::{Session, Tree, execute, line, table};

/// What text begins with.
const TEXT: u8 = b'T';
/// An input longer than that is cut: it would find nothing new.
const LINES_MAX: usize = 400;
/// More than any input has keys.
const ALL_KEYS: u32 = 1_000_000;

/// Runs one input from start to end.
///
/// # Panics
/// When an invariant is broken. The lines up to then are printed.
pub fn run_commands(data: &[u8]) {
    match data.split_first() {
        Some((&TEXT, text)) => run_text(text),
        Some((&setup, bytes)) => run_bytes(setup, bytes),
        None => {}
    }
}

/// The seeds that the generator gives: a text for each family of commands.
#[must_use]
pub fn command_seeds() -> Vec<(&'static str, String)> {
    const SEED_LINES: usize = 120;
    let families: BTreeSet<&str> = table::commands().map(|found| found.group).collect();
    let mut seeds = Vec::new();
    for (family, setup) in families.into_iter().zip("040<48".chars().cycle()) {
        let generator = Generator::new().families(&[family]).without(&["PFSELFTEST"]).stray_keys(3);
        let lines = generator.commands(7).filter(|command| command.to_string().len() < 200);
        let lines: Vec<String> = lines.take(SEED_LINES).map(|command| command.to_string()).collect();
        seeds.push((family, format!("T{setup}\n{}\n!advance 100000\n!maintain\n", lines.join("\n"))));
    }
    seeds
}

fn run_text(text: &[u8]) {
    let (setup, text) = text.split_first().unwrap_or((&b'0', text));
    let mut driver = Driver::new(*setup);
    for text in text.split(|byte| *byte == b'\n').take(LINES_MAX) {
        if let Some(words) = line::split(text) {
            driver.line(words);
        }
    }
    driver.finish();
}

fn run_bytes(setup: u8, bytes: &[u8]) {
    // Databases change places, and everything goes now and then: that too belongs to the language.
    let generator = Generator::new()
        .with(&["SELECT", "FLUSHDB", "SWAPDB"], 40)
        .with(&["FLUSHALL"], 5)
        .with(&["MULTI", "EXEC"], 60)
        .with(&["DISCARD", "WATCH", "UNWATCH"], 10)
        .without(&["PFSELFTEST"]);
    let mut driver = Driver::new(setup);
    let mut bytes = Unstructured::new(bytes);
    for _ in 0..LINES_MAX {
        let Ok(kind) = bytes.arbitrary::<u8>() else { break };
        match kind {
            0..=7 => {
                let seconds = u64::from(bytes.arbitrary::<u16>().unwrap_or_default()) << (2 * kind);
                driver.line(vec![b"!advance".to_vec(), seconds.to_string().into_bytes()]);
            }
            8 => driver.line(vec![b"!maintain".to_vec()]),
            9..=12 => driver.line(bytes.arbitrary().unwrap_or_default()),
            _ => match generator.arbitrary(&mut bytes) {
                Ok(command) => driver.line(command.args().to_vec()),
                Err(_) => break,
            },
        }
    }
    driver.finish();
}

/// An engine, and what has been done to it.
#[derive(Debug)]
struct Driver {
    engine: Engine,
    clock: ManualClock,
    session: Session,
    tree: Tree,
    history: History,
}

/// Prints itself when a line panics.
#[derive(Debug)]
struct History(Vec<Vec<Vec<u8>>>);

impl Drop for History {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let words = |line: &Vec<Vec<u8>>| -> Vec<String> {
                line.iter().map(|word| format!("\"{}\"", word.escape_ascii())).collect()
            };
            self.0.iter().for_each(|line| eprintln!("{}", words(line).join(" ")));
        }
    }
}

fn limits(small: bool) -> EncodingLimits {
    let mut limits = EncodingLimits::default();
    if small {
        limits.list_max_listpack_size = 3;
        limits.hash_max_listpack_entries = 3;
        limits.set_max_intset_entries = 3;
        limits.set_max_listpack_entries = 4;
        limits.zset_max_listpack_entries = 3;
        limits.hll_sparse_max_bytes = 60;
        limits.stream_node_max_entries = 3;
    }
    limits
}

impl Driver {
    /// The lowest bits of `setup` choose shards, thresholds and protocol.
    fn new(setup: u8) -> Self {
        let clock = ManualClock::default();
        let builder = Engine::builder().clock(clock.clone()).seed(1).shards(1 << (setup & 3));
        let builder = builder.encoding_limits(limits(setup & 4 != 0)).record_effects(true);
        let engine = builder.build().expect("plain settings");
        let mut driver =
            Self { engine, clock, session: Session::new(), tree: Tree::new(), history: History(Vec::new()) };
        if setup & 8 != 0 {
            driver.line(vec![b"HELLO".to_vec(), b"3".to_vec()]);
        }
        driver
    }

    fn line(&mut self, words: Vec<Vec<u8>>) {
        self.history.0.push(words.clone());
        match words.first().map(Vec::as_slice) {
            None => return,
            Some(b"!advance") => {
                let seconds = words.get(1).and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
                self.clock.advance(Duration::from_secs(seconds.unwrap_or(1).min(1 << 32)));
            }
            Some(b"!maintain") => drop(self.engine.maintain(Budget::keys(ALL_KEYS))),
            Some(_) => self.execute(&words),
        }
        #[cfg(fuzzing)]
        self.engine.validate();
    }

    fn execute(&mut self, words: &[Vec<u8>]) {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let subscribed = self.session.subscriptions() > 0;
        execute(&self.engine, &mut self.session, &words, &mut self.tree).time_out(&mut self.tree);
        assert!(!self.tree.is_open(), "C1: a reply is not complete");
        // A subscription has a reply for each channel, and whoever is subscribed receives messages besides.
        // EXEC has the replies of all subscriptions in it.
        let several = subscribed
            || words.first().is_some_and(|word| {
                let word = word.to_ascii_uppercase();
                word == b"EXEC" || word.ends_with(b"SUBSCRIBE")
            });
        let replies = self.tree.take().len();
        assert!(replies == 1 || (several && replies > 1), "C1: one reply a line, not {replies}");
    }

    fn finish(self) {
        let follower = Engine::builder().clock(self.clock.clone()).seed(2).build().expect("plain settings");
        for effect in self.engine.take_effects() {
            follower.apply(&effect).expect("C3: without a limit every effect applies");
        }
        let digest = |engine: &Engine| engine.state_digest().expect("a readable state");
        assert_eq!(digest(&self.engine), digest(&follower), "C3: the effects give another state");
        for engine in [&self.engine, &follower] {
            engine.flush_all().expect("a flush is never refused");
            while engine.maintain(Budget::keys(ALL_KEYS)).due {}
            let usage = engine.memory_usage();
            assert_eq!((usage.blobs, usage.retired), (0, 0), "C4: an empty engine keeps no entries");
        }
    }
}
