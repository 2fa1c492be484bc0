//! Places on the globe as scores of a sorted set: the arithmetic of the GEO commands, and nothing else.
//!
//! ```text
//! latitude  -> 26 bits  y  y  y ..       52 bits, longitude first:  x y x y x y ..      = score
//! longitude -> 26 bits  x  x  x ..       a cell of `step` bits each is a range of scores
//! ```
//! Latitudes end at the Mercator projection's limit of 85.05112878 degrees; the globe is a sphere.
//!
//! Invariants: I1: numbers come out as Redis's do, to the last bit, as far as the platform's sine and cosine agree. I2: a
//! search looks at no more than nine cells, in Redis's order: the middle, N, S, E, W, NE, NW, SE, SW.
//!
//! It checks no argument: positions and lengths come from callers that did.

use std::f64::consts::PI;
use std::ops::Range;

/// The radius that Redis gives the globe.
const EARTH_METERS: f64 = 6_372_797.560_856;
/// Half of the Mercator projection's width.
const MERCATOR_METERS: f64 = 20_037_726.37;
const RADIANS_PER_DEGREE: f64 = PI / 180.0;
/// The highest latitude that has a score; its negative is the lowest.
pub(crate) const LATITUDE_MAX: f64 = 85.051_128_78;
/// The highest longitude; its negative is the lowest.
pub(crate) const LONGITUDE_MAX: f64 = 180.0;
/// Bits of each coordinate in a score.
const STEP_MAX: u32 = 26;
const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// A place on the globe.
///
/// # Examples
/// ```
/// use larder::Position;
/// let berlin = Position { longitude: 13.4, latitude: 52.5 };
/// assert_eq!(Position::from((13.4, 52.5)), berlin);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// Degrees north, -85.05112878 to 85.05112878.
    pub latitude: f64,
}

impl From<(f64, f64)> for Position {
    /// Longitude first, as in Redis.
    fn from((longitude, latitude): (f64, f64)) -> Self {
        Self { longitude, latitude }
    }
}

impl Position {
    /// Whether it has a score.
    pub(crate) fn is_valid(self) -> bool {
        self.longitude.abs() <= LONGITUDE_MAX && self.latitude.abs() <= LATITUDE_MAX
    }
}

/// What is searched around a place; lengths in metres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

fn radians(degrees: f64) -> f64 {
    degrees * RADIANS_PER_DEGREE
}

fn degrees(radians: f64) -> f64 {
    radians / RADIANS_PER_DEGREE
}

/// Bits of a number, a zero before each of them.
fn spread(x: u32) -> u64 {
    let mut x = u64::from(x);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        x = (x | (x << shift)) & mask;
    }
    x
}

/// Every other bit of a number, from the lowest on.
fn gather(x: u64) -> u32 {
    let mut x = x & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff_u64),
    ] {
        x = (x | (x >> shift)) & mask;
    }
    u32::try_from(x).expect("32 of 64 bits")
}

/// A cell of the grid with `1 << step` columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    column: u32,
    row: u32,
    step: u32,
}

/// The corners of a cell, or of what a search covers.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

impl Cell {
    fn of(position: Position, step: u32, latitude_max: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^26")]
        let place = |value: f64, max: f64| ((value + max) / (max - -max) * f64::from(1_u32 << step)) as u32;
        Self {
            column: place(position.longitude, LONGITUDE_MAX),
            row: place(position.latitude, latitude_max),
            step,
        }
    }

    fn bits(self) -> u64 {
        spread(self.row) | (spread(self.column) << 1)
    }

    /// The scores of the places in it.
    fn scores(self) -> Range<u64> {
        let shift = 2 * (STEP_MAX - self.step);
        self.bits() << shift..(self.bits() + 1) << shift
    }

