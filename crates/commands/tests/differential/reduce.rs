//! From a history that ends in a difference to the shortest one that still does.
//!
//! First what comes after the difference goes, then chunks of commands, halves down to single ones, then each command
//! is made plainer. Every try runs both sides from an empty state. The server's own chance may hide a difference again:
//! a try that does not fail is simply not taken.

use std::time::{Duration, Instant};

use larder_commands::generate::{Command, Generator};

use crate::pair::{Mismatch, Pair, Setting};

/// A short history is a courtesy, not a reason to wait.
const TIME_MAX: Duration = Duration::from_secs(6);

pub(crate) fn reduce(
    pair: &mut Pair,
    generator: &Generator,
    setting: Setting,
    history: Vec<Command>,
    mismatch: Mismatch,
) -> (Vec<Command>, Mismatch) {
    let end = Instant::now() + TIME_MAX;
    let mut best = Best { pair, setting, signature: mismatch.signature(), end, history, mismatch };
    best.history.truncate(best.mismatch.at);
    let mut size = best.history.len().div_ceil(2);
    while size > 0 {
        best.without_chunks(size);
        size /= 2;
    }
    for _ in 0..3 {
        best.with_plainer_commands(generator);
        best.without_chunks(1);
    }
    (best.history, best.mismatch)
}

struct Best<'a> {
    pair: &'a mut Pair,
    setting: Setting,
    signature: String,
    end: Instant,
    history: Vec<Command>,
    mismatch: Mismatch,
}

impl Best<'_> {
    /// Takes the history if it still shows the difference.
    fn try_out(&mut self, mut history: Vec<Command>) -> bool {
        if Instant::now() > self.end {
            return false;
        }
        match self.pair.round(self.setting, &history) {
            Some(mismatch) if mismatch.signature() == self.signature => {
                history.truncate(mismatch.at);
                self.history = history;
                self.mismatch = mismatch;
                true
            }
            _ => false,
        }
    }

    fn without_chunks(&mut self, size: usize) {
        let mut end = self.history.len();
        while end > 0 {
            let start = end.saturating_sub(size);
            let mut shorter = self.history.clone();
            shorter.drain(start..end.min(shorter.len()));
            self.try_out(shorter);
            end = start.min(self.history.len());
        }
    }

    fn with_plainer_commands(&mut self, generator: &Generator) {
        for index in 0..self.history.len() {
            // Each success starts over from the plainer command.
            while let Some(command) = self.history.get(index) {
                let plainer = generator.simpler(command);
                let taken = plainer.into_iter().any(|command| {
                    let mut history = self.history.clone();
                    history[index] = command;
                    self.try_out(history)
                });
                if !taken {
                    break;
                }
            }
        }
    }
}
