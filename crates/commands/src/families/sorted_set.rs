//! Sorted sets: members with scores, in their order.
//!
//! ```text
//! members.rs   ZADD, ZREM, ZSCORE, ZRANK, ZPOPMIN, ZSCAN ..    ranges.rs   ZRANGE, ZCOUNT, ZREMRANGEBY* ..
//! algebra.rs   ZUNION, ZINTER, ZDIFF ..                        here        replies of members with scores, the rows
//! ```

mod algebra;
mod members;
mod ranges;

use bytes::Bytes;
use larder::{Engine, ScoreEnd, ValueType};

use crate::error::CommandError;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::reply::ReplySink;
use crate::spec::{Categories, CommandSpec, Context, Flags};

/// Begins a reply of members: with scores a flat array in RESP2, one of pairs in RESP3.
fn begin(ctx: &mut Context<'_>, members: usize, with_scores: bool) {
    let flat = with_scores && !ctx.resp3();
    ctx.reply.array(if flat { members.saturating_mul(2) } else { members });
}

fn put(reply: &mut dyn ReplySink, member: &[u8], score: Option<f64>, pairs: bool) {
    match score {
        Some(score) if pairs => nested(reply, member, score),
        Some(score) => {
            reply.bulk(member);
            reply.double(score);
        }
        None => reply.bulk(member),
    }
}

/// A member with its score, as an array of their own.
fn nested(reply: &mut dyn ReplySink, member: &[u8], score: f64) {
    reply.array(2);
    reply.bulk(member);
    reply.double(score);
}

fn entries(ctx: &mut Context<'_>, members: &[(Bytes, f64)], with_scores: bool) {
    begin(ctx, members.len(), with_scores);
    let pairs = ctx.resp3();
    for (member, score) in members {
        put(ctx.reply, member, with_scores.then_some(*score), pairs);
    }
}

/// Refuses keys that hold neither a sorted set nor, if `sets` may take part, a set.
pub(super) fn wrong_type(engine: &Engine, keys: &[&[u8]], sets: bool) -> Result<(), CommandError> {
    for key in keys {
        match engine.value_type(key)? {
            None | Some(ValueType::SortedSet) => {}
            Some(ValueType::Set) if sets => {}
            Some(_) => {
                return Err(CommandError::new(
                    "WRONGTYPE Operation against a key holding the wrong kind of value",
                ));
            }
        }
    }
    Ok(())
}

