//! Steps: named, timed, and summed up in a table.

use std::fmt::Write as _;
use std::io;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// It ran and said no, or could not be started.
    Failed(String),
    /// Something that the step needs is missing. A failure under `--require-all`.
    NotRun(String),
    /// It needs what no machine is obliged to have. Never a failure, always printed.
    Skipped(String),
}

#[derive(Debug)]
struct Finished {
    name: String,
    outcome: Outcome,
    elapsed: Duration,
}

/// The steps of one command, in the order they ran.
#[derive(Debug)]
pub(crate) struct Run {
    /// A step that is not run fails the whole.
    strict: bool,
    finished: Vec<Finished>,
}

impl Run {
    pub(crate) fn new(strict: bool) -> Self {
        Self { strict, finished: Vec::new() }
    }

    /// Runs one step and remembers how it ended.
    pub(crate) fn step(&mut self, name: &str, body: impl FnOnce() -> Outcome) {
        self.announced(name, body);
        let last = self.finished.last().expect("`announced` has just pushed a step");
        println!("<== {name}: {} ({:.1} s)", last.outcome.text(), last.elapsed.as_secs_f64());
    }

    /// Runs a step whose own last words must stay the last words: nothing is printed after it.
    pub(crate) fn closing_step(&mut self, name: &str, body: impl FnOnce() -> Outcome) {
        self.announced(name, body);
    }

    fn announced(&mut self, name: &str, body: impl FnOnce() -> Outcome) {
        println!("\n==> {name}");
        let start = Instant::now();
        let outcome = body();
        self.finished.push(Finished { name: name.to_owned(), outcome, elapsed: start.elapsed() });
    }

    pub(crate) fn failed(&self) -> bool {
        self.finished.iter().any(|step| self.counts_as_failure(&step.outcome))
    }

    fn counts_as_failure(&self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Failed(_) => true,
            Outcome::NotRun(_) => self.strict,
            Outcome::Passed | Outcome::Skipped(_) => false,
        }
    }

    /// The table of all steps so far, closed by one line of counts.
    pub(crate) fn summary(&self) -> String {
        let width = self.finished.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
        let mut text = String::from("\n---- steps ----\n");
        for Finished { name, outcome, elapsed } in &self.finished {
            writeln!(text, "{name:width$}  {:>7.1} s  {}", elapsed.as_secs_f64(), outcome.text())
                .expect("a String takes every write");
        }
        let count = |is: fn(&Outcome) -> bool| self.finished.iter().filter(|step| is(&step.outcome)).count();
        let passed = count(|outcome| matches!(outcome, Outcome::Passed));
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let not_run = count(|outcome| matches!(outcome, Outcome::NotRun(_)));
        let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        write!(text, "steps: {passed} passed, {failed} failed, {not_run} not run, {skipped} skipped")
            .expect("a String takes every write");
        if self.strict && not_run > 0 {
            text.push_str("\nA step that is not run counts as a failure here.");
        }
        text
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    /// Prints the summary and tells the exit code.
    pub(crate) fn close(&self) -> ExitCode {
        println!("{}", self.summary());
        self.exit_code()
    }
}

impl Outcome {
    fn text(&self) -> String {
        match self {
            Self::Passed => "ok".to_owned(),
            Self::Failed(why) => format!("FAILED: {why}"),
            Self::NotRun(why) => format!("NOT RUN: {why}"),
            Self::Skipped(why) => format!("SKIPPED: {why}"),
        }
    }

    /// Why it did not pass.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Passed => "it passed",
            Self::Failed(why) | Self::NotRun(why) | Self::Skipped(why) => why,
        }
    }

    /// Goes on only after a pass.
    pub(crate) fn and_then(self, next: impl FnOnce() -> Self) -> Self {
        if self == Self::Passed { next() } else { self }
    }
}

/// Prints a command, runs it to its end and judges it by its exit code.
pub(crate) fn run(command: &mut Command) -> Outcome {
    println!("    $ {}", line(command));
    command.stderr(Stdio::from(io::stdout()));
    match command.status() {
        Ok(status) if status.success() => Outcome::Passed,
        Ok(status) => Outcome::Failed(status.to_string()),
        Err(error) => Outcome::Failed(format!("could not start {}: {error}", program(command))),
    }
}

/// The command as one would type it; the program by its file name.
fn line(command: &Command) -> String {
    let mut line = String::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value.filter(|_| name != "PATH") {
            write!(line, "{}={:?} ", name.display(), value).expect("a String takes every write");
        }
    }
    line.push_str(&program(command));
    for arg in command.get_args() {
        write!(line, " {}", arg.display()).expect("a String takes every write");
    }
    line
}

fn program(command: &Command) -> String {
    let path = std::path::Path::new(command.get_program());
    path.file_stem().unwrap_or(path.as_os_str()).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Run};

    fn run_of(strict: bool, outcomes: &[Outcome]) -> Run {
        let mut run = Run::new(strict);
        for (index, outcome) in outcomes.iter().enumerate() {
            run.step(&format!("step {index}"), || outcome.clone());
        }
        run
    }

    #[test]
    fn a_missing_step_fails_only_when_all_are_required() {
        let outcomes = [Outcome::Passed, Outcome::NotRun("no tool".to_owned())];
        assert!(!run_of(false, &outcomes).failed());
        assert!(run_of(true, &outcomes).failed());
    }

    #[test]
    fn a_skipped_step_never_fails_and_a_failed_one_always_does() {
        assert!(!run_of(true, &[Outcome::Skipped("no Miri".to_owned())]).failed());
        assert!(run_of(false, &[Outcome::Failed("no".to_owned()), Outcome::Passed]).failed());
    }

    #[test]
    fn the_summary_counts_every_step_once() {
        let run = run_of(
            true,
            &[
                Outcome::Passed,
                Outcome::Passed,
                Outcome::Failed("exit status: 1".to_owned()),
                Outcome::NotRun("no network".to_owned()),
                Outcome::Skipped("no nightly".to_owned()),
            ],
        );
        let text = run.summary();
        assert!(text.contains("steps: 2 passed, 1 failed, 1 not run, 1 skipped"), "{text}");
        assert!(text.contains("NOT RUN: no network"), "{text}");
    }

    #[test]
    fn a_chain_stops_at_the_first_that_does_not_pass() {
        let failed = Outcome::Failed("first".to_owned());
        assert_eq!(failed.clone().and_then(|| panic!("must not run")), failed);
        assert_eq!(Outcome::Passed.and_then(|| Outcome::Passed), Outcome::Passed);
    }
}
