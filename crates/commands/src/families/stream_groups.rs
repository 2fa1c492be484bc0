//! Consumer groups: XGROUP, XREADGROUP, XACK, XACKDEL, XPENDING, XCLAIM, XAUTOCLAIM.

use std::time::Duration;

use larder::{
    At, ClaimOptions, GroupOptions, GroupPosition, GroupReadOptions, OpError, PendingQuery, Stream,
    StreamEntry, StreamFields, StreamId, UnixMillis,
};

use super::keys::help;
use super::stream::{
    DELETED_KEY, READ_KEY, ROW, any_id, count_at, end_id, error, references_and_ids, reply_entries,
    reply_fields, reply_id, reply_removals, reply_stream_name, reply_streams, reply_when_read, start_id,
    stream, streams, strict_id, strict_ids,
};
use crate::args::Args;
use crate::error::CommandError;
use crate::execute::quoted;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Categories, CommandSpec, Context, Flags, container};

/// An error that quotes two words of the caller's, each up to a NUL.
fn quoting(before: &str, first: &[u8], between: &str, second: &[u8], after: &str) -> CommandError {
    let (first, second) = (quoted(first, first.len()), quoted(second, second.len()));
    CommandError::from_bytes(
        [before.as_bytes(), first, between.as_bytes(), second, after.as_bytes()].concat(),
    )
}

/// Words an error of the engine for commands that name a key and a group.
fn no_key_or_group(error: OpError, key: &[u8], group: &[u8]) -> CommandError {
    match error {
        OpError::NoSuchGroup { .. } => {
            quoting("NOGROUP No such key '", key, "' or consumer group '", group, "'")
        }
        other => other.into(),
    }
}

/// The same where the key is there, or was asked for before.
pub(super) fn no_group_of_key(error: OpError, key: &[u8], group: &[u8]) -> CommandError {
    match error {
        OpError::NoSuchGroup { .. } => {
            quoting("NOGROUP No such consumer group '", group, "' for key name '", key, "'")
        }
        other => other.into(),
    }
}

/// The line has an unknown option, or too many; the subcommand is quoted as it was written.
pub(super) fn subcommand_syntax(args: Args<'_>, container: &str) -> CommandError {
    let shown = args.get(1).unwrap_or_default();
    let shown = shown.get(..128).unwrap_or(shown);
    let after = format!("'. Try {container} HELP.");
    quoting("ERR unknown subcommand or wrong number of arguments for '", shown, &after, b"", "")
}

const NEEDS_KEY: &str = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use \
                         the MKSTREAM option to create an empty stream automatically.";

/// Words an error of the engine for the subcommands of XGROUP; a missing key is told before a missing group.
fn xgroup_error(stream: &Stream<At<'_>>, args: Args<'_>, error: OpError) -> CommandError {
    let missing_key = match &error {
        OpError::NoSuchKey => true,
        OpError::NoSuchGroup { .. } => stream.exists() == Ok(false),
        _ => false,
    };
    if missing_key {
        return CommandError::new(NEEDS_KEY);
    }
    no_group_of_key(error, args.get(2).unwrap_or_default(), args.get(3).unwrap_or_default())
}

/// Options of XGROUP CREATE and SETID, from word 5 on.
fn group_options(args: Args<'_>, create: bool) -> Result<(bool, Option<u64>), CommandError> {
    let (mut make, mut read) = (false, None);
    let mut at = 5;
    while at < args.len() {
        if create && args.is(at, "MKSTREAM") {
            make = true;
            at += 1;
        } else if args.is(at, "ENTRIESREAD") && at + 1 < args.len() {
            read = match args.int(at + 1)? {
                -1 => None,
                entries => {
                    let negative = |_| CommandError::new("ERR value for ENTRIESREAD must be positive or -1");
                    Some(u64::try_from(entries).map_err(negative)?)
                }
            };
            at += 2;
        } else {
            return Err(subcommand_syntax(args, "XGROUP"));
        }
    }
    Ok((make, read))
}

fn xgroup_create(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    let (make, read) = group_options(args, true)?;
    let stream = stream(ctx, 2)?;
    let from = match args.bytes(4)? {
        _ if args.len() > 8 => Err(subcommand_syntax(args, "XGROUP")),
        b"$" => Ok(GroupPosition::End),
        text => strict_id(text).map(GroupPosition::After),
    };
    if from.is_err() && !stream.exists()? && !make {
        return error(NEEDS_KEY);
    }
    let mut options = GroupOptions::new();
    if make {
        options = options.make_stream();
    }
    if let Some(read) = read {
        options = options.entries_read(read);
    }
    let group = stream.group(args.bytes(3)?);
    if group.create_with(from?, options).map_err(|error| xgroup_error(&stream, args, error))? {
        ctx.ok();
        return Ok(());
    }
    error("BUSYGROUP Consumer Group name already exists")
}