    fn bounds(self) -> Bounds {
        let side = f64::from(1_u32 << self.step);
        let place = |index: f64, max: f64| -max + (index / side) * (max - -max);
        let (column, row) = (f64::from(self.column), f64::from(self.row));
        Bounds {
            west: place(column, LONGITUDE_MAX),
            south: place(row, LATITUDE_MAX),
            east: place(column + 1.0, LONGITUDE_MAX),
            north: place(row + 1.0, LATITUDE_MAX),
        }
    }

    /// The cell so many columns and rows away, round the globe and over the edges.
    fn neighbour(self, columns: i32, rows: i32) -> Self {
        let mask = (1_u32 << self.step) - 1;
        let moved = |index: u32, by: i32| if by == 0 { index } else { index.wrapping_add_signed(by) & mask };
        Self { column: moved(self.column, columns), row: moved(self.row, rows), step: self.step }
    }
}

/// The score of a place.
pub(crate) fn encode(position: Position) -> u64 {
    Cell::of(position, STEP_MAX, LATITUDE_MAX).bits()
}

/// The integer of a score. One that no place has can be anything, and C leaves open what becomes of it; this is what a
/// server's build for x86-64 makes of it: whole up to 64 bits, negative numbers as if they had a sign, zero beyond.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
fn cut(score: f64) -> u64 {
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    if score >= BEYOND {
        0
    } else if score >= 0.0 {
        score as u64
    } else {
        score as i64 as u64
    }
}

/// The middle of the cell that a score stands for.
pub(crate) fn decode(score: f64) -> Position {
    let bits = cut(score);
    let cell = Cell { column: gather(bits >> 1), row: gather(bits), step: STEP_MAX };
    let bounds = cell.bounds();
    let middle = |low: f64, high: f64, max: f64| ((low + high) / 2.0).clamp(-max, max);
    Position {
        longitude: middle(bounds.west, bounds.east, LONGITUDE_MAX),
        latitude: middle(bounds.south, bounds.north, LATITUDE_MAX),
    }
}

/// The eleven characters by which other software knows the place of a score. They cover latitudes up to the poles, so the
/// bits are not those of the score.
pub(crate) fn geohash(score: f64) -> String {
    let bits = Cell::of(decode(score), STEP_MAX, 90.0).bits();
    let digit = |at: u32| {
        // 52 bits are ten characters and two bits; Redis leaves these out.
        let bits = if at < 10 { bits >> (47 - 5 * at) } else { 0 };
        char::from(ALPHABET[usize::try_from(bits & 31).expect("five bits")])
    };
    (0..11).map(digit).collect()
}

/// Metres between two latitudes on one meridian.
fn latitude_distance(one: f64, other: f64) -> f64 {
    EARTH_METERS * (radians(other) - radians(one)).abs()
}

/// Metres between two places (haversine).
pub(crate) fn distance(one: Position, other: Position) -> f64 {
    let (south, north) = (radians(one.latitude), radians(other.latitude));
    let v = ((radians(other.longitude) - radians(one.longitude)) / 2.0).sin();
    let u = ((north - south) / 2.0).sin();
    let a = u * u + south.cos() * north.cos() * v * v;
    2.0 * EARTH_METERS * a.sqrt().asin()
}

impl Shape {
    /// The distance of a place from the middle, if it lies inside.
    pub(crate) fn admits(self, middle: Position, place: Position) -> Option<f64> {
        match self {
            // Between antipodes rounding can leave no number; Redis lets that pass.
            Self::Circle { radius } => Some(distance(middle, place))
                .filter(|meters| meters.partial_cmp(&radius) != Some(std::cmp::Ordering::Greater)),
            Self::Box { width, height } => {
                if latitude_distance(place.latitude, middle.latitude) > height / 2.0 {
                    return None;
                }
                let beside = Position { longitude: middle.longitude, latitude: place.latitude };
                if distance(place, beside) > width / 2.0 {
                    return None;
                }
                Some(distance(middle, place))
            }
        }
    }

