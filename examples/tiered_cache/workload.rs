//! The requests, and the proof that their answers are right.
//!
//! Each city has two counters: `begun`, raised before a write touches the database, and `committed`, raised
//! after the write has reached the cache as well. A read notes `committed` before it asks and `begun` after
//! it was answered.
//! I1: the version it got lies between the two; a smaller one is stale, a larger one invented.
//! I2: the rest of the city is the file's, with the population that belongs to that version.

use std::cell::Cell;
use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use larder::Typed;
use larder_examples::cities::City;
use larder_examples::database::CityDatabase;
use larder_examples::latency::Latency;
use larder_examples::random::{Rng, Zipf};

use super::removals::RemovalLog;
use super::{SKEW, THREADS};

/// One request in this many is a write.
const WRITE_EVERY: u64 = 50;
/// One request in this many is read from the database directly, for comparison.
const DIRECT_EVERY: u64 = 50;
/// Wrong answers that are kept to be shown.
const SHOWN_MAX: usize = 5;

/// What a thread has served so far, for the watching thread. Aligned so that threads share no cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Progress {
    pub(crate) requests: AtomicU64,
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
}

/// Everything that the serving threads share.
#[derive(Debug)]
pub(crate) struct Workload {
    cities: Vec<City>,
    keys: Vec<String>,
    begun: Vec<AtomicU64>,
    committed: Vec<AtomicU64>,
    /// SQLite has one writer at a time; so has each key's pair of steps (database, then cache).
    writer: Mutex<CityDatabase>,
    cache: Typed<City>,
    zipf: Zipf,
    pub(crate) removals: Arc<RemovalLog>,
    pub(crate) progress: Vec<Progress>,
}

/// What the serving threads measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) hits: Latency,
    pub(crate) misses: Latency,
    pub(crate) direct: Latency,
    pub(crate) writes: Latency,
    pub(crate) checked: u64,
    pub(crate) wrong: u64,
    pub(crate) shown: Vec<String>,
}

impl Tally {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.hits.merge(&other.hits);
        self.misses.merge(&other.misses);
        self.direct.merge(&other.direct);
        self.writes.merge(&other.writes);
        self.checked += other.checked;
        self.wrong += other.wrong;
        self.shown.extend(other.shown.iter().take(SHOWN_MAX - self.shown.len().min(SHOWN_MAX)).cloned());
    }

    /// Reads through the cache, hits and misses together.
    pub(crate) fn cached_reads(&self) -> Latency {
        let mut both = self.hits.clone();
        both.merge(&self.misses);
        both
    }

    fn note(&mut self, verdict: Result<(), String>) {
        self.checked += 1;
        if let Err(problem) = verdict {
            self.wrong += 1;
            if self.shown.len() < SHOWN_MAX {
                self.shown.push(problem);
            }
        }
    }
}

impl Workload {
    pub(crate) fn new(
        cities: Vec<City>,
        keys: Vec<String>,
        writer: CityDatabase,
        cache: Typed<City>,
        removals: Arc<RemovalLog>,
    ) -> Self {
        let counters = || (0..cities.len()).map(|_| AtomicU64::new(0)).collect();
        Self {
            begun: counters(),
            committed: counters(),
            writer: Mutex::new(writer),
            cache,
            zipf: Zipf::new(cities.len(), SKEW),
            removals,
            progress: (0..THREADS).map(|_| Progress::default()).collect(),
            cities,
            keys,
        }
    }

    pub(crate) fn cities(&self) -> usize {
        self.cities.len()
    }