fn xgroup_setid(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    let (_, read) = group_options(args, false)?;
    let stream = stream(ctx, 2)?;
    let group = stream.group(args.bytes(3)?);
    let from = match args.bytes(4)? {
        _ if args.len() != 5 && args.len() != 7 => Err(subcommand_syntax(args, "XGROUP")),
        b"$" => Ok(GroupPosition::End),
        text => any_id(text, 0).map(GroupPosition::After),
    };
    let from = match from {
        Ok(from) => from,
        Err(error) => {
            group.info().map_err(|error| xgroup_error(&stream, args, error))?;
            return Err(error);
        }
    };
    group.set_position(from, read).map_err(|error| xgroup_error(&stream, args, error))?;
    ctx.ok();
    Ok(())
}

fn xgroup_destroy(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let stream = stream(ctx, 2)?;
    let destroyed = stream.group(ctx.args.bytes(3)?).destroy();
    let destroyed = destroyed.map_err(|error| xgroup_error(&stream, ctx.args, error))?;
    ctx.reply.integer(i64::from(destroyed));
    Ok(())
}

fn xgroup_createconsumer(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let stream = stream(ctx, 2)?;
    let created = stream.group(ctx.args.bytes(3)?).create_consumer(ctx.args.bytes(4)?);
    let created = created.map_err(|error| xgroup_error(&stream, ctx.args, error))?;
    ctx.reply.integer(i64::from(created));
    Ok(())
}

fn xgroup_delconsumer(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let stream = stream(ctx, 2)?;
    let pending = stream.group(ctx.args.bytes(3)?).remove_consumer(ctx.args.bytes(4)?);
    let pending = pending.map_err(|error| xgroup_error(&stream, ctx.args, error))?;
    ctx.reply.count(pending);
    Ok(())
}

/// From where a group is read: new entries, or the consumer's own again.
#[derive(Clone, Copy)]
enum ReadFrom {
    New,
    Again(StreamId),
}

/// What one stream gave.
enum Got {
    Entries(Vec<StreamEntry>),
    Again(Vec<(StreamId, Option<StreamFields>)>),
}

fn read_from(text: &[u8]) -> Result<ReadFrom, CommandError> {
    match text {
        b">" => Ok(ReadFrom::New),
        b"$" => error(
            "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer \
             by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty \
             result set.",
        ),
        text => Ok(match strict_id(text)? {
            StreamId::MAX => ReadFrom::New,
            id => ReadFrom::Again(id),
        }),
    }
}

pub(super) fn xreadgroup(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let found = streams(ctx.args, true)?;
    let Some((group, consumer)) = found.group else {
        return error("ERR Missing GROUP option for XREADGROUP");
    };
    let mut all = Vec::with_capacity(found.keys.len());
    for (key, id) in found.keys.iter().zip(found.ids) {
        let handle = ctx.engine.stream(*key);
        handle.group(group).info().map_err(|error| in_read(error, key, group))?;
        all.push((*key, handle, read_from(id)?));
    }
    let mut options = GroupReadOptions::new();
    if let Some(count) = found.count {
        options = options.count(count);
    }
    if found.no_ack {
        options = options.no_ack();
    }
    // What is pending already is told at once.
    let only_new = all.iter().all(|(_, _, from)| matches!(from, ReadFrom::New));
    if let (Some(timeout), true) = (found.block, only_new) {
        let waiter = ctx.engine.read_groups_async(found.keys, group, consumer, options);
        return reply_when_read(ctx, waiter, timeout, found.keys);
    }
    let mut gotten = Vec::with_capacity(all.len());
    for (key, handle, from) in &all {
        let handle = handle.group(group);
        let got = match from {
            ReadFrom::New => handle.read_with(consumer, options).map(Got::Entries),
            ReadFrom::Again(after) => handle.read_again(consumer, *after, found.count).map(Got::Again),
        };
        match got.map_err(|error| in_read(error, key, group))? {
            Got::Entries(entries) if entries.is_empty() => {}
            got => gotten.push((*key, got)),
        }
    }
    reply_streams(ctx, gotten.len());
    for (key, got) in gotten {
        reply_stream_name(ctx, key);
        match got {
            Got::Entries(entries) => reply_entries(ctx, &entries),
            Got::Again(entries) => reply_again(ctx, &entries),
        }
    }
    Ok(())
}

