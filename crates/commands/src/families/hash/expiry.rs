//! Commands about the deadlines of fields.
//!
//! The order of the checks is Valkey's: the word FIELDS is looked for first, then what precedes it is read, then the
//! number of fields, then the key, and the text of an expiry comes last.

use std::time::Duration;

use larder::{Expiry, FieldExpiry, FieldPersist, FieldSetOptions, FieldTtl, OpError, Ttl, UnixMillis};

use super::{hash, in_pairs, reply_values};
use crate::args::{Args, parse_integer};
use crate::error::CommandError;
use crate::families::expiry::condition;
use crate::spec::Context;

/// How a command gives a time.
#[derive(Debug, Clone, Copy)]
struct Form {
    name: &'static str,
    seconds: bool,
    absolute: bool,
}

/// The words that announce an expiry: the word, in seconds, absolute.
const EXPIRY_WORDS: [(&str, bool, bool); 4] =
    [("EX", true, false), ("PX", false, false), ("EXAT", true, true), ("PXAT", false, true)];

fn wrong_count() -> CommandError {
    CommandError::new("ERR numfields should be greater than 0 and match the provided number of fields")
}

/// Where the word FIELDS stands, from `from` on; the last word cannot be it.
fn fields_at(args: Args<'_>, from: usize) -> Result<usize, CommandError> {
    (from..args.len().saturating_sub(1)).find(|&at| args.is(at, "FIELDS")).ok_or_else(wrong_count)
}

/// The words behind `FIELDS numfields`, of which each field takes `width`.
fn fields_from<'a>(args: Args<'a>, at: usize, width: usize) -> Result<&'a [&'a [u8]], CommandError> {
    let count = args.int(at + 1)?;
    let words = args.from(at + 2);
    let fits = count > 0
        && usize::try_from(count).ok().and_then(|count| count.checked_mul(width)) == Some(words.len());
    if fits { Ok(words) } else { Err(wrong_count()) }
}

/// The words behind `FIELDS numfields` where FIELDS must be the third word.
fn only_fields<'a>(args: Args<'a>) -> Result<&'a [&'a [u8]], CommandError> {
    if !args.is(2, "FIELDS") {
        return Err(CommandError::syntax());
    }
    fields_from(args, 2, 1)
}

/// Reads a time that may not be negative.
fn expiry(text: &[u8], form: Form) -> Result<Expiry, CommandError> {
    let number = parse_integer(text).ok_or_else(CommandError::not_an_integer)?;
    let refused = || CommandError::invalid_expire(form.name);
    let factor = if form.seconds { 1_000 } else { 1 };
    let milliseconds = number.checked_mul(factor).ok_or_else(refused)?;
    let milliseconds = u64::try_from(milliseconds).map_err(|_| refused())?;
    Ok(if form.absolute {
        Expiry::At(UnixMillis(milliseconds))
    } else {
        Expiry::After(Duration::from_millis(milliseconds))
    })
}

/// A time that is too late is named after the command.
fn refused(error: OpError, name: &str) -> CommandError {
    match error {
        OpError::InvalidExpiry => CommandError::invalid_expire(name),
        other => other.into(),
    }
}

fn set_deadlines(ctx: &mut Context<'_>, form: Form) -> Result<(), CommandError> {
    let at = fields_at(ctx.args, 3)?;
    let condition = condition(ctx.args, 3..at)?;
    let fields = fields_from(ctx.args, at, 1)?;
    let expiry = expiry(ctx.args.bytes(2)?, form)?;
    let told = hash(ctx)?.expire(fields.iter().copied(), expiry, condition);
    let told = told.map_err(|error| refused(error, form.name))?;
    ctx.reply.array(told.len());
    for told in told {
        ctx.reply.integer(match told {
            FieldExpiry::Unmet => 0,
            FieldExpiry::Set => 1,
            FieldExpiry::Deleted => 2,
            _ => -2,
        });
    }
    Ok(())
}

pub(super) fn hexpire(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    set_deadlines(ctx, Form { name: "hexpire", seconds: true, absolute: false })
}

pub(super) fn hpexpire(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    set_deadlines(ctx, Form { name: "hpexpire", seconds: false, absolute: false })
}

pub(super) fn hexpireat(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    set_deadlines(ctx, Form { name: "hexpireat", seconds: true, absolute: true })
}

pub(super) fn hpexpireat(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    set_deadlines(ctx, Form { name: "hpexpireat", seconds: false, absolute: true })
}

/// The fields of HTTL and its kin, which call every fault a syntax error but a count that is no number.
fn asked_fields<'a>(args: Args<'a>) -> Result<&'a [&'a [u8]], CommandError> {
    if !args.is(2, "FIELDS") {
        return Err(CommandError::syntax());
    }
    args.int(3)?;
    fields_from(args, 2, 1).map_err(|_| CommandError::syntax())
}

/// Milliseconds, or seconds rounded to the nearest.
fn shown(milliseconds: u64, seconds: bool) -> i64 {
    let shown = if seconds { milliseconds.saturating_add(500) / 1_000 } else { milliseconds };
    i64::try_from(shown).unwrap_or(i64::MAX)
}

fn remaining(ctx: &mut Context<'_>, seconds: bool) -> Result<(), CommandError> {
    let ttls = hash(ctx)?.ttls(asked_fields(ctx.args)?.iter().copied())?;
    ctx.reply.array(ttls.len());
    for ttl in ttls {
        ctx.reply.integer(match ttl {
            Ttl::Absent => -2,
            Ttl::Never => -1,
            Ttl::After(span) => shown(u64::try_from(span.as_millis()).unwrap_or(u64::MAX), seconds),
        });
    }
    Ok(())
}

