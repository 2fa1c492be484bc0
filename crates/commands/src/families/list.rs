//! Lists.

use bytes::Bytes;
use larder::{At, End, Inserted, List, ListElements, OpError, PositionOptions};

use crate::error::CommandError;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::reply::ReplySink;
use crate::spec::{Categories, CommandSpec, Context, Flags};

fn list<'a>(ctx: &Context<'a>, index: usize) -> Result<List<Bytes, At<'a>>, CommandError> {
    Ok(ctx.engine.list(ctx.args.bytes(index)?))
}

fn end_of(ctx: &Context<'_>, index: usize) -> Result<End, CommandError> {
    match index {
        _ if ctx.args.is(index, "LEFT") => Ok(End::Head),
        _ if ctx.args.is(index, "RIGHT") => Ok(End::Tail),
        _ => Err(CommandError::syntax()),
    }
}

/// A count that must not be negative; every other text gets the same error.
fn count_of(ctx: &Context<'_>, index: usize, error: &'static str) -> Result<usize, CommandError> {
    let count = ctx.args.int(index).ok().and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| CommandError::new(error))
}

fn reply_elements(reply: &mut dyn ReplySink, elements: &[Bytes]) {
    reply.array(elements.len());
    for element in elements {
        reply.bulk(element);
    }
}

/// The names of keys, for a reply that is written later.
pub(super) fn owned(keys: &[&[u8]]) -> Vec<Vec<u8>> {
    keys.iter().map(|key| key.to_vec()).collect()
}

fn reply_all(ctx: &mut Context<'_>, elements: ListElements<Bytes>) {
    ctx.reply.array(elements.len());
    elements.for_each_bytes(|element| ctx.reply.bulk(element));
}

fn push(ctx: &mut Context<'_>, end: End) -> Result<(), CommandError> {
    let list = list(ctx, 1)?;
    let len = match (ctx.args.from(2), end) {
        ([element], End::Head) => list.push_front(*element),
        ([element], End::Tail) => list.push_back(*element),
        (elements, End::Head) => list.extend_front(elements.iter().copied()),
        (elements, End::Tail) => list.extend_back(elements.iter().copied()),
    }?;
    ctx.reply.count(len);
    Ok(())
}

fn push_existing(ctx: &mut Context<'_>, end: End) -> Result<(), CommandError> {
    let len = list(ctx, 1)?.extend_existing(end, ctx.args.from(2).iter().copied())?;
    ctx.reply.count(len);
    Ok(())
}

fn pop(ctx: &mut Context<'_>, end: End, name: &str) -> Result<(), CommandError> {
    let list = list(ctx, 1)?;
    match ctx.args.len() {
        2 => {
            let popped = if end == End::Head { list.pop_front() } else { list.pop_back() }?;
            ctx.reply.bulk_or_null(popped.as_deref());
        }
        3 => {
            let count = count_of(ctx, 2, "ERR value is out of range, must be positive")?;
            match list.pop_many(end, count)? {
                Some(popped) => reply_elements(ctx.reply, &popped),
                None => ctx.reply.null_array(),
            }
        }
        _ => return Err(CommandError::wrong_arity(name)),
    }
    Ok(())
}

fn llen(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let len = list(ctx, 1)?.len()?;
    ctx.reply.count(len);
    Ok(())
}

fn lindex(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let list = list(ctx, 1)?;
    // Redis looks at the key before it looks at the index.
    let element = match ctx.args.int(2) {
        Ok(index) => list.get(index)?,
        Err(_) if list.is_empty()? => None,
        Err(error) => return Err(error),
    };
    ctx.reply.bulk_or_null(element.as_deref());
    Ok(())
}

fn lset(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let list = list(ctx, 1)?;
    let index = match ctx.args.int(2) {
        Ok(index) => index,
        Err(_) if list.is_empty()? => return Err(OpError::NoSuchKey.into()),
        Err(error) => return Err(error),
    };
    match list.set(index, ctx.args.bytes(3)?) {
        Err(OpError::OutOfRange { .. }) => Err(CommandError::new("ERR index out of range")),
        set => {
            set?;
            ctx.ok();
            Ok(())
        }
    }
}

fn lrange(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (start, stop) = (ctx.args.int(2)?, ctx.args.int(3)?);
    let elements = list(ctx, 1)?.iter_range(start, stop)?;
    reply_all(ctx, elements);
    Ok(())
}

fn ltrim(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (start, stop) = (ctx.args.int(2)?, ctx.args.int(3)?);
    list(ctx, 1)?.trim(start, stop)?;
    ctx.ok();
    Ok(())
}

fn lrem(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let count = ctx.args.int(2)?;
    let removed = list(ctx, 1)?.remove(count, ctx.args.bytes(3)?)?;
    ctx.reply.count(removed);
    Ok(())
}

