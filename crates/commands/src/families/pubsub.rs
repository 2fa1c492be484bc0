//! Publish and subscribe. A subscription is confirmed channel by channel, out of band as its messages are.

use bytes::Bytes;
use larder::{OpError, Subscriber};

use crate::error::CommandError;
use crate::execute::Place;
use crate::families::keys::help;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Categories, CommandSpec, Context, Flags, container};

fn publish(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let count = ctx.engine.publish(ctx.args.bytes(1)?, ctx.args.bytes(2)?)?;
    published(ctx, count);
    Ok(())
}

fn spublish(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let count = ctx.engine.publish_shard(ctx.args.bytes(1)?, ctx.args.bytes(2)?)?;
    published(ctx, count);
    Ok(())
}

/// What a session publishes to itself comes before the count.
fn published(ctx: &mut Context<'_>, count: usize) {
    ctx.poll_pushes();
    ctx.reply.count(count as u64);
}

/// Which of the three sorts of names; what Redis counts in a confirmation.
struct Sort {
    subscribed: &'static [u8],
    unsubscribed: &'static [u8],
    add: fn(&Subscriber, &[u8]) -> Result<bool, OpError>,
    remove: fn(&Subscriber, &[u8]) -> bool,
    names: fn(&Subscriber) -> Vec<Bytes>,
    count: fn(&Subscriber) -> usize,
}

const CHANNELS: Sort = Sort {
    subscribed: b"subscribe",
    unsubscribed: b"unsubscribe",
    add: |subscriber, name| subscriber.subscribe(name),
    remove: |subscriber, name| subscriber.unsubscribe(name),
    names: Subscriber::channels,
    count: Subscriber::subscription_count,
};

const PATTERNS: Sort = Sort {
    subscribed: b"psubscribe",
    unsubscribed: b"punsubscribe",
    add: |subscriber, name| subscriber.psubscribe(name),
    remove: |subscriber, name| subscriber.punsubscribe(name),
    names: Subscriber::patterns,
    count: Subscriber::subscription_count,
};

const SHARD_CHANNELS: Sort = Sort {
    subscribed: b"ssubscribe",
    unsubscribed: b"sunsubscribe",
    add: |subscriber, name| subscriber.ssubscribe(name),
    remove: |subscriber, name| subscriber.sunsubscribe(name),
    names: Subscriber::shard_channels,
    count: Subscriber::shard_subscription_count,
};

fn add(ctx: &mut Context<'_>, sort: &Sort) -> Result<(), CommandError> {
    for (at, name) in ctx.args.from(1).iter().enumerate() {
        let subscriber = ctx.session.pushes.subscriber(ctx.engine);
        match (sort.add)(subscriber, name) {
            Ok(_) => confirm(ctx, sort, sort.subscribed, Some(name)),
            Err(OpError::Disconnected) => {
                ctx.session.quitting = true;
                return Ok(());
            }
            Err(error) if at == 0 => return Err(error.into()),
            Err(error) => ctx.reply.error_bytes(CommandError::from(error).as_bytes()),
        }
    }
    Ok(())
}

fn remove(ctx: &mut Context<'_>, sort: &Sort) -> Result<(), CommandError> {
    let named = ctx.args.from(1);
    let all = match ctx.session.pushes.known() {
        Some(subscriber) if named.is_empty() => (sort.names)(subscriber),
        _ => Vec::new(),
    };
    if named.is_empty() && all.is_empty() {
        confirm(ctx, sort, sort.unsubscribed, None);
    }
    for name in named.iter().copied().chain(all.iter().map(AsRef::as_ref)) {
        if ctx.session.pushes.known().is_some_and(|subscriber| (sort.remove)(subscriber, name)) {
            // No message of this channel comes after its confirmation.
            ctx.poll_pushes();
        }
        confirm(ctx, sort, sort.unsubscribed, Some(name));
    }
    Ok(())
}

fn confirm(ctx: &mut Context<'_>, sort: &Sort, what: &[u8], name: Option<&[u8]>) {
    let count = ctx.session.pushes.known().map_or(0, sort.count);
    ctx.reply.push(3);
    ctx.reply.bulk(what);
    ctx.reply.bulk_or_null(name);
    ctx.reply.count(count as u64);
}

fn subscribe(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    add(ctx, &CHANNELS)
}

fn unsubscribe(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    remove(ctx, &CHANNELS)
}

