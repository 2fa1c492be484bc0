//! COMMAND: the table telling about itself.

use crate::args::Args;
use crate::error::CommandError;
use crate::families::keys::help;
use crate::keyspec::{BeginSearch, FindKeys, KeyFlags, KeySpec, legacy};
use crate::reply::ReplySink;
use crate::spec::{Categories, CommandSpec, Context, Flags};
use crate::syntax::{self, Argument, Kind};
use crate::table::{self, Found};
use crate::tips::tips_of;

/// Finds a command, or a subcommand by `container|subcommand`.
fn find(name: &[u8]) -> Option<Found> {
    let mut parts = name.splitn(2, |&byte| byte == b'|');
    let found = table::lookup(parts.next()?)?;
    match parts.next() {
        None => Some(found),
        Some(sub) => found.subcommands().find(|row| row.spec.name.as_bytes().eq_ignore_ascii_case(sub)),
    }
}

/// Every command, its subcommands after it.
fn all_rows() -> impl Iterator<Item = Found> {
    table::commands().flat_map(|found| std::iter::once(found).chain(found.subcommands()))
}

fn simple_set(reply: &mut dyn ReplySink, names: &[String]) {
    reply.set(names.len());
    for name in names {
        reply.simple(name);
    }
}

fn owned(names: impl Iterator<Item = &'static str>) -> Vec<String> {
    names.map(str::to_owned).collect()
}

fn put_integer(reply: &mut dyn ReplySink, name: &str, number: i32) {
    reply.bulk(name.as_bytes());
    reply.integer(i64::from(number));
}

fn put_kind(reply: &mut dyn ReplySink, field: &str, kind: &str, facts: usize) {
    reply.bulk(field.as_bytes());
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(facts);
}

fn put_key_spec(reply: &mut dyn ReplySink, spec: &KeySpec) {
    reply.map(3);
    reply.bulk(b"flags");
    simple_set(reply, &owned(spec.flags.names()));
    match spec.begin {
        BeginSearch::Index(index) => {
            put_kind(reply, "begin_search", "index", 1);
            put_integer(reply, "index", index);
        }
        BeginSearch::Keyword { keyword, start_from } => {
            put_kind(reply, "begin_search", "keyword", 2);
            reply.bulk(b"keyword");
            reply.bulk(keyword.as_bytes());
            put_integer(reply, "startfrom", start_from);
        }
        BeginSearch::Unknown => put_kind(reply, "begin_search", "unknown", 0),
    }
    match spec.find {
        FindKeys::Range { last, step, limit } => {
            put_kind(reply, "find_keys", "range", 3);
            put_integer(reply, "lastkey", last);
            put_integer(reply, "keystep", step);
            put_integer(reply, "limit", limit);
        }
        FindKeys::KeyNum { index, first, step } => {
            put_kind(reply, "find_keys", "keynum", 3);
            put_integer(reply, "keynumidx", index);
            put_integer(reply, "firstkey", first);
            put_integer(reply, "keystep", step);
        }
        FindKeys::Unknown => put_kind(reply, "find_keys", "unknown", 0),
    }
}

fn put_info(reply: &mut dyn ReplySink, found: Option<Found>) {
    let Some(found) = found else { return reply.null() };
    let (spec, name) = (found.spec, found.full_name());
    let ((first, last, step), _) = legacy(spec.keys);
    reply.array(10);
    reply.bulk(name.as_bytes());
    reply.integer(i64::from(spec.arity));
    simple_set(reply, &owned(spec.all_flags().names()));
    for number in [first, last, step] {
        reply.integer(i64::from(number));
    }
    let categories: Vec<String> = spec.acl_categories().names().map(|name| format!("@{name}")).collect();
    simple_set(reply, &categories);
    let tips = tips_of(&name);
    reply.set(tips.len());
    tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(spec.keys.len());
    spec.keys.iter().for_each(|key| put_key_spec(reply, key));
    reply.set(spec.subcommands.len());
    found.subcommands().for_each(|sub| put_info(reply, Some(sub)));
}

fn put_all(reply: &mut dyn ReplySink) {
    reply.array(table::commands().count());
    table::commands().for_each(|found| put_info(reply, Some(found)));
}

