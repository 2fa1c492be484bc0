//! Sets.

use bytes::Bytes;
use larder::{At, Set, SetMembers};

use super::keys;
use super::scan_args::member_scan;
use crate::args::Args;
use crate::error::CommandError;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::reply::ReplySink;
use crate::spec::{Categories, CommandSpec, Context, Flags};

/// The most members that SRANDMEMBER repeats: the reply of a larger count would fill the memory.
const REPEATS_MAX: u64 = 1 << 24;

type Bound<'a> = Set<Bytes, At<'a>>;

fn set<'a>(ctx: &Context<'a>, word: usize) -> Result<Bound<'a>, CommandError> {
    Ok(ctx.engine.set_of(ctx.args.bytes(word)?))
}

/// Writes the members that a walk gives; what holds them was announced as long as the walk.
fn bulks(reply: &mut dyn ReplySink, mut members: SetMembers<Bytes>) {
    while members.next_with(|member| reply.bulk(member)).is_some() {}
}

/// Replies with members as a set.
fn as_set(ctx: &mut Context<'_>, members: SetMembers<Bytes>) {
    ctx.reply.set(members.len());
    bulks(ctx.reply, members);
}

fn sadd(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let added = set(ctx, 1)?.add_many(ctx.args.from(2).iter().copied())?;
    ctx.reply.count(added);
    Ok(())
}

fn srem(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let removed = set(ctx, 1)?.remove_many(ctx.args.from(2).iter().copied())?;
    ctx.reply.count(removed);
    Ok(())
}

fn sismember(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let found = set(ctx, 1)?.contains(ctx.args.bytes(2)?)?;
    ctx.reply.integer(i64::from(found));
    Ok(())
}

fn smismember(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let found = set(ctx, 1)?.contains_many(ctx.args.from(2).iter().copied())?;
    ctx.reply.array(found.len());
    for found in found {
        ctx.reply.integer(i64::from(found));
    }
    Ok(())
}

fn smembers(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let members = set(ctx, 1)?.iter()?;
    as_set(ctx, members);
    Ok(())
}

fn scard(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let len = set(ctx, 1)?.len()?;
    ctx.reply.count(len);
    Ok(())
}

fn spop(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    match ctx.args.len() {
        2 => {
            let popped = set(ctx, 1)?.pop()?;
            ctx.reply.bulk_or_null(popped.as_deref());
        }
        3 => {
            let refused = || CommandError::new("ERR value is out of range, must be positive");
            let count = ctx.args.int(2).ok().and_then(|count| usize::try_from(count).ok());
            let popped = set(ctx, 1)?.pop_many(count.ok_or_else(refused)?)?;
            as_set(ctx, popped);
        }
        _ => return Err(CommandError::syntax()),
    }
    Ok(())
}

fn srandmember(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let set = set(ctx, 1)?;
    if ctx.args.len() > 3 {
        return Err(CommandError::syntax());
    }
    if ctx.args.len() == 2 {
        let drawn = set.random()?;
        ctx.reply.bulk_or_null(drawn.as_deref());
        return Ok(());
    }
    let count = ctx.args.int(2)?;
    if count == i64::MIN {
        let text =
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
        return Err(CommandError::new(text));
    }
    if count >= 0 {
        let drawn = set.random_many(usize::try_from(count).unwrap_or(usize::MAX))?;
        ctx.reply.array(drawn.len());
        bulks(ctx.reply, drawn);
        return Ok(());
    }
    let (mut drawn, count) = (set.random_repeating()?, count.unsigned_abs());
    if drawn.is_empty() {
        ctx.reply.array(0);
        return Ok(());
    }
    let repeats = usize::try_from(count).ok().filter(|_| count <= REPEATS_MAX);
    let repeats = repeats.ok_or_else(|| CommandError::new("ERR value is out of range"))?;
    ctx.reply.array(repeats);
    for _ in 0..repeats {
        drawn.next_with(|member| ctx.reply.bulk(member));
    }
    Ok(())
}

fn smove(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let moved = set(ctx, 1)?.move_to(ctx.args.bytes(2)?, ctx.args.bytes(3)?)?;
    ctx.reply.integer(i64::from(moved));
    Ok(())
}

fn sinter(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let members = set(ctx, 1)?.intersection(ctx.args.from(2).iter().copied())?;
    as_set(ctx, members);
    Ok(())
}

fn sunion(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let members = set(ctx, 1)?.union(ctx.args.from(2).iter().copied())?;
    as_set(ctx, members);
    Ok(())
}

