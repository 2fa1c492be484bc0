//! CONFIG: the engine's settings by Redis's names.
//!
//! Every setting is a line of one table. CONFIG SET reads all values before it changes anything, so that it changes all
//! or nothing. Limits that Redis keeps in 64 bits and the engine in 32 are cut to 32.

use larder::{EncodingLimits, Engine, Policy};

use crate::error::CommandError;
use crate::families::keys::help;
use crate::spec::{Categories, CommandSpec, Context, Flags, container};

/// How a limit of encodings is written, and where it lies.
#[derive(Clone, Copy)]
struct Limit {
    field: fn(&mut EncodingLimits) -> &mut u32,
    memory: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    MaxMemory,
    Policy,
    Samples,
    Databases,
    ListSize,
    Events,
    Limit(Limit),
}

/// The classes of keyspace events, in the order of Redis's refusal.
const EVENT_LETTERS: &str = "Ag$lshzxeKEtmdn";

struct Setting {
    name: &'static str,
    kind: Kind,
}

const fn entries(name: &'static str, field: fn(&mut EncodingLimits) -> &mut u32) -> Setting {
    Setting { name, kind: Kind::Limit(Limit { field, memory: false }) }
}

const fn bytes(name: &'static str, field: fn(&mut EncodingLimits) -> &mut u32) -> Setting {
    Setting { name, kind: Kind::Limit(Limit { field, memory: true }) }
}

/// Under their names, and those that Redis called listpacks by when they were ziplists.
const SETTINGS: &[Setting] = &[
    Setting { name: "maxmemory", kind: Kind::MaxMemory },
    Setting { name: "maxmemory-policy", kind: Kind::Policy },
    Setting { name: "maxmemory-samples", kind: Kind::Samples },
    Setting { name: "databases", kind: Kind::Databases },
    Setting { name: "notify-keyspace-events", kind: Kind::Events },
    Setting { name: "list-max-listpack-size", kind: Kind::ListSize },
    Setting { name: "list-max-ziplist-size", kind: Kind::ListSize },
    entries("hash-max-listpack-entries", |limits| &mut limits.hash_max_listpack_entries),
    entries("hash-max-ziplist-entries", |limits| &mut limits.hash_max_listpack_entries),
    bytes("hash-max-listpack-value", |limits| &mut limits.hash_max_listpack_value),
    bytes("hash-max-ziplist-value", |limits| &mut limits.hash_max_listpack_value),
    entries("set-max-intset-entries", |limits| &mut limits.set_max_intset_entries),
    entries("set-max-listpack-entries", |limits| &mut limits.set_max_listpack_entries),
    bytes("set-max-listpack-value", |limits| &mut limits.set_max_listpack_value),
    entries("zset-max-listpack-entries", |limits| &mut limits.zset_max_listpack_entries),
    entries("zset-max-ziplist-entries", |limits| &mut limits.zset_max_listpack_entries),
    bytes("zset-max-listpack-value", |limits| &mut limits.zset_max_listpack_value),
    bytes("zset-max-ziplist-value", |limits| &mut limits.zset_max_listpack_value),
    bytes("hll-sparse-max-bytes", |limits| &mut limits.hll_sparse_max_bytes),
    bytes("stream-node-max-bytes", |limits| &mut limits.stream_node_max_bytes),
    entries("stream-node-max-entries", |limits| &mut limits.stream_node_max_entries),
];

fn find(name: &[u8]) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name.as_bytes().eq_ignore_ascii_case(name))
}

impl Setting {
    fn value(&self, engine: &Engine) -> String {
        match self.kind {
            Kind::MaxMemory => engine.memory_usage().limit.unwrap_or(0).to_string(),
            Kind::Policy => engine.policy().name().to_owned(),
            Kind::Samples => engine.samples().to_string(),
            Kind::Databases => engine.databases().to_string(),
            Kind::ListSize => engine.encoding_limits().list_max_listpack_size.to_string(),
            Kind::Events => engine.keyspace_events(),
            Kind::Limit(limit) => (limit.field)(&mut engine.encoding_limits()).to_string(),
        }
    }
}

