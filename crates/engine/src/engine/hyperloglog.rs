//! HyperLogLogs: how many different elements were seen. PFADD, PFCOUNT, PFMERGE.
//!
//! One is a string under its key, byte for byte the one that Redis would hold: at most 12 KiB, whatever the number of elements, with
//! a standard error of 0.81 %. The last count is kept in the string until an addition makes it stale, as Redis does.

use std::cell::Cell;

use std::marker::PhantomData;

use bytes::Bytes;

use super::Engine;
use super::combine::{Captured, Derived, StringHeld};
use super::edit::{Fresh, Plan, StringMut, StringRef};
use super::place::{At, Key, Owned, Place};
use crate::collections::hyperloglog::{self as hll, Form, HEADER_BYTES, Refused, Registers};
use crate::error::{OpError, shown};
use crate::feed::event;
use crate::typed::{Arg, Element};

/// A handle of the HyperLogLog under a key. Making it looks nothing up.
///
/// # Examples
/// ```
/// let engine = larder::Engine::new();
/// let visitors = engine.hyperloglog::<String>("visitors");
/// visitors.add_all(["ann", "bob", "ann"])?;
/// assert_eq!(visitors.count()?, 2);
/// # Ok::<(), larder::OpError>(())
/// ```
pub struct HyperLogLog<M = Bytes, P = Owned> {
    place: P,
    elements: PhantomData<fn() -> M>,
}

impl<M, P: std::fmt::Debug> std::fmt::Debug for HyperLogLog<M, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HyperLogLog").field("place", &self.place).finish_non_exhaustive()
    }
}

impl<M, P: Clone> Clone for HyperLogLog<M, P> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone(), elements: PhantomData }
    }
}

impl Engine {
    /// Returns a handle of the HyperLogLog under a key, for elements of type `M`.
    ///
    /// **Complexity** O(1), no look-up.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert!(engine.hyperloglog::<u64>("ids").add(7)?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn hyperloglog<'a, M: Element>(&'a self, key: impl Into<Key<'a>>) -> HyperLogLog<M, At<'a>> {
        HyperLogLog { place: At::new(self, key), elements: PhantomData }
    }
}

impl<M: Element> HyperLogLog<M, At<'_>> {
    /// Returns a handle that owns its key and keeps the engine.
    #[must_use]
    pub fn into_owned(self) -> HyperLogLog<M, Owned> {
        HyperLogLog { place: self.place.into_owned(), elements: PhantomData }
    }
}

/// Names the key in a refusal.
fn refused(key: &[u8]) -> impl Fn(Refused) -> OpError + '_ {
    |refused| match refused {
        Refused::Foreign => OpError::NotHyperLogLog { key: shown(key) },
        Refused::Corrupt => OpError::CorruptHyperLogLog { key: shown(key) },
    }
}

impl<M: Element, P: Place> HyperLogLog<M, P> {
    fn engine(&self) -> &Engine {
        self.place.engine()
    }

    /// The string alone in a list, or `None` in it.
    fn captured(&self) -> Result<Vec<Option<StringHeld>>, OpError> {
        let Captured { strings, refused } = self.engine().capture_strings(&[self.place.key()])?;
        refused.map_or(Ok(strings), Err)
    }

    fn sparse_max(&self) -> usize {
        let limit = self.engine().core.rules().limits.hll_sparse_max_bytes;
        usize::try_from(limit).unwrap_or(usize::MAX)
    }

