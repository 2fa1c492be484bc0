//! Geo sets: members with places, kept as sorted sets.
//!
//! ```text
//! search.rs   GEOSEARCH, GEORADIUS and their forms that store      here   adding, places, distances, the rows
//! ```

mod search;

use bytes::Bytes;
use larder::{GeoUnit, Position, ZAddOptions};

use crate::args::Args;
use crate::error::CommandError;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::reply::ReplySink;
use crate::spec::{Categories, CommandSpec, Context, Flags};

/// Reads a longitude and a latitude.
fn position(args: Args<'_>, at: usize) -> Result<Position, CommandError> {
    let (longitude, latitude) = (args.float(at)?, args.float(at + 1)?);
    if longitude.abs() > 180.0 || latitude.abs() > 85.051_128_78 {
        return Err(CommandError::new(format!(
            "ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"
        )));
    }
    Ok(Position { longitude, latitude })
}

/// Reads a unit of length.
fn unit(args: Args<'_>, at: usize) -> Result<GeoUnit, CommandError> {
    match args.bytes(at)?.to_ascii_lowercase().as_slice() {
        b"m" => Ok(GeoUnit::Meters),
        b"km" => Ok(GeoUnit::Kilometers),
        b"ft" => Ok(GeoUnit::Feet),
        b"mi" => Ok(GeoUnit::Miles),
        _ => Err(CommandError::new("ERR unsupported unit provided. please use M, KM, FT, MI")),
    }
}

/// A distance, with four decimals.
fn put_distance(reply: &mut dyn ReplySink, distance: f64) {
    reply.bulk(format!("{distance:.4}").as_bytes());
}

fn put_position(reply: &mut dyn ReplySink, position: Position) {
    reply.array(2);
    put_coordinate(reply, position.longitude);
    put_coordinate(reply, position.latitude);
}

/// A coordinate, with up to 17 decimals.
fn put_coordinate(reply: &mut dyn ReplySink, degrees: f64) {
    let digits = format!("{degrees:.17}");
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    reply.decimal(if digits == "-0" { "0" } else { digits });
}

fn geoadd(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    let (mut absent, mut present, mut changed, mut first) = (false, false, false, 2);
    loop {
        let word = match args.get(first).map(<[u8]>::to_ascii_uppercase).as_deref() {
            Some(b"NX") => &mut absent,
            Some(b"XX") => &mut present,
            Some(b"CH") => &mut changed,
            _ => break,
        };
        *word = true;
        first += 1;
    }
    let words = args.from(first).len();
    if words == 0 || words % 3 != 0 || (absent && present) {
        return Err(CommandError::syntax());
    }
    let mut options = ZAddOptions::new();
    if absent {
        options = options.if_absent();
    }
    if present {
        options = options.if_present();
    }
    let mut members = Vec::with_capacity(words / 3);
    for at in (first..args.len()).step_by(3) {
        members.push((args.bytes(at + 2)?, position(args, at)?));
    }
    let count = ctx.engine.geo::<Bytes>(args.bytes(1)?).add_all(members, options)?;
    ctx.reply.count(count.inserted + if changed { count.updated } else { 0 });
    Ok(())
}

fn geopos(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let members = ctx.args.from(2).iter().copied();
    let positions = ctx.engine.geo::<Bytes>(ctx.args.bytes(1)?).positions(members)?;
    ctx.reply.array(positions.len());
    for position in positions {
        match position {
            Some(position) => put_position(ctx.reply, position),
            None => ctx.reply.null_array(),
        }
    }
    Ok(())
}

fn geohash(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let members = ctx.args.from(2).iter().copied();
    let hashes = ctx.engine.geo::<Bytes>(ctx.args.bytes(1)?).geohashes(members)?;
    ctx.reply.array(hashes.len());
    for hash in hashes {
        ctx.reply.bulk_or_null(hash.as_deref().map(str::as_bytes));
    }
    Ok(())
}

