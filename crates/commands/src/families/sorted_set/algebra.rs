//! Unions, intersections and differences, of sets too.

use bytes::Bytes;
use larder::{Aggregate, CombineOptions};

use super::{entries, wrong_type};
use crate::args::Args;
use crate::error::CommandError;
use crate::spec::Context;

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

/// What becomes of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Reply,
    Store,
    Count,
}

/// A command of this family: what it computes, and where the number of its keys is.
#[derive(Debug, Clone, Copy)]
struct Form {
    name: &'static str,
    operation: Operation,
    result: Use,
}

/// What follows the keys.
#[derive(Default)]
struct Options {
    combine: CombineOptions,
    with_scores: bool,
    limit: Option<u64>,
}

impl Form {
    fn numkeys_at(self) -> usize {
        if self.result == Use::Store { 2 } else { 1 }
    }

    fn keys<'a>(self, args: Args<'a>) -> Result<&'a [&'a [u8]], CommandError> {
        let at = self.numkeys_at();
        let count = args.int(at)?;
        if count < 1 {
            let name = self.name;
            return Err(CommandError::new(format!(
                "ERR at least 1 input key is needed for '{name}' command"
            )));
        }
        let keys = usize::try_from(count).ok().and_then(|count| args.from(at + 1).get(..count));
        keys.ok_or_else(CommandError::syntax)
    }

    fn options(self, args: Args<'_>, keys: usize) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let combines = self.operation != Operation::Diff && self.result != Use::Count;
        let mut at = self.numkeys_at() + 1 + keys;
        while at < args.len() {
            let left = args.len() - at;
            if combines && left > keys && args.is(at, "WEIGHTS") {
                let mut weights = Vec::with_capacity(keys);
                for weight in at + 1..=at + keys {
                    let refused = |_| CommandError::new("ERR weight value is not a float");
                    weights.push(args.float(weight).map_err(refused)?);
                }
                options.combine = options.combine.weights(weights);
                at += keys;
            } else if combines && left >= 2 && args.is(at, "AGGREGATE") {
                options.combine = options.combine.aggregate(aggregate(args, at + 1)?);
                at += 1;
            } else if self.result == Use::Reply && args.is(at, "WITHSCORES") {
                options.with_scores = true;
            } else if self.result == Use::Count && left >= 2 && args.is(at, "LIMIT") {
                let limit = args.int(at + 1).ok().and_then(|limit| u64::try_from(limit).ok());
                let limit = limit.ok_or_else(|| CommandError::new("ERR LIMIT can't be negative"))?;
                options.limit = Some(limit).filter(|&limit| limit > 0);
                at += 1;
            } else {
                return Err(CommandError::syntax());
            }
            at += 1;
        }
        Ok(options)
    }

    fn run(self, ctx: &mut Context<'_>) -> Result<(), CommandError> {
        let keys = self.keys(ctx.args)?;
        let options = match self.options(ctx.args, keys.len()) {
            Ok(options) => options,
            // Redis looks at the keys before it reads the options.
            Err(error) => {
                wrong_type(ctx.engine, keys, true)?;
                return Err(error);
            }
        };
        let engine = ctx.engine;
        match self.result {
            Use::Count => ctx.reply.count(engine.sorted_inter_len(keys, options.limit)?),
            Use::Store => {
                let target = ctx.args.bytes(1)?;
                let stored = match self.operation {
                    Operation::Union => engine.store_sorted_union(target, keys, &options.combine)?,
                    Operation::Inter => engine.store_sorted_inter(target, keys, &options.combine)?,
                    Operation::Diff => engine.store_sorted_diff(target, keys)?,
                };
                ctx.reply.count(stored);
            }
            Use::Reply => {
                let members = match self.operation {
                    Operation::Union => engine.sorted_union::<Bytes, _>(keys, &options.combine)?,
                    Operation::Inter => engine.sorted_inter::<Bytes, _>(keys, &options.combine)?,
                    Operation::Diff => engine.sorted_diff::<Bytes, _>(keys)?,
                };
                entries(ctx, &members, options.with_scores);
            }
        }
        Ok(())
    }
}

fn aggregate(args: Args<'_>, at: usize) -> Result<Aggregate, CommandError> {
    match args.bytes(at)?.to_ascii_uppercase().as_slice() {
        b"SUM" => Ok(Aggregate::Sum),
        b"MIN" => Ok(Aggregate::Min),
        b"MAX" => Ok(Aggregate::Max),
        _ => Err(CommandError::syntax()),
    }
}

const fn form(name: &'static str, operation: Operation, result: Use) -> Form {
    Form { name, operation, result }
}

pub(super) fn zunion(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    form("zunion", Operation::Union, Use::Reply).run(ctx)
}

pub(super) fn zunionstore(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    form("zunionstore", Operation::Union, Use::Store).run(ctx)
}

pub(super) fn zinter(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    form("zinter", Operation::Inter, Use::Reply).run(ctx)
}

pub(super) fn zintercard(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    form("zintercard", Operation::Inter, Use::Count).run(ctx)
}

pub(super) fn zinterstore(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    form("zinterstore", Operation::Inter, Use::Store).run(ctx)
}

pub(super) fn zdiff(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    form("zdiff", Operation::Diff, Use::Reply).run(ctx)
}

pub(super) fn zdiffstore(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    form("zdiffstore", Operation::Diff, Use::Store).run(ctx)
}