    /// Adds an element; tells whether the estimate may have changed (or the key was made).
    ///
    /// **Command** `PFADD`. **Complexity** O(1) dense, O(n) sparse, n its bytes (3,000 at most by default).
    ///
    /// # Errors
    /// [`OpError::NotHyperLogLog`], [`OpError::CorruptHyperLogLog`], [`OpError::WrongType`], [`OpError::OutOfMemory`];
    /// [`OpError::Codec`] for an element that cannot be encoded.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let ids = engine.hyperloglog::<u64>("ids");
    /// assert!(ids.add(7)? && !ids.add(7)?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn add(&self, element: impl Arg<M>) -> Result<bool, OpError> {
        self.add_all([element])
    }

    /// Adds elements; tells whether the estimate may have changed. Without any, the key is made if it does not exist.
    ///
    /// **Command** `PFADD`. **Complexity** O(k) dense, O(k n) sparse, k the elements, n the bytes of the sparse form.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let ids = engine.hyperloglog::<u64>("ids");
    /// ids.add_all(0..1_000)?;
    /// assert!(ids.count()?.abs_diff(1_000) < 30);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn add_all<A: Arg<M>>(&self, elements: impl IntoIterator<Item = A>) -> Result<bool, OpError> {
        let key = self.place.key();
        let places = elements
            .into_iter()
            .map(|element| element.with(hll::place).map_err(|error| OpError::codec(key, error)))
            .collect::<Result<Vec<_>, _>>()?;
        let sparse_max = self.sparse_max();
        let made = Cell::new(None);
        let look = |string: Option<StringRef<'_>>| {
            let whole = match string.map(|string| (string, string.as_slice())) {
                None => hll::empty(),
                Some((string, Some(bytes))) if hll::check(bytes).map_err(refused(key))? == Form::Dense => {
                    if !hll::dense_would_rise(bytes, &places) {
                        return Ok(Plan::Done(false));
                    }
                    let (len, room) = (bytes.len(), string.room(0, bytes.len()));
                    return Ok(Plan::Write { len, bytes: 0, room });
                }
                Some((string, _)) => string.to_vec(),
            };
            let (bytes, rose) = raised(whole, &places, sparse_max).map_err(refused(key))?;
            if !rose && string.is_some() {
                return Ok(Plan::Done(false));
            }
            made.set(Some(bytes));
            Ok(Plan::Rewrite)
        };
        self.engine().edit_string(key, (Fresh::Grown, &Cell::new(event::PFADD)), look, |string| {
            match (made.take(), string.whole()) {
                (Some(bytes), Some(whole)) => *whole = bytes,
                _ => raise_in_place(string, &places),
            }
            Ok(true)
        })
    }

    /// Returns about how many different elements were added, 0 for an absent key.
    ///
    /// **Command** `PFCOUNT`. **Complexity** O(1) if nothing was added since the last count, else O(n), n the registers.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert_eq!(engine.hyperloglog::<u64>("nobody")
    ///     .count()?, 0);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn count(&self) -> Result<u64, OpError> {
        let (engine, key) = (self.engine(), self.place.key());
        let cached = engine.view_string(key, true, |string| {
            let mut header = [0; HEADER_BYTES];
            string.read(0, &mut header);
            hll::check_header(&header, string.len()).map(|_| hll::cached(&header))
        })?;
        match cached.transpose().map_err(refused(key))? {
            None => return Ok(0),
            Some(Some(count)) => return Ok(count),
            Some(None) => {}
        }
        let Some(held) = self.captured()?.pop().flatten() else { return Ok(0) };
        let count = with_bytes(held.as_ref(), hll::count).map_err(refused(key))?;
        match self.keep_count(held, count) {
            // The count is right whether or not it could be kept.
            Ok(()) | Err(OpError::OutOfMemory { .. }) => Ok(count),
            Err(error) => Err(error),
        }
    }

    /// Writes a count into the string that it was made of, if that is still there.
    fn keep_count(&self, held: StringHeld, count: u64) -> Result<(), OpError> {
        let held = Cell::new(Some(held));
        let (at, field) = hll::cache_field(count);
        let look = |string: Option<StringRef<'_>>| {
            // The root is let go before it is written, so that nothing is copied.
            let (Some(string), Some(held)) = (string, held.take()) else { return Ok(Plan::Done(())) };
            if !held.is_still(string) {
                return Ok(Plan::Done(()));
            }
            let room = string.room(at, field.len());
            Ok(Plan::Write { len: string.len(), bytes: field.len(), room })
        };
        self.engine().edit_string(
            self.place.key(),
            (Fresh::Grown, &Cell::new(event::UNCHANGED)),
            look,
            |string| {
                string.write(at, &field);
                Ok(())
            },
        )
    }

    /// Returns about how many different elements were added to this one or to any of `others`.
    ///
    /// **Command** `PFCOUNT` of several keys. **Complexity** O(k n), k the keys, n the registers.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.hyperloglog::<u32>("a").add_all([1, 2, 3])?;
    /// engine.hyperloglog::<u32>("b").add_all([3, 4])?;
    /// assert_eq!(engine.hyperloglog::<u32>("a").count_union(&["b"])?, 4);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn count_union<K: AsRef<[u8]>>(&self, others: &[K]) -> Result<u64, OpError> {
        let mut keys = vec![self.place.key()];
        keys.extend(others.iter().map(AsRef::as_ref));
        let Captured { strings, refused } = self.engine().capture_strings(&keys)?;
        let registers = union(&keys, &strings)?;
        refused.map_or_else(|| Ok(registers.count()), Err)
    }

    /// Adds to this one what others have seen; absent keys have seen nothing. The expiry is kept.
    ///
    /// **Command** `PFMERGE`. **Complexity** O(k n), k the keys, n the registers; computed outside of any lock.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.hyperloglog::<String>("a").add_all(["x", "y"])?;
    /// engine.hyperloglog::<String>("all").merge(&["a", "b"])?;
    /// assert_eq!(engine.hyperloglog::<String>("all").count()?, 2);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn merge<K: AsRef<[u8]>>(&self, sources: &[K]) -> Result<(), OpError> {
        let key = self.place.key();
        let sparse_max = self.sparse_max();
        let mut keys = vec![key];
        keys.extend(sources.iter().map(AsRef::as_ref));
        self.engine().derive_string(&keys, (key, event::PFADD), |strings| {
            let registers = union(&keys, strings)?;
            let target = strings.first().and_then(Option::as_ref);
            let mut bytes = target.map_or_else(hll::empty, StringHeld::to_vec);
            registers.write_to(&mut bytes, sparse_max).map_err(refused(key))?;
            Ok((Derived::Changed(StringHeld::from_vec(bytes)), ()))
        })
    }

    /// Returns how the registers are kept, `None` for an absent key.
    ///
    /// **Command** `PFDEBUG ENCODING`. **Complexity** O(1).
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.hyperloglog::<u32>("a").add(1)?;
    /// assert_eq!(engine.hyperloglog::<u32>("a").is_dense()?, Some(false));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn is_dense(&self) -> Result<Option<bool>, OpError> {
        let key = self.place.key();
        let form = self.engine().view_string(key, true, |string| {
            let mut header = [0; HEADER_BYTES];
            string.read(0, &mut header);
            hll::check_header(&header, string.len())
        })?;
        Ok(form.transpose().map_err(refused(key))?.map(|form| form == Form::Dense))
    }

    /// Makes the registers dense; tells whether they were sparse, `None` for an absent key.
    ///
    /// **Command** `PFDEBUG TODENSE`. **Complexity** O(n), n the registers.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.hyperloglog::<u32>("a").add(1)?;
    /// assert_eq!(engine.hyperloglog::<u32>("a").make_dense()?, Some(true));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn make_dense(&self) -> Result<Option<bool>, OpError> {
        let key = self.place.key();
        let made = Cell::new(None);
        let look = |string: Option<StringRef<'_>>| {
            let Some(string) = string else { return Ok(Plan::Done(None)) };
            let mut bytes = string.to_vec();
            if !hll::promote(&mut bytes).map_err(refused(key))? {
                return Ok(Plan::Done(Some(false)));
            }
            made.set(Some(bytes));
            Ok(Plan::Rewrite)
        };
        self.engine().edit_string(key, (Fresh::Grown, &Cell::new(event::UNCHANGED)), look, |string| {
            if let (Some(bytes), Some(whole)) = (made.take(), string.whole()) {
                *whole = bytes;
            }
            Ok(Some(true))
        })
    }

    /// Returns all 16,384 registers, `None` for an absent key.
    ///
    /// **Command** `PFDEBUG GETREG`. **Complexity** O(n), n the registers.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.hyperloglog::<u32>("a").add(1)?;
    /// let registers = engine.hyperloglog::<u32>("a").registers()?.unwrap();
    /// assert_eq!(registers.iter().filter(|&&register| register > 0).count(), 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn registers(&self) -> Result<Option<Vec<u8>>, OpError> {
        let key = self.place.key();
        let strings = self.captured()?;
        if strings.iter().all(Option::is_none) {
            return Ok(None);
        }
        Ok(Some(union(&[key], &strings)?.values().to_vec()))
    }

    /// Returns the runs of the sparse form as they are written, sound or not: how many registers, and their value; `None` for an
    /// absent key or a dense form.
    ///
    /// **Command** `PFDEBUG DECODE`. **Complexity** O(n), n the bytes.
    ///
    /// # Errors
    /// [`OpError::NotHyperLogLog`], [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.hyperloglog::<u32>("a").add_all::<u32>([])?;
    /// let runs = engine.hyperloglog::<u32>("a").sparse_runs()?.unwrap();
    /// assert_eq!((runs[0].registers, runs[0].value), (16_384, 0));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn sparse_runs(&self) -> Result<Option<Vec<RegisterRun>>, OpError> {
        let key = self.place.key();
        let Some(held) = self.captured()?.pop().flatten() else { return Ok(None) };
        let bytes = held.to_vec();
        if hll::check(&bytes).map_err(refused(key))? == Form::Dense {
            return Ok(None);
        }
        let runs = hll::written_runs(&bytes);
        let run =
            |run: hll::Run| RegisterRun { registers: run.len(), value: run.value, is_long: run.is_long() };
        Ok(Some(runs.map(run).collect()))
    }
}

