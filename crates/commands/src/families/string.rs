//! Strings: values, counters, parts of values.

mod options;

use larder::{LENGTH_BYTES_MAX, OpError, SetOptions, SetOutcome};
use options::{Expiry, Form, Options};

use crate::args::{Args, parse_integer};
use crate::error::CommandError;
use crate::keyspec::{FindKeys, KeyFlags, KeySpec, KeyUse};
use crate::spec::{Categories, CommandSpec, Context, Flags};

/// An expiry that the engine refuses is named after the command.
fn refused(name: &str) -> impl Fn(OpError) -> CommandError + '_ {
    move |error| match error {
        OpError::InvalidExpiry => CommandError::invalid_expire(name),
        other => other.into(),
    }
}

fn get(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let value = ctx.engine.get(ctx.args.bytes(1)?)?;
    ctx.reply.bulk_or_null(value.as_deref());
    Ok(())
}

fn set(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (key, value) = (ctx.args.bytes(1)?, ctx.args.bytes(2)?);
    if ctx.args.len() == 3 {
        ctx.engine.set(key, value)?;
        ctx.ok();
        return Ok(());
    }
    let parsed = Options::parse(ctx.args, 3, Form::Set)?;
    let options = parsed.build(ctx, "set")?;
    let outcome = ctx.engine.set_with(key, value, options).map_err(refused("set"))?;
    match outcome {
        SetOutcome::Stored { old } | SetOutcome::Refused { old } if parsed.get => {
            ctx.reply.bulk_or_null(old.as_deref());
        }
        SetOutcome::Stored { .. } => ctx.ok(),
        SetOutcome::Refused { .. } => ctx.reply.null(),
    }
    Ok(())
}

/// SET's use of its key depends on GET.
fn set_keys(args: Args<'_>) -> Option<Vec<KeyUse>> {
    let reads = (3..args.len()).any(|at| args.is(at, "GET"));
    let flags = if reads { KeyFlags::RW.access().update() } else { KeyFlags::OW.update() };
    Some(vec![KeyUse { index: 1, flags }])
}

fn setnx(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let stored = ctx.engine.set_if_absent(ctx.args.bytes(1)?, ctx.args.bytes(2)?)?;
    ctx.reply.integer(i64::from(stored));
    Ok(())
}

fn set_with_span(ctx: &mut Context<'_>, name: &str, seconds: bool) -> Result<(), CommandError> {
    let (key, value) = (ctx.args.bytes(1)?, ctx.args.bytes(3)?);
    let span = Expiry::span(ctx.args.bytes(2)?, seconds);
    let options = span.apply(ctx, name, SetOptions::new())?;
    ctx.engine.set_with(key, value, options).map_err(refused(name))?;
    ctx.ok();
    Ok(())
}

fn setex(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    set_with_span(ctx, "setex", true)
}

fn psetex(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    set_with_span(ctx, "psetex", false)
}

fn getset(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let old = ctx.engine.get_set(ctx.args.bytes(1)?, ctx.args.bytes(2)?)?;
    ctx.reply.bulk_or_null(old.as_deref());
    Ok(())
}

fn getdel(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let old = ctx.engine.get_del(ctx.args.bytes(1)?)?;
    ctx.reply.bulk_or_null(old.as_deref());
    Ok(())
}

fn getex(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let key = ctx.args.bytes(1)?;
    let parsed = Options::parse(ctx.args, 2, Form::GetEx)?;
    let value = match parsed.build(ctx, "getex") {
        Ok(options) => ctx.engine.get_ex(key, options).map_err(refused("getex"))?,
        // An absent key is told before a wrong expiry, and so is one of a wrong type.
        Err(refusal) => match ctx.engine.get(key)? {
            Some(_) => return Err(refusal),
            None => None,
        },
    };
    ctx.reply.bulk_or_null(value.as_deref());
    Ok(())
}

fn mget(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let values = ctx.engine.get_many(ctx.args.from(1))?;
    ctx.reply.array(values.len());
    for value in &values {
        ctx.reply.bulk_or_null(value.as_deref());
    }
    Ok(())
}

/// Keys and values in turn.
fn pairs<'a>(words: &[&'a [u8]]) -> Option<Vec<(&'a [u8], &'a [u8])>> {
    words.chunks(2).map(|pair| if let [key, value] = pair { Some((*key, *value)) } else { None }).collect()
}