fn command(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    put_all(ctx.reply);
    Ok(())
}

fn command_info(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let names = ctx.args.from(2);
    if names.is_empty() {
        put_all(ctx.reply);
        return Ok(());
    }
    ctx.reply.array(names.len());
    for name in names {
        put_info(ctx.reply, find(name));
    }
    Ok(())
}

fn command_count(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    ctx.reply.count(table::commands().count() as u64);
    Ok(())
}

fn put_text(reply: &mut dyn ReplySink, field: &str, text: &str) {
    reply.bulk(field.as_bytes());
    reply.bulk(text.as_bytes());
}

fn put_argument(reply: &mut dyn ReplySink, argument: &Argument) {
    let mut flags = Vec::new();
    if argument.optional {
        flags.push("optional".to_owned());
    }
    if argument.multiple {
        flags.push("multiple".to_owned());
    }
    let facts = match argument.kind {
        Kind::Value(_) => 2,
        Kind::Literal(_) | Kind::OneOf(_) | Kind::Block(_) => 3,
    };
    reply.map(facts + usize::from(!flags.is_empty()));
    put_text(reply, "name", &argument.name().to_ascii_lowercase());
    put_text(reply, "type", argument.type_name());
    match &argument.kind {
        Kind::Value(_) => {}
        Kind::Literal(token) => put_text(reply, "token", token),
        Kind::OneOf(parts) | Kind::Block(parts) => {
            reply.bulk(b"arguments");
            reply.array(parts.len());
            parts.iter().for_each(|part| put_argument(reply, part));
        }
    }
    if !flags.is_empty() {
        reply.bulk(b"flags");
        simple_set(reply, &flags);
    }
}

fn put_docs(reply: &mut dyn ReplySink, found: Found) {
    let (spec, arguments) = (found.spec, syntax::parse(found.spec.syntax));
    reply.bulk(found.full_name().as_bytes());
    reply.map(4 + usize::from(!arguments.is_empty()) + usize::from(!spec.subcommands.is_empty()));
    put_text(reply, "summary", spec.summary);
    put_text(reply, "since", spec.since);
    put_text(reply, "group", found.group);
    put_text(reply, "complexity", spec.complexity);
    if !arguments.is_empty() {
        reply.bulk(b"arguments");
        reply.array(arguments.len());
        arguments.iter().for_each(|argument| put_argument(reply, argument));
    }
    if !spec.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(spec.subcommands.len());
        found.subcommands().for_each(|sub| put_docs(reply, sub));
    }
}

fn command_docs(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let names = ctx.args.from(2);
    let found: Vec<Found> = if names.is_empty() {
        table::commands().collect()
    } else {
        names.iter().filter_map(|name| find(name)).collect()
    };
    ctx.reply.map(found.len());
    for row in found {
        put_docs(ctx.reply, row);
    }
    Ok(())
}

/// Which commands COMMAND LIST names.
enum Filter {
    All,
    None,
    Category(Categories),
    Pattern(Vec<u8>),
}

impl Filter {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        if args.len() == 2 {
            return Ok(Self::All);
        }
        if args.len() != 5 || !args.is(2, "FILTERBY") {
            return Err(CommandError::syntax());
        }
        let value = args.bytes(4)?;
        if args.is(3, "MODULE") {
            return Ok(Self::None);
        }
        if args.is(3, "PATTERN") {
            return Ok(Self::Pattern(value.to_ascii_lowercase()));
        }
        if args.is(3, "ACLCAT") {
            let known = Categories::ALL.iter().find(|(_, name)| name.as_bytes().eq_ignore_ascii_case(value));
            return Ok(known.map_or(Self::None, |(category, _)| Self::Category(*category)));
        }
        Err(CommandError::syntax())
    }

    fn admits(&self, found: &Found) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Category(category) => found.spec.acl_categories().contains(*category),
            Self::Pattern(pattern) => larder::glob_matches(pattern, found.full_name().as_bytes()),
        }
    }
}

fn command_list(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let filter = Filter::parse(ctx.args)?;
    let names: Vec<String> =
        all_rows().filter(|found| filter.admits(found)).map(|found| found.full_name()).collect();
    ctx.reply.array(names.len());
    for name in &names {
        ctx.reply.bulk(name.as_bytes());
    }
    Ok(())
}