/// Neighbouring registers of equal value, as the sparse form of a HyperLogLog has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegisterRun {
    /// How many registers.
    pub registers: usize,
    /// The value of each.
    pub value: u8,
    /// Whether it is a run of zeros in two bytes (`XZERO`).
    pub is_long: bool,
}

/// Shows all bytes together.
fn with_bytes<R>(string: StringRef<'_>, f: impl FnOnce(&[u8]) -> R) -> R {
    match string.as_slice() {
        Some(bytes) => f(bytes),
        None => f(&string.to_vec()),
    }
}

/// What all of these have seen; the first that is refused is named.
fn union(keys: &[&[u8]], strings: &[Option<StringHeld>]) -> Result<Registers, OpError> {
    let mut registers = Registers::new();
    for (key, held) in keys.iter().zip(strings) {
        if let Some(held) = held {
            with_bytes(held.as_ref(), |bytes| registers.merge(bytes)).map_err(refused(key))?;
        }
    }
    Ok(registers)
}

/// The bytes with these registers raised, and whether any of them rose.
fn raised(mut bytes: Vec<u8>, places: &[(usize, u8)], sparse_max: usize) -> Result<(Vec<u8>, bool), Refused> {
    let mut rose = false;
    for &(index, rank) in places {
        rose |= hll::raise(&mut bytes, index, rank, sparse_max)?;
    }
    hll::check(&bytes)?;
    if rose || places.is_empty() {
        hll::mark_stale(&mut bytes);
    }
    Ok((bytes, rose))
}

/// Raises registers of a dense one where it lies.
fn raise_in_place(string: &mut StringMut<'_>, places: &[(usize, u8)]) {
    for &(index, rank) in places {
        let place = hll::dense_window(index);
        let mut window = [0; 2];
        let window = &mut window[..place.len()];
        string.read(place.start, window);
        if hll::raise_in_window(window, index, rank) {
            string.write(place.start, window);
        }
    }
    let (at, mark) = hll::STALE_MARK;
    let mut byte = [0];
    string.read(at, &mut byte);
    if byte[0] & mark == 0 {
        string.write(at, &[byte[0] | mark]);
    }
}
