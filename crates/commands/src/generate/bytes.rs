//! A [`Command`] out of a fuzzer's bytes: its choices, two bytes each.

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};

use super::tape::Tape;
use super::{Command, Generator};

/// A line never needs more choices than that, unless it is a long one; the missing ones read as zeroes.
const CHOICES_MAX: u8 = 63;

impl Generator {
    /// Makes a command out of a fuzzer's bytes.
    ///
    /// # Errors
    /// There are no bytes left.
    pub fn arbitrary(&self, bytes: &mut Unstructured<'_>) -> arbitrary::Result<Command> {
        let count = bytes.arbitrary::<u8>()? & CHOICES_MAX;
        let choices = (0..count).map(|_| bytes.arbitrary()).collect::<arbitrary::Result<Vec<u16>>>()?;
        Ok(self.command(Tape::replay(choices)))
    }
}

impl Arbitrary<'_> for Command {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        static ALL: LazyLock<Generator> = LazyLock::new(Generator::new);
        ALL.arbitrary(bytes)
    }
}
