//! Bitmaps: bits of a string, counted, searched, combined, and read as integers.

use larder::{BitInteger, BitOperation, BitOverflow, BitRange, LENGTH_BYTES_MAX};

use crate::args::{Args, parse_integer};
use crate::error::CommandError;
use crate::keyspec::{KeyFlags, KeySpec, KeyUse};
use crate::spec::{Categories, CommandSpec, Context, Flags};

const BAD_OFFSET: &str = "ERR bit offset is not an integer or out of range";

/// The offset of a bit that a string can have.
fn offset_of(number: i64) -> Result<u64, CommandError> {
    let offset = u64::try_from(number).ok();
    let inside = offset.filter(|&offset| offset / 8 < LENGTH_BYTES_MAX as u64);
    inside.ok_or_else(|| CommandError::new(BAD_OFFSET))
}

fn bit_offset(word: &[u8]) -> Result<u64, CommandError> {
    offset_of(parse_integer(word).ok_or_else(|| CommandError::new(BAD_OFFSET))?)
}

/// The offset of a field: in bits, or after a `#` in fields of its own width. The product wraps as Redis's does.
fn field_offset(word: &[u8], kind: BitInteger) -> Result<u64, CommandError> {
    match word.strip_prefix(b"#") {
        None => bit_offset(word),
        Some(number) => {
            let number = parse_integer(number).ok_or_else(|| CommandError::new(BAD_OFFSET))?;
            offset_of(number.wrapping_mul(i64::from(kind.bits())))
        }
    }
}

fn setbit(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let offset = bit_offset(ctx.args.bytes(2)?)?;
    let bit = match ctx.args.bytes(3).map(parse_integer)? {
        Some(bit @ (0 | 1)) => bit == 1,
        _ => return Err(CommandError::new("ERR bit is not an integer or out of range")),
    };
    let was = ctx.engine.bitmap(ctx.args.bytes(1)?).set(offset, bit)?;
    ctx.reply.integer(i64::from(was));
    Ok(())
}

fn getbit(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let offset = bit_offset(ctx.args.bytes(2)?)?;
    let bit = ctx.engine.bitmap(ctx.args.bytes(1)?).get(offset)?;
    ctx.reply.integer(i64::from(bit));
    Ok(())
}

/// Whether a range counts in bits, by the word at `index`, if there is one.
fn in_bits(args: Args<'_>, index: usize) -> Result<bool, CommandError> {
    match args.get(index) {
        None => Ok(false),
        Some(_) if args.is(index, "BIT") => Ok(true),
        Some(_) if args.is(index, "BYTE") => Ok(false),
        Some(_) => Err(CommandError::syntax()),
    }
}

fn range_of(start: i64, end: i64, in_bits: bool) -> BitRange {
    if in_bits { BitRange::bits(start, end) } else { BitRange::bytes(start, end) }
}

fn count_range(args: Args<'_>) -> Result<BitRange, CommandError> {
    match args.len() {
        2 => Ok(BitRange::ALL),
        4 | 5 => {
            let (start, end) = (args.int(2)?, args.int(3)?);
            if start < 0 && end < 0 && start > end {
                // Empty in any unit, and Redis does not look at the unit any more.
                return Ok(BitRange::bytes(start, end));
            }
            Ok(range_of(start, end, in_bits(args, 4)?))
        }
        _ => Err(CommandError::syntax()),
    }
}

fn position_range(args: Args<'_>) -> Result<BitRange, CommandError> {
    match args.len() {
        3 => Ok(BitRange::ALL),
        4 => Ok(BitRange::bytes_from(args.int(3)?)),
        5 | 6 => {
            let start = args.int(3)?;
            let in_bits = in_bits(args, 5)?;
            Ok(range_of(start, args.int(4)?, in_bits))
        }
        _ => Err(CommandError::syntax()),
    }
}

/// Redis looks for the key before it looks at the range: what is refused there is told only of a string.
fn range_matters(ctx: &Context<'_>, refusal: CommandError) -> Result<(), CommandError> {
    let key = ctx.args.bytes(1)?;
    ctx.engine.bitmap(key).get(0)?;
    if ctx.engine.exists(key)? { Err(refusal) } else { Ok(()) }
}

