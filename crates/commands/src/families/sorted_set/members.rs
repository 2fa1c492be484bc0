//! By member: adding, removing, scores, ranks; pops and random members.

use bytes::Bytes;
use larder::{Added, Encoding, ScanOptions, ScoreEnd, ZAddOptions};

use super::{entries, nested, wrong_type};
use crate::args::Args;
use crate::error::CommandError;
use crate::families::keys::cursor;
use crate::families::list::owned;
use crate::reply::{ReplySink, format_double};
use crate::spec::Context;

/// How many members ZRANDMEMBER draws at most, since they are all drawn before the reply begins.
const DRAWS_MAX: u64 = 1 << 24;

/// The options of ZADD.
#[derive(Default)]
struct AddWords {
    absent: bool,
    present: bool,
    greater: bool,
    less: bool,
    changed: bool,
    increment: bool,
}

impl AddWords {
    /// Reads the options, and tells where the scores begin.
    fn parse(args: Args<'_>) -> (Self, usize) {
        let mut words = Self::default();
        let mut at = 2;
        loop {
            let word = match args.get(at).map(<[u8]>::to_ascii_uppercase).as_deref() {
                Some(b"NX") => &mut words.absent,
                Some(b"XX") => &mut words.present,
                Some(b"GT") => &mut words.greater,
                Some(b"LT") => &mut words.less,
                Some(b"CH") => &mut words.changed,
                Some(b"INCR") => &mut words.increment,
                _ => return (words, at),
            };
            *word = true;
            at += 1;
        }
    }

