//! HyperLogLogs: about how many different elements were seen.

use bytes::Bytes;
use larder::{At, Engine, HyperLogLog, OpError};

use crate::error::CommandError;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Categories, CommandSpec, Context, Flags};

/// Elements that the self-test adds.
const TEST_ELEMENTS: u64 = 20_000;
/// Six times the standard error of 0.81 %, in parts of 10,000.
const TEST_TOLERANCE: u64 = 486;

fn handle<'a>(ctx: &Context<'a>, index: usize) -> Result<HyperLogLog<Bytes, At<'a>>, CommandError> {
    Ok(ctx.engine.hyperloglog::<Bytes>(ctx.args.bytes(index)?))
}

fn pfadd(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let (log, elements) = (handle(ctx, 1)?, ctx.args.from(2));
    let changed = match log.add_all(elements.iter().copied()) {
        Err(refusal @ OpError::CorruptHyperLogLog { .. }) => {
            // Redis keeps the elements that it added before it met what is corrupt.
            for &element in elements {
                log.add(element)?;
            }
            return Err(refusal.into());
        }
        done => done?,
    };
    ctx.reply.integer(i64::from(changed));
    Ok(())
}

fn pfcount(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let first = handle(ctx, 1)?;
    let others = ctx.args.from(2);
    let count = if others.is_empty() { first.count()? } else { first.count_union(others)? };
    ctx.reply.count(count);
    Ok(())
}

fn pfmerge(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    handle(ctx, 1)?.merge(ctx.args.from(2))?;
    ctx.ok();
    Ok(())
}

fn pfdebug(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let log = handle(ctx, 2)?;
    let Some(dense) = log.is_dense()? else {
        return Err(CommandError::new("ERR The specified key does not exist"));
    };
    match () {
        () if ctx.args.is(1, "GETREG") => {
            // Redis makes it dense on the way.
            log.make_dense()?;
            let registers = log.registers()?.unwrap_or_default();
            ctx.reply.array(registers.len());
            for register in registers {
                ctx.reply.integer(i64::from(register));
            }
        }
        () if ctx.args.is(1, "DECODE") => {
            let Some(runs) = log.sparse_runs()? else {
                return Err(CommandError::new("ERR HLL encoding is not sparse"));
            };
            let words = runs.iter().map(|run| match (run.value, run.is_long) {
                (0, true) => format!("Z:{}", run.registers),
                (0, false) => format!("z:{}", run.registers),
                (value, _) => format!("v:{value},{}", run.registers),
            });
            ctx.reply.bulk(words.collect::<Vec<_>>().join(" ").as_bytes());
        }
        () if ctx.args.is(1, "ENCODING") => ctx.reply.simple(if dense { "dense" } else { "sparse" }),
        () if ctx.args.is(1, "TODENSE") => {
            let made = log.make_dense()?;
            ctx.reply.integer(i64::from(made == Some(true)));
        }
        () => {
            let name = crate::execute::quoted(ctx.args.bytes(1)?, usize::MAX);
            return Err(CommandError::from_bytes([b"ERR Unknown PFDEBUG subcommand '", name, b"'"].concat()));
        }
    }
    Ok(())
}

/// Tests on a thread of its own: inside a transaction this one must not call another engine.
fn pfselftest(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let failed = || CommandError::new("ERR TESTFAILED the test did not run");
    std::thread::scope(|scope| {
        let tester = std::thread::Builder::new().spawn_scoped(scope, self_test).map_err(|_| failed())?;
        tester.join().map_err(|_| failed())?
    })?;
    ctx.ok();
    Ok(())
}

/// Adds elements to a sparse and to a dense one, in an engine of its own, and looks at the counts on the way.
fn self_test() -> Result<(), CommandError> {
    let engine = Engine::new();
    let (grown, dense) = (engine.hyperloglog::<u64>("grown"), engine.hyperloglog::<u64>("dense"));
    dense.add_all::<u64>([])?;
    dense.make_dense()?;
    let mut next_look = 1;
    for element in 1..=TEST_ELEMENTS {
        grown.add(element)?;
        dense.add(element)?;
        if element != next_look {
            continue;
        }
        next_look *= 2;
        if grown.registers()? != dense.registers()? {
            return Err(CommandError::new(
                "ERR TESTFAILED the sparse form has other registers than the dense one",
            ));
        }
        let error = grown.count()?.abs_diff(element);
        if error.saturating_mul(10_000) > element.saturating_mul(TEST_TOLERANCE) && error > 1 {
            return Err(CommandError::new(format!("ERR TESTFAILED counted {error} wrong of {element}")));
        }
    }
    Ok(())
}

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "PFADD",
        arity: -2,
        flags: Flags::WRITE.denyoom().fast(),
        categories: Categories::HYPERLOGLOG,
        keys: &[KeySpec::first(KeyFlags::RW.insert())],
        since: "2.8.9",
        complexity: "O(1) to add every element.",
        summary: "Adds elements to a HyperLogLog",
        syntax: "key [element [element ...]]",
        subcommands: &[],
        run: pfadd,
    },
    CommandSpec {
        name: "PFCOUNT",
        arity: -2,
        flags: Flags::READONLY,
        categories: Categories::HYPERLOGLOG,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RW.access())],
        since: "2.8.9",
        complexity: "O(1) with a very small average constant time when called with a single key. O(N) with N being the number of keys, and much bigger constant times, when called with multiple keys.",
        summary: "Tells about how many different elements were added to HyperLogLogs",
        syntax: "key [key ...]",
        subcommands: &[],
        run: pfcount,
    },
    CommandSpec {
        name: "PFDEBUG",
        arity: 3,
        flags: Flags::WRITE.denyoom().admin(),
        categories: Categories::HYPERLOGLOG,
        keys: &[KeySpec::at(2, KeyFlags::RW.access())],
        since: "2.8.9",
        complexity: "N/A",
        summary: "Shows the inside of a HyperLogLog",
        syntax: "<GETREG | DECODE | ENCODING | TODENSE> key",
        subcommands: &[],
        run: pfdebug,
    },
    CommandSpec {
        name: "PFMERGE",
        arity: -2,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::HYPERLOGLOG,
        keys: &[
            KeySpec::first(KeyFlags::RW.access().insert()),
            KeySpec::range(2, -1, 1, KeyFlags::RO.access()),
        ],
        since: "2.8.9",
        complexity: "O(N) to merge N HyperLogLogs, but with high constant times.",
        summary: "Merges HyperLogLogs into one",
        syntax: "destkey [sourcekey [sourcekey ...]]",
        subcommands: &[],
        run: pfmerge,
    },
    CommandSpec {
        name: "PFSELFTEST",
        arity: 1,
        flags: Flags::ADMIN,
        categories: Categories::HYPERLOGLOG,
        keys: &[],
        since: "2.8.9",
        complexity: "N/A",
        summary: "Tests the HyperLogLogs of this build",
        syntax: "",
        subcommands: &[],
        run: pfselftest,
    },
];
