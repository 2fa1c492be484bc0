//! Hashes.
//!
//! Commands that Redis 7.0 does not have answer as Valkey 9.1 does, error texts and rounding included.

mod expiry;

use bytes::Bytes;
use larder::{At, Hash, OpError};

use super::keys;
use super::scan_args::member_scan;
use crate::error::CommandError;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Categories, CommandSpec, Context, Flags};

/// The most fields that HRANDFIELD repeats: the reply of a larger count would fill the memory.
const REPEATS_MAX: u64 = 1 << 24;

type Bound<'a> = Hash<Bytes, Bytes, At<'a>>;

fn hash<'a>(ctx: &Context<'a>) -> Result<Bound<'a>, CommandError> {
    Ok(ctx.engine.hash(ctx.args.bytes(1)?))
}

/// Words two by two; one that is left over is not told.
fn in_pairs<'a>(words: &'a [&'a [u8]]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    words.chunks_exact(2).filter_map(|pair| match pair {
        [field, value] => Some((*field, *value)),
        _ => None,
    })
}

fn reply_values(ctx: &mut Context<'_>, values: &[Option<Bytes>]) {
    ctx.reply.array(values.len());
    for value in values {
        ctx.reply.bulk_or_null(value.as_deref());
    }
}

fn set_pairs(ctx: &Context<'_>, name: &str) -> Result<u64, CommandError> {
    let pairs = ctx.args.from(2);
    if pairs.len() % 2 != 0 {
        return Err(CommandError::wrong_arity(name));
    }
    Ok(hash(ctx)?.set_many(in_pairs(pairs))?)
}

fn hset(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let created = set_pairs(ctx, "hset")?;
    ctx.reply.count(created);
    Ok(())
}

fn hmset(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    set_pairs(ctx, "hmset")?;
    ctx.ok();
    Ok(())
}

fn hsetnx(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let stored = hash(ctx)?.set_if_absent(ctx.args.bytes(2)?, ctx.args.bytes(3)?)?;
    ctx.reply.integer(i64::from(stored));
    Ok(())
}

fn hget(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let value = hash(ctx)?.get(ctx.args.bytes(2)?)?;
    ctx.reply.bulk_or_null(value.as_deref());
    Ok(())
}

fn hmget(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let values = hash(ctx)?.get_many(ctx.args.from(2).iter().copied())?;
    reply_values(ctx, &values);
    Ok(())
}

fn hgetall(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let mut entries = hash(ctx)?.iter()?;
    ctx.reply.map(entries.len());
    let reply = &mut *ctx.reply;
    let mut entry = |field: &[u8], value: &[u8]| {
        reply.bulk(field);
        reply.bulk(value);
    };
    while entries.next_with(&mut entry).is_some() {}
    Ok(())
}

fn hkeys(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let mut entries = hash(ctx)?.iter()?;
    ctx.reply.array(entries.len());
    let reply = &mut *ctx.reply;
    while entries.next_with(|field, _| reply.bulk(field)).is_some() {}
    Ok(())
}

fn hvals(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let mut entries = hash(ctx)?.iter()?;
    ctx.reply.array(entries.len());
    let reply = &mut *ctx.reply;
    while entries.next_with(|_, value| reply.bulk(value)).is_some() {}
    Ok(())
}

fn hdel(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let removed = hash(ctx)?.remove_many(ctx.args.from(2).iter().copied())?;
    ctx.reply.count(removed);
    Ok(())
}

fn hexists(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let exists = hash(ctx)?.contains(ctx.args.bytes(2)?)?;
    ctx.reply.integer(i64::from(exists));
    Ok(())
}

fn hlen(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let len = hash(ctx)?.len()?;
    ctx.reply.count(len);
    Ok(())
}

fn hstrlen(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let bytes = hash(ctx)?.value_len(ctx.args.bytes(2)?)?;
    ctx.reply.count(bytes);
    Ok(())
}

fn hincrby(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let by = ctx.args.int(3)?;
    let sum = hash(ctx)?.incr_by(ctx.args.bytes(2)?, by).map_err(|error| match error {
        OpError::NotAnInteger => CommandError::new("ERR hash value is not an integer"),
        other => other.into(),
    })?;
    ctx.reply.integer(sum);
    Ok(())
}

