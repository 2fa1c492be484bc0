//! The connection itself: what a session remembers.

use crate::error::CommandError;
use crate::spec::{Categories, CommandSpec, Context, Flags};

fn ping(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    match ctx.args.len() {
        1 => ctx.reply.simple("PONG"),
        2 => ctx.reply.bulk(ctx.args.bytes(1)?),
        _ => return Err(CommandError::wrong_arity("ping")),
    }
    Ok(())
}

fn echo(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    ctx.reply.bulk(ctx.args.bytes(1)?);
    Ok(())
}

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "PING",
        arity: -1,
        flags: Flags::FAST,
        categories: Categories::CONNECTION,
        keys: &[],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Answers, to show that somebody is there",
        syntax: "[message]",
        subcommands: &[],
        run: ping,
    },
    CommandSpec {
        name: "ECHO",
        arity: 2,
        flags: Flags::LOADING.stale().fast(),
        categories: Categories::CONNECTION,
        keys: &[],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns its argument",
        syntax: "message",
        subcommands: &[],
        run: echo,
    },
];