    fn check(&self, pairs: usize) -> Result<ZAddOptions, CommandError> {
        if self.absent && self.present {
            return Err(CommandError::new("ERR XX and NX options at the same time are not compatible"));
        }
        if (self.greater && (self.absent || self.less)) || (self.less && self.absent) {
            return Err(CommandError::new(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if self.increment && pairs > 1 {
            return Err(CommandError::new("ERR INCR option supports a single increment-element pair"));
        }
        let mut options = ZAddOptions::new();
        if self.absent {
            options = options.if_absent();
        }
        if self.present {
            options = options.if_present();
        }
        if self.greater {
            options = options.if_greater();
        }
        if self.less {
            options = options.if_less();
        }
        Ok(options)
    }
}

pub(super) fn zadd(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    let (words, first) = AddWords::parse(args);
    let rest = args.from(first);
    if rest.is_empty() || rest.len() % 2 != 0 {
        return Err(CommandError::syntax());
    }
    let options = words.check(rest.len() / 2)?;
    let mut pairs = Vec::with_capacity(rest.len() / 2);
    for at in (first..args.len()).step_by(2) {
        pairs.push((args.bytes(at + 1)?, args.float(at)?));
    }
    let set = ctx.engine.sorted_set::<Bytes>(args.bytes(1)?);
    if let (true, Some(&(member, by))) = (words.increment, pairs.first()) {
        match set.increment_with(member, by, options)? {
            Some(score) => ctx.reply.double(score),
            None => ctx.reply.null(),
        }
        return Ok(());
    }
    let count = match pairs.as_slice() {
        [(member, score)] => match set.add_with(*member, *score, options)? {
            Added::Inserted => 1,
            Added::Updated => u64::from(words.changed),
            Added::Unchanged | Added::Refused => 0,
        },
        _ => {
            let count = set.add_all(pairs, options)?;
            count.inserted + if words.changed { count.updated } else { 0 }
        }
    };
    ctx.reply.count(count);
    Ok(())
}

pub(super) fn zincrby(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    // To Redis this is a ZADD, which takes such a word for an option and then misses the pair.
    if ["NX", "XX", "GT", "LT", "CH", "INCR"].iter().any(|option| ctx.args.is(2, option)) {
        return Err(CommandError::syntax());
    }
    let (by, member) = (ctx.args.float(2)?, ctx.args.bytes(3)?);
    let score = ctx.engine.sorted_set::<Bytes>(ctx.args.bytes(1)?).increment(member, by)?;
    ctx.reply.double(score);
    Ok(())
}

pub(super) fn zrem(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let members = ctx.args.from(2).iter().copied();
    let removed = ctx.engine.sorted_set::<Bytes>(ctx.args.bytes(1)?).remove_all(members)?;
    ctx.reply.count(removed);
    Ok(())
}

pub(super) fn zcard(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let len = ctx.engine.sorted_set::<Bytes>(ctx.args.bytes(1)?).len()?;
    ctx.reply.count(len);
    Ok(())
}

pub(super) fn zscore(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let score = ctx.engine.sorted_set::<Bytes>(ctx.args.bytes(1)?).score(ctx.args.bytes(2)?)?;
    match score {
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.null(),
    }
    Ok(())
}

pub(super) fn zmscore(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let members = ctx.args.from(2).iter().copied();
    let scores = ctx.engine.sorted_set::<Bytes>(ctx.args.bytes(1)?).scores(members)?;
    ctx.reply.array(scores.len());
    for score in scores {
        match score {
            Some(score) => ctx.reply.double(score),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

pub(super) fn zrank(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    rank(ctx, false)
}

pub(super) fn zrevrank(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    rank(ctx, true)
}

fn rank(ctx: &mut Context<'_>, reverse: bool) -> Result<(), CommandError> {
    let args = ctx.args;
    let with_score = args.is(3, "WITHSCORE");
    if args.len() > 4 {
        return Err(CommandError::wrong_arity(if reverse { "zrevrank" } else { "zrank" }));
    }
    if args.len() == 4 && !with_score {
        return Err(CommandError::syntax());
    }
    let set = ctx.engine.sorted_set::<Bytes>(args.bytes(1)?);
    let member = args.bytes(2)?;
    let found = if reverse { set.rev_rank_and_score(member)? } else { set.rank_and_score(member)? };
    match (found, with_score) {
        (Some((rank, _)), false) => ctx.reply.count(rank),
        (Some((rank, score)), true) => {
            ctx.reply.array(2);
            ctx.reply.count(rank);
            ctx.reply.double(score);
        }
        (None, false) => ctx.reply.null(),
        (None, true) => ctx.reply.null_array(),
    }
    Ok(())
}

/// A word as an integer of at least `min`; what is none, or less, is refused with `text`.
fn at_least(args: Args<'_>, at: usize, min: u64, text: &'static str) -> Result<u64, CommandError> {
    let number = args.int(at).ok().and_then(|number| u64::try_from(number).ok());
    number.filter(|&number| number >= min).ok_or_else(|| CommandError::new(text))
}

pub(super) fn zpopmin(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    pop(ctx, ScoreEnd::Lowest)
}

pub(super) fn zpopmax(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    pop(ctx, ScoreEnd::Highest)
}

fn pop(ctx: &mut Context<'_>, end: ScoreEnd) -> Result<(), CommandError> {
    let args = ctx.args;
    if args.len() > 3 {
        return Err(CommandError::syntax());
    }
    let counted = args.len() == 3;
    let count =
        if counted { at_least(args, 2, 0, "ERR value is out of range, must be positive")? } else { 1 };
    let popped = ctx.engine.sorted_set::<Bytes>(args.bytes(1)?).pop(end, count)?;
    if counted || popped.is_empty() {
        entries(ctx, &popped, true);
        return Ok(());
    }
    // One member without a count is a flat pair in both protocols.
    ctx.reply.array(2);
    for (member, score) in &popped {
        ctx.reply.bulk(member);
        ctx.reply.double(*score);
    }
    Ok(())
}

/// The words of `ZMPOP` from the number of keys on, which is at `start`: keys, end, count.
fn mpop_words(args: Args<'_>, start: usize) -> Result<(&[&[u8]], ScoreEnd, u64), CommandError> {
    let keys = at_least(args, start, 1, "ERR numkeys should be greater than 0")?;
    let side = usize::try_from(keys).ok().and_then(|keys| keys.checked_add(start + 1)).unwrap_or(usize::MAX);
    let end = if args.is(side, "MIN") {
        ScoreEnd::Lowest
    } else if args.is(side, "MAX") {
        ScoreEnd::Highest
    } else {
        return Err(CommandError::syntax());
    };
    let mut count = None;
    let mut at = side + 1;
    while at < args.len() {
        if count.is_some() || !args.is(at, "COUNT") || at + 1 == args.len() {
            return Err(CommandError::syntax());
        }
        count = Some(at_least(args, at + 1, 1, "ERR count should be greater than 0")?);
        at += 2;
    }
    let keys = args.from(start + 1).get(..side - start - 1).unwrap_or_default();
    Ok((keys, end, count.unwrap_or(1)))
}

fn reply_popped(reply: &mut dyn ReplySink, key: &[u8], members: &[(Bytes, f64)]) {
    reply.array(2);
    reply.bulk(key);
    reply.array(members.len());
    for (member, score) in members {
        nested(reply, member, *score);
    }
}

pub(super) fn zmpop(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (keys, end, count) = mpop_words(ctx.args, 1)?;
    match ctx.engine.pop_from_sorted_sets::<Bytes, _>(keys, end, count)? {
        Some((at, members)) => {
            reply_popped(ctx.reply, keys.get(at).copied().unwrap_or_default(), &members);
        }
        None => ctx.reply.null_array(),
    }
    Ok(())
}

pub(super) fn bzmpop(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (keys, end, count) = mpop_words(ctx.args, 2)?;
    let timeout = ctx.args.timeout(1)?;
    let waiter = ctx.engine.pop_from_sorted_sets_async::<Bytes, _>(keys, end, count);
    let names = owned(keys);
    ctx.block(waiter, timeout, move |(at, members), reply| {
        reply_popped(reply, names.get(at).map_or(&[], |name| name), &members);
    })
}

pub(super) fn blocking_pop(ctx: &mut Context<'_>, end: ScoreEnd) -> Result<(), CommandError> {
    let last = ctx.args.len() - 1;
    let timeout = ctx.args.timeout(last)?;
    let keys = ctx.args.from(1).get(..last - 1).unwrap_or_default();
    let waiter = ctx.engine.pop_from_sorted_sets_async::<Bytes, _>(keys, end, 1);
    let names = owned(keys);
    ctx.block(waiter, timeout, move |(at, members), reply| {
        let (member, score) = members.first().map_or((&[][..], 0.0), |(member, score)| (member, *score));
        reply.array(3);
        reply.bulk(names.get(at).map_or(&[], |name| name));
        reply.bulk(member);
        reply.double(score);
    })
}

pub(super) fn zrandmember(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    let set = ctx.engine.sorted_set::<Bytes>(args.bytes(1)?);
    if args.len() == 2 {
        let member = set.random()?;
        ctx.reply.bulk_or_null(member.as_ref().map(|(member, _)| &**member));
        return Ok(());
    }
    let count = args.int(2)?;
    if count == i64::MIN {
        return Err(CommandError::new(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let with_scores = args.is(3, "WITHSCORES");
    if args.len() > 4 || (args.len() == 4 && !with_scores) {
        return Err(CommandError::syntax());
    }
    let draws = count.unsigned_abs();
    if (with_scores && draws > i64::MAX.unsigned_abs() / 2) || (count < 0 && draws > DRAWS_MAX) {
        return Err(CommandError::new("ERR value is out of range"));
    }
    let drawn = if count < 0 { set.random_repeated(draws)? } else { set.random_distinct(draws)? };
    entries(ctx, &drawn, with_scores);
    Ok(())
}

fn scan_options(args: Args<'_>) -> Result<ScanOptions, CommandError> {
    let mut options = ScanOptions::new();
    let mut at = 3;
    while at < args.len() {
        let value = args.bytes(at + 1)?;
        if args.is(at, "COUNT") {
            let count = usize::try_from(args.int(at + 1)?).ok().filter(|&count| count > 0);
            options = options.count(count.ok_or_else(CommandError::syntax)?);
        } else if args.is(at, "MATCH") {
            options = options.matching(value);
        } else {
            return Err(CommandError::syntax());
        }
        at += 2;
    }
    Ok(options)
}

pub(super) fn zscan(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    let (key, from) = (args.bytes(1)?, cursor(args.bytes(2)?)?);
    let options = match scan_options(args) {
        Ok(options) => options,
        // Redis looks at the key before it reads the options.
        Err(error) => {
            wrong_type(ctx.engine, &[key], false)?;
            if ctx.engine.exists(key)? {
                return Err(error);
            }
            ScanOptions::new()
        }
    };
    let page = ctx.engine.sorted_set::<Bytes>(key).scan(from, &options)?;
    let packed = page.members.iter().any(|(_, score)| is_written_whole(*score))
        && ctx.engine.encoding(key)? == Some(Encoding::Listpack);
    ctx.reply.array(2);
    ctx.reply.bulk(page.cursor.to_string().as_bytes());
    ctx.reply.array(page.members.len().saturating_mul(2));
    for (member, score) in &page.members {
        ctx.reply.bulk(member);
        if packed && is_written_whole(*score) {
            ctx.reply.bulk(format!("{score:.0}").as_bytes());
        } else {
            ctx.reply.bulk(format_double(*score).as_bytes());
        }
    }
    Ok(())
}

/// Whether a listpack keeps a score as an integer that [`format_double`] would write with an exponent: ZSCAN shows it as it
/// is kept.
fn is_written_whole(score: f64) -> bool {
    (1e17..=4_611_686_018_427_387_904.0).contains(&score.abs()) && score.trunc() == score
}
