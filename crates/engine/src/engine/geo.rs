//! Places: GEOADD, GEODIST, GEOSEARCH and their like, over a sorted set whose scores are places.
//!
//! A search captures the root under the lock and looks at its candidates outside of it.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::place::capture;
use super::{At, Engine, Key, Owned, Place, SortedSet, ValueType, check_key};
use crate::collections::geo::{self, Position, Shape};
use crate::collections::partial_sort::sort_part;
use crate::collections::sorted_set::{Order, ScoreRange, SortedRange, SortedSet as Body};
use crate::collections::{Body as _, Collection};
use crate::engine::AddCount;
use crate::error::OpError;
use crate::feed::event;
use crate::typed::{Arg, Element, decode};
use crate::{Added, ZAddOptions};

/// A unit of length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum GeoUnit {
    /// `m`.
    #[default]
    Meters,
    /// `km`.
    Kilometers,
    /// `ft`.
    Feet,
    /// `mi`.
    Miles,
}

impl GeoUnit {
    /// Returns how many metres it is.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(larder::GeoUnit::Miles.meters(), 1609.34);
    /// ```
    #[must_use]
    pub const fn meters(self) -> f64 {
        match self {
            Self::Meters => 1.0,
            Self::Kilometers => 1_000.0,
            Self::Feet => 0.304_8,
            Self::Miles => 1_609.34,
        }
    }
}

/// In which order a search tells what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GeoOrder {
    Nearest,
    Farthest,
}

/// What to search: a circle or a box around a place, in which order, how many.
///
/// # Examples
/// ```
/// use larder::{GeoSearch, GeoUnit};
/// let near = GeoSearch::radius((13.4, 52.5), 10.0, GeoUnit::Kilometers).nearest_first().limit(5);
/// assert_ne!(near, GeoSearch::rectangle((13.4, 52.5), 10.0, 20.0, GeoUnit::Kilometers));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct GeoSearch {
    middle: Position,
    shape: Shape,
    unit: GeoUnit,
    order: Option<GeoOrder>,
    limit: Option<u64>,
    any: bool,
}

impl GeoSearch {
    fn new(middle: Position, shape: Shape, unit: GeoUnit) -> Self {
        Self { middle, shape, unit, order: None, limit: None, any: false }
    }

    /// Searches a circle (Redis: `BYRADIUS`).
    pub fn radius(middle: impl Into<Position>, radius: f64, unit: GeoUnit) -> Self {
        Self::new(middle.into(), Shape::Circle { radius: radius * unit.meters() }, unit)
    }

    /// Searches a box, of which the place is the middle (Redis: `BYBOX`).
    pub fn rectangle(middle: impl Into<Position>, width: f64, height: f64, unit: GeoUnit) -> Self {
        let (width, height) = (width * unit.meters(), height * unit.meters());
        Self::new(middle.into(), Shape::Box { width, height }, unit)
    }

    /// Tells the nearest first (Redis: `ASC`).
    pub fn nearest_first(mut self) -> Self {
        self.order = Some(GeoOrder::Nearest);
        self
    }

    /// Tells the farthest first (Redis: `DESC`).
    pub fn farthest_first(mut self) -> Self {
        self.order = Some(GeoOrder::Farthest);
        self
    }

    /// Tells the nearest so many, or the farthest if that was asked for (Redis: `COUNT`).
    pub fn limit(mut self, count: u64) -> Self {
        self.limit = Some(count);
        self.any = false;
        self
    }

    /// Ends at the first so many that are found, wherever they lie (Redis: `COUNT` with `ANY`).
    pub fn any(mut self, count: u64) -> Self {
        self.limit = Some(count);
        self.any = true;
        self
    }

    fn check(&self) -> Result<(), OpError> {
        let lengths = match self.shape {
            Shape::Circle { radius } => [radius, radius],
            Shape::Box { width, height } => [width, height],
        };
        if !self.middle.is_valid() {
            return Err(OpError::InvalidArgument("invalid longitude,latitude pair"));
        }
        if lengths.iter().any(|length| length.is_nan() || *length < 0.0) {
            return Err(OpError::InvalidArgument("a length cannot be negative"));
        }
        Ok(())
    }