const RANK_ZERO: &str = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
                         or use negative to start from the end of the list";

fn lpos(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let mut options = PositionOptions::new();
    let mut wants_all = false;
    let mut at = 3;
    while at < ctx.args.len() {
        if at + 1 == ctx.args.len() {
            return Err(CommandError::syntax());
        }
        if ctx.args.is(at, "RANK") {
            options = options.rank(match ctx.args.int(at + 1)? {
                0 => return Err(CommandError::new(RANK_ZERO)),
                // Redis 7.0 negates it, and the overflow makes it the last one.
                i64::MIN => -1,
                rank => rank,
            });
        } else if ctx.args.is(at, "COUNT") {
            let count = count_of(ctx, at + 1, "ERR COUNT can't be negative")?;
            options = options.count(if count == 0 { usize::MAX } else { count });
            wants_all = true;
        } else if ctx.args.is(at, "MAXLEN") {
            let most = count_of(ctx, at + 1, "ERR MAXLEN can't be negative")?;
            options = options.max_len(if most == 0 { usize::MAX } else { most });
        } else {
            return Err(CommandError::syntax());
        }
        at += 2;
    }
    if !wants_all {
        options = options.count(1);
    }
    let found = list(ctx, 1)?.positions(ctx.args.bytes(2)?, options)?;
    if wants_all {
        ctx.reply.array(found.len());
        found.iter().for_each(|&index| ctx.reply.count(index));
    } else {
        match found.first() {
            Some(&index) => ctx.reply.count(index),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

fn linsert(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let list = list(ctx, 1)?;
    let (pivot, element) = (ctx.args.bytes(3)?, ctx.args.bytes(4)?);
    let inserted = if ctx.args.is(2, "BEFORE") {
        list.insert_before(pivot, element)?
    } else if ctx.args.is(2, "AFTER") {
        list.insert_after(pivot, element)?
    } else {
        return Err(CommandError::syntax());
    };
    match inserted {
        Inserted::Done(len) => ctx.reply.count(len),
        Inserted::NoPivot => ctx.reply.integer(-1),
        Inserted::NoList => ctx.reply.integer(0),
    }
    Ok(())
}

fn move_element(ctx: &mut Context<'_>, from: End, to: End) -> Result<(), CommandError> {
    let moved = list(ctx, 1)?.move_to(ctx.args.bytes(2)?, from, to)?;
    ctx.reply.bulk_or_null(moved.as_deref());
    Ok(())
}

fn lmove(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (from, to) = (end_of(ctx, 3)?, end_of(ctx, 4)?);
    move_element(ctx, from, to)
}

/// The words of `LMPOP` from the number of keys on, which is at `start`: keys, end, count.
fn mpop_words<'a>(ctx: &Context<'a>, start: usize) -> Result<(&'a [&'a [u8]], End, usize), CommandError> {
    let keys = count_of(ctx, start, "").ok().filter(|&keys| keys > 0);
    let keys = keys.ok_or_else(|| CommandError::new("ERR numkeys should be greater than 0"))?;
    let after = keys.checked_add(start + 1).filter(|&after| after < ctx.args.len());
    let after = after.ok_or_else(CommandError::syntax)?;
    let end = end_of(ctx, after)?;
    let mut count = None;
    let mut at = after + 1;
    while at < ctx.args.len() {
        if count.is_some() || !ctx.args.is(at, "COUNT") || at + 1 == ctx.args.len() {
            return Err(CommandError::syntax());
        }
        let most = count_of(ctx, at + 1, "").ok().filter(|&most| most > 0);
        count = Some(most.ok_or_else(|| CommandError::new("ERR count should be greater than 0"))?);
        at += 2;
    }
    let keys = ctx.args.from(start + 1).get(..keys).unwrap_or_default();
    Ok((keys, end, count.unwrap_or(1)))
}

fn lmpop(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (keys, end, count) = mpop_words(ctx, 1)?;
    match ctx.engine.pop_from_lists::<Bytes, _>(keys, end, count)? {
        Some((at, popped)) => {
            ctx.reply.array(2);
            ctx.reply.bulk(keys.get(at).copied().unwrap_or_default());
            reply_elements(ctx.reply, &popped);
        }
        None => ctx.reply.null_array(),
    }
    Ok(())
}

fn blmpop(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (keys, end, count) = mpop_words(ctx, 2)?;
    let timeout = ctx.args.timeout(1)?;
    let waiter = ctx.engine.pop_from_lists_async::<Bytes, _>(keys, end, count);
    let names = owned(keys);
    ctx.block(waiter, timeout, move |(at, popped), reply| {
        reply.array(2);
        reply.bulk(names.get(at).map_or(&[], |name| name));
        reply_elements(reply, &popped);
    })
}

fn blocking_pop(ctx: &mut Context<'_>, end: End) -> Result<(), CommandError> {
    let last = ctx.args.len() - 1;
    let timeout = ctx.args.timeout(last)?;
    let keys = ctx.args.from(1).get(..last - 1).unwrap_or_default();
    let waiter = ctx.engine.pop_from_lists_async::<Bytes, _>(keys, end, 1);
    let names = owned(keys);
    ctx.block(waiter, timeout, move |(at, popped), reply| {
        reply.array(2);
        reply.bulk(names.get(at).map_or(&[], |name| name));
        reply.bulk(popped.first().map_or(&[], |element| element));
    })
}

fn blocking_move(ctx: &mut Context<'_>, from: End, to: End) -> Result<(), CommandError> {
    let timeout = ctx.args.timeout(ctx.args.len() - 1)?;
    let waiter = list(ctx, 1)?.move_async(ctx.args.bytes(2)?, from, to);
    // Whose time is over gets the null of an array, but in EXEC it is that of the element.
    ctx.block_or(waiter, timeout, |reply| reply.null(), |moved, reply| reply.bulk(&moved))
}

fn blmove(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (from, to) = (end_of(ctx, 3)?, end_of(ctx, 4)?);
    blocking_move(ctx, from, to)
}

const PUSHED: &str = "O(log(N)) for each element added, N being the length of the list";
const POPPED: &str = "O(M) where M is the number of elements returned";

const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 0,
    flags: Flags::WRITE,
    categories: Categories::LIST,
    keys: &[KeySpec::first(KeyFlags::RW.insert())],
    since: "1.0.0",
    complexity: PUSHED,
    summary: "",
    syntax: "key element [element ...]",
    subcommands: &[],
    run: llen,
};