/// Entries that are gone come without fields.
fn reply_again(ctx: &mut Context<'_>, entries: &[(StreamId, Option<StreamFields>)]) {
    ctx.reply.array(entries.len());
    for (id, fields) in entries {
        ctx.reply.array(2);
        reply_id(ctx, *id);
        match fields {
            Some(fields) => reply_fields(ctx, fields),
            None => ctx.reply.null_array(),
        }
    }
}

fn in_read(error: OpError, key: &[u8], group: &[u8]) -> CommandError {
    match error {
        OpError::NoSuchGroup { .. } => {
            let after = "' in XREADGROUP with GROUP option";
            quoting("NOGROUP No such key '", key, "' or consumer group '", group, after)
        }
        other => other.into(),
    }
}

fn xack(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let stream = stream(ctx, 1)?;
    let group = stream.group(ctx.args.bytes(2)?);
    let done = match strict_ids(ctx.args.from(3)) {
        Ok(ids) => group.acknowledge(ids)?,
        Err(error) => match group.info() {
            Ok(_) => return Err(error),
            Err(OpError::NoSuchGroup { .. }) => 0,
            Err(other) => return Err(other.into()),
        },
    };
    ctx.reply.count(done);
    Ok(())
}

fn xackdel(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (references, ids) = references_and_ids(ctx.args, 3)?;
    let stream = stream(ctx, 1)?;
    let removals = stream.group(ctx.args.bytes(2)?).acknowledge_and_remove(references, ids)?;
    reply_removals(ctx, &removals);
    Ok(())
}

fn xpending(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    if args.len() == 3 {
        return pending_summary(ctx);
    }
    if !(6..=9).contains(&args.len()) {
        return Err(CommandError::syntax());
    }
    let (mut at, mut query) = (3, PendingQuery::new());
    if args.is(3, "IDLE") {
        let idle = args.int(4)?;
        query = query.min_idle(Duration::from_millis(u64::try_from(idle).unwrap_or(0)));
        if args.len() < 8 {
            return Err(CommandError::syntax());
        }
        at = 5;
    }
    let count = count_at(args, at + 2)?;
    let (start, end) = (start_id(args.bytes(at)?)?, end_id(args.bytes(at + 1)?)?);
    query = query.ids(start..=end).count(count);
    if let Some(consumer) = args.get(at + 3) {
        query = query.consumer(consumer);
    }
    let (key, group) = (args.bytes(1)?, args.bytes(2)?);
    let pending = ctx.engine.stream(key).group(group).pending(&query);
    let pending = pending.map_err(|error| no_key_or_group(error, key, group))?;
    ctx.reply.array(pending.len());
    for entry in &pending {
        ctx.reply.array(4);
        reply_id(ctx, entry.id);
        ctx.reply.bulk(&entry.consumer);
        ctx.reply.count(u64::try_from(entry.idle.as_millis()).unwrap_or(u64::MAX));
        ctx.reply.count(entry.deliveries);
    }
    Ok(())
}

fn pending_summary(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (key, group) = (ctx.args.bytes(1)?, ctx.args.bytes(2)?);
    let summary = ctx.engine.stream(key).group(group).pending_summary();
    let summary = summary.map_err(|error| no_key_or_group(error, key, group))?;
    ctx.reply.array(4);
    ctx.reply.count(summary.count);
    let Some((first, last)) = summary.bounds else {
        ctx.reply.null();
        ctx.reply.null();
        ctx.reply.null_array();
        return Ok(());
    };
    reply_id(ctx, first);
    reply_id(ctx, last);
    ctx.reply.array(summary.consumers.len());
    for (name, count) in &summary.consumers {
        ctx.reply.array(2);
        ctx.reply.bulk(name);
        ctx.reply.bulk(count.to_string().as_bytes());
    }
    Ok(())
}

/// A time that must not be shorter than nothing.
fn min_idle(args: Args<'_>, at: usize, text: &'static str) -> Result<Duration, CommandError> {
    let idle = args.int(at).map_err(|_| CommandError::new(text))?;
    Ok(Duration::from_millis(u64::try_from(idle).unwrap_or(0)))
}

/// What XCLAIM is asked for.
struct Claim {
    ids: Vec<StreamId>,
    options: ClaimOptions,
    just_id: bool,
}

