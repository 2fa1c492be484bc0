//! What streams, groups and consumers say of themselves: XINFO.

use larder::{ConsumerDetails, GroupDetails, GroupInfo, OpError, StreamDetails, StreamId, StreamInfo};

use super::keys::help;
use super::stream::{ROW, reply_entries, reply_entry, reply_id, stream};
use super::stream_groups::{no_group_of_key, subcommand_syntax};
use crate::args::Args;
use crate::error::CommandError;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Categories, CommandSpec, Context, Flags, container};

/// How many entries XINFO STREAM FULL shows, if it is not told.
const FULL_COUNT: usize = 10;

/// How much is to be shown: `None` for the summary.
fn full(args: Args<'_>) -> Result<Option<usize>, CommandError> {
    match args.len() {
        3 => Ok(None),
        4 if args.is(3, "FULL") => Ok(Some(FULL_COUNT)),
        6 if args.is(3, "FULL") && args.is(4, "COUNT") => Ok(Some(match args.int(5)? {
            0 => usize::MAX,
            count if count < 0 => FULL_COUNT,
            count => usize::try_from(count).unwrap_or(usize::MAX),
        })),
        _ => Err(subcommand_syntax(args, "XINFO")),
    }
}

fn name(ctx: &mut Context<'_>, name: &str) {
    ctx.reply.bulk(name.as_bytes());
}

fn count(ctx: &mut Context<'_>, label: &str, number: u64) {
    name(ctx, label);
    ctx.reply.count(number);
}

fn id(ctx: &mut Context<'_>, label: &str, id: StreamId) {
    name(ctx, label);
    reply_id(ctx, id);
}

/// How Redis tells a counter that was set to a number near the end of its range.
fn signed(number: u64) -> i64 {
    i64::from_le_bytes(number.to_le_bytes())
}

