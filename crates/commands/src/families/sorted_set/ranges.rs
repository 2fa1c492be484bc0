//! By rank, score or bytes: ZRANGE and its older forms, counts, removals.

use std::ops::Bound;

use bytes::Bytes;
use larder::{LexBound, LexRange, RankRange, ScoreRange, SortedRange};

use super::{begin, put};
use crate::args::{Args, parse_float};
use crate::error::CommandError;
use crate::spec::Context;

/// By what a range selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// Reads a bound as C's `strtod` reads a number, which is more than [`Args::float`] takes: spaces before it, nothing at all
/// (zero), numbers beyond the range (infinite).
fn bound_number(text: &[u8]) -> Option<f64> {
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let text = text.trim_ascii_start();
    let text = text.strip_prefix(b"\x0b").unwrap_or(text);
    let loose = || std::str::from_utf8(text).ok()?.parse().ok();
    parse_float(text).or_else(loose).filter(|number: &f64| !number.is_nan())
}

fn score_bound(text: &[u8]) -> Option<Bound<f64>> {
    match text.strip_prefix(b"(") {
        Some(rest) => bound_number(rest).map(Bound::Excluded),
        None => bound_number(text).map(Bound::Included),
    }
}

fn score_range(min: &[u8], max: &[u8]) -> Result<ScoreRange, CommandError> {
    match (score_bound(min), score_bound(max)) {
        (Some(min), Some(max)) => Ok(ScoreRange::new(min, max)),
        _ => Err(CommandError::new("ERR min or max is not a float")),
    }
}

fn lex_bound(text: &[u8]) -> Option<LexBound> {
    match text {
        [b'-'] | [b'-', 0, ..] => Some(LexBound::Lowest),
        [b'+'] | [b'+', 0, ..] => Some(LexBound::Highest),
        [b'[', member @ ..] => Some(LexBound::Including(member.into())),
        [b'(', member @ ..] => Some(LexBound::Excluding(member.into())),
        _ => None,
    }
}

fn lex_range(min: &[u8], max: &[u8]) -> Result<LexRange, CommandError> {
    match (lex_bound(min), lex_bound(max)) {
        (Some(min), Some(max)) => Ok(LexRange::new(min, max)),
        _ => Err(CommandError::new("ERR min or max not valid string range item")),
    }
}

fn rank_range(args: Args<'_>, first: usize) -> Result<RankRange, CommandError> {
    Ok(RankRange { start: args.int(first)?, stop: args.int(first + 1)? })
}

/// What a form of ZRANGE leaves open, and what it has settled.
#[derive(Debug, Clone, Copy)]
struct Form {
    /// Where the key is, before its two bounds.
    key: usize,
    by: Option<By>,
    reverse: Option<bool>,
    stores: bool,
}

/// A parsed ZRANGE.
struct Query {
    range: SortedRange,
    with_scores: bool,
}