fn bitcount(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let count = match count_range(ctx.args) {
        Ok(range) => ctx.engine.bitmap(ctx.args.bytes(1)?).count_in(range)?,
        Err(refusal) => {
            range_matters(ctx, refusal)?;
            0
        }
    };
    ctx.reply.count(count);
    Ok(())
}

fn bitpos(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let bit = match ctx.args.int(2)? {
        bit @ (0 | 1) => bit == 1,
        _ => return Err(CommandError::new("ERR The bit argument must be 1 or 0.")),
    };
    let bitmap = ctx.engine.bitmap(ctx.args.bytes(1)?);
    let found = match position_range(ctx.args) {
        Ok(range) => bitmap.position_in(bit, range)?,
        Err(refusal) => {
            range_matters(ctx, refusal)?;
            (!bit).then_some(0)
        }
    };
    match found {
        Some(found) => ctx.reply.count(found),
        None => ctx.reply.integer(-1),
    }
    Ok(())
}

const OPERATIONS: &[(&str, BitOperation)] = &[
    ("AND", BitOperation::And),
    ("OR", BitOperation::Or),
    ("XOR", BitOperation::Xor),
    ("NOT", BitOperation::Not),
    ("DIFF", BitOperation::Diff),
    ("DIFF1", BitOperation::Diff1),
    ("ANDOR", BitOperation::AndOr),
    ("ONE", BitOperation::One),
];

fn bitop(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let named = OPERATIONS.iter().find(|(name, _)| ctx.args.is(1, name));
    let &(name, operation) = named.ok_or_else(CommandError::syntax)?;
    let sources = ctx.args.from(3);
    if !operation.takes(sources.len()) {
        let needed =
            if operation == BitOperation::Not { "a single source key" } else { "at least two source keys" };
        return Err(CommandError::new(format!("ERR BITOP {name} must be called with {needed}.")));
    }
    let bytes = ctx.engine.bitmap(ctx.args.bytes(2)?).combine(operation, sources)?;
    ctx.reply.count(bytes);
    Ok(())
}

/// One step of BITFIELD.
#[derive(Clone, Copy)]
enum Step {
    Overflow(BitOverflow),
    Get(BitInteger, u64),
    Set(BitInteger, u64, i64),
    Increment(BitInteger, u64, i64),
}

impl Step {
    /// The step at `at`, and how many words it takes.
    fn parse(args: Args<'_>, at: usize) -> Result<(Self, usize), CommandError> {
        let has = |words: usize| at + words < args.len();
        if args.is(at, "OVERFLOW") && has(1) {
            let overflow = match () {
                () if args.is(at + 1, "WRAP") => BitOverflow::Wrap,
                () if args.is(at + 1, "SAT") => BitOverflow::Saturate,
                () if args.is(at + 1, "FAIL") => BitOverflow::Fail,
                () => return Err(CommandError::new("ERR Invalid OVERFLOW type specified")),
            };
            return Ok((Self::Overflow(overflow), 2));
        }
        let get = args.is(at, "GET") && has(2);
        let set = args.is(at, "SET") && has(3);
        if !(get || set || (args.is(at, "INCRBY") && has(3))) {
            return Err(CommandError::syntax());
        }
        let kind = BitInteger::parse(args.bytes(at + 1)?).ok_or_else(|| {
            CommandError::new(
                "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
            )
        })?;
        let offset = field_offset(args.bytes(at + 2)?, kind)?;
        if get {
            return Ok((Self::Get(kind, offset), 3));
        }
        let number = args.int(at + 3)?;
        let step = if set { Self::Set(kind, offset, number) } else { Self::Increment(kind, offset, number) };
        Ok((step, 4))
    }
}