/// What CONFIG SET has read and not yet applied.
#[derive(Default)]
struct Changes {
    max_memory: Option<u64>,
    policy: Option<Policy>,
    samples: Option<usize>,
    events: Option<String>,
    limits: Option<EncodingLimits>,
}

/// An integer within bounds, in the words of Redis's refusals.
fn bounded(text: &[u8], min: i64, max: i64) -> Result<i64, String> {
    let number = crate::args::parse_integer(text).ok_or("argument couldn't be parsed into an integer")?;
    if (min..=max).contains(&number) {
        Ok(number)
    } else {
        Err(format!("argument must be between {min} and {max} inclusive"))
    }
}

/// A number of bytes, with a unit: `100mb`. `k` is a thousand, `kb` is 1,024.
fn memory(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1_000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    // A unit alone is none of it, as in Redis.
    let number = if number.is_empty() { b"0" } else { number };
    std::str::from_utf8(number).ok()?.parse::<u64>().ok()?.checked_mul(unit)
}

impl Changes {
    fn read(&mut self, engine: &Engine, setting: &Setting, text: &[u8]) -> Result<(), String> {
        let not_memory = || "argument must be a memory value".to_owned();
        match setting.kind {
            Kind::MaxMemory => self.max_memory = Some(memory(text).ok_or_else(not_memory)?),
            Kind::Policy => {
                let named = std::str::from_utf8(text).ok().and_then(|name| name.parse().ok());
                self.policy = Some(named.ok_or_else(|| {
                    let names: Vec<&str> = Policy::ALL.iter().map(|policy| policy.name()).collect();
                    format!("argument(s) must be one of the following: {}", names.join(", "))
                })?);
            }
            Kind::Samples => {
                let samples = bounded(text, 1, i64::from(i32::MAX))?;
                self.samples = usize::try_from(samples).ok().filter(|&samples| samples <= 1_000);
                self.samples.ok_or("a sample has at most 1000 entries here")?;
            }
            Kind::Events => {
                let letters = std::str::from_utf8(text).ok();
                let known = letters.filter(|text| text.chars().all(|letter| EVENT_LETTERS.contains(letter)));
                let refusal = || format!("Invalid event class character. Use '{EVENT_LETTERS}'.");
                self.events = Some(known.ok_or_else(refusal)?.to_owned());
            }
            // Refused by its name.
            Kind::Databases => {}
            Kind::ListSize => {
                let size = bounded(text, i64::from(i32::MIN), i64::from(i32::MAX))?;
                let limits = self.limits.get_or_insert_with(|| engine.encoding_limits());
                limits.list_max_listpack_size = i32::try_from(size).unwrap_or(-2);
            }
            Kind::Limit(limit) => {
                let number = if limit.memory {
                    memory(text).ok_or_else(not_memory)?
                } else {
                    bounded(text, 0, i64::MAX)?.unsigned_abs()
                };
                let limits = self.limits.get_or_insert_with(|| engine.encoding_limits());
                *(limit.field)(limits) = u32::try_from(number).unwrap_or(u32::MAX);
            }
        }
        Ok(())
    }

    fn apply(self, engine: &Engine) -> Result<(), CommandError> {
        if let Some(samples) = self.samples {
            engine.set_samples(samples)?;
        }
        if let Some(letters) = &self.events {
            engine.set_keyspace_events(letters)?;
        }
        if let Some(policy) = self.policy {
            engine.set_policy(policy);
        }
        if let Some(limits) = self.limits {
            engine.set_encoding_limits(limits);
        }
        // Last, because what goes over the limit goes by the new policy.
        if let Some(bytes) = self.max_memory {
            engine.set_max_memory(Some(bytes).filter(|&bytes| bytes > 0));
        }
        Ok(())
    }
}

