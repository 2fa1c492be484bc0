//! Streams: adding, reading, trimming. The commands of groups are in `stream_groups`, what streams tell of themselves in
//! `stream_info`.
//!
//! With `BLOCK`, `XREAD` and `XREADGROUP` leave a waiter behind when there is nothing to read.

use std::time::Duration;

use larder::{
    AddOptions, At, EntryRemoval, NewId, References, Stream, StreamEntry, StreamFields, StreamId, StreamMeta,
    Trim, Waiter,
};

use super::list::owned;
use super::stream_groups::xreadgroup;
use super::stream_info::XINFO;
use crate::args::Args;
use crate::error::CommandError;
use crate::keyspec::{FindKeys, KeyFlags, KeySpec};
use crate::reply::{Protocol, ReplySink};
use crate::spec::{Categories, CommandSpec, Context, Flags};

pub(super) fn stream<'a>(ctx: &Context<'a>, index: usize) -> Result<Stream<At<'a>>, CommandError> {
    Ok(ctx.engine.stream(ctx.args.bytes(index)?))
}

pub(super) fn error<T>(text: &'static str) -> Result<T, CommandError> {
    Err(CommandError::new(text))
}

fn invalid_id() -> CommandError {
    CommandError::new("ERR Invalid stream ID specified as stream command argument")
}

/// An id without its special forms; a missing sequence number is zero.
pub(super) fn strict_id(text: &[u8]) -> Result<StreamId, CommandError> {
    StreamId::parse(text, 0).ok_or_else(invalid_id)
}

pub(super) fn strict_ids(words: &[&[u8]]) -> Result<Vec<StreamId>, CommandError> {
    words.iter().map(|text| strict_id(text)).collect()
}

/// An id, or `-` or `+`, for the lowest and the highest.
pub(super) fn any_id(text: &[u8], missing_seq: u64) -> Result<StreamId, CommandError> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => StreamId::parse(text, missing_seq).ok_or_else(invalid_id),
    }
}

/// Where an interval begins; `(id` leaves the id itself out.
pub(super) fn start_id(text: &[u8]) -> Result<StreamId, CommandError> {
    match text {
        [b'(', id @ ..] if !id.is_empty() => {
            let none = || CommandError::new("ERR invalid start ID for the interval");
            strict_id(id)?.next().ok_or_else(none)
        }
        _ => any_id(text, 0),
    }
}

/// Where an interval ends.
pub(super) fn end_id(text: &[u8]) -> Result<StreamId, CommandError> {
    match text {
        [b'(', id @ ..] if !id.is_empty() => {
            let none = || CommandError::new("ERR invalid end ID for the interval");
            let id = StreamId::parse(id, u64::MAX).ok_or_else(invalid_id)?;
            id.previous().ok_or_else(none)
        }
        _ => any_id(text, u64::MAX),
    }
}

/// A count in which a negative number means zero.
pub(super) fn count_at(args: Args<'_>, index: usize) -> Result<usize, CommandError> {
    Ok(usize::try_from(args.int(index)?.max(0)).unwrap_or(usize::MAX))
}

pub(super) fn reply_id(ctx: &mut Context<'_>, id: StreamId) {
    ctx.reply.bulk(id.to_string().as_bytes());
}

fn put_fields(reply: &mut dyn ReplySink, fields: &StreamFields) {
    reply.array(fields.len() * 2);
    for (field, value) in fields {
        reply.bulk(field);
        reply.bulk(value);
    }
}

fn put_entry(reply: &mut dyn ReplySink, entry: &StreamEntry) {
    reply.array(2);
    reply.bulk(entry.id.to_string().as_bytes());
    put_fields(reply, &entry.fields);
}

fn put_entries(reply: &mut dyn ReplySink, entries: &[StreamEntry]) {
    reply.array(entries.len());
    for entry in entries {
        put_entry(reply, entry);
    }
}

pub(super) fn reply_fields(ctx: &mut Context<'_>, fields: &StreamFields) {
    put_fields(ctx.reply, fields);
}

pub(super) fn reply_entry(ctx: &mut Context<'_>, entry: &StreamEntry) {
    put_entry(ctx.reply, entry);
}

pub(super) fn reply_entries(ctx: &mut Context<'_>, entries: &[StreamEntry]) {
    put_entries(ctx.reply, entries);
}

/// The options before the id of `XADD`, or all of `XTRIM`'s.
struct Options {
    trim: Option<Trim>,
    existing_only: bool,
    /// The id of `XADD`, and where it stands.
    id: Option<(NewId, usize)>,
}