fn run_fields(ctx: &mut Context<'_>, read_only: bool) -> Result<(), CommandError> {
    let mut steps = Vec::new();
    let mut at = 2;
    while at < ctx.args.len() {
        let (step, words) = Step::parse(ctx.args, at)?;
        steps.push(step);
        at += words;
    }
    if read_only && steps.iter().any(|step| matches!(step, Step::Set(..) | Step::Increment(..))) {
        return Err(CommandError::new("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    let bitmap = ctx.engine.bitmap(ctx.args.bytes(1)?);
    let fields = steps.iter().fold(bitmap.fields(), |fields, &step| match step {
        Step::Overflow(overflow) => fields.overflow(overflow),
        Step::Get(kind, offset) => fields.get(kind, offset),
        Step::Set(kind, offset, value) => fields.set(kind, offset, value),
        Step::Increment(kind, offset, by) => fields.increment(kind, offset, by),
    });
    let replies = fields.run()?;
    ctx.reply.array(replies.len());
    for reply in replies {
        match reply {
            Some(number) => ctx.reply.integer(number),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

fn bitfield(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    run_fields(ctx, false)
}

fn bitfield_ro(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    run_fields(ctx, true)
}

/// BITFIELD only reads as long as its words say so.
fn bitfield_keys(args: Args<'_>) -> Option<Vec<KeyUse>> {
    let mut at = 2;
    let mut flags = KeyFlags::RO.access();
    while at < args.len() {
        let words = match () {
            () if args.is(at, "GET") && at + 2 < args.len() => 3,
            () if args.is(at, "OVERFLOW") && at + 1 < args.len() => 2,
            () => {
                flags = KeyFlags::RW.access().update();
                break;
            }
        };
        at += words;
    }
    Some(vec![KeyUse { index: 1, flags }])
}

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "BITCOUNT",
        arity: -2,
        flags: Flags::READONLY,
        categories: Categories::BITMAP,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.6.0",
        complexity: "O(N)",
        summary: "Counts the bits that are set",
        syntax: "key [start end [BYTE | BIT]]",
        subcommands: &[],
        run: bitcount,
    },
    CommandSpec {
        name: "BITFIELD",
        arity: -2,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::BITMAP,
        keys: &[KeySpec::first(KeyFlags::RW.access().update().variable_flags()).resolved_by(bitfield_keys)],
        since: "3.2.0",
        complexity: "O(1) for each subcommand specified",
        summary: "Reads, writes and adds to integers inside a bitmap",
        syntax: "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding offset increment> ...]",
        subcommands: &[],
        run: bitfield,
    },
    CommandSpec {
        name: "BITFIELD_RO",
        arity: -2,
        flags: Flags::READONLY.fast(),
        categories: Categories::BITMAP,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "6.0.0",
        complexity: "O(1) for each subcommand specified",
        summary: "Reads integers inside a bitmap",
        syntax: "key [GET encoding offset [GET encoding offset ...]]",
        subcommands: &[],
        run: bitfield_ro,
    },
    CommandSpec {
        name: "BITOP",
        arity: -4,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::BITMAP,
        keys: &[KeySpec::at(2, KeyFlags::OW.update()), KeySpec::range(3, -1, 1, KeyFlags::RO.access())],
        since: "2.6.0",
        complexity: "O(N)",
        summary: "Stores what a bit operation makes of several bitmaps",
        syntax: "<AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]",
        subcommands: &[],
        run: bitop,
    },
    CommandSpec {
        name: "BITPOS",
        arity: -3,
        flags: Flags::READONLY,
        categories: Categories::BITMAP,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.8.7",
        complexity: "O(N)",
        summary: "Finds the first bit that is set, or clear",
        syntax: "key bit [start [end [BYTE | BIT]]]",
        subcommands: &[],
        run: bitpos,
    },
    CommandSpec {
        name: "GETBIT",
        arity: 3,
        flags: Flags::READONLY.fast(),
        categories: Categories::BITMAP,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Returns a bit",
        syntax: "key offset",
        subcommands: &[],
        run: getbit,
    },
    CommandSpec {
        name: "SETBIT",
        arity: 4,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::BITMAP,
        keys: &[KeySpec::first(KeyFlags::RW.access().update())],
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Sets or clears a bit",
        syntax: "key offset value",
        subcommands: &[],
        run: setbit,
    },
];
