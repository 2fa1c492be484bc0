//! Deadlines of keys.

use std::ops::Range;

use larder::{ExpireCondition, Ttl, UnixMillis};

use crate::args::Args;
use crate::error::CommandError;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Categories, CommandSpec, Context, Flags};

/// How a command of this family gives and takes times.
#[derive(Debug, Clone, Copy)]
struct Form {
    name: &'static str,
    seconds: bool,
    absolute: bool,
}

/// Reads NX, XX, GT and LT out of some of the words.
pub(super) fn condition(args: Args<'_>, words: Range<usize>) -> Result<ExpireCondition, CommandError> {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for at in words {
        let flag = match () {
            () if args.is(at, "NX") => &mut nx,
            () if args.is(at, "XX") => &mut xx,
            () if args.is(at, "GT") => &mut gt,
            () if args.is(at, "LT") => &mut lt,
            () => {
                let word = args.get(at).unwrap_or_default();
                let word = word.split(|&byte| byte == 0).next().unwrap_or_default();
                return Err(CommandError::from_bytes([b"ERR Unsupported option ", word].concat()));
            }
        };
        *flag = true;
    }
    if nx && (xx || gt || lt) {
        let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
        return Err(CommandError::new(text));
    }
    if gt && lt {
        return Err(CommandError::new("ERR GT and LT options at the same time are not compatible"));
    }
    Ok(match (nx, xx, gt, lt) {
        (true, ..) => ExpireCondition::IfNone,
        (_, _, true, _) => ExpireCondition::IfLater,
        (_, true, _, true) => ExpireCondition::IfAnyEarlier,
        (_, _, _, true) => ExpireCondition::IfEarlier,
        (_, true, ..) => ExpireCondition::IfAny,
        _ => ExpireCondition::Always,
    })
}

fn set_deadline(ctx: &mut Context<'_>, form: Form) -> Result<(), CommandError> {
    let condition = condition(ctx.args, 3..ctx.args.len())?;
    let number = ctx.args.int(2)?;
    let now = if form.absolute { 0 } else { i64::try_from(ctx.engine.now().0).unwrap_or(i64::MAX) };
    let at = number
        .checked_mul(if form.seconds { 1_000 } else { 1 })
        .and_then(|span| span.checked_add(now))
        .ok_or_else(|| CommandError::invalid_expire(form.name))?;
    // A point before the epoch has passed as much as the epoch.
    let at = UnixMillis(u64::try_from(at).unwrap_or(0));
    let done = ctx.engine.expire_at(ctx.args.bytes(1)?, at, condition)?;
    ctx.reply.integer(i64::from(done));
    Ok(())
}

fn expire(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    set_deadline(ctx, Form { name: "expire", seconds: true, absolute: false })
}

fn pexpire(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    set_deadline(ctx, Form { name: "pexpire", seconds: false, absolute: false })
}

fn expireat(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    set_deadline(ctx, Form { name: "expireat", seconds: true, absolute: true })
}

fn pexpireat(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    set_deadline(ctx, Form { name: "pexpireat", seconds: false, absolute: true })
}

/// Milliseconds, or seconds rounded to the nearest.
fn shown(milliseconds: u64, seconds: bool) -> u64 {
    if seconds { milliseconds.saturating_add(500) / 1_000 } else { milliseconds }
}

fn remaining(ctx: &mut Context<'_>, seconds: bool) -> Result<(), CommandError> {
    match ctx.engine.ttl(ctx.args.bytes(1)?)? {
        Ttl::Absent => ctx.reply.integer(-2),
        Ttl::Never => ctx.reply.integer(-1),
        Ttl::After(span) => {
            ctx.reply.count(shown(u64::try_from(span.as_millis()).unwrap_or(u64::MAX), seconds));
        }
    }
    Ok(())
}

fn ttl(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    remaining(ctx, true)
}

fn pttl(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    remaining(ctx, false)
}

fn deadline(ctx: &mut Context<'_>, seconds: bool) -> Result<(), CommandError> {
    match ctx.engine.expire_time(ctx.args.bytes(1)?)? {
        None => ctx.reply.integer(-2),
        Some(None) => ctx.reply.integer(-1),
        Some(Some(at)) => ctx.reply.count(shown(at.0, seconds)),
    }
    Ok(())
}

fn expiretime(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    deadline(ctx, true)
}

fn pexpiretime(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    deadline(ctx, false)
}

fn persist(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let had = ctx.engine.persist(ctx.args.bytes(1)?)?;
    ctx.reply.integer(i64::from(had));
    Ok(())
}

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "EXPIRE",
        arity: -3,
        flags: Flags::WRITE.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Lets a key expire after some seconds",
        syntax: "key seconds [NX | XX | GT | LT]",
        subcommands: &[],
        run: expire,
    },
    CommandSpec {
        name: "EXPIREAT",
        arity: -3,
        flags: Flags::WRITE.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Lets a key expire at a point in time",
        syntax: "key unix-time-seconds [NX | XX | GT | LT]",
        subcommands: &[],
        run: expireat,
    },
    CommandSpec {
        name: "EXPIRETIME",
        arity: 2,
        flags: Flags::READONLY.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "7.0.0",
        complexity: "O(1)",
        summary: "Returns when a key expires, in seconds",
        syntax: "key",
        subcommands: &[],
        run: expiretime,
    },
    CommandSpec {
        name: "PERSIST",
        arity: 2,
        flags: Flags::WRITE.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Takes the expiry of a key away",
        syntax: "key",
        subcommands: &[],
        run: persist,
    },
    CommandSpec {
        name: "PEXPIRE",
        arity: -3,
        flags: Flags::WRITE.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Lets a key expire after some milliseconds",
        syntax: "key milliseconds [NX | XX | GT | LT]",
        subcommands: &[],
        run: pexpire,
    },
    CommandSpec {
        name: "PEXPIREAT",
        arity: -3,
        flags: Flags::WRITE.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Lets a key expire at a point in time, in milliseconds",
        syntax: "key unix-time-milliseconds [NX | XX | GT | LT]",
        subcommands: &[],
        run: pexpireat,
    },
    CommandSpec {
        name: "PEXPIRETIME",
        arity: 2,
        flags: Flags::READONLY.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "7.0.0",
        complexity: "O(1)",
        summary: "Returns when a key expires, in milliseconds",
        syntax: "key",
        subcommands: &[],
        run: pexpiretime,
    },
    CommandSpec {
        name: "PTTL",
        arity: 2,
        flags: Flags::READONLY.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Returns how long a key will live, in milliseconds",
        syntax: "key",
        subcommands: &[],
        run: pttl,
    },
    CommandSpec {
        name: "TTL",
        arity: 2,
        flags: Flags::READONLY.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns how long a key will live, in seconds",
        syntax: "key",
        subcommands: &[],
        run: ttl,
    },
];