fn hincrbyfloat(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let by = ctx.args.bytes(3)?;
    let sum = hash(ctx)?.incr_by_float(ctx.args.bytes(2)?, by).map_err(|error| match error {
        OpError::InvalidArgument(_) if is_infinity(by) => CommandError::new("ERR value is NaN or Infinity"),
        OpError::InvalidArgument(_) => CommandError::not_a_float(),
        OpError::NotAFloat => CommandError::new("ERR hash value is not a float"),
        OpError::Overflow => CommandError::new("ERR increment would produce NaN or Infinity"),
        other => other.into(),
    })?;
    ctx.reply.bulk(&sum);
    Ok(())
}

fn is_infinity(text: &[u8]) -> bool {
    let text = match text {
        [b'+' | b'-', rest @ ..] => rest,
        _ => text,
    };
    text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity")
}

/// What HRANDFIELD is asked for, count and WITHVALUES.
fn random_args(ctx: &Context<'_>) -> Result<(i64, bool), CommandError> {
    let count = ctx.args.int(2)?;
    if count == i64::MIN {
        let text =
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
        return Err(CommandError::new(text));
    }
    let with_values = ctx.args.len() == 4 && ctx.args.is(3, "WITHVALUES");
    if ctx.args.len() > 3 && !with_values {
        return Err(CommandError::syntax());
    }
    if with_values && count.unsigned_abs() > i64::MAX.unsigned_abs() / 2 {
        return Err(CommandError::new("ERR value is out of range"));
    }
    Ok((count, with_values))
}

fn hrandfield(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    if ctx.args.len() == 2 {
        let drawn = hash(ctx)?.random()?;
        ctx.reply.bulk_or_null(drawn.as_ref().map(|(field, _)| &field[..]));
        return Ok(());
    }
    let (count, with_values) = random_args(ctx)?;
    let entries: Vec<(Bytes, Bytes)> = if count >= 0 {
        hash(ctx)?.random_many(usize::try_from(count).unwrap_or(usize::MAX))?
    } else {
        let drawn = hash(ctx)?.random_repeating()?;
        let count = count.unsigned_abs();
        if count > REPEATS_MAX && hash(ctx)?.random()?.is_some() {
            return Err(CommandError::new("ERR value is out of range"));
        }
        drawn.take(usize::try_from(count).unwrap_or(usize::MAX)).collect::<Result<_, _>>()?
    };
    match (with_values, ctx.resp3()) {
        (false, _) => ctx.reply.array(entries.len()),
        (true, false) => ctx.reply.array(2 * entries.len()),
        (true, true) => ctx.reply.array(entries.len()),
    }
    for (field, value) in &entries {
        if with_values && ctx.resp3() {
            ctx.reply.array(2);
        }
        ctx.reply.bulk(field);
        if with_values {
            ctx.reply.bulk(value);
        }
    }
    Ok(())
}

