//! SORT and SORT_RO.

use larder::{OpError, SortOptions};

use crate::args::Args;
use crate::error::CommandError;
use crate::keyspec::{KeyFlags, KeySpec, KeyUse};
use crate::spec::{Categories, CommandSpec, Context, Flags};

/// The words behind the key.
struct Parsed<'a> {
    options: SortOptions<'a>,
    get: Vec<&'a [u8]>,
    store: Option<&'a [u8]>,
}

fn parse<'a>(args: Args<'a>, may_store: bool) -> Result<Parsed<'a>, CommandError> {
    let mut parsed = Parsed { options: SortOptions::new(), get: Vec::new(), store: None };
    let mut at = 2;
    while at < args.len() {
        let options = parsed.options;
        let (next, more) = (args.get(at + 1), args.len() - at - 1);
        if args.is(at, "ASC") {
            parsed.options = options.descending(false);
        } else if args.is(at, "DESC") {
            parsed.options = options.descending(true);
        } else if args.is(at, "ALPHA") {
            parsed.options = options.alphabetical(true);
        } else if args.is(at, "LIMIT") && more >= 2 {
            parsed.options = options.limit(args.int(at + 1)?, args.int(at + 2)?);
            at += 2;
        } else {
            let word = next.ok_or_else(CommandError::syntax)?;
            if args.is(at, "STORE") && may_store {
                parsed.store = Some(word);
            } else if args.is(at, "BY") {
                parsed.options = options.by(word);
            } else if args.is(at, "GET") {
                parsed.get.push(word);
            } else {
                return Err(CommandError::syntax());
            }
            at += 1;
        }
        at += 1;
    }
    Ok(parsed)
}

fn sort(ctx: &mut Context<'_>, may_store: bool) -> Result<(), CommandError> {
    let Parsed { options, get, store } = parse(ctx.args, may_store)?;
    let options = options.get(&get);
    let key = ctx.args.bytes(1)?;
    if let Some(target) = store {
        let len = ctx.engine.sort_store(key, options, target).map_err(refused)?;
        ctx.reply.count(len);
        return Ok(());
    }
    let told = ctx.engine.sort(key, options).map_err(refused)?;
    ctx.reply.array(told.len());
    for bytes in &told {
        ctx.reply.bulk_or_null(bytes.as_deref());
    }
    Ok(())
}

fn refused(error: OpError) -> CommandError {
    match error {
        OpError::NotAFloat => CommandError::new("ERR One or more scores can't be converted into double"),
        error => error.into(),
    }
}

/// The key that is sorted, and the one behind the last STORE. Those that patterns make are not among the words.
fn keys_of(args: Args<'_>) -> Option<Vec<KeyUse>> {
    let mut keys = vec![KeyUse { index: 1, flags: KeyFlags::RO.access() }];
    let mut store = None;
    let mut at = 2;
    while at < args.len() {
        if args.is(at, "LIMIT") {
            at += 2;
        } else if args.is(at, "GET") || args.is(at, "BY") {
            at += 1;
        } else if args.is(at, "STORE") && at + 1 < args.len() {
            store = Some(at + 1);
        }
        at += 1;
    }
    keys.extend(store.map(|index| KeyUse { index, flags: KeyFlags::OW.update() }));
    Some(keys)
}

/// SORT_RO has the one key, whatever follows.
fn key_of(_: Args<'_>) -> Option<Vec<KeyUse>> {
    Some(vec![KeyUse { index: 1, flags: KeyFlags::RO.access() }])
}

/// No finder belongs to it: that tells EXEC that any key may be read.
const PATTERNS: KeySpec = KeySpec::unknown(KeyFlags::RO.access());

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "SORT",
        arity: -2,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::LIST.set().sorted_set().dangerous(),
        keys: &[
            KeySpec::first(KeyFlags::RO.access()),
            PATTERNS,
            KeySpec::unknown(KeyFlags::OW.update()).resolved_by(keys_of),
        ],
        since: "1.0.0",
        complexity: "O(N*log(N)+M) where N is the number of elements and M the number of those returned; O(N) where nothing is sorted",
        summary: "Sorts the elements of a list, set or sorted set, and returns or stores them",
        syntax: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]",
        subcommands: &[],
        run: |ctx| sort(ctx, true),
    },
    CommandSpec {
        name: "SORT_RO",
        arity: -2,
        flags: Flags::READONLY,
        categories: Categories::LIST.set().sorted_set().dangerous(),
        keys: &[KeySpec::first(KeyFlags::RO.access()).resolved_by(key_of), PATTERNS],
        since: "7.0.0",
        complexity: "O(N*log(N)+M) where N is the number of elements and M the number of those returned; O(N) where nothing is sorted",
        summary: "Sorts the elements of a list, set or sorted set, and returns them",
        syntax: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]",
        subcommands: &[],
        run: |ctx| sort(ctx, false),
    },
];
