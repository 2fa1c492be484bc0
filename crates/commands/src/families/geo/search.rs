//! Searches around a place: GEOSEARCH, GEORADIUS, GEORADIUSBYMEMBER, and their forms that store.
//!
//! Redis looks at the key's type first and at a member's place while it reads the words, and its errors come in that order; so
//! do these. The search itself is one call.

use bytes::Bytes;
use larder::{Geo, GeoFound, GeoScore, GeoSearch, GeoUnit, Position};

use super::{position, put_distance, put_position, unit};
use crate::args::Args;
use crate::error::CommandError;
use crate::families::sorted_set::wrong_type;
use crate::spec::Context;

type Handle<'a> = Geo<Bytes, larder::At<'a>>;

/// How a command says where the middle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Middle {
    /// GEORADIUS: longitude and latitude follow the key.
    Coordinates,
    /// GEORADIUSBYMEMBER: a member follows the key.
    Member,
    /// GEOSEARCH: by an option.
    Option,
}

/// A command of this family.
#[derive(Debug, Clone, Copy)]
struct Form {
    middle: Middle,
    /// Where the key is: behind the target in GEOSEARCHSTORE.
    key: usize,
    /// Whether `STORE` and `STOREDIST` are options that name a target.
    may_store: bool,
}

/// A circle or a box.
#[derive(Debug, Clone, Copy)]
enum Area {
    Circle(f64),
    Box(f64, f64),
}

/// Where the middle is.
#[derive(Debug, Clone, Copy)]
enum Origin {
    Place(Position),
    /// At a member; nowhere if the key does not exist.
    Member(Option<Position>),
}

/// The words after the key, as far as they are read.
#[derive(Default)]
struct Words<'a> {
    origin: Option<Origin>,
    area: Option<(Area, GeoUnit)>,
    target: Option<&'a [u8]>,
    by_distance: bool,
    with_distance: bool,
    with_hash: bool,
    with_place: bool,
    any: bool,
    count: Option<u64>,
    ascending: Option<bool>,
}

/// A length and its unit.
fn radius(args: Args<'_>, at: usize) -> Result<(Area, GeoUnit), CommandError> {
    let radius = args.float(at).map_err(|_| CommandError::new("ERR need numeric radius"))?;
    if radius < 0.0 {
        return Err(CommandError::new("ERR radius cannot be negative"));
    }
    Ok((Area::Circle(radius), unit(args, at + 1)?))
}

/// A width, a height and their unit.
fn rectangle(args: Args<'_>, at: usize) -> Result<(Area, GeoUnit), CommandError> {
    let width = args.float(at).map_err(|_| CommandError::new("ERR need numeric width"))?;
    let height = args.float(at + 1).map_err(|_| CommandError::new("ERR need numeric height"))?;
    if width < 0.0 || height < 0.0 {
        return Err(CommandError::new("ERR height or width cannot be negative"));
    }
    Ok((Area::Box(width, height), unit(args, at + 2)?))
}

/// The place of a member of a key that exists.
fn place_of(set: &Handle<'_>, member: &[u8]) -> Result<Position, CommandError> {
    set.position(member)?.ok_or_else(|| CommandError::new("ERR could not decode requested zset member"))
}

impl<'a> Words<'a> {
    fn parse(form: Form, args: Args<'a>, set: &Handle<'_>, exists: bool) -> Result<Self, CommandError> {
        let mut words = Self::default();
        let mut at = match form.middle {
            Middle::Coordinates => {
                words.origin = Some(Origin::Place(position(args, 2)?));
                words.area = Some(radius(args, 4)?);
                6
            }
            // Without a key the rest is read all the same, to tell a search from one that stores.
            Middle::Member if !exists => 5,
            Middle::Member => {
                words.origin = Some(Origin::Member(Some(place_of(set, args.bytes(2)?)?)));
                words.area = Some(radius(args, 3)?);
                5
            }
            Middle::Option => form.key + 1,
        };
        while at < args.len() {
            at += words.option(form, args, at, set, exists)?;
        }
        Ok(words)
    }

    /// Reads one option, and returns how many words it has.
    fn option(
        &mut self,
        form: Form,
        args: Args<'a>,
        at: usize,
        set: &Handle<'_>,
        exists: bool,
    ) -> Result<usize, CommandError> {
        let more = args.len() - at - 1;
        let searches = form.middle == Middle::Option;
        match args.bytes(at)?.to_ascii_uppercase().as_slice() {
            b"WITHDIST" => self.with_distance = true,
            b"WITHHASH" => self.with_hash = true,
            b"WITHCOORD" => self.with_place = true,
            b"ANY" => self.any = true,
            b"ASC" => self.ascending = Some(true),
            b"DESC" => self.ascending = Some(false),
            b"COUNT" if more >= 1 => {
                let count = u64::try_from(args.int(at + 1)?).ok().filter(|&count| count > 0);
                self.count = Some(count.ok_or_else(|| CommandError::new("ERR COUNT must be > 0"))?);
                return Ok(2);
            }
            word @ (b"STORE" | b"STOREDIST") if form.may_store && more >= 1 => {
                self.target = args.get(at + 1);
                self.by_distance = word == b"STOREDIST";
                return Ok(2);
            }
            b"STOREDIST" if searches && form.key == 2 => self.by_distance = true,
            b"FROMMEMBER" if searches && more >= 1 && !matches!(self.origin, Some(Origin::Place(_))) => {
                let place = if exists { Some(place_of(set, args.bytes(at + 1)?)?) } else { None };
                self.origin = Some(Origin::Member(place));
                return Ok(2);
            }
            b"FROMLONLAT" if searches && more >= 2 && !matches!(self.origin, Some(Origin::Member(_))) => {
                self.origin = Some(Origin::Place(position(args, at + 1)?));
                return Ok(3);
            }
            b"BYRADIUS" if searches && more >= 2 && !matches!(self.area, Some((Area::Box(..), _))) => {
                self.area = Some(radius(args, at + 1)?);
                return Ok(3);
            }
            b"BYBOX" if searches && more >= 3 && !matches!(self.area, Some((Area::Circle(_), _))) => {
                self.area = Some(rectangle(args, at + 1)?);
                return Ok(4);
            }
            _ => return Err(CommandError::syntax()),
        }
        Ok(1)
    }
}