fn hscan(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let hash = hash(ctx)?;
    let cursor = keys::cursor(ctx.args.bytes(2)?)?;
    // Redis looks at the key before it looks at the options.
    if hash.is_empty()? {
        ctx.reply.array(2);
        ctx.reply.bulk(b"0");
        ctx.reply.array(0);
        return Ok(());
    }
    let (options, only_fields) = member_scan(ctx.args, Some("NOVALUES"))?;
    let page = hash.scan(cursor, &options)?;
    ctx.reply.array(2);
    ctx.reply.bulk(page.cursor.to_string().as_bytes());
    ctx.reply.array(page.entries.len() * if only_fields { 1 } else { 2 });
    for (field, value) in &page.entries {
        ctx.reply.bulk(field);
        if !only_fields {
            ctx.reply.bulk(value);
        }
    }
    Ok(())
}

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "HSET",
        arity: -4,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "2.0.0",
        complexity: "O(N), N the pairs",
        summary: "Gives fields their values",
        syntax: "key field value [field value ...]",
        subcommands: &[],
        run: hset,
    },
    CommandSpec {
        name: "HMSET",
        arity: -4,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "2.0.0",
        complexity: "O(N), N the pairs",
        summary: "Gives fields their values, and replies OK",
        syntax: "key field value [field value ...]",
        subcommands: &[],
        run: hmset,
    },
    CommandSpec {
        name: "HSETNX",
        arity: 4,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RW.insert())],
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Gives a field a value unless it is there",
        syntax: "key field value",
        subcommands: &[],
        run: hsetnx,
    },
    CommandSpec {
        name: "HGET",
        arity: 3,
        flags: Flags::READONLY.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Returns the value of a field",
        syntax: "key field",
        subcommands: &[],
        run: hget,
    },
    CommandSpec {
        name: "HMGET",
        arity: -3,
        flags: Flags::READONLY.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.0.0",
        complexity: "O(N), N the fields asked for",
        summary: "Returns the values of several fields",
        syntax: "key field [field ...]",
        subcommands: &[],
        run: hmget,
    },
    CommandSpec {
        name: "HGETALL",
        arity: 2,
        flags: Flags::READONLY,
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.0.0",
        complexity: "O(N), N the fields of the hash",
        summary: "Returns all fields and values",
        syntax: "key",
        subcommands: &[],
        run: hgetall,
    },
    CommandSpec {
        name: "HDEL",
        arity: -3,
        flags: Flags::WRITE.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RW.delete())],
        since: "2.0.0",
        complexity: "O(N), N the fields named",
        summary: "Takes fields out",
        syntax: "key field [field ...]",
        subcommands: &[],
        run: hdel,
    },
    CommandSpec {
        name: "HEXISTS",
        arity: 3,
        flags: Flags::READONLY.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RO)],
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Tells whether there is a field",
        syntax: "key field",
        subcommands: &[],
        run: hexists,
    },
    CommandSpec {
        name: "HLEN",
        arity: 2,
        flags: Flags::READONLY.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RO)],
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Returns how many fields there are",
        syntax: "key",
        subcommands: &[],
        run: hlen,
    },
    CommandSpec {
        name: "HKEYS",
        arity: 2,
        flags: Flags::READONLY,
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.0.0",
        complexity: "O(N), N the fields of the hash",
        summary: "Returns all fields",
        syntax: "key",
        subcommands: &[],
        run: hkeys,
    },
    CommandSpec {
        name: "HVALS",
        arity: 2,
        flags: Flags::READONLY,
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.0.0",
        complexity: "O(N), N the fields of the hash",
        summary: "Returns all values",
        syntax: "key",
        subcommands: &[],
        run: hvals,
    },
    CommandSpec {
        name: "HSTRLEN",
        arity: 3,
        flags: Flags::READONLY.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RO)],
        since: "3.2.0",
        complexity: "O(1)",
        summary: "Returns the length of a field's value",
        syntax: "key field",
        subcommands: &[],
        run: hstrlen,
    },
    CommandSpec {
        name: "HINCRBY",
        arity: 4,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RW.access().update())],
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Adds to an integer in a field",
        syntax: "key field increment",
        subcommands: &[],
        run: hincrby,
    },
    CommandSpec {
        name: "HINCRBYFLOAT",
        arity: 4,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RW.access().update())],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Adds to a number with a fraction in a field",
        syntax: "key field increment",
        subcommands: &[],
        run: hincrbyfloat,
    },
    CommandSpec {
        name: "HRANDFIELD",
        arity: -2,
        flags: Flags::READONLY,
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "6.2.0",
        complexity: "O(N), N the fields returned",
        summary: "Returns fields by chance",
        syntax: "key [count [WITHVALUES]]",
        subcommands: &[],
        run: hrandfield,
    },
    CommandSpec {
        name: "HSCAN",
        arity: -3,
        flags: Flags::READONLY,
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.8.0",
        complexity: "O(1) a call and O(N) for the whole walk, N the fields of the hash",
        summary: "Walks over the fields, a page a call",
        syntax: "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
        subcommands: &[],
        run: hscan,
    },
    CommandSpec {
        name: "HEXPIRE",
        arity: -6,
        flags: Flags::WRITE.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "7.4.0",
        complexity: "O(N), N the fields named",
        summary: "Lets fields expire after a while, in seconds",
        syntax: "key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        subcommands: &[],
        run: expiry::hexpire,
    },
    CommandSpec {
        name: "HPEXPIRE",
        arity: -6,
        flags: Flags::WRITE.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "7.4.0",
        complexity: "O(N), N the fields named",
        summary: "Lets fields expire after a while, in milliseconds",
        syntax: "key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        subcommands: &[],
        run: expiry::hpexpire,
    },
    CommandSpec {
        name: "HEXPIREAT",
        arity: -6,
        flags: Flags::WRITE.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "7.4.0",
        complexity: "O(N), N the fields named",
        summary: "Lets fields expire at a point in time, in seconds",
        syntax: "key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        subcommands: &[],
        run: expiry::hexpireat,
    },
    CommandSpec {
        name: "HPEXPIREAT",
        arity: -6,
        flags: Flags::WRITE.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "7.4.0",
        complexity: "O(N), N the fields named",
        summary: "Lets fields expire at a point in time, in milliseconds",
        syntax: "key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        subcommands: &[],
        run: expiry::hpexpireat,
    },
    CommandSpec {
        name: "HTTL",
        arity: -5,
        flags: Flags::READONLY.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "7.4.0",
        complexity: "O(N), N the fields named",
        summary: "Returns how many seconds fields will live",
        syntax: "key FIELDS numfields field [field ...]",
        subcommands: &[],
        run: expiry::httl,
    },
    CommandSpec {
        name: "HPTTL",
        arity: -5,
        flags: Flags::READONLY.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "7.4.0",
        complexity: "O(N), N the fields named",
        summary: "Returns how many milliseconds fields will live",
        syntax: "key FIELDS numfields field [field ...]",
        subcommands: &[],
        run: expiry::hpttl,
    },
    CommandSpec {
        name: "HEXPIRETIME",
        arity: -5,
        flags: Flags::READONLY.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "7.4.0",
        complexity: "O(N), N the fields named",
        summary: "Returns when fields expire, in seconds",
        syntax: "key FIELDS numfields field [field ...]",
        subcommands: &[],
        run: expiry::hexpiretime,
    },
    CommandSpec {
        name: "HPEXPIRETIME",
        arity: -5,
        flags: Flags::READONLY.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "7.4.0",
        complexity: "O(N), N the fields named",
        summary: "Returns when fields expire, in milliseconds",
        syntax: "key FIELDS numfields field [field ...]",
        subcommands: &[],
        run: expiry::hpexpiretime,
    },
    CommandSpec {
        name: "HPERSIST",
        arity: -5,
        flags: Flags::WRITE.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "7.4.0",
        complexity: "O(N), N the fields named",
        summary: "Takes the deadlines of fields away",
        syntax: "key FIELDS numfields field [field ...]",
        subcommands: &[],
        run: expiry::hpersist,
    },
    CommandSpec {
        name: "HGETEX",
        arity: -5,
        flags: Flags::WRITE.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RW.access().update())],
        since: "8.0.0",
        complexity: "O(N), N the fields named",
        summary: "Returns values and changes when their fields expire",
        syntax: "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] FIELDS numfields field [field ...]",
        subcommands: &[],
        run: expiry::hgetex,
    },
    CommandSpec {
        name: "HSETEX",
        arity: -6,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RW.insert())],
        since: "8.0.0",
        complexity: "O(N), N the fields named",
        summary: "Gives fields values and a deadline, under a condition",
        syntax: "key [NX | XX] [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] FIELDS numfields field value [field value ...]",
        subcommands: &[],
        run: expiry::hsetex,
    },
    CommandSpec {
        name: "HGETDEL",
        arity: -5,
        flags: Flags::WRITE.fast(),
        categories: Categories::HASH,
        keys: &[KeySpec::first(KeyFlags::RW.access().delete())],
        since: "8.0.0",
        complexity: "O(N), N the fields named",
        summary: "Takes fields out and returns their values",
        syntax: "key FIELDS numfields field [field ...]",
        subcommands: &[],
        run: expiry::hgetdel,
    },
];