    /// Serves `requests` requests on the calling thread.
    pub(crate) fn serve(
        &self,
        thread: u64,
        requests: u64,
        seed: u64,
        path: &Path,
    ) -> Result<Tally, Box<dyn Error + Send + Sync>> {
        let database = CityDatabase::open(path)?;
        let progress = &self.progress[usize::try_from(thread)?];
        let mut rng = Rng::new(seed ^ (thread + 1).wrapping_mul(0xA076_1D64_78BD_642F));
        let mut tally = Tally::default();
        let mut shift = 0;
        for request in 0..requests {
            if request == requests / 2 {
                // The crowd moves on: what was the least popular third is now the most popular.
                shift = self.cities.len() * 2 / 3;
                self.removals.set_shift(shift);
            }
            let row = (self.zipf.sample(&mut rng) + shift) % self.cities.len();
            match request % WRITE_EVERY.max(DIRECT_EVERY) {
                0 => self.write(row, rng.bits().is_multiple_of(2), &mut tally)?,
                25 => self.read_directly(row, &database, &mut tally)?,
                _ => self.read(row, &database, progress, &mut tally)?,
            }
            progress.requests.fetch_add(1, Ordering::Relaxed);
        }
        Ok(tally)
    }

    /// Reads a city through the cache; the loader runs when the cache does not hold it.
    fn read(
        &self,
        row: usize,
        database: &CityDatabase,
        progress: &Progress,
        tally: &mut Tally,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let committed = self.committed[row].load(Ordering::Acquire);
        let loaded = Cell::new(false);
        let start = Instant::now();
        let city = self.cache.get_or_insert_with(&self.keys[row], || {
            loaded.set(true);
            let city = database.read(self.cities[row].id);
            self.removals.note_stored(row);
            city
        })?;
        let took = start.elapsed();
        if loaded.get() {
            tally.misses.record(took);
            progress.misses.fetch_add(1, Ordering::Relaxed);
        } else {
            tally.hits.record(took);
            progress.hits.fetch_add(1, Ordering::Relaxed);
        }
        tally.note(self.check(row, committed, &city));
        Ok(())
    }

    /// Reads a city from the database alone: what every request would cost without the cache.
    fn read_directly(
        &self,
        row: usize,
        database: &CityDatabase,
        tally: &mut Tally,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let committed = self.committed[row].load(Ordering::Acquire);
        let start = Instant::now();
        let city = database.read(self.cities[row].id)?;
        tally.direct.record(start.elapsed());
        tally.note(self.check(row, committed, &city));
        Ok(())
    }

    /// Changes a city: first the database, then the cache, which is given the new value or told to forget the
    /// old.
    ///
    /// The order matters. Were the cache told first, a reader could load the old row once more behind our
    /// back. A load that is under way during the write is no danger: larder does not keep its result.
    fn write(&self, row: usize, keep: bool, tally: &mut Tally) -> Result<(), Box<dyn Error + Send + Sync>> {
        let start = Instant::now();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.begun[row].load(Ordering::Relaxed) + 1;
        self.begun[row].store(version, Ordering::Release);
        let city = self.expected(row, version);
        writer.set_population(city.id, city.population, version)?;
        if keep {
            self.removals.note_stored(row);
            self.cache.set(&self.keys[row], city)?;
        } else {
            self.cache.remove(&self.keys[row])?;
        }
        self.committed[row].store(version, Ordering::Release);
        drop(writer);
        tally.writes.record(start.elapsed());
        Ok(())
    }

    /// The city as it must look at `version`: each write adds one inhabitant.
    fn expected(&self, row: usize, version: u64) -> City {
        let city = &self.cities[row];
        City { population: city.population + version, version, ..city.clone() }
    }

    fn check(&self, row: usize, committed: u64, found: &City) -> Result<(), String> {
        let begun = self.begun[row].load(Ordering::Acquire);
        let key = &self.keys[row];
        if found.version < committed {
            return Err(format!("{key}: stale, version {} after {committed} was committed", found.version));
        }
        if found.version > begun {
            return Err(format!("{key}: version {} was never written, {begun} is the last", found.version));
        }
        let city = &self.cities[row];
        let same = found.id == city.id
            && found.name == city.name
            && found.country == city.country
            && found.region == city.region
            && found.latitude == city.latitude
            && found.longitude == city.longitude
            && found.timezone == city.timezone
            && found.also_known_as == city.also_known_as
            && found.population == city.population + found.version;
        if same { Ok(()) } else { Err(format!("{key}: found {found:?}, the file says {city:?}")) }
    }
}