/// What was said of trimming so far.
#[derive(Default)]
struct Trimming {
    to: Option<Trim>,
    approximate: bool,
    limit: Option<u64>,
}

impl Trimming {
    /// Reads `MAXLEN` or `MINID`, whose word is at `at`; returns where its value is.
    fn read(&mut self, args: Args<'_>, at: usize) -> Result<usize, CommandError> {
        if self.to.is_some() {
            return error("ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
        }
        let more = args.len() - at > 2;
        self.approximate = more && args.is(at + 1, "~");
        let value = if more && (self.approximate || args.is(at + 1, "=")) { at + 2 } else { at + 1 };
        self.to = Some(if args.is(at, "MAXLEN") {
            let length = args.int(value)?;
            let negative = |_| CommandError::new("ERR The MAXLEN argument must be >= 0.");
            Trim::to_length(u64::try_from(length).map_err(negative)?)
        } else {
            Trim::to_id(strict_id(args.bytes(value)?)?)
        });
        Ok(value)
    }

    fn finish(self, xadd: bool) -> Result<Option<Trim>, CommandError> {
        if self.limit.is_some_and(|limit| limit > 0) && self.to.is_none() {
            return error("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
        }
        if !xadd && self.to.is_none() {
            return error("ERR syntax error, XTRIM must be called with a trimming strategy");
        }
        if self.limit.is_some() && !self.approximate {
            return error("ERR syntax error, LIMIT cannot be used without the special ~ option");
        }
        let approximate = |trim: Trim| if self.approximate { trim.approximate() } else { trim };
        let limited = |trim: Trim| self.limit.map_or(trim, |limit| trim.limit(limit));
        Ok(self.to.map(approximate).map(limited))
    }
}

fn options(args: Args<'_>, xadd: bool) -> Result<Options, CommandError> {
    let (mut trimming, mut existing_only, mut id) = (Trimming::default(), false, None);
    let mut at = 2;
    while let Some(word) = args.get(at) {
        let more = at + 1 < args.len();
        if xadd && word == b"*" {
            id = Some((NewId::Auto, at));
            break;
        } else if more && (args.is(at, "MAXLEN") || args.is(at, "MINID")) {
            at = trimming.read(args, at)?;
        } else if more && args.is(at, "LIMIT") {
            at += 1;
            let negative = |_| CommandError::new("ERR The LIMIT argument must be >= 0.");
            trimming.limit = Some(u64::try_from(args.int(at)?).map_err(negative)?);
        } else if xadd && args.is(at, "NOMKSTREAM") {
            existing_only = true;
        } else if xadd {
            id = Some((NewId::parse(word).ok_or_else(invalid_id)?, at));
            break;
        } else {
            return Err(CommandError::syntax());
        }
        at += 1;
    }
    Ok(Options { trim: trimming.finish(xadd)?, existing_only, id })
}

fn xadd(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let options = options(ctx.args, true)?;
    let arity = || CommandError::wrong_arity("xadd");
    let (id, at) = options.id.ok_or_else(arity)?;
    let words = ctx.args.from(at + 1);
    if words.is_empty() || words.len() % 2 == 1 {
        return Err(arity());
    }
    if id == NewId::Exact(StreamId::MIN) {
        return error("ERR The ID specified in XADD must be greater than 0-0");
    }
    let pairs = words.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)));
    let mut adding = AddOptions::new().id(id);
    if options.existing_only {
        adding = adding.existing_only();
    }
    if let Some(trim) = options.trim {
        adding = adding.trim(trim);
    }
    match stream(ctx, 1)?.add_with(&adding, pairs.collect::<StreamFields>())? {
        Some(id) => reply_id(ctx, id),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn xtrim(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let trim = options(ctx.args, false)?.trim.ok_or_else(CommandError::syntax)?;
    let removed = stream(ctx, 1)?.trim(trim)?;
    ctx.reply.count(removed);
    Ok(())
}

fn xlen(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let len = stream(ctx, 1)?.len()?;
    ctx.reply.count(len);
    Ok(())
}

fn range(ctx: &mut Context<'_>, reversed: bool) -> Result<(), CommandError> {
    let args = ctx.args;
    let (first, last) = if reversed { (3, 2) } else { (2, 3) };
    let (start, end) = (start_id(args.bytes(first)?)?, end_id(args.bytes(last)?)?);
    let mut count = None;
    for at in (4..args.len()).step_by(2) {
        if !args.is(at, "COUNT") {
            return Err(CommandError::syntax());
        }
        count = Some(count_at(args, at + 1)?);
    }
    let stream = stream(ctx, 1)?;
    if count == Some(0) {
        if stream.exists()? {
            ctx.reply.null_array();
        } else {
            ctx.reply.array(0);
        }
        return Ok(());
    }
    let entries = if reversed { stream.range_reversed(start..=end) } else { stream.range(start..=end) };
    let entries: Vec<StreamEntry> = entries?.take(count.unwrap_or(usize::MAX)).collect();
    reply_entries(ctx, &entries);
    Ok(())
}

/// What follows the options of `XREAD` and `XREADGROUP`.
pub(super) struct Streams<'a> {
    pub(super) group: Option<(&'a [u8], &'a [u8])>,
    pub(super) count: Option<usize>,
    pub(super) no_ack: bool,
    /// How long to wait where there is nothing: not at all, for ever, so long.
    pub(super) block: Option<Option<Duration>>,
    pub(super) keys: &'a [&'a [u8]],
    pub(super) ids: &'a [&'a [u8]],
}

