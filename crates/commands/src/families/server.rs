//! The server: its databases, its memory, its clock.

use crate::spec::CommandSpec;

pub(super) const COMMANDS: &[CommandSpec] = &[];
