//! Hashes.

use crate::spec::CommandSpec;

pub(super) const COMMANDS: &[CommandSpec] = &[];
