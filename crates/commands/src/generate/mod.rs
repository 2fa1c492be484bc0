//! Random command lines, for tests: made from the table's own syntax, shrunk, and printed so that they can be typed.
//!
//! ```text
//! row: "key [NX | XX] score member [score member ...]"
//!   crate::syntax  the grammar     expand.rs  which options, how often     values.rs  what goes into the slots
//!   tape.rs    the choices that all of it is driven by: from a seed, from fuzzing bytes, or a shrunk copy
//! ```
//! - G1: the same choices give the same line; fewer or smaller choices give a plainer one. So a line shrinks by its
//!   choices, and an option, a repeat or a long value goes in one step.
//! - G2: no line waits, and no deadline passes while a run lasts.
//! - G3: a new command needs nothing here: its row's syntax is enough, as long as its slots go by their usual names.
//!
//! Cost: O(n) in the words of a line, some microseconds. Not done: sequences that know the state. Keys are few, so that
//! random lines meet often enough.

#[cfg(feature = "arbitrary")]
mod bytes;
mod expand;
#[cfg(feature = "proptest")]
mod strategy;
mod tape;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::sync::Arc;

use self::expand::{Item, expand};
#[cfg(feature = "proptest")]
pub use self::strategy::CommandTree;
use self::tape::{Tape, splitmix};
use self::values::{Place, fill};
use crate::line;
use crate::spec::{CommandSpec, Flags};
use crate::syntax::grammar::{self, Node};
use crate::table::{self, Found};

/// The families whose commands are drawn unless something else is said: those that hold data.
const FAMILIES: &[&str] =
    &["string", "generic", "list", "hash", "set", "sorted-set", "stream", "bitmap", "hyperloglog", "geo"];
/// What the weights of one family add up to, about.
const FAMILY_WEIGHT: u32 = 1_000;
/// Choices that shrinking leaves alone: which command it is.
const KEPT_CHOICES: usize = 1;

/// A random command line.
///
/// # Examples
/// ```
/// use larder_commands::generate::Generator;
/// let mut lines = Generator::new().only(&["SETRANGE"]).commands(7);
/// let command = lines.next().unwrap();
/// assert_eq!(command.args()[0].to_ascii_uppercase(), b"SETRANGE");
/// println!("{command}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    args: Vec<Vec<u8>>,
    choices: Vec<u16>,
}

impl Command {
    /// Returns the words; the first is the name.
    #[must_use]
    pub fn args(&self) -> &[Vec<u8>] {
        &self.args
    }

    /// Returns the words as [`execute`](crate::execute) takes them.
    #[must_use]
    pub fn words(&self) -> Vec<&[u8]> {
        self.args.iter().map(Vec::as_slice).collect()
    }
}

impl fmt::Display for Command {
    /// Prints a line that `redis-cli` and the repl read back: words with odd bytes are quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line::join(&self.args))
    }
}

/// A command that may be drawn.
#[derive(Debug, Clone)]
struct Row {
    found: Found,
    /// The container's name and its own.
    names: Vec<&'static str>,
    nodes: Vec<Node>,
    weight: u32,
}

/// What is drawn, and how often; a strategy for proptest.
///
/// # Examples
/// ```
/// use larder_commands::generate::Generator;
/// let generator = Generator::new().families(&["string", "hash"]).malformed(0);
/// let lines: Vec<String> = generator.commands(1).take(3).map(|command| command.to_string()).collect();
/// assert_eq!(generator.commands(1).take(3).map(|c| c.to_string()).collect::<Vec<_>>(), lines);
/// ```
#[derive(Debug, Clone)]
pub struct Generator {
    rows: Arc<[Row]>,
    malformed_percent: usize,
    stray_percent: usize,
}

impl Default for Generator {
    fn default() -> Self {
        Self::new()
    }
}

impl Generator {
    /// Makes a generator of all commands on data, 6 of 100 malformed, 8 of 100 keys of any type.
    #[must_use]
    pub fn new() -> Self {
        let generator = Self { rows: Arc::new([]), malformed_percent: 6, stray_percent: 8 };
        generator.families(FAMILIES)
    }

    /// Draws from the commands of these families alone, each family as often as the others.
    #[must_use]
    pub fn families(self, groups: &[&str]) -> Self {
        let mut rows = Vec::new();
        for group in groups {
            let mut family: Vec<Row> = all_rows().filter(|row| row.found.group == *group).collect();
            let total = family.iter().map(|row| row.weight).sum::<u32>().max(1);
            for row in &mut family {
                row.weight = (row.weight * FAMILY_WEIGHT / total).max(1);
            }
            rows.append(&mut family);
        }
        Self { rows: rows.into(), ..self }
    }

    /// Draws from these commands alone, whatever their family. `object` stands for all of its subcommands,
    /// `object|freq` for one.
    #[must_use]
    pub fn only(self, names: &[&str]) -> Self {
        Self { rows: all_rows().filter(|row| row.goes_by(names)).collect(), ..self }
    }

    /// Draws these commands too, each with this weight; a thousand is what a family has.
    #[must_use]
    pub fn with(self, names: &[&str], weight: u32) -> Self {
        let more = all_rows().filter(|row| row.goes_by(names)).map(|row| Row { weight, ..row });
        let kept = self.rows.iter().filter(|row| !row.goes_by(names)).cloned();
        Self { rows: kept.chain(more).collect(), ..self }
    }

    /// Leaves these commands out.
    #[must_use]
    pub fn without(self, names: &[&str]) -> Self {
        Self { rows: self.rows.iter().filter(|row| !row.goes_by(names)).cloned().collect(), ..self }
    }