fn xinfo_stream(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let stream = stream(ctx, 2)?;
    let full = match full(ctx.args) {
        Ok(full) => full,
        Err(error) if stream.exists()? => return Err(error),
        Err(_) => return Err(OpError::NoSuchKey.into()),
    };
    if let Some(most) = full {
        let details = stream.details(most)?.ok_or(OpError::NoSuchKey)?;
        reply_details(ctx, &details);
        return Ok(());
    }
    let info = stream.info()?.ok_or(OpError::NoSuchKey)?;
    ctx.reply.map(10);
    reply_info(ctx, &info);
    count(ctx, "groups", info.groups);
    for (label, entry) in [("first-entry", &info.first_entry), ("last-entry", &info.last_entry)] {
        name(ctx, label);
        match entry {
            Some(entry) => reply_entry(ctx, entry),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

/// The seven pairs that both forms begin with.
fn reply_info(ctx: &mut Context<'_>, info: &StreamInfo) {
    count(ctx, "length", info.length);
    count(ctx, "radix-tree-keys", info.blocks);
    count(ctx, "radix-tree-nodes", info.radix_nodes);
    id(ctx, "last-generated-id", info.last_id);
    id(ctx, "max-deleted-entry-id", info.max_deleted_id);
    name(ctx, "entries-added");
    ctx.reply.integer(signed(info.entries_added));
    id(ctx, "recorded-first-entry-id", info.first_entry.as_ref().map_or(StreamId::MIN, |entry| entry.id));
}

fn reply_details(ctx: &mut Context<'_>, details: &StreamDetails) {
    ctx.reply.map(9);
    reply_info(ctx, &details.info);
    name(ctx, "entries");
    reply_entries(ctx, &details.entries);
    name(ctx, "groups");
    ctx.reply.array(details.groups.len());
    for group in &details.groups {
        reply_group_details(ctx, group);
    }
}

fn reply_group_details(ctx: &mut Context<'_>, group: &GroupDetails) {
    ctx.reply.map(7);
    name(ctx, "name");
    ctx.reply.bulk(&group.info.name);
    id(ctx, "last-delivered-id", group.info.last_delivered_id);
    reply_progress(ctx, &group.info);
    count(ctx, "pel-count", group.info.pending);
    name(ctx, "pending");
    ctx.reply.array(group.pending.len());
    for entry in &group.pending {
        ctx.reply.array(4);
        reply_id(ctx, entry.id);
        ctx.reply.bulk(&entry.consumer);
        ctx.reply.count(entry.delivered.0);
        ctx.reply.count(entry.deliveries);
    }
    name(ctx, "consumers");
    ctx.reply.array(group.consumers.len());
    for consumer in &group.consumers {
        reply_consumer_details(ctx, consumer);
    }
}

fn reply_consumer_details(ctx: &mut Context<'_>, consumer: &ConsumerDetails) {
    ctx.reply.map(4);
    name(ctx, "name");
    ctx.reply.bulk(&consumer.info.name);
    count(ctx, "seen-time", consumer.info.seen.0);
    count(ctx, "pel-count", consumer.info.pending);
    name(ctx, "pending");
    ctx.reply.array(consumer.pending.len());
    for entry in &consumer.pending {
        ctx.reply.array(3);
        reply_id(ctx, entry.id);
        ctx.reply.count(entry.delivered.0);
        ctx.reply.count(entry.deliveries);
    }
}

/// How far a group has read; nulls where that cannot be told.
fn reply_progress(ctx: &mut Context<'_>, group: &GroupInfo) {
    name(ctx, "entries-read");
    match group.entries_read {
        Some(read) => ctx.reply.integer(signed(read)),
        None => ctx.reply.null(),
    }
    name(ctx, "lag");
    match group.lag {
        Some(lag) => ctx.reply.integer(lag),
        None => ctx.reply.null(),
    }
}

fn xinfo_groups(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let groups = stream(ctx, 2)?.groups()?.ok_or(OpError::NoSuchKey)?;
    ctx.reply.array(groups.len());
    for group in &groups {
        ctx.reply.map(6);
        name(ctx, "name");
        ctx.reply.bulk(&group.name);
        count(ctx, "consumers", group.consumers);
        count(ctx, "pending", group.pending);
        id(ctx, "last-delivered-id", group.last_delivered_id);
        reply_progress(ctx, group);
    }
    Ok(())
}

fn xinfo_consumers(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (key, group) = (ctx.args.bytes(2)?, ctx.args.bytes(3)?);
    let consumers = ctx.engine.stream(key).group(group).consumers();
    let consumers = consumers.map_err(|error| no_group_of_key(error, key, group))?;
    ctx.reply.array(consumers.len());
    for consumer in &consumers {
        ctx.reply.map(3);
        name(ctx, "name");
        ctx.reply.bulk(&consumer.name);
        count(ctx, "pending", consumer.pending);
        count(ctx, "idle", u64::try_from(consumer.idle.as_millis()).unwrap_or(u64::MAX));
    }
    Ok(())
}

/// What the subcommands of XINFO have in common.
const INFO: CommandSpec = CommandSpec {
    flags: Flags::READONLY,
    keys: &[KeySpec::at(2, KeyFlags::RO.access())],
    run: xinfo_stream,
    ..ROW
};

pub(super) const XINFO: CommandSpec = CommandSpec {
    name: "XINFO",
    arity: -2,
    flags: Flags::NONE,
    categories: Categories::NONE,
    keys: &[],
    complexity: "Depends on subcommand",
    summary: "A container for commands that tell of streams",
    run: container,
    subcommands: &[
        CommandSpec {
            name: "CONSUMERS",
            arity: 4,
            complexity: "O(N) where N is the number of consumers",
            summary: "Lists the consumers of a group",
            syntax: "key group",
            run: xinfo_consumers,
            ..INFO
        },
        CommandSpec {
            name: "GROUPS",
            arity: 3,
            complexity: "O(N) where N is the number of groups",
            summary: "Lists the consumer groups of a stream",
            syntax: "key",
            run: xinfo_groups,
            ..INFO
        },
        CommandSpec {
            name: "HELP",
            arity: 2,
            flags: Flags::LOADING.stale(),
            keys: &[],
            summary: "Lists the subcommands",
            run: help,
            ..INFO
        },
        CommandSpec {
            name: "STREAM",
            complexity: "O(N) where N is the number of blocks of the stream and of the things told",
            summary: "Tells what a stream is made of",
            syntax: "key [FULL [COUNT count]]",
            run: xinfo_stream,
            ..INFO
        },
    ],
    ..ROW
};
