//! Whole keys: deleting, renaming, copying, walking over them, asking what they are.

use larder::{OpError, ScanOptions, ScanPage, ValueType};

use crate::args::Args;
use crate::error::CommandError;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Categories, CommandSpec, Context, Flags, container};
use crate::table;

fn del(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let deleted = ctx.engine.del(ctx.args.from(1))?;
    ctx.reply.count(deleted);
    Ok(())
}

fn exists(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let mut found = 0;
    for key in ctx.args.from(1) {
        found += u64::from(ctx.engine.exists(key)?);
    }
    ctx.reply.count(found);
    Ok(())
}

fn touch(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let found = ctx.engine.touch(ctx.args.from(1))?;
    ctx.reply.count(found);
    Ok(())
}

fn type_of(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let found = ctx.engine.value_type(ctx.args.bytes(1)?)?;
    ctx.reply.simple(found.map_or("none", ValueType::name));
    Ok(())
}

fn rename(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    ctx.engine.rename(ctx.args.bytes(1)?, ctx.args.bytes(2)?)?;
    ctx.ok();
    Ok(())
}

fn renamenx(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let renamed = ctx.engine.rename_if_absent(ctx.args.bytes(1)?, ctx.args.bytes(2)?)?;
    ctx.reply.integer(i64::from(renamed));
    Ok(())
}

fn copy(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    let (mut replace, mut target) = (false, ctx.engine.clone());
    let mut at = 3;
    while at < args.len() {
        if args.is(at, "REPLACE") {
            replace = true;
        } else if args.is(at, "DB") && at + 1 < args.len() {
            at += 1;
            target = ctx.engine.select(args.database(at)?)?;
        } else {
            return Err(CommandError::syntax());
        }
        at += 1;
    }
    let copied = ctx.engine.copy(args.bytes(1)?, &target, args.bytes(2)?, replace)?;
    ctx.reply.integer(i64::from(copied));
    Ok(())
}

fn move_key(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let target = ctx.engine.select(ctx.args.database(2)?)?;
    let moved = ctx.engine.move_to(ctx.args.bytes(1)?, &target)?;
    ctx.reply.integer(i64::from(moved));
    Ok(())
}

fn randomkey(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let key = ctx.engine.random_key()?;
    ctx.reply.bulk_or_null(key.as_deref());
    Ok(())
}

fn keys(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let found = ctx.engine.keys(ctx.args.bytes(1)?)?;
    ctx.reply.array(found.len());
    for key in &found {
        ctx.reply.bulk(key);
    }
    Ok(())
}

/// Reads a cursor as C's `strtoul` does: perhaps a sign, then digits, up to a NUL; nothing at all is zero.
pub(super) fn cursor(text: &[u8]) -> Result<u64, CommandError> {
    let refused = || CommandError::new("ERR invalid cursor");
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        _ => (false, text),
    };
    if text.is_empty() {
        return Ok(0);
    }
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(refused());
    }
    let number: u64 =
        std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or_else(refused)?;
    Ok(if negative { number.wrapping_neg() } else { number })
}

/// What follows the cursor of a SCAN.
struct ScanArgs {
    options: ScanOptions,
    /// A type that no key has: the walk goes on, and finds nothing.
    nothing: bool,
}

impl ScanArgs {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut parsed = Self { options: ScanOptions::new(), nothing: false };
        let mut at = 2;
        while at < args.len() {
            let value = args.get(at + 1).ok_or_else(CommandError::syntax)?;
            if args.is(at, "COUNT") {
                let count = usize::try_from(args.int(at + 1)?).ok().filter(|&count| count > 0);
                parsed.options = parsed.options.count(count.ok_or_else(CommandError::syntax)?);
            } else if args.is(at, "MATCH") {
                parsed.options = parsed.options.matching(value);
            } else if args.is(at, "TYPE") {
                match TYPES.iter().find(|kind| value.eq_ignore_ascii_case(kind.name().as_bytes())) {
                    Some(kind) => parsed.options = parsed.options.of_type(*kind),
                    None => parsed.nothing = true,
                }
            } else {
                return Err(CommandError::syntax());
            }
            at += 2;
        }
        Ok(parsed)
    }
}

const TYPES: [ValueType; 6] = [
    ValueType::String,
    ValueType::List,
    ValueType::Set,
    ValueType::SortedSet,
    ValueType::Hash,
    ValueType::Stream,
];