fn psubscribe(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    add(ctx, &PATTERNS)
}

fn punsubscribe(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    remove(ctx, &PATTERNS)
}

fn ssubscribe(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    // The others were there before that rule.
    if ctx.place == Place::Exec {
        return Err(CommandError::new("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    add(ctx, &SHARD_CHANNELS)
}

fn sunsubscribe(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    remove(ctx, &SHARD_CHANNELS)
}

/// The pattern of CHANNELS and SHARDCHANNELS.
fn one_pattern<'a>(ctx: &Context<'a>) -> Result<Option<&'a [u8]>, CommandError> {
    if ctx.args.len() <= 3 {
        return Ok(ctx.args.get(2));
    }
    let word = crate::execute::quoted(ctx.args.get(1).unwrap_or_default(), 128);
    let text = [b"ERR unknown subcommand or wrong number of arguments for '", word, b"'. Try PUBSUB HELP."];
    Err(CommandError::from_bytes(text.concat()))
}

fn list(ctx: &mut Context<'_>, names: &[Bytes]) {
    ctx.reply.array(names.len());
    names.iter().for_each(|name| ctx.reply.bulk(name));
}

fn channels(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let names = ctx.engine.channels(one_pattern(ctx)?);
    list(ctx, &names);
    Ok(())
}

fn shardchannels(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let names = ctx.engine.shard_channels(one_pattern(ctx)?);
    list(ctx, &names);
    Ok(())
}

/// Each name with a count, as an array in both protocols.
fn counts(ctx: &mut Context<'_>, count: impl Fn(&[u8]) -> usize) {
    let names = ctx.args.from(2);
    ctx.reply.array(names.len().saturating_mul(2));
    for name in names {
        ctx.reply.bulk(name);
        ctx.reply.count(count(name) as u64);
    }
}

fn numsub(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let engine = ctx.engine;
    counts(ctx, |name| engine.channel_subscribers(name));
    Ok(())
}

fn shardnumsub(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let engine = ctx.engine;
    counts(ctx, |name| engine.shard_channel_subscribers(name));
    Ok(())
}

fn numpat(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    ctx.reply.count(ctx.engine.pattern_count() as u64);
    Ok(())
}

const SUBSCRIBING: Flags = Flags::PUBSUB.noscript().loading().stale();
const PUBLISHING: Flags = Flags::PUBSUB.loading().stale().fast();
const ASKING: Flags = Flags::PUBSUB.loading().stale();
const ALL_SHARD_CHANNELS: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::NOT_KEY)];

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "PSUBSCRIBE",
        arity: -2,
        flags: SUBSCRIBING,
        categories: Categories::NONE,
        keys: &[],
        since: "2.0.0",
        complexity: "O(N) where N is the number of patterns the client is already subscribed to.",
        summary: "Listens to all channels that patterns match",
        syntax: "pattern [pattern ...]",
        subcommands: &[],
        run: psubscribe,
    },
    CommandSpec {
        name: "PUBLISH",
        arity: 3,
        flags: PUBLISHING,
        categories: Categories::NONE,
        keys: &[],
        since: "2.0.0",
        complexity: "O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total number of subscribed patterns (by any client).",
        summary: "Sends a message to whoever listens to a channel",
        syntax: "channel message",
        subcommands: &[],
        run: publish,
    },
    CommandSpec {
        name: "PUBSUB",
        arity: -2,
        flags: Flags::NONE,
        categories: Categories::NONE,
        keys: &[],
        since: "2.8.0",
        complexity: "Depends on subcommand",
        summary: "Tells who listens to what",
        syntax: "",
        subcommands: &[
            CommandSpec {
                name: "CHANNELS",
                arity: -2,
                flags: ASKING,
                categories: Categories::NONE,
                keys: &[],
                since: "2.8.0",
                complexity: "O(N) where N is the number of active channels, and assuming constant time pattern matching (relatively short channels and patterns)",
                summary: "Lists the channels that have subscribers",
                syntax: "[pattern]",
                subcommands: &[],
                run: channels,
            },
            CommandSpec {
                name: "HELP",
                arity: 2,
                flags: Flags::LOADING.stale(),
                categories: Categories::NONE,
                keys: &[],
                since: "6.2.0",
                complexity: "O(1)",
                summary: "Lists the subcommands",
                syntax: "",
                subcommands: &[],
                run: help,
            },
            CommandSpec {
                name: "NUMPAT",
                arity: 2,
                flags: ASKING,
                categories: Categories::NONE,
                keys: &[],
                since: "2.8.0",
                complexity: "O(1)",
                summary: "Returns how many different patterns have subscribers",
                syntax: "",
                subcommands: &[],
                run: numpat,
            },
            CommandSpec {
                name: "NUMSUB",
                arity: -2,
                flags: ASKING,
                categories: Categories::NONE,
                keys: &[],
                since: "2.8.0",
                complexity: "O(N) for the NUMSUB subcommand, where N is the number of requested channels",
                summary: "Returns how many subscribers channels have",
                syntax: "[channel [channel ...]]",
                subcommands: &[],
                run: numsub,
            },
            CommandSpec {
                name: "SHARDCHANNELS",
                arity: -2,
                flags: ASKING,
                categories: Categories::NONE,
                keys: &[],
                since: "7.0.0",
                complexity: "O(N) where N is the number of active shard channels, and assuming constant time pattern matching (relatively short shard channels).",
                summary: "Lists the shard channels that have subscribers",
                syntax: "[pattern]",
                subcommands: &[],
                run: shardchannels,
            },
            CommandSpec {
                name: "SHARDNUMSUB",
                arity: -2,
                flags: ASKING,
                categories: Categories::NONE,
                keys: &[],
                since: "7.0.0",
                complexity: "O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels",
                summary: "Returns how many subscribers shard channels have",
                syntax: "[shardchannel [shardchannel ...]]",
                subcommands: &[],
                run: shardnumsub,
            },
        ],
        run: container,
    },
    CommandSpec {
        name: "PUNSUBSCRIBE",
        arity: -1,
        flags: SUBSCRIBING,
        categories: Categories::NONE,
        keys: &[],
        since: "2.0.0",
        complexity: "O(N+M) where N is the number of patterns the client is already subscribed and M is the number of total patterns subscribed in the system (by any client).",
        summary: "Listens no more to channels that patterns match",
        syntax: "[pattern [pattern ...]]",
        subcommands: &[],
        run: punsubscribe,
    },
    CommandSpec {
        name: "SPUBLISH",
        arity: 3,
        flags: PUBLISHING,
        categories: Categories::NONE,
        keys: &[KeySpec::first(KeyFlags::NOT_KEY)],
        since: "7.0.0",
        complexity: "O(N) where N is the number of clients subscribed to the receiving shard channel.",
        summary: "Sends a message to whoever listens to a shard channel",
        syntax: "shardchannel message",
        subcommands: &[],
        run: spublish,
    },
    CommandSpec {
        name: "SSUBSCRIBE",
        arity: -2,
        flags: SUBSCRIBING,
        categories: Categories::NONE,
        keys: ALL_SHARD_CHANNELS,
        since: "7.0.0",
        complexity: "O(N) where N is the number of shard channels to subscribe to.",
        summary: "Listens to shard channels",
        syntax: "shardchannel [shardchannel ...]",
        subcommands: &[],
        run: ssubscribe,
    },
    CommandSpec {
        name: "SUBSCRIBE",
        arity: -2,
        flags: SUBSCRIBING,
        categories: Categories::NONE,
        keys: &[],
        since: "2.0.0",
        complexity: "O(N) where N is the number of channels to subscribe to.",
        summary: "Listens to channels",
        syntax: "channel [channel ...]",
        subcommands: &[],
        run: subscribe,
    },
    CommandSpec {
        name: "SUNSUBSCRIBE",
        arity: -1,
        flags: SUBSCRIBING,
        categories: Categories::NONE,
        keys: ALL_SHARD_CHANNELS,
        since: "7.0.0",
        complexity: "O(N) where N is the number of clients already subscribed to a shard channel.",
        summary: "Listens no more to shard channels",
        syntax: "[shardchannel [shardchannel ...]]",
        subcommands: &[],
        run: sunsubscribe,
    },
    CommandSpec {
        name: "UNSUBSCRIBE",
        arity: -1,
        flags: SUBSCRIBING,
        categories: Categories::NONE,
        keys: &[],
        since: "2.0.0",
        complexity: "O(N) where N is the number of clients already subscribed to a channel.",
        summary: "Listens no more to channels",
        syntax: "[channel [channel ...]]",
        subcommands: &[],
        run: unsubscribe,
    },
];