/// Ids and options of XCLAIM, from word 4 on.
fn claim_of(args: Args<'_>) -> Result<Claim, CommandError> {
    let idle = min_idle(args, 4, "ERR Invalid min-idle-time argument for XCLAIM")?;
    let ids: Vec<StreamId> = args.from(5).iter().map_while(|text| StreamId::parse(text, 0)).collect();
    let mut claim = Claim { options: ClaimOptions::new(idle), just_id: false, ids };
    let mut at = 5 + claim.ids.len();
    let number = |at: usize, text: &'static str| args.int(at).map_err(|_| CommandError::new(text));
    while let Some(word) = args.get(at) {
        let (more, options) = (at + 1 < args.len(), claim.options);
        // A negative time or count, and a time to come, count as not given.
        claim.options = match at {
            _ if args.is(at, "FORCE") => options.force(),
            _ if args.is(at, "JUSTID") => {
                claim.just_id = true;
                options
            }
            _ if args.is(at, "IDLE") && more => {
                let idle = number(at + 1, "ERR Invalid IDLE option argument for XCLAIM")?;
                options.idle(Duration::from_millis(u64::try_from(idle).unwrap_or(0)))
            }
            _ if args.is(at, "TIME") && more => {
                let time = number(at + 1, "ERR Invalid TIME option argument for XCLAIM")?;
                options.delivered_at(UnixMillis(u64::try_from(time).unwrap_or(u64::MAX)))
            }
            _ if args.is(at, "RETRYCOUNT") && more => {
                let count = number(at + 1, "ERR Invalid RETRYCOUNT option argument for XCLAIM")?;
                u64::try_from(count).map_or(options, |count| options.retry_count(count))
            }
            _ if args.is(at, "LASTID") && more => options.last_id(strict_id(args.bytes(at + 1)?)?),
            _ => return Err(quoting("ERR Unrecognized XCLAIM option '", word, "'", b"", "")),
        };
        at += if args.is(at, "FORCE") || args.is(at, "JUSTID") { 1 } else { 2 };
    }
    Ok(claim)
}

fn xclaim(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    let (key, name, consumer) = (args.bytes(1)?, args.bytes(2)?, args.bytes(3)?);
    let stream = stream(ctx, 1)?;
    let group = stream.group(name);
    let worded = |error| no_key_or_group(error, key, name);
    let Claim { ids, options, just_id } = match claim_of(args) {
        Ok(claim) => claim,
        Err(error) => {
            // That there is no such group is found out first.
            group.info().map_err(worded)?;
            return Err(error);
        }
    };
    if just_id {
        let claimed = group.claim_ids(consumer, ids, &options).map_err(worded)?;
        reply_ids(ctx, &claimed);
    } else {
        let claimed = group.claim(consumer, ids, &options).map_err(worded)?;
        reply_entries(ctx, &claimed);
    }
    Ok(())
}

fn reply_ids(ctx: &mut Context<'_>, ids: &[StreamId]) {
    ctx.reply.array(ids.len());
    for &id in ids {
        reply_id(ctx, id);
    }
}

fn xautoclaim(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    let (key, name, consumer) = (args.bytes(1)?, args.bytes(2)?, args.bytes(3)?);
    let idle = min_idle(args, 4, "ERR Invalid min-idle-time argument for XAUTOCLAIM")?;
    let start = start_id(args.bytes(5)?)?;
    let (mut options, mut just_id) = (ClaimOptions::new(idle), false);
    let mut at = 6;
    while at < args.len() {
        if args.is(at, "COUNT") && at + 1 < args.len() {
            let most = i64::MAX / 16;
            let count = args.int(at + 1).ok().filter(|count| (1..=most).contains(count));
            let count = count.and_then(|count| usize::try_from(count).ok());
            options = options.count(count.ok_or_else(|| CommandError::new("ERR COUNT must be > 0"))?);
            at += 2;
        } else if args.is(at, "JUSTID") {
            just_id = true;
            at += 1;
        } else {
            return Err(CommandError::syntax());
        }
    }
    let stream = stream(ctx, 1)?;
    let group = stream.group(name);
    let worded = |error| no_key_or_group(error, key, name);
    let deleted = if just_id {
        let got = group.auto_claim_ids(consumer, start, &options).map_err(worded)?;
        ctx.reply.array(3);
        reply_id(ctx, got.next);
        reply_ids(ctx, &got.claimed);
        got.deleted
    } else {
        let got = group.auto_claim(consumer, start, &options).map_err(worded)?;
        ctx.reply.array(3);
        reply_id(ctx, got.next);
        reply_entries(ctx, &got.claimed);
        got.deleted
    };
    reply_ids(ctx, &deleted);
    Ok(())
}