    /// Half the height and half the width.
    fn halves(self) -> (f64, f64) {
        match self {
            Self::Circle { radius } => (radius, radius),
            Self::Box { width, height } => (height / 2.0, width / 2.0),
        }
    }

    /// The radius of the circle around it.
    fn reach(self) -> f64 {
        match self {
            Self::Circle { radius } => radius,
            Self::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
        }
    }

    /// What it covers around a place; towards the poles a degree of longitude is short.
    fn bounds(self, middle: Position) -> Bounds {
        let (height, width) = self.halves();
        let latitude_delta = degrees(height / EARTH_METERS);
        let outer = if middle.latitude < 0.0 {
            middle.latitude - latitude_delta
        } else {
            middle.latitude + latitude_delta
        };
        let longitude_delta = degrees(width / EARTH_METERS / radians(outer).cos());
        Bounds {
            west: middle.longitude - longitude_delta,
            south: middle.latitude - latitude_delta,
            east: middle.longitude + longitude_delta,
            north: middle.latitude + latitude_delta,
        }
    }
}

/// The step at which nine cells cover a circle, as far as one can tell without looking.
fn estimated_step(reach: f64, latitude: f64) -> u32 {
    if reach == 0.0 {
        return STEP_MAX;
    }
    let (mut reach, mut step) = (reach, 1_i32);
    while reach < MERCATOR_METERS {
        reach *= 2.0;
        step += 1;
    }
    // One less, so that it is enough nearly everywhere; and less towards the poles, where cells are narrow.
    step -= 2 + i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    u32::try_from(step).unwrap_or(1).clamp(1, STEP_MAX)
}