pub(super) fn httl(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    remaining(ctx, true)
}

pub(super) fn hpttl(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    remaining(ctx, false)
}

fn deadlines(ctx: &mut Context<'_>, seconds: bool) -> Result<(), CommandError> {
    let times = hash(ctx)?.expire_times(asked_fields(ctx.args)?.iter().copied())?;
    ctx.reply.array(times.len());
    for time in times {
        ctx.reply.integer(match time {
            None => -2,
            Some(None) => -1,
            Some(Some(at)) => shown(at.0, seconds),
        });
    }
    Ok(())
}

pub(super) fn hexpiretime(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    deadlines(ctx, true)
}

pub(super) fn hpexpiretime(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    deadlines(ctx, false)
}

pub(super) fn hpersist(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let told = hash(ctx)?.persist(only_fields(ctx.args)?.iter().copied())?;
    ctx.reply.array(told.len());
    for told in told {
        ctx.reply.integer(match told {
            FieldPersist::Persisted => 1,
            FieldPersist::NoDeadline => -1,
            _ => -2,
        });
    }
    Ok(())
}

pub(super) fn hgetdel(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let values = hash(ctx)?.take_many(only_fields(ctx.args)?.iter().copied())?;
    reply_values(ctx, &values);
    Ok(())
}

/// What stands between the key and FIELDS; the text of the expiry is read later.
#[derive(Debug, Clone, Copy, Default)]
struct Options<'a> {
    expiry: Option<(usize, &'a [u8])>,
    persist: bool,
    keep_ttl: bool,
    key_absent: bool,
    key_present: bool,
    none_exists: bool,
    all_exist: bool,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>, end: usize, is_set: bool) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut at = 2;
        while at < end {
            at = options.read(args, at, end, is_set)?;
        }
        let exclusive = [options.expiry.is_some(), options.persist, options.keep_ttl];
        let clash = exclusive.iter().filter(|&&given| given).count() > 1
            || (options.key_absent && options.key_present)
            || (options.none_exists && options.all_exist);
        if clash { Err(CommandError::syntax()) } else { Ok(options) }
    }

    /// Reads the option at `at`; tells where the next one is.
    fn read(&mut self, args: Args<'a>, at: usize, end: usize, is_set: bool) -> Result<usize, CommandError> {
        let words: [(&str, bool, &mut bool); 6] = [
            ("PERSIST", !is_set, &mut self.persist),
            ("KEEPTTL", is_set, &mut self.keep_ttl),
            ("NX", is_set, &mut self.key_absent),
            ("XX", is_set, &mut self.key_present),
            ("FNX", is_set, &mut self.none_exists),
            ("FXX", is_set, &mut self.all_exist),
        ];
        for (word, known, given) in words {
            if known && args.is(at, word) {
                *given = true;
                return Ok(at + 1);
            }
        }
        let word = EXPIRY_WORDS.iter().position(|(word, ..)| args.is(at, word));
        let word =
            word.filter(|&word| at + 1 < end && self.expiry.is_none_or(|(earlier, _)| earlier == word));
        self.expiry = Some((word.ok_or_else(CommandError::syntax)?, args.bytes(at + 1)?));
        Ok(at + 2)
    }

    fn expiry(&self, name: &'static str) -> Result<Option<Expiry>, CommandError> {
        let Some((word, text)) = self.expiry else { return Ok(None) };
        let (_, seconds, absolute) = EXPIRY_WORDS.get(word).copied().unwrap_or(("", false, false));
        expiry(text, Form { name, seconds, absolute }).map(Some)
    }
}

pub(super) fn hgetex(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let at = fields_at(ctx.args, 2)?;
    let options = Options::parse(ctx.args, at, false)?;
    let fields = fields_from(ctx.args, at, 1)?;
    let hash = hash(ctx)?;
    // The type of the key is told before a wrong expiry.
    hash.is_empty()?;
    let ttl = match options.expiry("hgetex")? {
        Some(expiry) => FieldTtl::Expire(expiry),
        None if options.persist => FieldTtl::Never,
        None => FieldTtl::Keep,
    };
    let values =
        hash.get_and_expire(fields.iter().copied(), ttl).map_err(|error| refused(error, "hgetex"))?;
    reply_values(ctx, &values);
    Ok(())
}

pub(super) fn hsetex(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let at = fields_at(ctx.args, 2)?;
    let options = Options::parse(ctx.args, at, true)?;
    let pairs = fields_from(ctx.args, at, 2)?;
    let hash = hash(ctx)?;
    // The type of the key, and whether there must be one, are told before a wrong expiry.
    let absent = hash.is_empty()?;
    if if absent { options.key_present } else { options.key_absent } {
        ctx.reply.integer(0);
        return Ok(());
    }
    let mut how = FieldSetOptions::new();
    for (given, with) in [
        (options.keep_ttl, FieldSetOptions::keep_ttl as fn(FieldSetOptions) -> FieldSetOptions),
        (options.key_absent, FieldSetOptions::if_key_absent),
        (options.key_present, FieldSetOptions::if_key_present),
        (options.none_exists, FieldSetOptions::if_none_exists),
        (options.all_exist, FieldSetOptions::if_all_exist),
    ] {
        how = if given { with(how) } else { how };
    }
    if let Some(expiry) = options.expiry("hsetex")? {
        how = how.expire(expiry);
    }
    let stored = hash.set_with(in_pairs(pairs), how).map_err(|error| refused(error, "hsetex"))?;
    ctx.reply.integer(i64::from(stored));
    Ok(())
}