impl Words<'_> {
    /// Refuses what does not go together.
    fn check(&self, form: Form, name: &[u8], stores: bool) -> Result<(), CommandError> {
        if stores && (self.with_distance || self.with_hash || self.with_place) {
            let what =
                if form.middle == Middle::Option { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(CommandError::new(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let refused = |text: &[u8]| CommandError::from_bytes([text, name].concat());
        if form.middle == Middle::Option && self.origin.is_none() {
            return Err(refused(b"ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for "));
        }
        if form.middle == Middle::Option && self.area.is_none() {
            return Err(refused(b"ERR exactly one of BYRADIUS and BYBOX can be specified for "));
        }
        if self.any && self.count.is_none() {
            return Err(CommandError::new("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// The search; none if its middle is nowhere.
    fn search(&self) -> Option<GeoSearch> {
        let (Origin::Place(middle) | Origin::Member(Some(middle))) = self.origin? else { return None };
        let mut search = match self.area? {
            (Area::Circle(radius), unit) => GeoSearch::radius(middle, radius, unit),
            (Area::Box(width, height), unit) => GeoSearch::rectangle(middle, width, height, unit),
        };
        match self.ascending {
            Some(true) => search = search.nearest_first(),
            Some(false) => search = search.farthest_first(),
            None => {}
        }
        Some(match self.count {
            Some(count) if self.any => search.any(count),
            Some(count) => search.limit(count),
            None => search,
        })
    }

    fn reply(&self, ctx: &mut Context<'_>, found: &[GeoFound<Bytes>]) {
        let fields =
            usize::from(self.with_distance) + usize::from(self.with_hash) + usize::from(self.with_place);
        ctx.reply.array(found.len());
        for one in found {
            if fields > 0 {
                ctx.reply.array(fields + 1);
            }
            ctx.reply.bulk(&one.member);
            if self.with_distance {
                put_distance(ctx.reply, one.distance);
            }
            if self.with_hash {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a score of 52 bits, or cut as Redis cuts it"
                )]
                ctx.reply.integer(one.score as i64);
            }
            if self.with_place {
                put_position(ctx.reply, one.position);
            }
        }
    }
}

impl Form {
    fn run(self, ctx: &mut Context<'_>) -> Result<(), CommandError> {
        let args = ctx.args;
        let key = args.bytes(self.key)?;
        wrong_type(ctx.engine, &[key], false)?;
        let exists = ctx.engine.exists(key)?;
        let set = ctx.engine.geo::<Bytes>(key);
        let mut words = Words::parse(self, args, &set, exists)?;
        if self.key == 2 {
            words.target = args.get(1);
        }
        words.check(self, args.bytes(0)?, words.target.is_some())?;
        let search = words.search().filter(|_| exists);
        match (words.target, search) {
            (Some(target), Some(search)) => {
                let scores = if words.by_distance { GeoScore::Distance } else { GeoScore::Place };
                let stored = set.store_search(target, &search, scores)?;
                ctx.reply.count(stored);
            }
            (Some(target), None) => {
                ctx.engine.remove(target)?;
                ctx.reply.integer(0);
            }
            (None, Some(search)) => {
                let found = set.search(&search)?;
                words.reply(ctx, &found);
            }
            (None, None) => ctx.reply.array(0),
        }
        Ok(())
    }
}

pub(super) fn geosearch(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    Form { middle: Middle::Option, key: 1, may_store: false }.run(ctx)
}

pub(super) fn geosearchstore(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    Form { middle: Middle::Option, key: 2, may_store: false }.run(ctx)
}

pub(super) fn georadius(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    Form { middle: Middle::Coordinates, key: 1, may_store: true }.run(ctx)
}

pub(super) fn georadius_ro(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    Form { middle: Middle::Coordinates, key: 1, may_store: false }.run(ctx)
}

pub(super) fn georadiusbymember(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    Form { middle: Middle::Member, key: 1, may_store: true }.run(ctx)
}

pub(super) fn georadiusbymember_ro(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    Form { middle: Middle::Member, key: 1, may_store: false }.run(ctx)
}