fn sdiff(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let members = set(ctx, 1)?.difference(ctx.args.from(2).iter().copied())?;
    as_set(ctx, members);
    Ok(())
}

/// The limit of a SINTERCARD, from the word `at` on; zero is none.
fn limit(args: Args<'_>, mut at: usize) -> Result<Option<u64>, CommandError> {
    let mut limit = None;
    while at < args.len() {
        if !args.is(at, "LIMIT") || at + 1 == args.len() {
            return Err(CommandError::syntax());
        }
        let number = args.int(at + 1).ok().and_then(|number| u64::try_from(number).ok());
        limit = Some(number.ok_or_else(|| CommandError::new("ERR LIMIT can't be negative"))?);
        at += 2;
    }
    Ok(limit.filter(|&limit| limit > 0))
}

fn sintercard(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let count = ctx.args.int(1).ok().filter(|&count| count > 0);
    let count = count.ok_or_else(|| CommandError::new("ERR numkeys should be greater than 0"))?;
    let words = ctx.args.from(2);
    let keys = usize::try_from(count).ok().and_then(|count| words.get(..count));
    let keys =
        keys.ok_or_else(|| CommandError::new("ERR Number of keys can't be greater than number of args"))?;
    let limit = limit(ctx.args, 2 + keys.len())?;
    let others = keys.iter().skip(1).copied();
    let common = set(ctx, 2)?.intersection_len(others, limit)?;
    ctx.reply.count(common);
    Ok(())
}

fn sinterstore(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let stored = set(ctx, 1)?.store_intersection(ctx.args.from(2).iter().copied())?;
    ctx.reply.count(stored);
    Ok(())
}

fn sunionstore(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let stored = set(ctx, 1)?.store_union(ctx.args.from(2).iter().copied())?;
    ctx.reply.count(stored);
    Ok(())
}

fn sdiffstore(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let stored = set(ctx, 1)?.store_difference(ctx.args.from(2).iter().copied())?;
    ctx.reply.count(stored);
    Ok(())
}