    /// Spoils so many of a hundred lines: words missing, added, exchanged or replaced by nonsense.
    #[must_use]
    pub fn malformed(self, percent: u8) -> Self {
        Self { malformed_percent: usize::from(percent.min(100)), ..self }
    }

    /// Draws so many of a hundred keys from all types.
    #[must_use]
    pub fn stray_keys(self, percent: u8) -> Self {
        Self { stray_percent: usize::from(percent.min(100)), ..self }
    }

    /// Returns the names of all commands that may be drawn, in lower case: `get`, `object|encoding`.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.rows.iter().map(|row| row.found.full_name())
    }

    /// Returns the endless sequence of a seed.
    #[must_use]
    pub fn commands(&self, seed: u64) -> Commands {
        Commands { generator: self.clone(), state: seed }
    }

    /// Returns what may be tried in place of a command that this generator made, most promising first.
    #[must_use]
    pub fn simpler(&self, command: &Command) -> Vec<Command> {
        let tapes = tape::simpler(&command.choices, KEPT_CHOICES);
        let commands = tapes.into_iter().map(|choices| self.command(Tape::replay(choices)));
        let mut commands: Vec<Command> = commands.filter(|other| other.args != command.args).collect();
        commands.dedup_by(|a, b| a.args == b.args);
        commands
    }

    /// Makes the command of a tape.
    fn command(&self, mut tape: Tape) -> Command {
        let Some(row) = self.rows.get(tape.weighted(self.rows.iter().map(|row| row.weight))) else {
            return Command { args: Vec::new(), choices: Vec::new() };
        };
        let spoilt = tape.chance(self.malformed_percent);
        let case = tape.weighted([88, 6, 6].into_iter());
        let mut items: Vec<Item> = row.names.iter().map(|name| Item::Word(name)).collect();
        expand(&row.nodes, &mut tape, &mut items);
        let mut args = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            args.push(match *item {
                Item::Word(word) => cased(word, case),
                Item::Slot(slot) => {
                    let group = row.found.group;
                    let (name, stray_percent) = (row.found.spec.name, self.stray_percent);
                    fill(
                        Place { group, name, items: &items, at, filled: &args, stray_percent },
                        slot,
                        &mut tape,
                    )
                }
            });
        }
        if spoilt {
            spoil(&mut args, &mut tape);
        }
        Command { args, choices: tape.into_choices() }
    }
}

/// An endless sequence of random commands.
#[derive(Debug, Clone)]
pub struct Commands {
    generator: Generator,
    state: u64,
}

impl Iterator for Commands {
    type Item = Command;

    fn next(&mut self) -> Option<Command> {
        Some(self.generator.command(Tape::random(splitmix(&mut self.state))))
    }
}

impl Row {
    fn goes_by(&self, names: &[&str]) -> bool {
        let full = self.found.full_name();
        let first = self.names.first().copied().unwrap_or_default();
        names.iter().any(|name| name.eq_ignore_ascii_case(first) || name.eq_ignore_ascii_case(&full))
    }
}

/// Every command and subcommand that has a grammar.
fn all_rows() -> impl Iterator<Item = Row> {
    table::commands().flat_map(|found| {
        let leaves: Vec<Found> =
            if found.spec.subcommands.is_empty() { vec![found] } else { found.subcommands().collect() };
        // Lines that would wait are not drawn (G2).
        let waits = |found: &Found| found.spec.syntax.split(' ').any(|word| word == "timeout");
        leaves.into_iter().filter(move |found| !waits(found)).filter_map(|found| {
            let parent = found.parent.map(|parent| parent.name);
            let names = parent.into_iter().chain([found.spec.name]).collect();
            Some(Row {
                found,
                names,
                nodes: grammar::parse(found.spec.syntax).ok()?,
                weight: weight(found.spec),
            })
        })
    })
}

/// What adds data comes more often than what reads or removes it.
fn weight(spec: &CommandSpec) -> u32 {
    match spec.name {
        "HELP" => 1,
        _ if spec.flags.contains(Flags::DENYOOM) => 12,
        _ => 6,
    }
}

fn cased(word: &str, case: usize) -> Vec<u8> {
    match case {
        0 => word.into(),
        1 => word.to_ascii_lowercase().into_bytes(),
        _ => {
            let letters = word.bytes().enumerate();
            letters
                .map(|(at, letter)| if at % 2 == 0 { letter } else { letter.to_ascii_lowercase() })
                .collect()
        }
    }
}

/// Makes a line that is probably wrong; the name stays.
fn spoil(args: &mut Vec<Vec<u8>>, tape: &mut Tape) {
    let kind = tape.draw(6);
    let at = 1 + tape.draw(args.len().saturating_sub(1));
    let nonsense: &[u8] =
        tape.pick(&[&b"x"[..], b"-1", b"NX", b"LIMIT", b"", b"GET", b"0", b"WITHSCORES", b"\xff\0"]);
    let inside = at < args.len();
    match kind {
        0 if inside => drop(args.remove(at)),
        1 => args.push(nonsense.to_vec()),
        2 => args.insert(at.min(args.len()), nonsense.to_vec()),
        3 if inside => args.truncate(at),
        4 if inside => {
            let other = 1 + tape.draw(args.len() - 1);
            args.swap(at, other);
        }
        _ => {
            if let Some(arg) = args.get_mut(at) {
                *arg = nonsense.to_vec();
            }
        }
    }
}