fn mset(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let pairs = pairs(ctx.args.from(1)).ok_or_else(|| CommandError::wrong_arity("mset"))?;
    ctx.engine.set_many(&pairs)?;
    ctx.ok();
    Ok(())
}

fn msetnx(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let pairs = pairs(ctx.args.from(1)).ok_or_else(|| CommandError::wrong_arity("msetnx"))?;
    let stored = ctx.engine.set_many_if_absent(&pairs)?;
    ctx.reply.integer(i64::from(stored));
    Ok(())
}

fn msetex(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let count = parse_integer(ctx.args.bytes(1)?)
        .filter(|count| (1..=i64::from(i32::MAX)).contains(count))
        .and_then(|count| usize::try_from(count).ok())
        .ok_or_else(|| CommandError::new("ERR invalid numkeys value or out of range"))?;
    let words = ctx.args.from(2).get(..count.saturating_mul(2)).ok_or_else(CommandError::syntax)?;
    let pairs = pairs(words).ok_or_else(CommandError::syntax)?;
    let parsed = Options::parse(ctx.args, 2 + words.len(), Form::MSetEx)?;
    let options = parsed.build(ctx, "msetex")?;
    let stored = ctx.engine.set_many_with(&pairs, &options).map_err(refused("msetex"))?;
    ctx.reply.integer(i64::from(stored));
    Ok(())
}

fn incr(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let sum = ctx.engine.incr(ctx.args.bytes(1)?)?;
    ctx.reply.integer(sum);
    Ok(())
}

fn decr(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let sum = ctx.engine.decr(ctx.args.bytes(1)?)?;
    ctx.reply.integer(sum);
    Ok(())
}

fn incrby(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let sum = ctx.engine.incr_by(ctx.args.bytes(1)?, ctx.args.int(2)?)?;
    ctx.reply.integer(sum);
    Ok(())
}

fn decrby(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let by = ctx.args.int(2)?;
    let by = by.checked_neg().ok_or_else(|| CommandError::new("ERR decrement would overflow"))?;
    let sum = ctx.engine.incr_by(ctx.args.bytes(1)?, by)?;
    ctx.reply.integer(sum);
    Ok(())
}

fn incrbyfloat(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let sum =
        ctx.engine.incr_by_float(ctx.args.bytes(1)?, ctx.args.bytes(2)?).map_err(|error| match error {
            OpError::Overflow => CommandError::new("ERR increment would produce NaN or Infinity"),
            other => other.into(),
        })?;
    ctx.reply.bulk(&sum);
    Ok(())
}

fn append(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let bytes = ctx.engine.append(ctx.args.bytes(1)?, ctx.args.bytes(2)?)?;
    ctx.reply.count(bytes);
    Ok(())
}

fn strlen(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let bytes = ctx.engine.strlen(ctx.args.bytes(1)?)?;
    ctx.reply.count(bytes);
    Ok(())
}

fn getrange(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (start, end) = (ctx.args.int(2)?, ctx.args.int(3)?);
    let part = ctx.engine.get_range(ctx.args.bytes(1)?, start, end)?;
    ctx.reply.bulk(&part);
    Ok(())
}

fn setrange(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (key, value) = (ctx.args.bytes(1)?, ctx.args.bytes(3)?);
    let offset = ctx.args.int(2)?;
    let offset = u64::try_from(offset).map_err(|_| OpError::OutOfRange { offset })?;
    let bytes = match ctx.engine.set_range(key, offset, value) {
        // A wrong type is told before a length that is too large.
        Err(error @ OpError::ValueTooLong { .. }) => {
            ctx.engine.strlen(key)?;
            return Err(error.into());
        }
        other => other?,
    };
    ctx.reply.count(bytes);
    Ok(())
}

/// The options of LCS.
#[derive(Debug, Default)]
struct LcsOptions {
    length: bool,
    indexes: bool,
    with_lengths: bool,
    bytes_min: usize,
}

impl LcsOptions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut at = 3;
        while at < args.len() {
            if args.is(at, "IDX") {
                options.indexes = true;
            } else if args.is(at, "LEN") {
                options.length = true;
            } else if args.is(at, "WITHMATCHLEN") {
                options.with_lengths = true;
            } else if args.is(at, "MINMATCHLEN") && at + 1 < args.len() {
                at += 1;
                options.bytes_min = usize::try_from(args.int(at)?.max(0)).unwrap_or(usize::MAX);
            } else {
                return Err(CommandError::syntax());
            }
            at += 1;
        }
        if options.indexes && options.length {
            let text = "ERR If you want both the length and indexes, please just use IDX.";
            return Err(CommandError::new(text));
        }
        Ok(options)
    }
}

