//! A [`Generator`] as a strategy of proptest: random lines that shrink by their choices.

use proptest::prelude::RngCore as _;
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::tape::Tape;
use super::{Command, Generator};

impl Strategy for Generator {
    type Tree = CommandTree;
    type Value = Command;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let seed = u64::from(runner.rng().next_u32()) << 32 | u64::from(runner.rng().next_u32());
        let command = self.command(Tape::random(seed));
        Ok(CommandTree { generator: self.clone(), best: command.clone(), tried: command, ahead: None })
    }
}

impl proptest::arbitrary::Arbitrary for Command {
    type Parameters = Generator;
    type Strategy = Generator;

    fn arbitrary_with(generator: Generator) -> Generator {
        generator
    }
}

/// A line on its way to a plainer one.
#[derive(Debug, Clone)]
pub struct CommandTree {
    generator: Generator,
    /// The plainest that fails.
    best: Command,
    /// What is shown now.
    tried: Command,
    /// What else may take the place of `best`; drawn up when it is first needed.
    ahead: Option<std::vec::IntoIter<Command>>,
}

impl CommandTree {
    fn advance(&mut self) -> bool {
        let (generator, best) = (&self.generator, &self.best);
        let ahead = self.ahead.get_or_insert_with(|| generator.simpler(best).into_iter());
        match ahead.next() {
            Some(next) => self.tried = next,
            None => self.tried = self.best.clone(),
        }
        self.tried != self.best
    }
}

impl ValueTree for CommandTree {
    type Value = Command;

    fn current(&self) -> Command {
        self.tried.clone()
    }

    fn simplify(&mut self) -> bool {
        if self.tried != self.best {
            self.best = self.tried.clone();
            self.ahead = None;
        }
        self.advance()
    }

    fn complicate(&mut self) -> bool {
        self.tried != self.best && self.advance()
    }
}