/// The ranges of scores in which a search finds all that lies in a shape around a place, in Redis's order (I2).
pub(crate) fn ranges(middle: Position, shape: Shape) -> Vec<Range<u64>> {
    let wanted = shape.bounds(middle);
    let mut cell = Cell::of(middle, estimated_step(shape.reach(), middle.latitude), LATITUDE_MAX);
    let is_short = cell.neighbour(0, 1).bounds().north < wanted.north
        || cell.neighbour(0, -1).bounds().south > wanted.south
        || cell.neighbour(1, 0).bounds().east < wanted.east
        || cell.neighbour(-1, 0).bounds().west > wanted.west;
    if cell.step > 1 && is_short {
        cell = Cell::of(middle, cell.step - 1, LATITUDE_MAX);
    }
    let own = cell.bounds();
    let is_useless = |columns: i32, rows: i32| {
        cell.step >= 2
            && ((rows < 0 && own.south < wanted.south)
                || (rows > 0 && own.north > wanted.north)
                || (columns < 0 && own.west < wanted.west)
                || (columns > 0 && own.east > wanted.east))
    };
    let mut cells = vec![cell];
    for (columns, rows) in [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)] {
        let next = cell.neighbour(columns, rows);
        // In a grid of two columns east and west are one cell; only direct repetitions are left out, and the middle may
        // come again, as in Redis.
        let repeated = cells.len() > 1 && cells.last() == Some(&next);
        if !is_useless(columns, rows) && !repeated {
            cells.push(next);
        }
    }
    cells.into_iter().map(Cell::scores).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PALERMO: (f64, f64) = (13.361_389, 38.115_556);
    const CATANIA: (f64, f64) = (15.087_269, 37.502_669);

    #[expect(clippy::cast_precision_loss, reason = "a score has 52 bits")]
    fn stored(position: (f64, f64)) -> f64 {
        encode(position.into()) as f64
    }

    #[test]
    fn the_tutorial_places_have_redis_scores() {
        assert_eq!(encode(PALERMO.into()), 3_479_099_956_230_698);
        assert_eq!(encode(CATANIA.into()), 3_479_447_370_796_909);
        assert_eq!(geohash(stored(PALERMO)), "sqc8b49rny0");
        assert_eq!(geohash(stored(CATANIA)), "sqdtr74hyu0");
        let meters = distance(decode(stored(PALERMO)), decode(stored(CATANIA)));
        assert_eq!(format!("{meters:.4}"), "166274.1516");
    }

    #[test]
    fn edges_of_the_globe_stay_on_it() {
        for (longitude, latitude) in
            [(180.0, 85.05112878), (-180.0, -85.05112878), (180.0, -85.05112878), (0.0, 0.0)]
        {
            let back = decode(stored((longitude, latitude)));
            assert!(back.is_valid());
            assert!((back.longitude - longitude).abs() < 1e-5 && (back.latitude - latitude).abs() < 1e-5);
        }
        for score in [-1.0, 1e18, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(decode(score).is_valid());
            assert_eq!(geohash(score).len(), 11);
        }
        assert!(!Position::from((180.1, 0.0)).is_valid() && !Position::from((f64::NAN, 0.0)).is_valid());
    }

    /// Redis casts to an unsigned integer, which C leaves open; these are the answers of its builds for x86-64.
    #[test]
    fn a_score_that_is_no_place_is_cut_as_redis_servers_cut_it() {
        for far in [1.79e308, f64::INFINITY, 18_446_744_073_709_551_616.0, -1e300, f64::NEG_INFINITY] {
            assert_eq!(cut(far) << 1, 0, "{far}: no bit but perhaps the highest");
        }
        assert_eq!(decode(1.79e308), decode(0.0));
        assert_eq!(cut(9_223_372_036_854_777_856.0), (1 << 63) + 2048);
        assert_eq!((cut(-1.0), cut(-1.5), cut(-0.5)), (u64::MAX, u64::MAX, 0));
        assert_eq!(decode(-1.0), Position { longitude: LONGITUDE_MAX, latitude: LATITUDE_MAX });
    }

    fn position() -> impl Strategy<Value = Position> {
        (-180.0..180.0_f64, -85.0..85.0_f64).prop_map(Position::from)
    }

    proptest! {
        #[test]
        fn decoding_gives_the_place_back(position in position()) {
            #[expect(clippy::cast_precision_loss, reason = "a score has 52 bits")]
            let back = decode(encode(position) as f64);
            prop_assert!((back.longitude - position.longitude).abs() <= 180.0 / f64::from(1 << 26));
            prop_assert!((back.latitude - position.latitude).abs() <= 85.1 / f64::from(1 << 26));
        }

        #[test]
        fn bits_interleave(x: u32) {
            prop_assert_eq!(gather(spread(x)), x);
            prop_assert_eq!(spread(x) & 0xaaaa_aaaa_aaaa_aaaa, 0);
        }

        /// Away from the poles and the date line, where Redis's nine cells do not always reach.
        #[test]
        fn what_is_inside_lies_in_the_ranges(
            middle in (-120.0..120.0_f64, -60.0..60.0_f64).prop_map(Position::from),
            east in -1.0..1.0_f64, north in -1.0..1.0_f64, size in 0..22_u32, tall in 0.1..2.0_f64, circle: bool,
        ) {
            let size = f64::from(1 << size);
            let shape = if circle { Shape::Circle { radius: size } } else { Shape::Box { width: size, height: size * tall } };
            let reach = degrees(size * 2.0 / EARTH_METERS);
            let place = Position { longitude: middle.longitude + east * reach * 2.0, latitude: (middle.latitude + north * reach).clamp(-85.0, 85.0) };
            prop_assume!(place.is_valid());
            let score = encode(place);
            #[expect(clippy::cast_precision_loss, reason = "a score has 52 bits")]
            let seen = decode(score as f64);
            let found = ranges(middle, shape);
            prop_assert!((1..=9).contains(&found.len()));
            if shape.admits(middle, seen).is_some() {
                prop_assert!(found.iter().any(|range| range.contains(&score)), "{shape:?} {middle:?} {place:?}");
            }
        }
    }
}