/// Redis's table for LCS has a number of four bytes for every pair of prefixes, and may not be larger than a string.
fn lcs_fits(lengths: [u64; 2]) -> bool {
    let [a, b] = lengths.map(|bytes| u128::from(bytes) + 1);
    a * b * 4 <= LENGTH_BYTES_MAX as u128
}

fn lcs_refused(error: OpError) -> CommandError {
    match error {
        OpError::WrongType { .. } => CommandError::new("ERR The specified keys must contain string values"),
        OpError::InvalidArgument(_) => {
            CommandError::new("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
        }
        other => other.into(),
    }
}

fn lcs(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (a, b) = (ctx.args.bytes(1)?, ctx.args.bytes(2)?);
    // Wrong types are told before wrong options.
    let lengths = [ctx.engine.strlen(a).map_err(lcs_refused)?, ctx.engine.strlen(b).map_err(lcs_refused)?];
    let options = LcsOptions::parse(ctx.args)?;
    if !lcs_fits(lengths) {
        return Err(lcs_refused(OpError::InvalidArgument("too long")));
    }
    if options.indexes {
        let found = ctx.engine.lcs_runs(a, b, options.bytes_min).map_err(lcs_refused)?;
        return lcs_runs(ctx, &found, options.with_lengths);
    }
    if options.length {
        let bytes = ctx.engine.lcs_len(a, b).map_err(lcs_refused)?;
        ctx.reply.count(bytes);
    } else {
        let common = ctx.engine.lcs(a, b).map_err(lcs_refused)?;
        ctx.reply.bulk(&common);
    }
    Ok(())
}

fn lcs_runs(
    ctx: &mut Context<'_>,
    found: &larder::CommonSubsequence,
    with_lengths: bool,
) -> Result<(), CommandError> {
    ctx.reply.map(2);
    ctx.reply.bulk(b"matches");
    ctx.reply.array(found.runs.len());
    for run in &found.runs {
        ctx.reply.array(if with_lengths { 3 } else { 2 });
        for (start, end) in [run.first, run.second] {
            ctx.reply.array(2);
            ctx.reply.count(start as u64);
            ctx.reply.count(end as u64);
        }
        if with_lengths {
            ctx.reply.count(run.bytes as u64);
        }
    }
    ctx.reply.bulk(b"len");
    ctx.reply.count(found.bytes as u64);
    Ok(())
}

fn delifeq(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let removed = ctx.engine.remove_if_equal(ctx.args.bytes(1)?, ctx.args.bytes(2)?)?;
    ctx.reply.integer(i64::from(removed));
    Ok(())
}

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "APPEND",
        arity: 3,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RW.insert())],
        since: "2.0.0",
        complexity: "O(1). The amortized time complexity is O(1) assuming the appended value is small and the already present value is of any size, since the dynamic string library used by Redis will double the free space available on every reallocation",
        summary: "Appends bytes to a value, making it where there is none",
        syntax: "key value",
        subcommands: &[],
        run: append,
    },
    CommandSpec {
        name: "DECR",
        arity: 2,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RW.access().update())],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Takes one off a counter",
        syntax: "key",
        subcommands: &[],
        run: decr,
    },
    CommandSpec {
        name: "DECRBY",
        arity: 3,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RW.access().update())],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Takes a number off a counter",
        syntax: "key decrement",
        subcommands: &[],
        run: decrby,
    },
    CommandSpec {
        name: "DELIFEQ",
        arity: 3,
        flags: Flags::WRITE.fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RM.delete())],
        since: "9.0.0",
        complexity: "O(1)",
        summary: "Deletes a key if its value is this one",
        syntax: "key value",
        subcommands: &[],
        run: delifeq,
    },
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
        name: "GETDEL",
        arity: 2,
        flags: Flags::WRITE.fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RW.access().delete())],
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Returns the value of a key and deletes the key",
        syntax: "key",
        subcommands: &[],
        run: getdel,
    },
    CommandSpec {
        name: "GETEX",
        arity: -2,
        flags: Flags::WRITE.fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RW.access().update())],
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Returns the value of a key and changes its expiry",
        syntax: "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
        subcommands: &[],
        run: getex,
    },
    CommandSpec {
        name: "GETRANGE",
        arity: 4,
        flags: Flags::READONLY,
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.4.0",
        complexity: "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings",
        summary: "Returns part of a value",
        syntax: "key start end",
        subcommands: &[],
        run: getrange,
    },
    CommandSpec {
        name: "GETSET",
        arity: 3,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RW.access().update())],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Stores a value and returns the one that was there",
        syntax: "key value",
        subcommands: &[],
        run: getset,
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
        name: "INCRBY",
        arity: 3,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RW.access().update())],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Adds a number to a counter",
        syntax: "key increment",
        subcommands: &[],
        run: incrby,
    },
    CommandSpec {
        name: "INCRBYFLOAT",
        arity: 3,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RW.access().update())],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Adds a number with a fraction to a value",
        syntax: "key increment",
        subcommands: &[],
        run: incrbyfloat,
    },
    CommandSpec {
        name: "LCS",
        arity: -3,
        flags: Flags::READONLY,
        categories: Categories::STRING,
        keys: &[KeySpec::range(1, 1, 1, KeyFlags::RO.access())],
        since: "7.0.0",
        complexity: "O(N*M) where N and M are the lengths of the values",
        summary: "Finds the longest common subsequence of two values",
        syntax: "key key [LEN] [IDX] [MINMATCHLEN min] [WITHMATCHLEN]",
        subcommands: &[],
        run: lcs,
    },
    CommandSpec {
        name: "MGET",
        arity: -2,
        flags: Flags::READONLY.fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO.access())],
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys to retrieve",
        summary: "Returns the values of many keys",
        syntax: "key [key ...]",
        subcommands: &[],
        run: mget,
    },
    CommandSpec {
        name: "MSET",
        arity: -3,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::STRING,
        keys: &[KeySpec::range(1, -1, 2, KeyFlags::OW.update())],
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys to set",
        summary: "Stores many values at once",
        syntax: "key value [key value ...]",
        subcommands: &[],
        run: mset,
    },
    CommandSpec {
        name: "MSETEX",
        arity: -4,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::STRING,
        keys: &[KeySpec::at(1, KeyFlags::OW.update()).find(FindKeys::KeyNum { index: 0, first: 1, step: 2 })],
        since: "8.4.0",
        complexity: "O(N) where N is the number of keys",
        summary: "Stores many values with one expiry, under one condition",
        syntax: "numkeys key value [key value ...] [NX | XX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
        subcommands: &[],
        run: msetex,
    },
    CommandSpec {
        name: "MSETNX",
        arity: -3,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::STRING,
        keys: &[KeySpec::range(1, -1, 2, KeyFlags::OW.insert())],
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys to set",
        summary: "Stores many values if none of the keys exists",
        syntax: "key value [key value ...]",
        subcommands: &[],
        run: msetnx,
    },
    CommandSpec {
        name: "PSETEX",
        arity: 4,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::OW.update())],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Stores a value that expires after some milliseconds",
        syntax: "key milliseconds value",
        subcommands: &[],
        run: psetex,
    },
    CommandSpec {
        name: "SET",
        arity: -3,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RW.access().update().variable_flags()).resolved_by(set_keys)],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Stores a value, with conditions and an expiry",
        syntax: "key value [NX | XX | IFEQ value | IFNE value] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
        subcommands: &[],
        run: set,
    },
    CommandSpec {
        name: "SETEX",
        arity: 4,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::OW.update())],
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Stores a value that expires after some seconds",
        syntax: "key seconds value",
        subcommands: &[],
        run: setex,
    },
    CommandSpec {
        name: "SETNX",
        arity: 3,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::OW.insert())],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Stores a value if the key does not exist",
        syntax: "key value",
        subcommands: &[],
        run: setnx,
    },
    CommandSpec {
        name: "SETRANGE",
        arity: 4,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "2.2.0",
        complexity: "O(1), not counting the time taken to copy the new string in place. Usually, this string is very small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the length of the value argument",
        summary: "Overwrites part of a value",
        syntax: "key offset value",
        subcommands: &[],
        run: setrange,
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
        name: "SUBSTR",
        arity: 4,
        flags: Flags::READONLY,
        categories: Categories::STRING,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "1.0.0",
        complexity: "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings",
        summary: "Returns part of a value (GETRANGE by its old name)",
        syntax: "key start end",
        subcommands: &[],
        run: getrange,
    },
];
