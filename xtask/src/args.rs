//! The words of the command line. `--flag value` and `--flag=value` mean the same.

use std::collections::VecDeque;

/// A misspelt command line: what was wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Usage(pub(crate) String);

/// The words not yet read.
#[derive(Debug)]
pub(crate) struct Args {
    words: VecDeque<String>,
    /// The value of a `--flag=value` whose flag has been read.
    attached: Option<String>,
}

impl Args {
    pub(crate) fn from_environment() -> Self {
        Self::new(std::env::args().skip(1))
    }

    pub(crate) fn new(words: impl IntoIterator<Item = String>) -> Self {
        Self { words: words.into_iter().collect(), attached: None }
    }

    /// Takes the next word; of `--flag=value` the part before the sign.
    pub(crate) fn next(&mut self) -> Option<String> {
        let word = self.words.pop_front()?;
        match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => {
                self.attached = Some(value.to_owned());
                Some(flag.to_owned())
            }
            _ => Some(word),
        }
    }

    /// Takes the whole number that belongs to `flag`.
    pub(crate) fn number(&mut self, flag: &str) -> Result<u64, Usage> {
        let word = self.attached.take().or_else(|| self.words.pop_front());
        let Some(word) = word else { return Err(Usage(format!("`{flag}` needs a whole number"))) };
        word.parse().map_err(|_| Usage(format!("`{flag}` needs a whole number, not `{word}`")))
    }

    /// Takes everything after a `--`, for another program.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        self.words.drain(..).collect()
    }

    /// Is there a `--help` among our own words, not among those after a `--`?
    pub(crate) fn wants_help(&self) -> bool {
        self.words.iter().take_while(|word| *word != "--").any(|word| word == "--help" || word == "-h")
    }

    /// Ends the reading of flags: a value given to a flag that takes none is an error.
    pub(crate) fn finish(&self) -> Result<(), Usage> {
        match &self.attached {
            Some(value) => Err(Usage(format!("`={value}` follows a flag that takes no value"))),
            None => Ok(()),
        }
    }
}

/// The error for a word that a command does not know.
pub(crate) fn unknown(word: &str, known: &[String]) -> Usage {
    Usage(format!("unknown word `{word}`; known: {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::{Args, Usage};

    fn args(line: &str) -> Args {
        Args::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_number_may_be_attached_or_follow() {
        for line in ["--minutes 7 model", "--minutes=7 model"] {
            let mut args = args(line);
            assert_eq!(args.next().as_deref(), Some("--minutes"));
            assert_eq!(args.number("--minutes"), Ok(7));
            assert_eq!(args.next().as_deref(), Some("model"));
            assert_eq!(args.next(), None);
            assert_eq!(args.finish(), Ok(()));
        }
    }

    #[test]
    fn a_bad_or_missing_number_names_its_flag() {
        for line in ["--minutes", "--minutes=", "--minutes=x", "--minutes -3"] {
            let mut args = args(line);
            args.next();
            let Err(Usage(message)) = args.number("--minutes") else { panic!("`{line}` was accepted") };
            assert!(message.contains("`--minutes`"), "{message}");
        }
    }

    #[test]
    fn a_value_for_a_plain_flag_is_refused() {
        let mut args = args("--fast=1");
        args.next();
        assert!(args.finish().is_err());
    }

    #[test]
    fn help_after_the_double_dash_belongs_to_the_other_program() {
        assert!(args("cache --help").wants_help());
        assert!(!args("cache -- --help").wants_help());
    }
}
