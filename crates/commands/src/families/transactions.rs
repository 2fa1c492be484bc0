//! The rows of MULTI and EXEC; transaction.rs has what they do.

use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Categories, CommandSpec, Flags};
use crate::transaction::{discard, exec, multi, unwatch, watch};

const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 1,
    flags: Flags::NOSCRIPT.loading().stale().fast().allow_busy(),
    categories: Categories::TRANSACTION,
    keys: &[],
    since: "1.2.0",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    subcommands: &[],
    run: multi,
};

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "DISCARD",
        since: "2.0.0",
        complexity: "O(N), when N is the number of queued commands",
        summary: "Forgets the commands that were queued since MULTI",
        run: discard,
        ..ROW
    },
    CommandSpec {
        name: "EXEC",
        flags: Flags::NOSCRIPT.loading().stale().skip_slowlog(),
        complexity: "Depends on commands in the transaction",
        summary: "Executes the commands that were queued since MULTI, as one",
        run: exec,
        ..ROW
    },
    CommandSpec { name: "MULTI", summary: "Begins to queue commands", ..ROW },
    CommandSpec {
        name: "UNWATCH",
        since: "2.2.0",
        summary: "Ends the watch over all keys",
        run: unwatch,
        ..ROW
    },
    CommandSpec {
        name: "WATCH",
        arity: -2,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
        since: "2.2.0",
        complexity: "O(1) for every key.",
        summary: "Watches keys: EXEC does nothing if one of them was touched",
        syntax: "key [key ...]",
        run: watch,
        ..ROW
    },
];
