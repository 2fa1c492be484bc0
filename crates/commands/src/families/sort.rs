//! SORT and SORT_RO.

use crate::spec::CommandSpec;

pub(super) const COMMANDS: &[CommandSpec] = &[];
