//! The server: its databases, its memory, its clock, and DEBUG as far as harnesses need it.

use crate::args::Args;
use crate::error::CommandError;
use crate::families::keys::help;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::reply::ReplySink;
use crate::spec::{Categories, CommandSpec, Context, Flags, container};

fn dbsize(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let keys = ctx.engine.len()?;
    ctx.reply.count(keys);
    Ok(())
}

/// What Redis replies too.
#[expect(clippy::approx_constant, reason = "not meant to be pi")]
const SOME_DOUBLE: f64 = 3.141;

/// ASYNC and SYNC are the same here: dead entries are freed outside every lock, in steps.
fn flush_mode(args: Args<'_>) -> Result<(), CommandError> {
    let known = args.is(1, "ASYNC") || args.is(1, "SYNC");
    if args.len() == 1 || (args.len() == 2 && known) { Ok(()) } else { Err(CommandError::syntax()) }
}

fn flushdb(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    flush_mode(ctx.args)?;
    ctx.engine.flush()?;
    ctx.ok();
    Ok(())
}

fn flushall(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    flush_mode(ctx.args)?;
    ctx.engine.flush_all()?;
    ctx.ok();
    Ok(())
}

fn swapdb(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let index = |at: usize, which: &str| {
        let number = ctx.args.int(at).ok().and_then(|number| i32::try_from(number).ok());
        number.ok_or_else(|| CommandError::new(format!("ERR invalid {which} DB index")))
    };
    let (first, second) = (index(1, "first")?, index(2, "second")?);
    let (Ok(first), Ok(second)) = (u16::try_from(first), u16::try_from(second)) else {
        return Err(CommandError::new("ERR DB index is out of range"));
    };
    ctx.engine.swap_databases(first, second)?;
    ctx.ok();
    Ok(())
}

fn time(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let now = ctx.engine.now().0;
    ctx.reply.array(2);
    ctx.reply.bulk((now / 1_000).to_string().as_bytes());
    ctx.reply.bulk((now % 1_000 * 1_000).to_string().as_bytes());
    Ok(())
}

