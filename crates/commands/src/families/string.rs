//! Strings.

use crate::error::CommandError;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Categories, CommandSpec, Context, Flags};

fn get(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let value = ctx.engine.get(ctx.args.bytes(1)?)?;
    ctx.reply.bulk_or_null(value.as_deref());
    Ok(())
}

fn getset(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let old = ctx.engine.get_set(ctx.args.bytes(1)?, ctx.args.bytes(2)?)?;
    ctx.reply.bulk_or_null(old.as_deref());
    Ok(())
}

fn strlen(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let bytes = ctx.engine.strlen(ctx.args.bytes(1)?)?;
    ctx.reply.count(bytes);
    Ok(())
}

fn incr(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let sum = ctx.engine.incr(ctx.args.bytes(1)?)?;
    ctx.reply.integer(sum);
    Ok(())
}

fn append(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let bytes = ctx.engine.append(ctx.args.bytes(1)?, ctx.args.bytes(2)?)?;
    ctx.reply.count(bytes);
    Ok(())
}

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "GET",
        arity: 2,
        flags: Flags::READONLY.fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the value of a key",
        syntax: "key",
        subcommands: &[],
        run: get,
    },
    CommandSpec {
        name: "GETSET",
        arity: 3,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RW.access().update())],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Stores a value and returns the one before",
        syntax: "key value",
        subcommands: &[],
        run: getset,
    },
    CommandSpec {
        name: "STRLEN",
        arity: 2,
        flags: Flags::READONLY.fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RO)],
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Returns the length of a value",
        syntax: "key",
        subcommands: &[],
        run: strlen,
    },
    CommandSpec {
        name: "INCR",
        arity: 2,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RW.access().update())],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Adds one to a counter",
        syntax: "key",
        subcommands: &[],
        run: incr,
    },
    CommandSpec {
        name: "APPEND",
        arity: 3,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RW.insert())],
        since: "2.0.0",
        complexity: "O(1). The amortized time complexity is O(1) assuming the appended value is small and the already present value is of any size, since the dynamic string library used by Redis will double the free space available on every reallocation",
        summary: "Appends to a value",
        syntax: "key value",
        subcommands: &[],
        run: append,
    },
];