fn geodist(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let args = ctx.args;
    let unit = match args.len() {
        4 => GeoUnit::Meters,
        5 => unit(args, 4)?,
        _ => return Err(CommandError::syntax()),
    };
    let set = ctx.engine.geo::<Bytes>(args.bytes(1)?);
    match set.distance(args.bytes(2)?, args.bytes(3)?, unit)? {
        Some(distance) => put_distance(ctx.reply, distance),
        None => ctx.reply.null(),
    }
    Ok(())
}

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "GEOADD",
        arity: -5,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::GEO,
        keys: &[KeySpec::first(KeyFlags::RW.update())],
        since: "3.2.0",
        complexity: "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
        summary: "Gives members their places",
        syntax: "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
        subcommands: &[],
        run: geoadd,
    },
    CommandSpec {
        name: "GEODIST",
        arity: -4,
        flags: Flags::READONLY,
        categories: Categories::GEO,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "3.2.0",
        complexity: "O(log(N))",
        summary: "Returns the distance between two members",
        syntax: "key member member [M | KM | FT | MI]",
        subcommands: &[],
        run: geodist,
    },
    CommandSpec {
        name: "GEOHASH",
        arity: -2,
        flags: Flags::READONLY,
        categories: Categories::GEO,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "3.2.0",
        complexity: "O(log(N)) for each member requested, where N is the number of elements in the sorted set.",
        summary: "Returns the geohash strings of members",
        syntax: "key [member [member ...]]",
        subcommands: &[],
        run: geohash,
    },
    CommandSpec {
        name: "GEOPOS",
        arity: -2,
        flags: Flags::READONLY,
        categories: Categories::GEO,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "3.2.0",
        complexity: "O(N) where N is the number of members requested.",
        summary: "Returns the places of members",
        syntax: "key [member [member ...]]",
        subcommands: &[],
        run: geopos,
    },
    CommandSpec {
        name: "GEORADIUS",
        arity: -6,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::GEO,
        keys: &[
            KeySpec::first(KeyFlags::RO.access()),
            KeySpec::after("STORE", 6, KeyFlags::OW.update()),
            KeySpec::after("STOREDIST", 6, KeyFlags::OW.update()),
        ],
        since: "3.2.0",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        summary: "Returns or stores the members in a circle around a place",
        syntax: "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
        subcommands: &[],
        run: search::georadius,
    },
    CommandSpec {
        name: "GEORADIUS_RO",
        arity: -6,
        flags: Flags::READONLY,
        categories: Categories::GEO,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "3.2.10",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        summary: "Returns the members in a circle around a place",
        syntax: "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
        subcommands: &[],
        run: search::georadius_ro,
    },
    CommandSpec {
        name: "GEORADIUSBYMEMBER",
        arity: -5,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::GEO,
        keys: &[
            KeySpec::first(KeyFlags::RO.access()),
            KeySpec::after("STORE", 5, KeyFlags::OW.update()),
            KeySpec::after("STOREDIST", 5, KeyFlags::OW.update()),
        ],
        since: "3.2.0",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        summary: "Returns or stores the members in a circle around a member",
        syntax: "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
        subcommands: &[],
        run: search::georadiusbymember,
    },
    CommandSpec {
        name: "GEORADIUSBYMEMBER_RO",
        arity: -5,
        flags: Flags::READONLY,
        categories: Categories::GEO,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "3.2.10",
        complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
        summary: "Returns the members in a circle around a member",
        syntax: "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
        subcommands: &[],
        run: search::georadiusbymember_ro,
    },
    CommandSpec {
        name: "GEOSEARCH",
        arity: -7,
        flags: Flags::READONLY,
        categories: Categories::GEO,
        keys: &[KeySpec::first(KeyFlags::RO.access())],
        since: "6.2.0",
        complexity: "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape",
        summary: "Returns the members in a circle or a box",
        syntax: "key <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
        subcommands: &[],
        run: search::geosearch,
    },
    CommandSpec {
        name: "GEOSEARCHSTORE",
        arity: -8,
        flags: Flags::WRITE.denyoom(),
        categories: Categories::GEO,
        keys: &[KeySpec::first(KeyFlags::OW.update()), KeySpec::at(2, KeyFlags::RO.access())],
        since: "6.2.0",
        complexity: "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape",
        summary: "Stores the members in a circle or a box",
        syntax: "key key <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> [ASC | DESC] [COUNT count [ANY]] [STOREDIST]",
        subcommands: &[],
        run: search::geosearchstore,
    },
];