    /// What lies inside, in the order asked for.
    fn run<'a>(&self, order: &'a Order) -> Vec<Hit<'a>> {
        let stop_at = if self.any { self.limit } else { None }.unwrap_or(u64::MAX);
        let mut hits: Vec<Hit<'a>> = Vec::new();
        for scores in geo::ranges(self.middle, self.shape) {
            if hits.len() as u64 >= stop_at {
                break;
            }
            order.visit(ranks_of(scores, order), false, |member, score| {
                let position = geo::decode(score);
                if let Some(meters) = self.shape.admits(self.middle, position) {
                    hits.push(Hit { member, score, position, meters });
                }
                (hits.len() as u64) < stop_at
            });
        }
        // The nearest few cannot be told without looking at all.
        let order = self.order.or((self.limit.is_some() && !self.any).then_some(GeoOrder::Nearest));
        let wanted = self.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        if let Some(order) = order {
            let compare = |a: &Hit<'_>, b: &Hit<'_>| match order {
                GeoOrder::Nearest => a.meters.total_cmp(&b.meters),
                GeoOrder::Farthest => b.meters.total_cmp(&a.meters),
            };
            if wanted >= hits.len() {
                hits.sort_by(compare);
            } else {
                sort_part(&mut hits, 0..wanted, compare);
            }
        }
        hits.truncate(wanted);
        hits
    }
}

#[expect(clippy::cast_precision_loss, reason = "a score has 52 bits")]
fn ranks_of(scores: Range<u64>, order: &Order) -> Range<u64> {
    SortedRange::scores(ScoreRange::from(scores.start as f64..scores.end as f64)).resolve(order)
}

/// A member that was found.
struct Hit<'a> {
    member: &'a [u8],
    score: f64,
    position: Position,
    meters: f64,
}

/// A member that a search found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GeoFound<M> {
    /// The member.
    pub member: M,
    /// How far it is, in the search's unit.
    pub distance: f64,
    /// Where it is.
    pub position: Position,
    /// Its score, which is the 52-bit hash of its place.
    pub score: f64,
}

/// What [`Geo::store_search`] gives the members for scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GeoScore {
    /// Their places, so that the result is a geo set again.
    Place,
    /// Their distances, in the search's unit (Redis: `STOREDIST`).
    Distance,
}

/// Members with their places under a key; see [`Engine::geo`].
///
/// It is a sorted set, and can be used as one: [`as_sorted_set`](Self::as_sorted_set) removes, counts and walks.
///
/// # Examples
/// ```
/// use larder::{GeoSearch, GeoUnit};
/// let engine = larder::Engine::new();
/// let cities = engine.geo::<String>("cities");
/// cities.add("Palermo", (13.361389, 38.115556))?;
/// cities.add("Catania", (15.087269, 37.502669))?;
/// let near = cities.search(&GeoSearch::radius((15.0, 37.0), 100.0, GeoUnit::Kilometers))?;
/// assert_eq!(near[0].member, "Catania");
/// # Ok::<(), larder::OpError>(())
/// ```
pub struct Geo<M = Bytes, P = Owned> {
    set: SortedSet<M, P>,
}

impl<M, P: Clone> Clone for Geo<M, P> {
    fn clone(&self) -> Self {
        Self { set: self.set.clone() }
    }
}

impl<M, P: fmt::Debug> fmt::Debug for Geo<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Geo").field("set", &self.set).finish()
    }
}

impl Engine {
    /// Returns a handle to members with places.
    ///
    /// **Complexity** O(1), no look-up.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.geo::<u64>("shops").add(7, (13.4, 52.5))?;
    /// assert!(engine.geo::<u64>("shops").position(7)?.is_some());
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn geo<'a, M: Element>(&'a self, key: impl Into<Key<'a>>) -> Geo<M, At<'a>> {
        Geo { set: self.sorted_set(key) }
    }
}

impl<M: Element> Geo<M, At<'_>> {
    /// Returns the same handle with an engine and a key of its own, to be kept.
    ///
    /// **Complexity** O(1), a copy of the key.
    ///
    /// # Examples
    /// ```
    /// let shops: larder::Geo<u64> = larder::Engine::new().geo("shops").into_owned();
    /// assert!(shops.as_sorted_set().is_empty()?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn into_owned(self) -> Geo<M, Owned> {
        Geo { set: self.set.into_owned() }
    }
}

/// The score of a place.
#[expect(clippy::cast_precision_loss, reason = "a score has 52 bits")]
fn score_of(position: Position) -> Result<f64, OpError> {
    if position.is_valid() {
        Ok(geo::encode(position) as f64)
    } else {
        Err(OpError::InvalidArgument("invalid longitude,latitude pair"))
    }
}