fn memory_usage(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    let mut at = 3;
    // The count of samples is read and not needed: every byte is counted anyway.
    while at < args.len() {
        if !args.is(at, "SAMPLES") || at + 1 == args.len() {
            return Err(CommandError::syntax());
        }
        if args.int(at + 1)? < 0 {
            return Err(CommandError::syntax());
        }
        at += 2;
    }
    match ctx.engine.entry_bytes(args.bytes(2)?)? {
        Some(bytes) => ctx.reply.count(bytes),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn debug(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    if args.is(1, "HELP") && args.len() == 2 {
        let lines = [
            "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "DIGEST",
            "    Replies with a number that is equal for equal data, whatever its history.",
            "OBJECT <key>",
            "    Tells how a value is kept.",
            "PROTOCOL [STRING|INTEGER|DOUBLE|NULL|ARRAY|SET|MAP|BIGNUM|TRUE|FALSE|VERBATIM]",
            "    Replies with a value of that type.",
            "HELP",
            "    Prints this help.",
        ];
        ctx.reply.array(lines.len());
        lines.iter().for_each(|line| ctx.reply.simple(line));
        return Ok(());
    }
    if args.is(1, "DIGEST") && args.len() == 2 {
        let digest = ctx.engine.state_digest()?;
        ctx.reply.simple(&format!("{digest:040x}"));
        return Ok(());
    }
    if args.is(1, "OBJECT") && args.len() == 3 {
        return debug_object(ctx);
    }
    if args.is(1, "PROTOCOL") && args.len() == 3 && debug_protocol(args, ctx.reply) {
        return Ok(());
    }
    if args.is(1, "SET-ACTIVE-EXPIRE") && args.len() == 3 {
        return Err(CommandError::new(
            "ERR DEBUG SET-ACTIVE-EXPIRE is not available: keys past their deadline are never served, and when they \
             are removed is up to whoever maintains the engine",
        ));
    }
    let word = args.get(1).unwrap_or_default();
    let word = word.get(..word.len().min(128)).unwrap_or_default();
    let mut text = b"ERR unknown subcommand or wrong number of arguments for '".to_vec();
    text.extend(word.iter().take_while(|&&byte| byte != 0));
    text.extend_from_slice(b"'. Try DEBUG HELP.");
    Err(CommandError::from_bytes(text))
}

fn debug_object(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let key = ctx.args.bytes(2)?;
    let encoding = ctx.engine.encoding(key)?.ok_or(larder::OpError::NoSuchKey)?;
    let owners = ctx.engine.reference_count(key)?.unwrap_or(1);
    let bytes = ctx.engine.entry_bytes(key)?.unwrap_or(0);
    let text = format!("Value refcount:{owners} encoding:{} bytes:{bytes}", encoding.name());
    ctx.reply.simple(&text);
    Ok(())
}

/// One reply of the type that the word names, for trying clients; `false` for a word that names none.
fn debug_protocol(args: Args<'_>, reply: &mut dyn ReplySink) -> bool {
    match args.get(2).unwrap_or_default().to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double(SOME_DOUBLE),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        b"map" => {
            reply.map(3);
            for number in 0..3 {
                reply.integer(number);
                reply.boolean(number == 1);
            }
        }
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        _ => return false,
    }
    true
}

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "DBSIZE",
        arity: 1,
        flags: Flags::READONLY.fast(),
        categories: Categories::KEYSPACE,
        keys: &[],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns how many keys a database has",
        syntax: "",
        subcommands: &[],
        run: dbsize,
    },
    CommandSpec {
        name: "DEBUG",
        arity: -2,
        flags: Flags::ADMIN.noscript().loading().stale(),
        categories: Categories::NONE,
        keys: &[],
        since: "1.0.0",
        complexity: "Depends on subcommand",
        summary: "Looks inside, for tests",
        syntax: "",
        subcommands: &[],
        run: debug,
    },
    CommandSpec {
        name: "FLUSHALL",
        arity: -1,
        flags: Flags::WRITE,
        categories: Categories::KEYSPACE.dangerous(),
        keys: &[],
        since: "1.0.0",
        complexity: "O(N) where N is the total number of keys in all databases",
        summary: "Deletes all keys of all databases",
        syntax: "[ASYNC | SYNC]",
        subcommands: &[],
        run: flushall,
    },
    CommandSpec {
        name: "FLUSHDB",
        arity: -1,
        flags: Flags::WRITE,
        categories: Categories::KEYSPACE.dangerous(),
        keys: &[],
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys in the selected database",
        summary: "Deletes all keys of a database",
        syntax: "[ASYNC | SYNC]",
        subcommands: &[],
        run: flushdb,
    },
    CommandSpec {
        name: "MEMORY",
        arity: -2,
        flags: Flags::NONE,
        categories: Categories::NONE,
        keys: &[],
        since: "4.0.0",
        complexity: "Depends on subcommand",
        summary: "Tells about memory",
        syntax: "",
        subcommands: &[
            CommandSpec {
                name: "HELP",
                arity: 2,
                flags: Flags::LOADING.stale(),
                categories: Categories::NONE,
                keys: &[],
                since: "4.0.0",
                complexity: "O(1)",
                summary: "Lists the subcommands",
                syntax: "",
                subcommands: &[],
                run: help,
            },
            CommandSpec {
                name: "USAGE",
                arity: -3,
                flags: Flags::READONLY,
                categories: Categories::NONE,
                keys: &[KeySpec::at(2, KeyFlags::RO)],
                since: "4.0.0",
                complexity: "O(1)",
                summary: "Returns how many bytes a key is charged",
                syntax: "key [SAMPLES count]",
                subcommands: &[],
                run: memory_usage,
            },
        ],
        run: container,
    },
    CommandSpec {
        name: "SWAPDB",
        arity: 3,
        flags: Flags::WRITE.fast(),
        categories: Categories::KEYSPACE.dangerous(),
        keys: &[],
        since: "4.0.0",
        complexity: "O(N) where N is the count of clients watching or blocking on keys from both databases",
        summary: "Exchanges two databases",
        syntax: "index index",
        subcommands: &[],
        run: swapdb,
    },
    CommandSpec {
        name: "TIME",
        arity: 1,
        flags: Flags::LOADING.stale().fast(),
        categories: Categories::NONE,
        keys: &[],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Returns the time",
        syntax: "",
        subcommands: &[],
        run: time,
    },
];