const BLOCKING_POP: CommandSpec = CommandSpec {
    name: "BZPOPMIN",
    arity: -3,
    flags: Flags::WRITE.noscript().fast().blocking(),
    categories: Categories::SORTED_SET,
    keys: &[KeySpec::range(1, -2, 1, KeyFlags::RW.access().delete())],
    since: "5.0.0",
    complexity: "O(log(N)) with N being the number of elements in the sorted set.",
    summary: "Takes the member with the lowest score out of the first sorted set that has any, and waits if none has",
    syntax: "key [key ...] timeout",
    subcommands: &[],
    run: |ctx| members::blocking_pop(ctx, ScoreEnd::Lowest),
};

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "ZADD",
        arity: -4,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "1.2.0",
        complexity: "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
        summary: "Gives members of a sorted set their scores, adding those that are not there",
        syntax: "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
        subcommands: &[],
        run: members::zadd,
    },
    CommandSpec {
        name: "ZCARD",
        arity: 2,
        flags: Flags::READONLY.fast(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO)],
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Returns the number of members of a sorted set",
        syntax: "key",
        subcommands: &[],
        run: members::zcard,
    },
    CommandSpec {
        name: "ZCOUNT",
        arity: 4,
        flags: Flags::READONLY.fast(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.0.0",
        complexity: "O(log(N)) with N being the number of elements in the sorted set.",
        summary: "Counts the members with scores in a range",
        syntax: "key min max",
        subcommands: &[],
        run: ranges::zcount,
    },
    CommandSpec {
        name: "ZDIFF",
        arity: -3,
        flags: Flags::READONLY,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::counted(1, KeyFlags::RO.access())],
        since: "6.2.0",
        complexity: "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
        summary: "Returns the members of the first sorted set that the others do not have",
        syntax: "numkeys key [key ...] [WITHSCORES]",
        subcommands: &[],
        run: algebra::zdiff,
    },
    CommandSpec {
        name: "ZDIFFSTORE",
        arity: -4,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::OW.update()), KeySpec::counted(2, KeyFlags::RO.access())],
        since: "6.2.0",
        complexity: "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
        summary: "Stores the members of the first sorted set that the others do not have",
        syntax: "destination numkeys key [key ...]",
        subcommands: &[],
        run: algebra::zdiffstore,
    },
    CommandSpec {
        name: "ZINCRBY",
        arity: 4,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RW.access().update())],
        since: "1.2.0",
        complexity: "O(log(N)) where N is the number of elements in the sorted set.",
        summary: "Adds to the score of a member",
        syntax: "key increment member",
        subcommands: &[],
        run: members::zincrby,
    },
    CommandSpec {
        name: "ZINTER",
        arity: -3,
        flags: Flags::READONLY,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::counted(1, KeyFlags::RO.access())],
        since: "6.2.0",
        complexity: "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
        summary: "Returns the members that all sorted sets have",
        syntax: "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
        subcommands: &[],
        run: algebra::zinter,
    },
    CommandSpec {
        name: "ZINTERCARD",
        arity: -3,
        flags: Flags::READONLY,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::counted(1, KeyFlags::RO.access())],
        since: "7.0.0",
        complexity: "O(N*K) worst case with N being the smallest input sorted set, K being the number of input sorted sets.",
        summary: "Counts the members that all sorted sets have",
        syntax: "numkeys key [key ...] [LIMIT limit]",
        subcommands: &[],
        run: algebra::zintercard,
    },
    CommandSpec {
        name: "ZINTERSTORE",
        arity: -4,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::OW.update()), KeySpec::counted(2, KeyFlags::RO.access())],
        since: "2.0.0",
        complexity: "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
        summary: "Stores the members that all sorted sets have",
        syntax: "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
        subcommands: &[],
        run: algebra::zinterstore,
    },
    CommandSpec {
        name: "ZLEXCOUNT",
        arity: 4,
        flags: Flags::READONLY.fast(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.8.9",
        complexity: "O(log(N)) with N being the number of elements in the sorted set.",
        summary: "Counts the members in a range of bytes, all of one score",
        syntax: "key min max",
        subcommands: &[],
        run: ranges::zlexcount,
    },
    CommandSpec {
        name: "ZMPOP",
        arity: -4,
        flags: Flags::WRITE,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::counted(1, KeyFlags::RW.access().delete())],
        since: "7.0.0",
        complexity: "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.",
        summary: "Takes members off an end of the first sorted set that has any",
        syntax: "numkeys key [key ...] <MIN | MAX> [COUNT count]",
        subcommands: &[],
        run: members::zmpop,
    },
    CommandSpec {
        name: "BZMPOP",
        arity: -5,
        flags: Flags::WRITE.blocking(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::counted(2, KeyFlags::RW.access().delete())],
        since: "7.0.0",
        complexity: "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.",
        summary: "Takes members off an end of the first sorted set that has any, and waits if none has",
        syntax: "timeout numkeys key [key ...] <MIN | MAX> [COUNT count]",
        subcommands: &[],
        run: members::bzmpop,
    },
    BLOCKING_POP,
    CommandSpec {
        name: "BZPOPMAX",
        summary: "Takes the member with the highest score out of the first sorted set that has any, and waits if none has",
        run: |ctx| members::blocking_pop(ctx, ScoreEnd::Highest),
        ..BLOCKING_POP
    },
    CommandSpec {
        name: "ZMSCORE",
        arity: -3,
        flags: Flags::READONLY.fast(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "6.2.0",
        complexity: "O(N) where N is the number of members being requested.",
        summary: "Returns the scores of members",
        syntax: "key member [member ...]",
        subcommands: &[],
        run: members::zmscore,
    },
    CommandSpec {
        name: "ZPOPMAX",
        arity: -2,
        flags: Flags::WRITE.fast(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RW.access().delete())],
        since: "5.0.0",
        complexity: "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
        summary: "Takes out the members with the highest scores",
        syntax: "key [count]",
        subcommands: &[],
        run: members::zpopmax,
    },
    CommandSpec {
        name: "ZPOPMIN",
        arity: -2,
        flags: Flags::WRITE.fast(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RW.access().delete())],
        since: "5.0.0",
        complexity: "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
        summary: "Takes out the members with the lowest scores",
        syntax: "key [count]",
        subcommands: &[],
        run: members::zpopmin,
    },
    CommandSpec {
        name: "ZRANDMEMBER",
        arity: -2,
        flags: Flags::READONLY,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "6.2.0",
        complexity: "O(N) where N is the number of elements returned",
        summary: "Returns members at random",
        syntax: "key [count [WITHSCORES]]",
        subcommands: &[],
        run: members::zrandmember,
    },
    CommandSpec {
        name: "ZRANGE",
        arity: -4,
        flags: Flags::READONLY,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "1.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
        summary: "Returns the members in a range",
        syntax: "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
        subcommands: &[],
        run: ranges::zrange,
    },
    CommandSpec {
        name: "ZRANGEBYLEX",
        arity: -4,
        flags: Flags::READONLY,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.8.9",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        summary: "Returns the members in a range of bytes, all of one score",
        syntax: "key min max [LIMIT offset count]",
        subcommands: &[],
        run: ranges::zrangebylex,
    },
    CommandSpec {
        name: "ZRANGEBYSCORE",
        arity: -4,
        flags: Flags::READONLY,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "1.0.5",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        summary: "Returns the members with scores in a range",
        syntax: "key min max [WITHSCORES] [LIMIT offset count]",
        subcommands: &[],
        run: ranges::zrangebyscore,
    },
    CommandSpec {
        name: "ZRANGESTORE",
        arity: -5,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::OW.update()), KeySpec::at(2, KeyFlags::RO.access())],
        since: "6.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements stored into the destination key.",
        summary: "Stores the members in a range under another key",
        syntax: "destination source start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
        subcommands: &[],
        run: ranges::zrangestore,
    },
    CommandSpec {
        name: "ZRANK",
        arity: -3,
        flags: Flags::READONLY.fast(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.0.0",
        complexity: "O(log(N))",
        summary: "Returns how many members come before one",
        syntax: "key member [WITHSCORE]",
        subcommands: &[],
        run: members::zrank,
    },
    CommandSpec {
        name: "ZREM",
        arity: -3,
        flags: Flags::WRITE.fast(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RW.delete())],
        since: "1.2.0",
        complexity: "O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements to be removed.",
        summary: "Takes members out of a sorted set",
        syntax: "key member [member ...]",
        subcommands: &[],
        run: members::zrem,
    },
    CommandSpec {
        name: "ZREMRANGEBYLEX",
        arity: 4,
        flags: Flags::WRITE,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RW.delete())],
        since: "2.8.9",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        summary: "Takes out the members in a range of bytes, all of one score",
        syntax: "key min max",
        subcommands: &[],
        run: ranges::zremrangebylex,
    },
    CommandSpec {
        name: "ZREMRANGEBYRANK",
        arity: 4,
        flags: Flags::WRITE,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RW.delete())],
        since: "2.0.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        summary: "Takes out the members in a range of ranks",
        syntax: "key start stop",
        subcommands: &[],
        run: ranges::zremrangebyrank,
    },
    CommandSpec {
        name: "ZREMRANGEBYSCORE",
        arity: 4,
        flags: Flags::WRITE,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RW.delete())],
        since: "1.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        summary: "Takes out the members with scores in a range",
        syntax: "key min max",
        subcommands: &[],
        run: ranges::zremrangebyscore,
    },
    CommandSpec {
        name: "ZREVRANGE",
        arity: -4,
        flags: Flags::READONLY,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "1.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
        summary: "Returns the members in a range of ranks, counted from the highest score",
        syntax: "key start stop [WITHSCORES]",
        subcommands: &[],
        run: ranges::zrevrange,
    },
    CommandSpec {
        name: "ZREVRANGEBYLEX",
        arity: -4,
        flags: Flags::READONLY,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.8.9",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        summary: "Returns the members in a range of bytes backwards, all of one score",
        syntax: "key max min [LIMIT offset count]",
        subcommands: &[],
        run: ranges::zrevrangebylex,
    },
    CommandSpec {
        name: "ZREVRANGEBYSCORE",
        arity: -4,
        flags: Flags::READONLY,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.2.0",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        summary: "Returns the members with scores in a range, the highest first",
        syntax: "key max min [WITHSCORES] [LIMIT offset count]",
        subcommands: &[],
        run: ranges::zrevrangebyscore,
    },
    CommandSpec {
        name: "ZREVRANK",
        arity: -3,
        flags: Flags::READONLY.fast(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.0.0",
        complexity: "O(log(N))",
        summary: "Returns how many members come behind one",
        syntax: "key member [WITHSCORE]",
        subcommands: &[],
        run: members::zrevrank,
    },
    CommandSpec {
        name: "ZSCAN",
        arity: -3,
        flags: Flags::READONLY,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.8.0",
        complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection..",
        summary: "Returns a page of members with their scores",
        syntax: "key cursor [MATCH pattern] [COUNT count]",
        subcommands: &[],
        run: members::zscan,
    },
    CommandSpec {
        name: "ZSCORE",
        arity: 3,
        flags: Flags::READONLY.fast(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Returns the score of a member",
        syntax: "key member",
        subcommands: &[],
        run: members::zscore,
    },
    CommandSpec {
        name: "ZUNION",
        arity: -3,
        flags: Flags::READONLY,
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::counted(1, KeyFlags::RO.access())],
        since: "6.2.0",
        complexity: "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
        summary: "Returns the members that any of the sorted sets has",
        syntax: "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
        subcommands: &[],
        run: algebra::zunion,
    },
    CommandSpec {
        name: "ZUNIONSTORE",
        arity: -4,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::SORTED_SET,
        keys: &[KeySpec::first(KeyFlags::OW.update()), KeySpec::counted(2, KeyFlags::RO.access())],
        since: "2.0.0",
        complexity: "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
        summary: "Stores the members that any of the sorted sets has",
        syntax: "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
        subcommands: &[],
        run: algebra::zunionstore,
    },
];