fn timeout(args: Args<'_>, at: usize) -> Result<Option<Duration>, CommandError> {
    let invalid = |_| CommandError::new("ERR timeout is not an integer or out of range");
    let span_ms = args.int(at).map_err(invalid)?;
    let negative = |_| CommandError::new("ERR timeout is negative");
    let span = Duration::from_millis(u64::try_from(span_ms).map_err(negative)?);
    Ok(Some(span).filter(|span| !span.is_zero()))
}

pub(super) fn streams(args: Args<'_>, grouped: bool) -> Result<Streams<'_>, CommandError> {
    let mut found = Streams { group: None, count: None, no_ack: false, block: None, keys: &[], ids: &[] };
    let mut at = 1;
    while at < args.len() {
        let more = args.len() - at - 1;
        if args.is(at, "BLOCK") && more >= 1 {
            found.block = Some(timeout(args, at + 1)?);
            at += 2;
        } else if args.is(at, "COUNT") && more >= 1 {
            found.count = Some(count_at(args, at + 1)?).filter(|&count| count > 0);
            at += 2;
        } else if args.is(at, "STREAMS") && more >= 1 {
            let words = args.from(at + 1);
            if words.len() % 2 == 1 {
                return error(
                    "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
                );
            }
            (found.keys, found.ids) = words.split_at(words.len() / 2);
            break;
        } else if args.is(at, "GROUP") && more >= 2 {
            if !grouped {
                return error(
                    "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                );
            }
            found.group = Some((args.bytes(at + 1)?, args.bytes(at + 2)?));
            at += 3;
        } else if args.is(at, "NOACK") {
            if !grouped {
                return error(
                    "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                );
            }
            found.no_ack = true;
            at += 1;
        } else {
            return Err(CommandError::syntax());
        }
    }
    if found.keys.is_empty() { Err(CommandError::syntax()) } else { Ok(found) }
}

/// Replies to a read what a waiter has got, or waits.
pub(super) fn reply_when_read(
    ctx: &mut Context<'_>,
    waiter: Waiter<Vec<(usize, Vec<StreamEntry>)>>,
    timeout: Option<Duration>,
    keys: &[&[u8]],
) -> Result<(), CommandError> {
    let names = owned(keys);
    ctx.block(waiter, timeout, move |read, reply| {
        let resp3 = reply.protocol() == Protocol::Resp3;
        if resp3 {
            reply.map(read.len());
        } else {
            reply.array(read.len());
        }
        for (at, entries) in &read {
            if !resp3 {
                reply.array(2);
            }
            reply.bulk(names.get(*at).map_or(&[], |name| name));
            put_entries(reply, entries);
        }
    })
}

/// Begins the reply of a read: a map in RESP3, pairs in RESP2, a null if no stream has anything.
pub(super) fn reply_streams(ctx: &mut Context<'_>, count: usize) {
    match count {
        0 => ctx.reply.null_array(),
        count if ctx.resp3() => ctx.reply.map(count),
        count => ctx.reply.array(count),
    }
}

pub(super) fn reply_stream_name(ctx: &mut Context<'_>, name: &[u8]) {
    if !ctx.resp3() {
        ctx.reply.array(2);
    }
    ctx.reply.bulk(name);
}

/// The ids after which `XREAD` reads; `$` is after all there is.
fn read_ids(ctx: &Context<'_>, found: &Streams<'_>) -> Result<Vec<StreamId>, CommandError> {
    let mut ids = Vec::with_capacity(found.ids.len());
    for (at, text) in found.ids.iter().enumerate() {
        let id = match *text {
            // Who waits, waits for what comes after the entries that are there now.
            b"$" if found.block.is_some() => match found.keys.get(at) {
                Some(key) => Ok(ctx.engine.stream(*key).info()?.map_or(StreamId::MIN, |info| info.last_id)),
                None => Ok(StreamId::MAX),
            },
            b"$" => Ok(StreamId::MAX),
            b">" => error(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
            ),
            text => strict_id(text),
        };
        if id.is_err() {
            // A key of another type is found out before the id behind it.
            for key in found.keys.iter().take(at + 1) {
                ctx.engine.stream(*key).len()?;
            }
        }
        ids.push(id?);
    }
    Ok(ids)
}

fn xread(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let found = streams(ctx.args, false)?;
    let ids = read_ids(ctx, &found)?;
    let after: Vec<(&[u8], StreamId)> = found.keys.iter().copied().zip(ids).collect();
    let count = found.count.unwrap_or(usize::MAX);
    if let Some(timeout) = found.block {
        let waiter = ctx.engine.read_streams_async(&after, count);
        return reply_when_read(ctx, waiter, timeout, found.keys);
    }
    let news = ctx.engine.read_streams(&after)?;
    reply_streams(ctx, news.iter().flatten().count());
    for ((key, _), entries) in after.iter().zip(news) {
        let Some(entries) = entries else { continue };
        reply_stream_name(ctx, key);
        let entries: Vec<StreamEntry> = entries.take(count).collect();
        reply_entries(ctx, &entries);
    }
    Ok(())
}

fn xdel(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let stream = stream(ctx, 1)?;
    let removed = match strict_ids(ctx.args.from(2)) {
        Ok(ids) => stream.remove(ids)?,
        Err(error) if stream.exists()? => return Err(error),
        Err(_) => 0,
    };
    ctx.reply.count(removed);
    Ok(())
}

/// What `XDELEX` and `XACKDEL` share: what becomes of references, and the ids.
pub(super) fn references_and_ids(
    args: Args<'_>,
    start: usize,
) -> Result<(References, Vec<StreamId>), CommandError> {
    let (mut references, mut ids) = (None, None);
    let mut at = start;
    while at < args.len() {
        let said = match at {
            _ if args.is(at, "KEEPREF") => Some(References::Keep),
            _ if args.is(at, "DELREF") => Some(References::Delete),
            _ if args.is(at, "ACKED") => Some(References::Acknowledged),
            _ => None,
        };
        if said.is_some() && references.is_none() {
            references = said;
            at += 1;
        } else if said.is_none() && args.is(at, "IDS") && at + 1 < args.len() {
            let count = args.int(at + 1).ok().and_then(|count| usize::try_from(count).ok());
            let Some(count) = count.filter(|&count| count > 0) else {
                return error("ERR Number of IDs must be a positive integer");
            };
            let Some(words) = args.from(at + 2).get(..count) else {
                return error("ERR The `numids` parameter must match the number of arguments");
            };
            ids = Some(words);
            at += 2 + count;
        } else {
            return Err(CommandError::syntax());
        }
    }
    let ids = ids.ok_or_else(|| CommandError::new("ERR IDS option is required"))?;
    Ok((references.unwrap_or_default(), strict_ids(ids)?))
}

pub(super) fn reply_removals(ctx: &mut Context<'_>, removals: &[EntryRemoval]) {
    ctx.reply.array(removals.len());
    for removal in removals {
        ctx.reply.integer(match removal {
            EntryRemoval::Removed => 1,
            EntryRemoval::Referenced => 2,
            _ => -1,
        });
    }
}

fn xdelex(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (references, ids) = references_and_ids(ctx.args, 2)?;
    let removals = stream(ctx, 1)?.remove_with(references, ids)?;
    reply_removals(ctx, &removals);
    Ok(())
}

fn xsetid(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    let id = strict_id(args.bytes(2)?)?;
    let mut meta = StreamMeta::new(id);
    for at in (3..args.len()).step_by(2) {
        if at + 1 == args.len() {
            return Err(CommandError::syntax());
        }
        if args.is(at, "ENTRIESADDED") {
            let negative = |_| CommandError::new("ERR entries_added must be positive");
            meta = meta.entries_added(u64::try_from(args.int(at + 1)?).map_err(negative)?);
        } else if args.is(at, "MAXDELETEDID") {
            let deleted = strict_id(args.bytes(at + 1)?)?;
            if id < deleted {
                return error(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                );
            }
            meta = meta.max_deleted_id(deleted);
        } else {
            return Err(CommandError::syntax());
        }
    }
    stream(ctx, 1)?.set_last_id(meta)?;
    ctx.ok();
    Ok(())
}

/// What most commands of this family have in common.
pub(super) const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: -3,
    flags: Flags::WRITE,
    categories: Categories::STREAM,
    keys: &[KeySpec::first(KeyFlags::RW.update())],
    since: "5.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    subcommands: &[],
    run: xadd,
};

pub(super) const READ_KEY: &[KeySpec] = &[KeySpec::first(KeyFlags::RO.access())];
pub(super) const DELETED_KEY: &[KeySpec] = &[KeySpec::first(KeyFlags::RW.delete())];
const HALF: FindKeys = FindKeys::Range { last: -1, step: 1, limit: 2 };

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "XADD",
        arity: -5,
        flags: Flags::WRITE.denyoom().fast(),
        complexity: "O(log(N)) where N is the number of entries; what trimming drops is dropped by whole blocks",
        summary: "Appends an entry to a stream",
        syntax: "key [NOMKSTREAM] [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value [field value ...]",
        run: xadd,
        ..ROW
    },
    CommandSpec {
        name: "XTRIM",
        arity: -4,
        keys: DELETED_KEY,
        complexity: "O(log(N)) where N is the number of entries; O(M) with ~ where M is the number of blocks dropped",
        summary: "Removes the oldest entries of a stream",
        syntax: "key <MAXLEN | MINID> [= | ~] threshold [LIMIT count]",
        run: xtrim,
        ..ROW
    },
    CommandSpec {
        name: "XDEL",
        flags: Flags::WRITE.fast(),
        keys: DELETED_KEY,
        complexity: "O(log(N)) for each id, where N is the number of entries",
        summary: "Removes entries from a stream",
        syntax: "key id [id ...]",
        run: xdel,
        ..ROW
    },
    CommandSpec {
        name: "XDELEX",
        arity: -5,
        flags: Flags::WRITE.fast(),
        keys: DELETED_KEY,
        since: "8.2.0",
        complexity: "O(log(N)) for each id, where N is the number of entries",
        summary: "Removes entries from a stream, and says what becomes of them in consumer groups",
        syntax: "key [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
        run: xdelex,
        ..ROW
    },
    CommandSpec {
        name: "XLEN",
        arity: 2,
        flags: Flags::READONLY.fast(),
        keys: &[KeySpec::first(KeyFlags::RO)],
        summary: "Returns the number of entries of a stream",
        syntax: "key",
        run: xlen,
        ..ROW
    },
    CommandSpec {
        name: "XRANGE",
        arity: -4,
        flags: Flags::READONLY,
        keys: READ_KEY,
        complexity: "O(log(N)+M) where N is the number of entries and M the number of entries returned",
        summary: "Returns the entries of a stream between two ids",
        syntax: "key start end [COUNT count]",
        run: |ctx| range(ctx, false),
        ..ROW
    },
    CommandSpec {
        name: "XREVRANGE",
        arity: -4,
        flags: Flags::READONLY,
        keys: READ_KEY,
        complexity: "O(log(N)+M) where N is the number of entries and M the number of entries returned",
        summary: "Returns the entries of a stream between two ids, the last one first",
        syntax: "key end start [COUNT count]",
        run: |ctx| range(ctx, true),
        ..ROW
    },
    CommandSpec {
        name: "XREAD",
        arity: -4,
        flags: Flags::READONLY.blocking(),
        keys: &[KeySpec::after("STREAMS", 1, KeyFlags::RO.access()).find(HALF)],
        complexity: "O(log(N)+M) for each stream, where N is the number of entries and M the number returned",
        summary: "Returns the entries of streams that came after given ids",
        syntax: "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
        run: xread,
        ..ROW
    },
    CommandSpec {
        name: "XREADGROUP",
        arity: -7,
        flags: Flags::WRITE.blocking(),
        keys: &[KeySpec::after("STREAMS", 4, KeyFlags::RO.access()).find(HALF)],
        complexity: "O(log(N)+M) for each stream, where N is the number of entries and M the number returned",
        summary: "Delivers entries of streams to a consumer of a group",
        syntax: "GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]",
        run: xreadgroup,
        ..ROW
    },
    CommandSpec {
        name: "XSETID",
        flags: Flags::WRITE.denyoom().fast(),
        summary: "Sets the last id of a stream",
        syntax: "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
        run: xsetid,
        ..ROW
    },
    XINFO,
];