impl Form {
    fn parse(self, args: Args<'_>) -> Result<Query, CommandError> {
        let (mut by, mut reverse, mut with_scores, mut limit) = (self.by, self.reverse, false, (0, -1));
        let mut at = self.key + 3;
        while at < args.len() {
            if !self.stores && args.is(at, "WITHSCORES") {
                with_scores = true;
            } else if args.is(at, "LIMIT") && at + 2 < args.len() {
                limit = (args.int(at + 1)?, args.int(at + 2)?);
                at += 2;
            } else if reverse.is_none() && args.is(at, "REV") {
                reverse = Some(true);
            } else if by.is_none() && args.is(at, "BYSCORE") {
                by = Some(By::Score);
            } else if by.is_none() && args.is(at, "BYLEX") {
                by = Some(By::Lex);
            } else {
                return Err(CommandError::syntax());
            }
            at += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if limit.1 != -1 && by == By::Rank {
            return Err(CommandError::new(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Lex {
            return Err(CommandError::new(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let range = self.range(args, by, reverse)?;
        Ok(Query { range: limited(range, by, limit), with_scores })
    }

    fn range(self, args: Args<'_>, by: By, reverse: bool) -> Result<SortedRange, CommandError> {
        let (mut min, mut max) = (args.bytes(self.key + 1)?, args.bytes(self.key + 2)?);
        if reverse {
            // Backwards the higher bound is written first.
            (min, max) = (max, min);
        }
        let range = match by {
            By::Rank => SortedRange::ranks(rank_range(args, self.key + 1)?),
            By::Score => SortedRange::scores(score_range(min, max)?),
            By::Lex => SortedRange::members(lex_range(min, max)?),
        };
        Ok(if reverse { range.rev() } else { range })
    }
}

/// Ranks know no limit; a negative offset leaves nothing, a negative count everything.
fn limited(range: SortedRange, by: By, (offset, count): (i64, i64)) -> SortedRange {
    if by == By::Rank {
        return range;
    }
    match u64::try_from(offset) {
        Ok(offset) => range.limit(offset, u64::try_from(count).unwrap_or(u64::MAX)),
        Err(_) => range.limit(0, 0),
    }
}

fn reply(ctx: &mut Context<'_>, form: Form) -> Result<(), CommandError> {
    let query = form.parse(ctx.args)?;
    let members = ctx.engine.sorted_set::<Bytes>(ctx.args.bytes(form.key)?).iter_range(query.range)?;
    begin(ctx, members.len(), query.with_scores);
    let nested = ctx.resp3();
    members.for_each_bytes(|member, score| {
        put(ctx.reply, member, query.with_scores.then_some(score), nested);
    });
    Ok(())
}

const fn form(by: Option<By>, reverse: Option<bool>) -> Form {
    Form { key: 1, by, reverse, stores: false }
}

pub(super) fn zrange(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    reply(ctx, form(None, None))
}

pub(super) fn zrevrange(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    reply(ctx, form(Some(By::Rank), Some(true)))
}

pub(super) fn zrangebyscore(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    reply(ctx, form(Some(By::Score), Some(false)))
}

pub(super) fn zrevrangebyscore(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    reply(ctx, form(Some(By::Score), Some(true)))
}

pub(super) fn zrangebylex(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    reply(ctx, form(Some(By::Lex), Some(false)))
}

pub(super) fn zrevrangebylex(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    reply(ctx, form(Some(By::Lex), Some(true)))
}

pub(super) fn zrangestore(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    let query = Form { key: 2, by: None, reverse: None, stores: true }.parse(args)?;
    let stored = ctx.engine.sorted_set::<Bytes>(args.bytes(2)?).store_range(args.bytes(1)?, query.range)?;
    ctx.reply.count(stored);
    Ok(())
}

pub(super) fn zcount(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let range = score_range(ctx.args.bytes(2)?, ctx.args.bytes(3)?)?;
    let count = ctx.engine.sorted_set::<Bytes>(ctx.args.bytes(1)?).count((range.min, range.max))?;
    ctx.reply.count(count);
    Ok(())
}

pub(super) fn zlexcount(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let range = lex_range(ctx.args.bytes(2)?, ctx.args.bytes(3)?)?;
    let count = ctx.engine.sorted_set::<Bytes>(ctx.args.bytes(1)?).count_members(range)?;
    ctx.reply.count(count);
    Ok(())
}

fn remove(ctx: &mut Context<'_>, range: SortedRange) -> Result<(), CommandError> {
    let removed = ctx.engine.sorted_set::<Bytes>(ctx.args.bytes(1)?).remove_range(range)?;
    ctx.reply.count(removed);
    Ok(())
}

pub(super) fn zremrangebyrank(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let range = rank_range(ctx.args, 2)?;
    remove(ctx, SortedRange::ranks(range))
}

pub(super) fn zremrangebyscore(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let range = score_range(ctx.args.bytes(2)?, ctx.args.bytes(3)?)?;
    remove(ctx, SortedRange::scores(range))
}

pub(super) fn zremrangebylex(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let range = lex_range(ctx.args.bytes(2)?, ctx.args.bytes(3)?)?;
    remove(ctx, SortedRange::members(range))
}
