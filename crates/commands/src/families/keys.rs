//! Whole keys.

use crate::error::CommandError;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Categories, CommandSpec, Context, Flags, container};

fn object_encoding(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let encoding = ctx.engine.encoding(ctx.args.bytes(2)?)?;
    ctx.reply.bulk_or_null(encoding.map(|encoding| encoding.name().as_bytes()));
    Ok(())
}

pub(super) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "OBJECT",
    arity: -2,
    flags: Flags::NONE,
    categories: Categories::NONE,
    keys: &[],
    since: "2.2.3",
    complexity: "Depends on subcommand",
    summary: "Tells how a key is kept and used",
    syntax: "",
    subcommands: &[CommandSpec {
        name: "ENCODING",
        arity: 3,
        flags: Flags::READONLY,
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::at(2, KeyFlags::RO)],
        since: "2.2.3",
        complexity: "O(1)",
        summary: "Returns how a value is kept",
        syntax: "key",
        subcommands: &[],
        run: object_encoding,
    }],
    run: container,
}];