/// What the subcommands of XGROUP have in common.
const GROUP: CommandSpec =
    CommandSpec { keys: &[KeySpec::at(2, KeyFlags::RW.insert())], run: xgroup_create, ..ROW };

const XGROUP: CommandSpec = CommandSpec {
    name: "XGROUP",
    arity: -2,
    flags: Flags::NONE,
    categories: Categories::NONE,
    keys: &[],
    complexity: "Depends on subcommand",
    summary: "A container for commands on consumer groups",
    run: container,
    subcommands: &[
        CommandSpec {
            name: "CREATE",
            arity: -5,
            flags: Flags::WRITE.denyoom(),
            summary: "Makes a consumer group",
            syntax: "key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]",
            ..GROUP
        },
        CommandSpec {
            name: "CREATECONSUMER",
            arity: 5,
            flags: Flags::WRITE.denyoom(),
            since: "6.2.0",
            summary: "Makes a consumer in a group",
            syntax: "key group consumer",
            run: xgroup_createconsumer,
            ..GROUP
        },
        CommandSpec {
            name: "DELCONSUMER",
            arity: 5,
            keys: &[KeySpec::at(2, KeyFlags::RW.delete())],
            complexity: "O(K*log(N)) where K of N pending entries are the consumer's",
            summary: "Removes a consumer and what is pending with it",
            syntax: "key group consumer",
            run: xgroup_delconsumer,
            ..GROUP
        },
        CommandSpec {
            name: "DESTROY",
            arity: 4,
            keys: &[KeySpec::at(2, KeyFlags::RW.delete())],
            summary: "Removes a consumer group",
            syntax: "key group",
            run: xgroup_destroy,
            ..GROUP
        },
        CommandSpec {
            name: "HELP",
            arity: 2,
            flags: Flags::LOADING.stale(),
            keys: &[],
            summary: "Lists the subcommands",
            run: help,
            ..GROUP
        },
        CommandSpec {
            name: "SETID",
            arity: -5,
            keys: &[KeySpec::at(2, KeyFlags::RW.update())],
            summary: "Lets a group read on from another id",
            syntax: "key group <id | $> [ENTRIESREAD entries-read]",
            run: xgroup_setid,
            ..GROUP
        },
    ],
    ..ROW
};

pub(super) const COMMANDS: &[CommandSpec] = &[
    XGROUP,
    CommandSpec {
        name: "XACK",
        arity: -4,
        flags: Flags::WRITE.fast(),
        complexity: "O(log(N)) for each id, where N is the number of pending entries",
        summary: "Acknowledges entries that are pending in a group",
        syntax: "key group id [id ...]",
        run: xack,
        ..ROW
    },
    CommandSpec {
        name: "XACKDEL",
        arity: -6,
        flags: Flags::WRITE.fast(),
        keys: &[KeySpec::first(KeyFlags::RW.update().delete())],
        since: "8.2.0",
        complexity: "O(log(N)) for each id, where N is the number of entries",
        summary: "Acknowledges entries in a group and removes them from the stream",
        syntax: "key group [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
        run: xackdel,
        ..ROW
    },
    CommandSpec {
        name: "XPENDING",
        flags: Flags::READONLY,
        keys: READ_KEY,
        complexity: "O(log(N)+M) where N is the number of pending entries and M the number looked at",
        summary: "Lists what is pending in a group",
        syntax: "key group [[IDLE min-idle-time] start end count [consumer]]",
        run: xpending,
        ..ROW
    },
    CommandSpec {
        name: "XCLAIM",
        arity: -6,
        flags: Flags::WRITE.fast(),
        complexity: "O(log(N)) for each id, where N is the number of entries",
        summary: "Hands pending entries over to another consumer",
        syntax: "key group consumer min-idle-time id [id ...] [IDLE milliseconds] [TIME unix-time-milliseconds] \
                 [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID last-id]",
        run: xclaim,
        ..ROW
    },
    CommandSpec {
        name: "XAUTOCLAIM",
        arity: -6,
        flags: Flags::WRITE.fast(),
        keys: DELETED_KEY,
        since: "6.2.0",
        complexity: "O(M*log(N)) where M is the number of entries looked at and N that of the entries",
        summary: "Hands entries that were pending for long over to another consumer",
        syntax: "key group consumer min-idle-time start [COUNT count] [JUSTID]",
        run: xautoclaim,
        ..ROW
    },
];
