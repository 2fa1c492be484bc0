//! HyperLogLogs.

use crate::spec::CommandSpec;

pub(super) const COMMANDS: &[CommandSpec] = &[];
