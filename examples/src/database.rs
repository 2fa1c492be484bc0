//! The cities in an embedded SQLite database: the slow store that a cache stands ahead of.
//!
//! It is given a fair chance: a file in write-ahead mode, lookups by primary key only, statements prepared
//! once, one connection for each reader. Nothing is installed: SQLite is compiled in.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use crate::cities::{City, split_names};

const SCHEMA: &str = "
    CREATE TABLE city (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        country TEXT NOT NULL,
        region TEXT NOT NULL,
        latitude REAL NOT NULL,
        longitude REAL NOT NULL,
        population INTEGER NOT NULL,
        timezone TEXT NOT NULL,
        also_known_as TEXT NOT NULL,
        version INTEGER NOT NULL
    ) STRICT";
const INSERT: &str = "INSERT INTO city VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const READ: &str =
    "SELECT id, name, country, region, latitude, longitude, population, timezone, also_known_as,
    version FROM city WHERE id = ?1";
const UPDATE: &str = "UPDATE city SET population = ?2, version = ?3 WHERE id = ?1";

/// One connection to the database of cities.
#[derive(Debug)]
pub struct CityDatabase {
    connection: Connection,
}

impl CityDatabase {
    /// Creates the database at `path` and fills it.
    ///
    /// # Errors
    ///
    /// What SQLite reports: the file exists already, the disk is full, two cities share an id.
    pub fn create(path: &Path, cities: &[City]) -> rusqlite::Result<Self> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let filling = connection.transaction()?;
        filling.execute(SCHEMA, [])?;
        {
            let mut insert = filling.prepare(INSERT)?;
            for city in cities {
                insert.execute(params![
                    city.id,
                    city.name,
                    city.country,
                    city.region,
                    city.latitude,
                    city.longitude,
                    i64::try_from(city.population).unwrap_or(i64::MAX),
                    city.timezone,
                    city.also_known_as.join(";"),
                    i64::try_from(city.version).unwrap_or(i64::MAX),
                ])?;
            }
        }
        filling.commit()?;
        // Everything is still in the write-ahead file; the readers shall find it in the database itself.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(Self { connection })
    }

    /// Opens another connection to a database that [`CityDatabase::create`] made.
    ///
    /// # Errors
    ///
    /// What SQLite reports: there is no such file, or it is not a database.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(Self { connection })
    }

    /// Reads one city; `None` when the id is unknown.
    ///
    /// # Errors
    ///
    /// What SQLite reports.
    pub fn find(&self, id: u32) -> rusqlite::Result<Option<City>> {
        self.read(id).optional()
    }

    /// Reads one city that must exist.
    ///
    /// # Errors
    ///
    /// What SQLite reports; `QueryReturnedNoRows` when the id is unknown.
    pub fn read(&self, id: u32) -> rusqlite::Result<City> {
        self.connection.prepare_cached(READ)?.query_row([id], |row| {
            let names = row.get_ref(8)?.as_str().map(split_names)?;
            Ok(City {
                id: row.get(0)?,
                name: row.get(1)?,
                country: row.get(2)?,
                region: row.get(3)?,
                latitude: row.get(4)?,
                longitude: row.get(5)?,
                population: row.get::<_, i64>(6)?.unsigned_abs(),
                timezone: row.get(7)?,
                also_known_as: names,
                version: row.get::<_, i64>(9)?.unsigned_abs(),
            })
        })
    }

    /// Stores a new population and version of a city.
    ///
    /// # Errors
    ///
    /// What SQLite reports; `QueryReturnedNoRows` when the id is unknown.
    pub fn set_population(&self, id: u32, population: u64, version: u64) -> rusqlite::Result<()> {
        let population = i64::try_from(population).unwrap_or(i64::MAX);
        let version = i64::try_from(version).unwrap_or(i64::MAX);
        match self.connection.prepare_cached(UPDATE)?.execute(params![id, population, version])? {
            0 => Err(rusqlite::Error::QueryReturnedNoRows),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CityDatabase;
    use crate::cities;

    #[test]
    fn every_city_comes_back_as_it_went_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cities.db");
        let all = cities::load().unwrap();
        let writer = CityDatabase::create(&path, &all[..500]).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() > 500 * 50, "the rows are in the file");
        let reader = CityDatabase::open(&path).unwrap();
        for city in &all[..500] {
            assert_eq!(reader.find(city.id).unwrap().as_ref(), Some(city));
        }
        assert_eq!(reader.find(all[500].id).unwrap(), None);

        writer.set_population(all[3].id, 12, 1).unwrap();
        let changed = reader.read(all[3].id).unwrap();
        assert_eq!((changed.population, changed.version), (12, 1));
        assert_eq!(changed.name, all[3].name);
        assert!(writer.set_population(all[500].id, 12, 1).is_err());
    }

    #[test]
    fn opening_creates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(CityDatabase::open(&folder.path().join("absent.db")).is_err());
    }
}
