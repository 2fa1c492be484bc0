//! An interactive prompt over an engine of its own: everything that the command language does, without a server.
//!
//! ```text
//! cargo run --release -p larder-commands --example repl
//! larder> zadd board 100 ann 200 bob
//! (integer) 2
//! larder> help zadd
//! ```
//! Words are quoted as in redis-cli, and replies are shown as redis-cli shows them; with input from a pipe it prints exactly
//! what `redis-cli --no-raw` prints. `(TX)` in the prompt tells that commands are queued. A command that waits does so until its time is over. A number before a command repeats it.
//! `quit`, `exit` and the end of the input end it.
//!
//! Messages of channels that were subscribed to are printed as they come, before the next reply. With input from a pipe
//! a subscription is the last line: redis-cli reads messages from then on, and here nobody is left to publish any.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

use larder::Engine;
use larder_commands::{Reply, Session, Tree, execute, line, print, table};

/// A command that takes as long as this is told to have done so.
const SLOW: Duration = Duration::from_millis(500);

fn main() -> io::Result<()> {
    let interactive = io::stdin().is_terminal();
    let mut repl =
        Repl { engine: Engine::new(), session: Session::new(), tree: Tree::new(), queued_select: None };
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    if interactive {
        writeln!(
            output,
            "larder {}: Redis's commands in-process. `help` lists them.",
            env!("CARGO_PKG_VERSION")
        )?;
    }
    let mut text = Vec::new();
    loop {
        if interactive {
            write!(output, "{}", repl.prompt())?;
            output.flush()?;
        }
        text.clear();
        if input.read_until(b'\n', &mut text)? == 0 {
            return Ok(());
        }
        let Some(words) = line::split(&text) else {
            writeln!(output, "Invalid argument(s)")?;
            continue;
        };
        let Some(first) = words.first() else { continue };
        if [&b"quit"[..], b"exit"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
            return Ok(());
        }
        if first.eq_ignore_ascii_case(b"help") || first == b"?" {
            output.write_all(help(words.get(1..).unwrap_or_default()).as_bytes())?;
            continue;
        }
        let listens = ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"]
            .iter()
            .any(|name| first.eq_ignore_ascii_case(name.as_bytes()));
        if listens && !interactive {
            writeln!(output, "Reading messages... (press Ctrl-C to quit)")?;
        }
        repl.run(&words, &mut output)?;
        output.flush()?;
        if repl.session.subscriptions() > 0 && !interactive {
            return Ok(());
        }
    }
}

struct Repl {
    engine: Engine,
    session: Session,
    tree: Tree,
    /// The database that an open transaction will select: the prompt tells it before that, as redis-cli's does.
    queued_select: Option<String>,
}

impl Repl {
    fn prompt(&self) -> String {
        let index = self.queued_select.clone().unwrap_or_else(|| self.session.database().to_string());
        let index = if index == "0" { String::new() } else { format!("[{index}]") };
        let queueing = if self.session.is_queueing() { "(TX)" } else { "" };
        format!("larder{index}{queueing}> ")
    }

    /// Keeps in mind what the prompt shows.
    fn note(&mut self, words: &[&[u8]]) {
        match words {
            [name, index] if self.session.is_queueing() && name.eq_ignore_ascii_case(b"SELECT") => {
                self.queued_select = Some(String::from_utf8_lossy(index).into_owned());
            }
            _ if !self.session.is_queueing() => self.queued_select = None,
            _ => {}
        }
    }

    /// Executes a line, as often as the number before it says.
    fn run(&mut self, words: &[Vec<u8>], output: &mut impl Write) -> io::Result<()> {
        let (times, words) = match (repetitions(words), words) {
            (Ok(Some(times)), [_, rest @ ..]) => (times, rest),
            (Err(()), _) => return writeln!(output, "Invalid redis-cli repeat command option value."),
            _ => (1, words),
        };
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        for _ in 0..times {
            let start = Instant::now();
            // Nobody else is there to push anything, but time passes.
            execute(&self.engine, &mut self.session, &words, &mut self.tree).wait(&mut self.tree);
            let taken = start.elapsed();
            self.note(&words);
            for reply in self.tree.take() {
                output.write_all(&shown(&words, &reply))?;
            }
            if taken >= SLOW {
                writeln!(output, "({:.2}s)", taken.as_secs_f64())?;
            }
        }
        Ok(())
    }
}

fn shown(words: &[&[u8]], reply: &Reply) -> Vec<u8> {
    if print::is_text(words) { print::raw(reply) } else { print::pretty(reply) }
}

/// The number before a command, if there is one; it must be positive.
fn repetitions(words: &[Vec<u8>]) -> Result<Option<u64>, ()> {
    let [first, _, ..] = words else { return Ok(None) };
    let Some(text) = std::str::from_utf8(first).ok() else { return Ok(None) };
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<i64>().ok().and_then(|times| u64::try_from(times).ok()) {
        Some(times) if times > 0 => Ok(Some(times)),
        _ => Err(()),
    }
}

/// What is known of a command, from its row; without a name, the groups and their commands.
fn help(words: &[Vec<u8>]) -> String {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    if words.is_empty() {
        let mut text = String::new();
        let mut group = "";
        for found in table::commands() {
            if found.group != group {
                group = found.group;
                text.push_str(&format!("\n@{group}\n "));
            }
            text.push_str(&format!(" {}", found.spec.name));
        }
        return text.trim_start().to_owned() + "\n\nhelp <command> tells more.\n";
    }
    let Some(found) = table::resolve(larder_commands::Args::new(&words)) else {
        return "\nThere is no such command.\n\n".to_owned();
    };
    let name = found.full_name().to_ascii_uppercase().replace('|', " ");
    let mut text = format!("\n  {name} {}\n", found.spec.syntax);
    for (field, value) in [
        ("summary", found.spec.summary),
        ("cost", found.spec.complexity),
        ("since", found.spec.since),
        ("group", found.group),
    ] {
        text.push_str(&format!("  {field}: {value}\n"));
    }
    for sub in found.subcommands() {
        text.push_str(&format!("    {} {}\n", sub.spec.name, sub.spec.syntax));
    }
    text + "\n"
}