impl<M: Element, P: Place> Geo<M, P> {
    /// Returns the sorted set that the members lie in.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let shops = engine.geo::<u64>("shops");
    /// shops.add(7, (13.4, 52.5))?;
    /// assert!(shops.as_sorted_set().remove(7)?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use]
    pub fn as_sorted_set(&self) -> &SortedSet<M, P> {
        &self.set
    }

    /// Gives a member a place, adding it if it is not there.
    ///
    /// **Command** `GEOADD`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// [`OpError::InvalidArgument`] for a place that is not on the globe or beyond 85.05112878 degrees north or south, and as
    /// [`SortedSet::add`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let cities = engine.geo::<String>("cities");
    /// assert_eq!(cities.add("Palermo", (13.361389, 38.115556))?, larder::Added::Inserted);
    /// assert!(cities.add("Pole", (0.0, 90.0)).is_err());
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn add(&self, member: impl Arg<M>, position: impl Into<Position>) -> Result<Added, OpError> {
        self.set.add(member, score_of(position.into())?)
    }

    /// Gives several members their places in one step, under conditions.
    ///
    /// **Command** `GEOADD` with `NX`, `XX`. **Complexity** O(m log n), m members put among n.
    ///
    /// # Errors
    /// As [`add`](Self::add); nothing was added then.
    ///
    /// # Examples
    /// ```
    /// use larder::ZAddOptions;
    /// let engine = larder::Engine::new();
    /// let cities = engine.geo::<String>("cities");
    /// let count = cities.add_all([("Palermo", (13.361389, 38.115556))], ZAddOptions::new().if_absent())?;
    /// assert_eq!(count.inserted, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn add_all<A: Arg<M>, L: Into<Position>>(
        &self,
        members: impl IntoIterator<Item = (A, L)>,
        options: ZAddOptions,
    ) -> Result<AddCount, OpError> {
        let members = members.into_iter().map(|(member, position)| Ok((member, score_of(position.into())?)));
        self.set.add_all(members.collect::<Result<Vec<_>, OpError>>()?, options)
    }

    /// Returns a member's place, which is where it was put to within half a metre.
    ///
    /// **Command** `GEOPOS`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// [`OpError::WrongType`], [`OpError::Codec`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let cities = engine.geo::<String>("cities");
    /// cities.add("Palermo", (13.361389, 38.115556))?;
    /// let place = cities.position("Palermo")?.unwrap();
    /// assert!((place.latitude - 38.115556).abs() < 0.00001);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn position(&self, member: impl Arg<M>) -> Result<Option<Position>, OpError> {
        Ok(self.set.score(member)?.map(geo::decode))
    }

    /// Returns the places of several members, all of one moment.
    ///
    /// **Command** `GEOPOS`. **Complexity** O(m log n), m members looked up among n.
    ///
    /// # Errors
    /// As [`position`](Self::position).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert_eq!(engine.geo::<String>("cities").positions(["Atlantis"])?, [None]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn positions(
        &self,
        members: impl IntoIterator<Item: Arg<M>>,
    ) -> Result<Vec<Option<Position>>, OpError> {
        Ok(self.set.scores(members)?.into_iter().map(|score| score.map(geo::decode)).collect())
    }

    /// Returns the standard geohash strings of several members, by which other software knows their places.
    ///
    /// **Command** `GEOHASH`. **Complexity** O(m log n), m members looked up among n.
    ///
    /// # Errors
    /// As [`position`](Self::position).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let cities = engine.geo::<String>("cities");
    /// cities.add("Palermo", (13.361389, 38.115556))?;
    /// assert_eq!(cities.geohashes(["Palermo"])?, [Some("sqc8b49rny0".to_owned())]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn geohashes(
        &self,
        members: impl IntoIterator<Item: Arg<M>>,
    ) -> Result<Vec<Option<String>>, OpError> {
        Ok(self.set.scores(members)?.into_iter().map(|score| score.map(geo::geohash)).collect())
    }

    /// Returns how far two members are from one another; `None` if one of them is not there.
    ///
    /// **Command** `GEODIST`. **Complexity** O(log n), n members.
    ///
    /// # Errors
    /// As [`position`](Self::position).
    ///
    /// # Examples
    /// ```
    /// use larder::GeoUnit;
    /// let engine = larder::Engine::new();
    /// let cities = engine.geo::<String>("cities");
    /// cities.add("Palermo", (13.361389, 38.115556))?;
    /// cities.add("Catania", (15.087269, 37.502669))?;
    /// let distance = cities.distance("Palermo", "Catania", GeoUnit::Kilometers)?;
    /// assert_eq!(format!("{:.4}", distance.unwrap()), "166.2742");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn distance<A: Arg<M>>(&self, one: A, other: A, unit: GeoUnit) -> Result<Option<f64>, OpError> {
        let places = self.positions([one, other])?;
        Ok(match places.as_slice() {
            [Some(one), Some(other)] => Some(geo::distance(*one, *other) / unit.meters()),
            _ => None,
        })
    }

    /// Returns the members inside a circle or a box.
    ///
    /// **Command** `GEOSEARCH`, `GEORADIUS`. **Complexity** O(log n + c + m log m), c members of the nine cells around the
    /// shape, m inside of it. The lock is held for O(1).
    ///
    /// # Errors
    /// [`OpError::InvalidArgument`] for a place that is not on the globe or a negative length; [`OpError::WrongType`];
    /// [`OpError::Codec`] if a member is no `M`.
    ///
    /// # Examples
    /// ```
    /// use larder::{GeoSearch, GeoUnit};
    /// let engine = larder::Engine::new();
    /// let cities = engine.geo::<String>("cities");
    /// cities.add("Catania", (15.087269, 37.502669))?;
    /// let found = cities.search(&GeoSearch::rectangle((15.0, 37.0), 400.0, 400.0, GeoUnit::Kilometers).limit(1))?;
    /// assert_eq!(found[0].member, "Catania");
    /// assert_eq!(format!("{:.4}", found[0].distance), "56.4413");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn search(&self, search: &GeoSearch) -> Result<Vec<GeoFound<M>>, OpError> {
        search.check()?;
        let Some(body) = capture::<Body>(&self.set.place)? else { return Ok(Vec::new()) };
        let found = search.run(body.order()).into_iter().map(|hit| {
            let member = decode(hit.member)?;
            let (distance, position, score) = (hit.meters / search.unit.meters(), hit.position, hit.score);
            Ok(GeoFound { member, distance, position, score })
        });
        let found: Result<Vec<_>, _> = found.collect();
        found.map_err(|source| OpError::codec(self.set.place.key(), source))
    }

    /// Stores the members inside a circle or a box under another key, in place of what was there, and returns how many they
    /// are. Without any, that key is deleted.
    ///
    /// **Command** `GEOSEARCHSTORE`. **Complexity** as [`search`](Self::search); the new set is built outside of the locks.
    ///
    /// # Errors
    /// As [`search`](Self::search), and [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// use larder::{GeoScore, GeoSearch, GeoUnit};
    /// let engine = larder::Engine::new();
    /// let cities = engine.geo::<String>("cities");
    /// cities.add("Catania", (15.087269, 37.502669))?;
    /// let near = GeoSearch::radius((15.0, 37.0), 100.0, GeoUnit::Kilometers);
    /// assert_eq!(cities.store_search("near", &near, GeoScore::Distance)?, 1);
    /// assert!(engine.sorted_set::<String>("near").score("Catania")?.unwrap() < 57.0);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn store_search<'k>(
        &self,
        target: impl Into<Key<'k>>,
        search: &GeoSearch,
        scores: GeoScore,
    ) -> Result<u64, OpError> {
        search.check()?;
        let (engine, target): (&Engine, Key<'k>) = (self.set.place.engine(), target.into());
        check_key(target.as_bytes())?;
        let key = self.set.place.key();
        engine.derive(
            &[key],
            &[ValueType::SortedSet],
            (target.as_bytes(), event::GEOSEARCHSTORE),
            |bodies, rules| {
                let Some(source) = bodies.first().and_then(Option::as_ref).and_then(Body::of) else {
                    return Ok((None, 0));
                };
                let hits = search.run(source.order());
                let score = |hit: &Hit<'_>| match scores {
                    GeoScore::Place => hit.score,
                    GeoScore::Distance => hit.meters / search.unit.meters(),
                };
                let mut entries: Vec<(f64, &[u8])> =
                    hits.iter().map(|hit| (score(hit), hit.member)).collect();
                entries.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)));
                // Very large circles find a member twice.
                entries.dedup_by(|one, other| one.1 == other.1);
                let stored: Collection =
                    Body::from_ascending(entries.iter().copied(), rules).into_collection();
                Ok(((!entries.is_empty()).then_some(stored), hits.len() as u64))
            },
        )
    }
}