fn config_get(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    // A name without wildcards is told as it was asked for.
    let mut found: Vec<(&[u8], &Setting)> = Vec::new();
    for word in ctx.args.from(2) {
        let pattern = word.to_ascii_lowercase();
        let plain = !word.iter().any(|byte| b"*?[".contains(byte));
        for setting in SETTINGS {
            if larder::glob_matches(&pattern, setting.name.as_bytes()) {
                let name = if plain { *word } else { setting.name.as_bytes() };
                if !found.iter().any(|(_, earlier)| earlier.name == setting.name) {
                    found.push((name, setting));
                }
            }
        }
    }
    ctx.reply.map(found.len());
    for (name, setting) in found {
        ctx.reply.bulk(name);
        ctx.reply.bulk(setting.value(ctx.engine).as_bytes());
    }
    Ok(())
}

fn failed(name: &[u8], why: &str) -> CommandError {
    let mut text = b"ERR CONFIG SET failed (possibly related to argument '".to_vec();
    text.extend_from_slice(name);
    text.extend_from_slice(b"') - ");
    text.extend_from_slice(why.as_bytes());
    CommandError::from_bytes(text)
}

fn config_set(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let words = ctx.args.from(2);
    if words.len() % 2 != 0 {
        return Err(CommandError::syntax());
    }
    let mut wanted: Vec<(&Setting, &[u8])> = Vec::new();
    for pair in words.chunks(2) {
        let [name, value] = pair else { return Err(CommandError::syntax()) };
        let Some(setting) = find(name) else {
            let text =
                [b"ERR Unknown option or number of arguments for CONFIG SET - '", *name, b"'"].concat();
            return Err(CommandError::from_bytes(text));
        };
        if wanted.iter().any(|(earlier, _)| earlier.name == setting.name) {
            return Err(failed(name, "duplicate parameter"));
        }
        if matches!(setting.kind, Kind::Databases) {
            return Err(failed(name, "can't set immutable config"));
        }
        wanted.push((setting, value));
    }
    let mut changes = Changes::default();
    for (setting, value) in wanted {
        changes.read(ctx.engine, setting, value).map_err(|why| failed(setting.name.as_bytes(), &why))?;
    }
    changes.apply(ctx.engine)?;
    ctx.ok();
    Ok(())
}

fn config_rewrite(_: &mut Context<'_>) -> Result<(), CommandError> {
    Err(CommandError::new("ERR The server is running without a config file"))
}

pub(super) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "CONFIG",
    arity: -2,
    flags: Flags::NONE,
    categories: Categories::NONE,
    keys: &[],
    since: "2.0.0",
    complexity: "Depends on subcommand",
    summary: "Reads and changes settings",
    syntax: "",
    subcommands: &[
        CommandSpec {
            name: "GET",
            arity: -3,
            flags: Flags::ADMIN.noscript().loading().stale(),
            categories: Categories::NONE,
            keys: &[],
            since: "2.0.0",
            complexity: "O(N) where N is the number of settings",
            summary: "Returns settings by name or pattern",
            syntax: "parameter [parameter ...]",
            subcommands: &[],
            run: config_get,
        },
        CommandSpec {
            name: "HELP",
            arity: 2,
            flags: Flags::LOADING.stale(),
            categories: Categories::NONE,
            keys: &[],
            since: "5.0.0",
            complexity: "O(1)",
            summary: "Lists the subcommands",
            syntax: "",
            subcommands: &[],
            run: help,
        },
        CommandSpec {
            name: "REWRITE",
            arity: 2,
            flags: Flags::ADMIN.noscript().loading().stale(),
            categories: Categories::NONE,
            keys: &[],
            since: "2.8.0",
            complexity: "O(1)",
            summary: "Writes the settings into their file",
            syntax: "",
            subcommands: &[],
            run: config_rewrite,
        },
        CommandSpec {
            name: "SET",
            arity: -4,
            flags: Flags::ADMIN.noscript().loading().stale(),
            categories: Categories::NONE,
            keys: &[],
            since: "2.0.0",
            complexity: "O(N) where N is the number of settings given",
            summary: "Changes settings, all or none of them",
            syntax: "parameter value [parameter value ...]",
            subcommands: &[],
            run: config_set,
        },
    ],
    run: container,
}];
