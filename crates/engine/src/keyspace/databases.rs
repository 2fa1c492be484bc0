//! Numbered databases, and named ones behind them.
//!
//! Users know databases by logical numbers; tables lie under physical ones, and SWAPDB exchanges two entries of the map between
//! them. The map is read under a shard's lock and changed under all of them.

use std::sync::atomic::Ordering;

use super::Core;
use super::interest::Told;
use crate::engine::wait;
use crate::error::OpError;
use crate::feed::log::Changelog;
use crate::local;

impl Core {
    /// The physical number of a database; read under the shard lock, so that SWAPDB is atomic.
    #[inline]
    pub(crate) fn physical(&self, db: u16) -> u16 {
        self.map.get(usize::from(db)).map_or(db, |cell| cell.load(Ordering::Relaxed))
    }

    /// The number under which users know a physical database.
    pub(super) fn logical(&self, physical: u16) -> u16 {
        let found = (0..self.settings.databases).find(|&db| self.physical(db) == physical);
        found.unwrap_or(physical)
    }

    pub(crate) fn check_database(&self, index: u16) -> Result<(), OpError> {
        let databases = self.settings.databases;
        if index < databases { Ok(()) } else { Err(OpError::NoSuchDatabase { index, databases }) }
    }

    /// The number of a named keyspace, made when it is first asked for.
    pub(crate) fn named(&self, name: &str) -> Result<u16, OpError> {
        let mut names = self.names.lock();
        if let Some(&number) = names.get(name) {
            return Ok(number);
        }
        let number = usize::from(self.settings.databases) + names.len();
        let number = u16::try_from(number)
            .ok()
            .filter(|&number| number < u16::MAX)
            .ok_or(OpError::InvalidArgument("too many named keyspaces"))?;
        names.insert(name.to_owned(), number);
        Ok(number)
    }

    /// Every database there is, by its logical number.
    pub(crate) fn databases(&self) -> u16 {
        let named = u16::try_from(self.names.lock().len()).expect("I4: named() bounds their number");
        self.settings.databases + named
    }

    /// Exchanges two databases; every shard is locked meanwhile.
    pub(crate) fn swap_databases(&self, a: u16, b: u16) -> Result<(), OpError> {
        self.check_database(a)?;
        self.check_database(b)?;
        if local::in_section() {
            return self.swap_held(a, b);
        }
        let locks: Vec<_> = self.shards.iter().map(|shard| shard.state.write()).collect();
        let log = Changelog::new(self.is_recording());
        let mut told = Told::default();
        if a != b {
            log.swap(a, b);
            locks.iter().for_each(|state| state.tell_swapped(self, [a, b], &mut told));
        }
        self.exchange_databases(a, b);
        told.mark();
        self.commit(&log);
        drop(locks);
        wait::serve(told.take_ready());
        self.deliver();
        Ok(())
    }

    /// Exchanges the numbers of two databases; every shard is locked.
    pub(super) fn exchange_databases(&self, a: u16, b: u16) {
        let (a, b) = (&self.map[usize::from(a)], &self.map[usize::from(b)]);
        let was = a.load(Ordering::Relaxed);
        a.store(b.load(Ordering::Relaxed), Ordering::Relaxed);
        b.store(was, Ordering::Relaxed);
    }
}