fn scan(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let from = cursor(ctx.args.bytes(1)?)?;
    let parsed = ScanArgs::parse(ctx.args)?;
    let mut page = match ctx.engine.scan(from, &parsed.options) {
        // A cursor that no scan returned: Redis walks from wherever it leads; here there is nothing left to walk.
        Err(OpError::InvalidArgument(_)) => ScanPage::default(),
        other => other?,
    };
    if parsed.nothing {
        page.keys.clear();
    }
    ctx.reply.array(2);
    ctx.reply.bulk(page.cursor.to_string().as_bytes());
    ctx.reply.array(page.keys.len());
    for key in &page.keys {
        ctx.reply.bulk(key);
    }
    Ok(())
}

fn object_encoding(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let encoding = ctx.engine.encoding(ctx.args.bytes(2)?)?;
    ctx.reply.bulk_or_null(encoding.map(|encoding| encoding.name().as_bytes()));
    Ok(())
}

fn object_freq(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let key = ctx.args.bytes(2)?;
    let found = match ctx.engine.frequency(key) {
        Err(OpError::NotEnabled(_)) if ctx.engine.value_type(key)?.is_none() => None,
        Err(OpError::NotEnabled(_)) => {
            return Err(CommandError::new(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
                 switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        other => other?,
    };
    match found {
        Some(count) => ctx.reply.integer(i64::from(count)),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn object_idletime(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let key = ctx.args.bytes(2)?;
    let found = match ctx.engine.idle_time(key) {
        Err(OpError::NotEnabled(_)) if ctx.engine.value_type(key)?.is_none() => None,
        Err(OpError::NotEnabled(_)) => {
            return Err(CommandError::new(
                "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
                 between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        other => other?,
    };
    match found {
        Some(idle) => ctx.reply.count(idle.as_secs()),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn object_refcount(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    match ctx.engine.reference_count(ctx.args.bytes(2)?)? {
        Some(owners) => ctx.reply.count(owners as u64),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// Tells what the subcommands of a container are, from its row.
pub(super) fn help(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let name = ctx.args.get(0).unwrap_or_default();
    let Some(found) = table::lookup(name) else { return Err(CommandError::syntax()) };
    let mut lines =
        vec![format!("{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", found.spec.name)];
    for sub in found.subcommands().filter(|sub| sub.spec.name != "HELP") {
        lines.push(format!("{} {}", sub.spec.name, sub.spec.syntax).trim_end().to_owned());
        lines.push(format!("    {}.", sub.spec.summary));
    }
    lines.push("HELP".to_owned());
    lines.push("    Prints this help.".to_owned());
    ctx.reply.array(lines.len());
    for line in &lines {
        ctx.reply.simple(line);
    }
    Ok(())
}

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "COPY",
        arity: -3,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(KeyFlags::RO.access()), KeySpec::at(2, KeyFlags::OW.update())],
        since: "6.2.0",
        complexity: "O(N) worst case for collections, where N is the number of nested items. O(1) for string values",
        summary: "Copies a key to another name, or into another database",
        syntax: "key key [DB index] [REPLACE]",
        subcommands: &[],
        run: copy,
    },
    CommandSpec {
        name: "DEL",
        arity: -2,
        flags: Flags::WRITE,
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RM.delete())],
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys that will be removed. When a key to remove holds a value other than a string, the individual complexity for this key is O(M) where M is the number of elements in the list, set, sorted set or hash. Removing a single key that holds a string value is O(1)",
        summary: "Deletes keys",
        syntax: "key [key ...]",
        subcommands: &[],
        run: del,
    },
    CommandSpec {
        name: "EXISTS",
        arity: -2,
        flags: Flags::READONLY.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys to check",
        summary: "Counts the keys that exist",
        syntax: "key [key ...]",
        subcommands: &[],
        run: exists,
    },
    CommandSpec {
        name: "KEYS",
        arity: 2,
        flags: Flags::READONLY,
        categories: Categories::KEYSPACE.dangerous(),
        keys: &[],
        since: "1.0.0",
        complexity: "O(N) with N being the number of keys in the database, under the assumption that the key names in the database and the given pattern have limited length",
        summary: "Returns all keys that match a pattern",
        syntax: "pattern",
        subcommands: &[],
        run: keys,
    },
    CommandSpec {
        name: "MOVE",
        arity: 3,
        flags: Flags::WRITE.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(KeyFlags::RW.access().update())],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Moves a key into another database",
        syntax: "key index",
        subcommands: &[],
        run: move_key,
    },
    CommandSpec {
        name: "OBJECT",
        arity: -2,
        flags: Flags::NONE,
        categories: Categories::NONE,
        keys: &[],
        since: "2.2.3",
        complexity: "Depends on subcommand",
        summary: "Tells how a key is kept and used",
        syntax: "",
        subcommands: &[
            CommandSpec {
                name: "ENCODING",
                arity: 3,
                flags: Flags::READONLY,
                categories: Categories::KEYSPACE,
                keys: &[KeySpec::at(2, KeyFlags::RO)],
                since: "2.2.3",
                complexity: "O(1)",
                summary: "Returns how a value is kept",
                syntax: "key",
                subcommands: &[],
                run: object_encoding,
            },
            CommandSpec {
                name: "FREQ",
                arity: 3,
                flags: Flags::READONLY,
                categories: Categories::KEYSPACE,
                keys: &[KeySpec::at(2, KeyFlags::RO)],
                since: "4.0.0",
                complexity: "O(1)",
                summary: "Returns the access counter of a key",
                syntax: "key",
                subcommands: &[],
                run: object_freq,
            },
            CommandSpec {
                name: "HELP",
                arity: 2,
                flags: Flags::LOADING.stale(),
                categories: Categories::KEYSPACE,
                keys: &[],
                since: "6.2.0",
                complexity: "O(1)",
                summary: "Lists the subcommands",
                syntax: "",
                subcommands: &[],
                run: help,
            },
            CommandSpec {
                name: "IDLETIME",
                arity: 3,
                flags: Flags::READONLY,
                categories: Categories::KEYSPACE,
                keys: &[KeySpec::at(2, KeyFlags::RO)],
                since: "2.2.3",
                complexity: "O(1)",
                summary: "Returns how long ago a key was used",
                syntax: "key",
                subcommands: &[],
                run: object_idletime,
            },
            CommandSpec {
                name: "REFCOUNT",
                arity: 3,
                flags: Flags::READONLY,
                categories: Categories::KEYSPACE,
                keys: &[KeySpec::at(2, KeyFlags::RO)],
                since: "2.2.3",
                complexity: "O(1)",
                summary: "Returns how many owners a value has",
                syntax: "key",
                subcommands: &[],
                run: object_refcount,
            },
        ],
        run: container,
    },
    CommandSpec {
        name: "RANDOMKEY",
        arity: 1,
        flags: Flags::READONLY,
        categories: Categories::KEYSPACE,
        keys: &[],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns a key at random",
        syntax: "",
        subcommands: &[],
        run: randomkey,
    },
    CommandSpec {
        name: "RENAME",
        arity: 3,
        flags: Flags::WRITE,
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(KeyFlags::RW.access().delete()), KeySpec::at(2, KeyFlags::OW.update())],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Gives a key another name",
        syntax: "key key",
        subcommands: &[],
        run: rename,
    },
    CommandSpec {
        name: "RENAMENX",
        arity: 3,
        flags: Flags::WRITE.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(KeyFlags::RW.access().delete()), KeySpec::at(2, KeyFlags::OW.insert())],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Gives a key another name unless that is taken",
        syntax: "key key",
        subcommands: &[],
        run: renamenx,
    },
    CommandSpec {
        name: "SCAN",
        arity: -2,
        flags: Flags::READONLY,
        categories: Categories::KEYSPACE,
        keys: &[],
        since: "2.8.0",
        complexity: "O(1) for every call, O(N) for all of them, where N is the number of keys",
        summary: "Returns a page of keys",
        syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        subcommands: &[],
        run: scan,
    },
    CommandSpec {
        name: "TOUCH",
        arity: -2,
        flags: Flags::READONLY.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
        since: "3.2.1",
        complexity: "O(N) where N is the number of keys that will be touched",
        summary: "Marks keys as used",
        syntax: "key [key ...]",
        subcommands: &[],
        run: touch,
    },
    CommandSpec {
        name: "TYPE",
        arity: 2,
        flags: Flags::READONLY.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(KeyFlags::RO)],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the type of a value",
        syntax: "key",
        subcommands: &[],
        run: type_of,
    },
    CommandSpec {
        name: "UNLINK",
        arity: -2,
        flags: Flags::WRITE.fast(),
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RM.delete())],
        since: "4.0.0",
        complexity: "O(1) for each key removed regardless of its size. Then the command does O(N) work in a different thread in order to reclaim memory, where N is the number of allocations the deleted objects where composed of",
        summary: "Deletes keys",
        syntax: "key [key ...]",
        subcommands: &[],
        run: del,
    },
];
