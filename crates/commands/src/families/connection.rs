//! The connection itself: what a session remembers.

use crate::args::Args;
use crate::error::CommandError;
use crate::execute::Place;
use crate::families::keys::help;
use crate::reply::Protocol;
use crate::session::Session;
use crate::spec::{Categories, CommandSpec, Context, Flags, container};
use crate::table::full_name;

/// The Redis version whose behaviour this crate follows; clients choose their ways by it.
const COMPATIBLE_VERSION: &str = "7.0.15";

fn ping(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    match ctx.args.len() {
        // Clients that wait for messages understand arrays alone.
        1 | 2 if !ctx.resp3() && ctx.session.subscriptions() > 0 => {
            ctx.reply.array(2);
            ctx.reply.bulk(b"pong");
            ctx.reply.bulk(ctx.args.get(1).unwrap_or_default());
        }
        1 => ctx.reply.simple("PONG"),
        2 => ctx.reply.bulk(ctx.args.bytes(1)?),
        _ => return Err(CommandError::wrong_arity("ping")),
    }
    Ok(())
}

fn echo(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    ctx.reply.bulk(ctx.args.bytes(1)?);
    Ok(())
}

fn select(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let index = ctx.args.database(1)?;
    ctx.engine.select(index)?;
    ctx.session.database = index;
    ctx.ok();
    Ok(())
}

fn quit(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    ctx.session.quitting = true;
    ctx.ok();
    Ok(())
}

fn reset(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    ctx.session.reset();
    ctx.reply.set_protocol(ctx.session.protocol());
    ctx.reply.simple("RESET");
    Ok(())
}

/// A name that can stand in a line of CLIENT LIST.
fn checked_name(name: &[u8]) -> Result<&[u8], CommandError> {
    if name.iter().all(u8::is_ascii_graphic) {
        return Ok(name);
    }
    Err(CommandError::new("ERR Client names cannot contain spaces, newlines or special characters."))
}

fn hello(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    let mut protocol = ctx.session.protocol();
    if args.len() > 1 {
        let text = "ERR Protocol version is not an integer or out of range";
        protocol = match args.int(1).map_err(|_| CommandError::new(text))? {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(CommandError::new("NOPROTO unsupported protocol version")),
        };
    }
    hello_options(args, ctx.session)?;
    ctx.session.protocol = protocol;
    ctx.reply.set_protocol(protocol);
    let version = if protocol == Protocol::Resp2 { 2 } else { 3 };
    let id = i64::try_from(ctx.session.id()).unwrap_or(i64::MAX);
    ctx.reply.map(7);
    for (field, text) in [("server", "redis"), ("version", COMPATIBLE_VERSION)] {
        ctx.reply.bulk(field.as_bytes());
        ctx.reply.bulk(text.as_bytes());
    }
    for (field, number) in [("proto", version), ("id", id)] {
        ctx.reply.bulk(field.as_bytes());
        ctx.reply.integer(number);
    }
    for (field, text) in [("mode", "standalone"), ("role", "master")] {
        ctx.reply.bulk(field.as_bytes());
        ctx.reply.bulk(text.as_bytes());
    }
    ctx.reply.bulk(b"modules");
    ctx.reply.array(0);
    Ok(())
}

/// Reads AUTH and SETNAME. There are no users here but the default one, who needs no password.
fn hello_options(args: Args<'_>, session: &mut Session) -> Result<(), CommandError> {
    let (mut at, mut stranger) = (2, false);
    while at < args.len() {
        if args.is(at, "AUTH") && at + 2 < args.len() {
            stranger = args.get(at + 1) != Some(b"default");
            at += 3;
        } else if args.is(at, "SETNAME") && at + 1 < args.len() {
            session.name = checked_name(args.bytes(at + 1)?)?.into();
            at += 2;
        } else {
            let word = args.get(at).unwrap_or_default().split(|&byte| byte == 0).next().unwrap_or_default();
            return Err(CommandError::from_bytes(
                [b"ERR Syntax error in HELLO option '", word, b"'"].concat(),
            ));
        }
    }
    if stranger {
        return Err(CommandError::new("WRONGPASS invalid username-password pair or user is disabled."));
    }
    Ok(())
}

fn client_id(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    ctx.reply.count(ctx.session.id());
    Ok(())
}

fn client_getname(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let name = ctx.session.name();
    ctx.reply.bulk_or_null(Some(name).filter(|name| !name.is_empty()));
    Ok(())
}

fn client_setname(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    ctx.session.name = checked_name(ctx.args.bytes(2)?)?.into();
    ctx.ok();
    Ok(())
}