fn sscan(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let cursor = keys::cursor(ctx.args.bytes(2)?)?;
    let set = set(ctx, 1)?;
    // Redis looks at the key before it looks at the options.
    let page = if set.is_empty()? { None } else { Some(set.scan(cursor, &member_scan(ctx.args, None)?.0)?) };
    let (next, members) = page.map_or((0, Vec::new()), |page| (page.cursor, page.members));
    ctx.reply.array(2);
    ctx.reply.bulk(next.to_string().as_bytes());
    ctx.reply.array(members.len());
    for member in &members {
        ctx.reply.bulk(member);
    }
    Ok(())
}

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "SADD",
        arity: -3,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::SET,
        keys: &[KeySpec::first(KeyFlags::RW.insert())],
        since: "1.0.0",
        complexity: "O(N), N the members given",
        summary: "Adds members",
        syntax: "key member [member ...]",
        subcommands: &[],
        run: sadd,
    },
    CommandSpec {
        name: "SREM",
        arity: -3,
        flags: Flags::WRITE.fast(),
        categories: Categories::SET,
        keys: &[KeySpec::first(KeyFlags::RW.delete())],
        since: "1.0.0",
        complexity: "O(N), N the members given",
        summary: "Removes members",
        syntax: "key member [member ...]",
        subcommands: &[],
        run: srem,
    },
    CommandSpec {
        name: "SISMEMBER",
        arity: 3,
        flags: Flags::READONLY.fast(),
        categories: Categories::SET,
        keys: &[KeySpec::first(KeyFlags::RO)],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Tells whether a set has a member",
        syntax: "key member",
        subcommands: &[],
        run: sismember,
    },
    CommandSpec {
        name: "SMISMEMBER",
        arity: -3,
        flags: Flags::READONLY.fast(),
        categories: Categories::SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "6.2.0",
        complexity: "O(N), N the members given",
        summary: "Tells of each member whether a set has it",
        syntax: "key member [member ...]",
        subcommands: &[],
        run: smismember,
    },
    CommandSpec {
        name: "SMEMBERS",
        arity: 2,
        flags: Flags::READONLY,
        categories: Categories::SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "1.0.0",
        complexity: "O(N), N the members of the set",
        summary: "Returns all members",
        syntax: "key",
        subcommands: &[],
        run: smembers,
    },
    CommandSpec {
        name: "SCARD",
        arity: 2,
        flags: Flags::READONLY.fast(),
        categories: Categories::SET,
        keys: &[KeySpec::first(KeyFlags::RO)],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the number of members",
        syntax: "key",
        subcommands: &[],
        run: scard,
    },
    CommandSpec {
        name: "SPOP",
        arity: -2,
        flags: Flags::WRITE.fast(),
        categories: Categories::SET,
        keys: &[KeySpec::first(KeyFlags::RW.access().delete())],
        since: "1.0.0",
        complexity: "O(N), N the members taken out",
        summary: "Takes out members by chance and returns them",
        syntax: "key [count]",
        subcommands: &[],
        run: spop,
    },
    CommandSpec {
        name: "SRANDMEMBER",
        arity: -2,
        flags: Flags::READONLY,
        categories: Categories::SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "1.0.0",
        complexity: "O(N log(N)), N the count",
        summary: "Returns members by chance",
        syntax: "key [count]",
        subcommands: &[],
        run: srandmember,
    },
    CommandSpec {
        name: "SMOVE",
        arity: 4,
        flags: Flags::WRITE.fast(),
        categories: Categories::SET,
        keys: &[KeySpec::first(KeyFlags::RW.access().delete()), KeySpec::at(2, KeyFlags::RW.insert())],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Moves a member to another set",
        syntax: "source destination member",
        subcommands: &[],
        run: smove,
    },
    CommandSpec {
        name: "SINTER",
        arity: -2,
        flags: Flags::READONLY,
        categories: Categories::SET,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO.access())],
        since: "1.0.0",
        complexity: "O(N*K), N the members of the smallest of K sets",
        summary: "Returns what all sets have",
        syntax: "key [key ...]",
        subcommands: &[],
        run: sinter,
    },
    CommandSpec {
        name: "SINTERCARD",
        arity: -3,
        flags: Flags::READONLY,
        categories: Categories::SET,
        keys: &[KeySpec::counted(1, KeyFlags::RO.access())],
        since: "7.0.0",
        complexity: "O(N*K), N the members of the smallest of K sets",
        summary: "Counts what all sets have",
        syntax: "numkeys key [key ...] [LIMIT limit]",
        subcommands: &[],
        run: sintercard,
    },
    CommandSpec {
        name: "SINTERSTORE",
        arity: -3,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::SET,
        keys: &[KeySpec::first(KeyFlags::RW.update()), KeySpec::range(2, -1, 1, KeyFlags::RO.access())],
        since: "1.0.0",
        complexity: "O(N*K), N the members of the smallest of K sets",
        summary: "Stores what all sets have",
        syntax: "destination key [key ...]",
        subcommands: &[],
        run: sinterstore,
    },
    CommandSpec {
        name: "SUNION",
        arity: -2,
        flags: Flags::READONLY,
        categories: Categories::SET,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO.access())],
        since: "1.0.0",
        complexity: "O(N), N the members of all sets",
        summary: "Returns what any set has",
        syntax: "key [key ...]",
        subcommands: &[],
        run: sunion,
    },
    CommandSpec {
        name: "SUNIONSTORE",
        arity: -3,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::SET,
        keys: &[KeySpec::first(KeyFlags::OW.update()), KeySpec::range(2, -1, 1, KeyFlags::RO.access())],
        since: "1.0.0",
        complexity: "O(N), N the members of all sets but the largest",
        summary: "Stores what any set has",
        syntax: "destination key [key ...]",
        subcommands: &[],
        run: sunionstore,
    },
    CommandSpec {
        name: "SDIFF",
        arity: -2,
        flags: Flags::READONLY,
        categories: Categories::SET,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO.access())],
        since: "1.0.0",
        complexity: "O(N*K), N the members of the first of K sets",
        summary: "Returns what only the first set has",
        syntax: "key [key ...]",
        subcommands: &[],
        run: sdiff,
    },
    CommandSpec {
        name: "SDIFFSTORE",
        arity: -3,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::SET,
        keys: &[KeySpec::first(KeyFlags::OW.update()), KeySpec::range(2, -1, 1, KeyFlags::RO.access())],
        since: "1.0.0",
        complexity: "O(N*K), N the members of the first of K sets; O(M), M the members of the others, if they are few",
        summary: "Stores what only the first set has",
        syntax: "destination key [key ...]",
        subcommands: &[],
        run: sdiffstore,
    },
    CommandSpec {
        name: "SSCAN",
        arity: -3,
        flags: Flags::READONLY,
        categories: Categories::SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.8.0",
        complexity: "O(1) a call and O(N) for the whole walk, N the members of the set",
        summary: "Walks over the members, a page a call",
        syntax: "key cursor [MATCH pattern] [COUNT count]",
        subcommands: &[],
        run: sscan,
    },
];