const BLOCKING_POP: CommandSpec = CommandSpec {
    arity: -3,
    flags: Flags::WRITE.noscript().blocking(),
    keys: &[KeySpec::range(1, -2, 1, KeyFlags::RW.access().delete())],
    since: "2.0.0",
    complexity: "O(N) where N is the number of keys",
    syntax: "key [key ...] timeout",
    ..ROW
};

const MOVED: &[KeySpec] =
    &[KeySpec::first(KeyFlags::RW.access().delete()), KeySpec::at(2, KeyFlags::RW.insert())];

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "LPUSH",
        arity: -3,
        flags: Flags::WRITE.denyoom().fast(),
        summary: "Puts elements before the first one of a list",
        run: |ctx| push(ctx, End::Head),
        ..ROW
    },
    CommandSpec {
        name: "RPUSH",
        arity: -3,
        flags: Flags::WRITE.denyoom().fast(),
        summary: "Puts elements behind the last one of a list",
        run: |ctx| push(ctx, End::Tail),
        ..ROW
    },
    CommandSpec {
        name: "LPUSHX",
        arity: -3,
        flags: Flags::WRITE.denyoom().fast(),
        since: "2.2.0",
        summary: "Puts elements before the first one of a list that exists",
        run: |ctx| push_existing(ctx, End::Head),
        ..ROW
    },
    CommandSpec {
        name: "RPUSHX",
        arity: -3,
        flags: Flags::WRITE.denyoom().fast(),
        since: "2.2.0",
        summary: "Puts elements behind the last one of a list that exists",
        run: |ctx| push_existing(ctx, End::Tail),
        ..ROW
    },
    CommandSpec {
        name: "LPOP",
        arity: -2,
        flags: Flags::WRITE.fast(),
        keys: &[KeySpec::first(KeyFlags::RW.access().delete())],
        complexity: POPPED,
        summary: "Takes the first elements off a list",
        syntax: "key [count]",
        run: |ctx| pop(ctx, End::Head, "lpop"),
        ..ROW
    },
    CommandSpec {
        name: "RPOP",
        arity: -2,
        flags: Flags::WRITE.fast(),
        keys: &[KeySpec::first(KeyFlags::RW.access().delete())],
        complexity: POPPED,
        summary: "Takes the last elements off a list",
        syntax: "key [count]",
        run: |ctx| pop(ctx, End::Tail, "rpop"),
        ..ROW
    },
    CommandSpec {
        name: "LLEN",
        arity: 2,
        flags: Flags::READONLY.fast(),
        keys: &[KeySpec::first(KeyFlags::RO)],
        complexity: "O(1)",
        summary: "Returns the length of a list",
        syntax: "key",
        run: llen,
        ..ROW
    },
    CommandSpec {
        name: "LINDEX",
        arity: 3,
        flags: Flags::READONLY,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        complexity: "O(log(N)) where N is the length of the list",
        summary: "Returns the element at an index of a list",
        syntax: "key index",
        run: lindex,
        ..ROW
    },
    CommandSpec {
        name: "LSET",
        arity: 4,
        flags: Flags::WRITE.denyoom(),
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        complexity: "O(log(N)) where N is the length of the list",
        summary: "Replaces the element at an index of a list",
        syntax: "key index element",
        run: lset,
        ..ROW
    },
    CommandSpec {
        name: "LRANGE",
        arity: 4,
        flags: Flags::READONLY,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        complexity: "O(log(N)+M) where N is the length of the list and M the number of elements returned",
        summary: "Returns a range of elements of a list",
        syntax: "key start stop",
        run: lrange,
        ..ROW
    },
    CommandSpec {
        name: "LTRIM",
        arity: 4,
        keys: &[KeySpec::first(KeyFlags::RW.delete())],
        complexity: "O(log(N)+M) where N is the length of the list and M the number of elements removed",
        summary: "Removes all elements outside a range of a list",
        syntax: "key start stop",
        run: ltrim,
        ..ROW
    },
    CommandSpec {
        name: "LREM",
        arity: 4,
        keys: &[KeySpec::first(KeyFlags::RW.delete())],
        complexity: "O(N) where N is the length of the list",
        summary: "Removes elements by value from a list",
        syntax: "key count element",
        run: lrem,
        ..ROW
    },
    CommandSpec {
        name: "LPOS",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "6.0.6",
        complexity: "O(N) where N is the length of the list, or MAXLEN if that is less",
        summary: "Returns the indices of matching elements of a list",
        syntax: "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
        run: lpos,
        ..ROW
    },
    CommandSpec {
        name: "LINSERT",
        arity: 5,
        flags: Flags::WRITE.denyoom(),
        since: "2.2.0",
        complexity: "O(N) where N is the number of elements before the pivot",
        summary: "Puts an element before or behind another one of a list",
        syntax: "key <BEFORE | AFTER> pivot element",
        run: linsert,
        ..ROW
    },
    CommandSpec {
        name: "RPOPLPUSH",
        arity: 3,
        flags: Flags::WRITE.denyoom(),
        keys: MOVED,
        since: "1.2.0",
        complexity: "O(log(N)) where N is the length of the longer list",
        summary: "Moves the last element of a list before the first one of another, and returns it",
        syntax: "source destination",
        run: |ctx| move_element(ctx, End::Tail, End::Head),
        ..ROW
    },
    CommandSpec {
        name: "LMOVE",
        arity: 5,
        flags: Flags::WRITE.denyoom(),
        keys: MOVED,
        since: "6.2.0",
        complexity: "O(log(N)) where N is the length of the longer list",
        summary: "Moves an element from an end of a list to an end of another, and returns it",
        syntax: "source destination <LEFT | RIGHT> <LEFT | RIGHT>",
        run: lmove,
        ..ROW
    },
    CommandSpec {
        name: "LMPOP",
        arity: -4,
        keys: &[KeySpec::counted(1, KeyFlags::RW.access().delete())],
        since: "7.0.0",
        complexity: "O(N+M) where N is the number of keys and M the number of elements returned",
        summary: "Takes elements off the first list that is not empty",
        syntax: "numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
        run: lmpop,
        ..ROW
    },
    CommandSpec {
        name: "BLPOP",
        summary: "Takes the first element off the first list that is not empty, and waits if all are",
        run: |ctx| blocking_pop(ctx, End::Head),
        ..BLOCKING_POP
    },
    CommandSpec {
        name: "BRPOP",
        summary: "Takes the last element off the first list that is not empty, and waits if all are",
        run: |ctx| blocking_pop(ctx, End::Tail),
        ..BLOCKING_POP
    },
    CommandSpec {
        name: "BRPOPLPUSH",
        arity: 4,
        flags: Flags::WRITE.denyoom().noscript().blocking(),
        keys: MOVED,
        since: "2.2.0",
        complexity: "O(log(N)) where N is the length of the longer list",
        summary: "Moves the last element of a list before the first one of another, and waits if there is none",
        syntax: "source destination timeout",
        run: |ctx| blocking_move(ctx, End::Tail, End::Head),
        ..ROW
    },
    CommandSpec {
        name: "BLMOVE",
        arity: 6,
        flags: Flags::WRITE.denyoom().noscript().blocking(),
        keys: MOVED,
        since: "6.2.0",
        complexity: "O(log(N)) where N is the length of the longer list",
        summary: "Moves an element from an end of a list to an end of another, and waits if there is none",
        syntax: "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout",
        run: blmove,
        ..ROW
    },
    CommandSpec {
        name: "BLMPOP",
        arity: -5,
        flags: Flags::WRITE.blocking(),
        keys: &[KeySpec::counted(2, KeyFlags::RW.access().delete())],
        since: "7.0.0",
        complexity: "O(N+M) where N is the number of keys and M the number of elements returned",
        summary: "Takes elements off the first list that is not empty, and waits if all are",
        syntax: "timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
        run: blmpop,
        ..ROW
    },
];