fn client_info(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let session = &*ctx.session;
    let told = [
        ("P", session.subscriptions() > 0),
        ("x", session.is_queueing() || ctx.place == Place::Exec),
        ("e", session.no_evict),
    ];
    let flags: String = told.iter().filter(|(_, is_so)| *is_so).map(|(flag, _)| *flag).collect();
    let flags = if flags.is_empty() { "N" } else { &flags };
    let text = format!(
        "id={} name={} flags={flags} db={} cmd={} user=default resp={}\n",
        session.id(),
        String::from_utf8_lossy(session.name()),
        session.database(),
        session.last_command.map_or(String::new(), |(parent, spec)| full_name(parent, spec)),
        if session.resp3() { 3 } else { 2 },
    );
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn on_or_off(args: Args<'_>) -> Result<bool, CommandError> {
    if args.is(2, "ON") {
        Ok(true)
    } else if args.is(2, "OFF") {
        Ok(false)
    } else {
        Err(CommandError::syntax())
    }
}

fn client_no_evict(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    ctx.session.no_evict = on_or_off(ctx.args)?;
    ctx.ok();
    Ok(())
}

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "CLIENT",
        arity: -2,
        flags: Flags::NONE,
        categories: Categories::NONE,
        keys: &[],
        since: "2.4.0",
        complexity: "Depends on subcommand",
        summary: "Tells about the connection and names it",
        syntax: "",
        subcommands: &[
            CommandSpec {
                name: "GETNAME",
                arity: 2,
                flags: Flags::NOSCRIPT.loading().stale(),
                categories: Categories::CONNECTION,
                keys: &[],
                since: "2.6.9",
                complexity: "O(1)",
                summary: "Returns the name of the connection",
                syntax: "",
                subcommands: &[],
                run: client_getname,
            },
            CommandSpec {
                name: "HELP",
                arity: 2,
                flags: Flags::LOADING.stale(),
                categories: Categories::CONNECTION,
                keys: &[],
                since: "5.0.0",
                complexity: "O(1)",
                summary: "Lists the subcommands",
                syntax: "",
                subcommands: &[],
                run: help,
            },
            CommandSpec {
                name: "ID",
                arity: 2,
                flags: Flags::NOSCRIPT.loading().stale(),
                categories: Categories::CONNECTION,
                keys: &[],
                since: "5.0.0",
                complexity: "O(1)",
                summary: "Returns the number of the connection",
                syntax: "",
                subcommands: &[],
                run: client_id,
            },
            CommandSpec {
                name: "INFO",
                arity: 2,
                flags: Flags::NOSCRIPT.loading().stale(),
                categories: Categories::CONNECTION,
                keys: &[],
                since: "6.2.0",
                complexity: "O(1)",
                summary: "Describes the connection",
                syntax: "",
                subcommands: &[],
                run: client_info,
            },
            CommandSpec {
                name: "NO-EVICT",
                arity: 3,
                flags: Flags::ADMIN.noscript().loading().stale(),
                categories: Categories::CONNECTION,
                keys: &[],
                since: "7.0.0",
                complexity: "O(1)",
                summary: "Keeps the connection when memory runs out",
                syntax: "<ON | OFF>",
                subcommands: &[],
                run: client_no_evict,
            },
            CommandSpec {
                name: "SETNAME",
                arity: 3,
                flags: Flags::NOSCRIPT.loading().stale(),
                categories: Categories::CONNECTION,
                keys: &[],
                since: "2.6.9",
                complexity: "O(1)",
                summary: "Names the connection",
                syntax: "connection-name",
                subcommands: &[],
                run: client_setname,
            },
        ],
        run: container,
    },
    CommandSpec {
        name: "ECHO",
        arity: 2,
        flags: Flags::LOADING.stale().fast(),
        categories: Categories::CONNECTION,
        keys: &[],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns its argument",
        syntax: "message",
        subcommands: &[],
        run: echo,
    },
    CommandSpec {
        name: "HELLO",
        arity: -1,
        flags: Flags::NOSCRIPT.loading().stale().fast().no_auth().allow_busy(),
        categories: Categories::CONNECTION,
        keys: &[],
        since: "6.0.0",
        complexity: "O(1)",
        summary: "Greets, and chooses the protocol",
        syntax: "[protover [AUTH username password] [SETNAME clientname]]",
        subcommands: &[],
        run: hello,
    },
    CommandSpec {
        name: "PING",
        arity: -1,
        flags: Flags::FAST,
        categories: Categories::CONNECTION,
        keys: &[],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Answers, to show that somebody is there",
        syntax: "[message]",
        subcommands: &[],
        run: ping,
    },
    CommandSpec {
        name: "QUIT",
        arity: -1,
        flags: Flags::NOSCRIPT.loading().stale().fast().no_auth().allow_busy(),
        categories: Categories::CONNECTION,
        keys: &[],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Closes the connection",
        syntax: "",
        subcommands: &[],
        run: quit,
    },
    CommandSpec {
        name: "RESET",
        arity: 1,
        flags: Flags::NOSCRIPT.loading().stale().fast().no_auth().allow_busy(),
        categories: Categories::CONNECTION,
        keys: &[],
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Brings the connection back to its beginning",
        syntax: "",
        subcommands: &[],
        run: reset,
    },
    CommandSpec {
        name: "SELECT",
        arity: 2,
        flags: Flags::LOADING.stale().fast(),
        categories: Categories::CONNECTION,
        keys: &[],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Selects a database",
        syntax: "index",
        subcommands: &[],
        run: select,
    },
];