fn tell_keys(ctx: &mut Context<'_>, with_flags: bool) -> Result<(), CommandError> {
    let line = Args::new(ctx.args.from(2));
    let refused = |text| CommandError::new(text);
    let found = table::resolve(line).ok_or_else(|| refused("ERR Invalid command specified"))?;
    if found.spec.keys.iter().all(|key| key.flags.contains(KeyFlags::NOT_KEY)) {
        return Err(refused("ERR The command has no key arguments"));
    }
    if !found.spec.accepts(line.len()) {
        return Err(refused("ERR Invalid number of arguments specified for command"));
    }
    let keys = table::keys(&found, line).unwrap_or_default();
    if keys.is_empty() && !found.spec.flags.contains(Flags::NO_MANDATORY_KEYS) {
        return Err(refused("ERR Invalid arguments specified for command"));
    }
    ctx.reply.array(keys.len());
    for key in keys {
        let word = line.get(key.index).unwrap_or_default();
        if with_flags {
            ctx.reply.array(2);
            ctx.reply.bulk(word);
            simple_set(ctx.reply, &owned(key.flags.names()));
        } else {
            ctx.reply.bulk(word);
        }
    }
    Ok(())
}

fn command_getkeys(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    tell_keys(ctx, false)
}

fn command_getkeysandflags(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    tell_keys(ctx, true)
}

pub(super) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "COMMAND",
    arity: -1,
    flags: Flags::LOADING.stale(),
    categories: Categories::CONNECTION,
    keys: &[],
    since: "2.8.13",
    complexity: "O(N) where N is the number of commands",
    summary: "Tells about commands",
    syntax: "",
    subcommands: &[
        CommandSpec {
            name: "COUNT",
            arity: 2,
            flags: Flags::LOADING.stale(),
            categories: Categories::CONNECTION,
            keys: &[],
            since: "2.8.13",
            complexity: "O(1)",
            summary: "Returns how many commands there are",
            syntax: "",
            subcommands: &[],
            run: command_count,
        },
        CommandSpec {
            name: "DOCS",
            arity: -2,
            flags: Flags::LOADING.stale(),
            categories: Categories::CONNECTION,
            keys: &[],
            since: "7.0.0",
            complexity: "O(N) where N is the number of commands",
            summary: "Returns the documentation of commands",
            syntax: "[command-name [command-name ...]]",
            subcommands: &[],
            run: command_docs,
        },
        CommandSpec {
            name: "GETKEYS",
            arity: -4,
            flags: Flags::LOADING.stale(),
            categories: Categories::CONNECTION,
            keys: &[],
            since: "2.8.13",
            complexity: "O(N) where N is the number of arguments to the command",
            summary: "Returns the keys of a command line",
            syntax: "command [arg [arg ...]]",
            subcommands: &[],
            run: command_getkeys,
        },
        CommandSpec {
            name: "GETKEYSANDFLAGS",
            arity: -4,
            flags: Flags::LOADING.stale(),
            categories: Categories::CONNECTION,
            keys: &[],
            since: "7.0.0",
            complexity: "O(N) where N is the number of arguments to the command",
            summary: "Returns the keys of a command line and what is done to them",
            syntax: "command [arg [arg ...]]",
            subcommands: &[],
            run: command_getkeysandflags,
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
            name: "INFO",
            arity: -2,
            flags: Flags::LOADING.stale(),
            categories: Categories::CONNECTION,
            keys: &[],
            since: "2.8.13",
            complexity: "O(N) where N is the number of commands to look up",
            summary: "Returns the rows of commands",
            syntax: "[command-name [command-name ...]]",
            subcommands: &[],
            run: command_info,
        },
        CommandSpec {
            name: "LIST",
            arity: -2,
            flags: Flags::LOADING.stale(),
            categories: Categories::CONNECTION,
            keys: &[],
            since: "7.0.0",
            complexity: "O(N) where N is the number of commands",
            summary: "Returns the names of commands",
            syntax: "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
            subcommands: &[],
            run: command_list,
        },
    ],
    run: command,
}];
