//! Walks over whole hashes, pages of them, and fields by chance: over a captured root, so that they block nobody and see one
//! moment.

use std::fmt;
use std::marker::PhantomData;

use super::{Body, Hash};
use crate::collections::Body as _;
use crate::collections::hash::{Entry, Place as Position};
use crate::engine::place::Place;
use crate::engine::scan::ScanOptions;
use crate::error::{OpError, shown};
use crate::random::Random;
use crate::typed::{Element, decode};
use crate::value::Value;

/// A captured hash and where a walk over it stands.
#[derive(Clone)]
struct Walk {
    body: Option<(Body, Position)>,
    now_ms: u64,
    left: usize,
    /// For errors, cut as they show it.
    key: Box<[u8]>,
}

impl Walk {
    fn new(body: Option<(Body, u64)>, key: &[u8]) -> Self {
        let (body, now_ms) = body.map_or((None, 0), |(body, now_ms)| (Some(body), now_ms));
        let left = body.as_ref().map_or(0, |body| body.live_len(now_ms));
        let body = body.map(|body| {
            let start = body.start();
            (body, start)
        });
        Self { body, now_ms, left, key: shown(key) }
    }

    /// The next field that was live when the hash was captured.
    fn step<R>(&mut self, f: impl FnOnce(Entry<'_>) -> R) -> Option<R> {
        let (body, at) = self.body.as_mut()?;
        while let Some(entry) = body.step(at) {
            if entry.is_live(self.now_ms) {
                self.left = self.left.saturating_sub(1);
                return Some(f(entry));
            }
        }
        self.body = None;
        None
    }

    fn decoded<T: Element>(
        &mut self,
        part: impl for<'e> FnOnce(Entry<'e>) -> &'e [u8],
    ) -> Option<Result<T, OpError>> {
        let decoded = self.step(|entry| decode(part(entry)))?;
        Some(decoded.map_err(|error| OpError::codec(&self.key, error)))
    }
}

fn decode_pair<F: Element, V: Element>(entry: Entry<'_>, key: &[u8]) -> Result<(F, V), OpError> {
    let failed = |error| OpError::codec(key, error);
    Ok((decode(entry.field).map_err(failed)?, decode(entry.value).map_err(failed)?))
}

/// A walk over the fields of a hash and their values, as they were when it began; no lock is held.
pub struct HashEntries<F, V> {
    walk: Walk,
    types: PhantomData<fn() -> (F, V)>,
}

impl<F, V> HashEntries<F, V> {
    /// A walk over a capture, as it was at this time.
    pub(in crate::engine) fn of(body: Body, now_ms: u64, key: &[u8]) -> Self {
        Self { walk: Walk::new(Some((body, now_ms)), key), types: PhantomData }
    }
}

/// A walk over the fields of a hash, as they were when it began; no lock is held.
pub struct HashFields<F> {
    walk: Walk,
    types: PhantomData<fn() -> F>,
}

/// A walk over the values of a hash, as they were when it began; no lock is held.
pub struct HashValues<V> {
    walk: Walk,
    types: PhantomData<fn() -> V>,
}

impl<F, V> HashEntries<F, V> {
    /// Lends the stored bytes of the next field and its value, without decoding them; `None` at the end.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set("apples", 3)?;
    /// let mut entries = stock.iter()?;
    /// assert_eq!(entries.next_with(|field, value| field.len() + value.len()), Some(7));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn next_with<R>(&mut self, f: impl FnOnce(&[u8], &[u8]) -> R) -> Option<R> {
        self.walk.step(|entry| f(entry.field, entry.value))
    }
}

impl<F: Element, V: Element> Iterator for HashEntries<F, V> {
    type Item = Result<(F, V), OpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let key = std::mem::take(&mut self.walk.key);
        let next = self.walk.step(|entry| decode_pair(entry, &key));
        self.walk.key = key;
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.walk.left, Some(self.walk.left))
    }
}

impl<F: Element, V: Element> ExactSizeIterator for HashEntries<F, V> {}

macro_rules! walks {
    ($($name:ident of $part:ident),*) => {$(
        impl<T: Element> Iterator for $name<T> {
            type Item = Result<T, OpError>;

            fn next(&mut self) -> Option<Self::Item> {
                self.walk.decoded(|entry| entry.$part)
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.walk.left, Some(self.walk.left))
            }
        }

        impl<T: Element> ExactSizeIterator for $name<T> {}

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("left", &self.walk.left).finish()
            }
        }
    )*};
}

walks!(HashFields of field, HashValues of value);

impl<F, V> fmt::Debug for HashEntries<F, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashEntries").field("left", &self.walk.left).finish()
    }
}

/// Fields by chance, each with the same one, as the hash was when it was captured; endless unless the hash is empty.
pub struct RandomEntries<F, V> {
    body: Option<Body>,
    random: Random,
    key: Box<[u8]>,
    types: PhantomData<fn() -> (F, V)>,
}

impl<F, V> fmt::Debug for RandomEntries<F, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.body.as_ref().map_or(0, Body::len);
        f.debug_struct("RandomEntries").field("of", &of).finish()
    }
}

impl<F: Element, V: Element> Iterator for RandomEntries<F, V> {
    type Item = Result<(F, V), OpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.body.as_ref()?.random(&mut self.random)?;
        Some(decode_pair(entry, &self.key))
    }
}

/// Part of a scan over a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HashPage<F, V> {
    /// Where to go on; 0 when the scan is complete.
    pub cursor: u64,
    /// The fields of this page and their values, in no particular order.
    pub entries: Vec<(F, V)>,
}

impl<F: Element, V: Element, P: Place> Hash<F, V, P> {
    /// Walks over all fields and values, as they are now; later changes do not show.
    ///
    /// **Command** `HGETALL`. **Complexity** O(1) for the capture (O(n) bytes of a small hash), O(1) a step.
    ///
    /// # Errors
    /// [`OpError::WrongType`]; a step gives [`OpError::Codec`] for what cannot be decoded.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set_many([("apples", 3), ("pears", 4)])?;
    /// let total: u32 = stock.iter()?.map(|entry| entry.map(|(_, n)| n)).sum::<Result<_, _>>()?;
    /// assert_eq!(total, 7);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn iter(&self) -> Result<HashEntries<F, V>, OpError> {
        Ok(HashEntries { walk: self.walk()?, types: PhantomData })
    }

    /// Walks over all fields, as they are now.
    ///
    /// **Command** `HKEYS`. **Complexity** as [`iter`](Self::iter).
    ///
    /// # Errors
    /// As [`iter`](Self::iter).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set("apples", 3)?;
    /// assert_eq!(stock.fields()?.collect::<Result<Vec<_>, _>>()?, ["apples"]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn fields(&self) -> Result<HashFields<F>, OpError> {
        Ok(HashFields { walk: self.walk()?, types: PhantomData })
    }

    /// Walks over all values, as they are now.
    ///
    /// **Command** `HVALS`. **Complexity** as [`iter`](Self::iter).
    ///
    /// # Errors
    /// As [`iter`](Self::iter).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set("apples", 3)?;
    /// assert_eq!(stock.values()?.collect::<Result<Vec<_>, _>>()?, [3]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn values(&self) -> Result<HashValues<V>, OpError> {
        Ok(HashValues { walk: self.walk()?, types: PhantomData })
    }

    /// Returns a page of fields with their values and the cursor of the next one; begin with cursor 0 and go on until it is 0
    /// again. A pattern is matched against the stored bytes of the fields.
    ///
    /// **Command** `HSCAN`. **Complexity** O(c) a call, c the count; a small hash comes as one page. Every field that is there
    /// from the first call to the last is returned; one that comes or goes meanwhile may be.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`OpError::InvalidArgument`] for a count of 0.
    ///
    /// # Examples
    /// ```
    /// use larder::ScanOptions;
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set_many([("apples", 3), ("pears", 4)])?;
    /// let page = stock.scan(0, &ScanOptions::new().matching("a*"))?;
    /// assert_eq!((page.cursor, page.entries), (0, vec![("apples".to_owned(), 3)]));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn scan(&self, cursor: u64, options: &ScanOptions) -> Result<HashPage<F, V>, OpError> {
        let count = options.page_len()?;
        let mut page = HashPage { cursor: 0, entries: Vec::new() };
        let Some((body, now)) = self.capture()? else { return Ok(page) };
        let mut failed = None;
        page.cursor = body.scan(cursor, count, |entry| {
            if entry.is_live(now) && options.admits(entry.field) {
                match decode_pair(entry, self.place.key()) {
                    Ok(entry) => page.entries.push(entry),
                    Err(error) => failed = Some(error),
                }
            }
        });
        failed.map_or(Ok(page), Err)
    }

    /// Returns a field by chance with its value, each with the same one; `None` for an empty hash.
    ///
    /// **Command** `HRANDFIELD`. **Complexity** O(1).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set("apples", 3)?;
    /// assert_eq!(stock.random()?, Some(("apples".to_owned(), 3)));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn random(&self) -> Result<Option<(F, V)>, OpError> {
        let mut random = self.place.engine().core.chance();
        let drawn = self.read(|body, now| {
            let entry = if body.is_due(now) { None } else { body.random(&mut random) };
            entry.map(|entry| (Value::copy(entry.field), Value::copy(entry.value)))
        })?;
        match drawn {
            None => Ok(None),
            Some(Some((field, value))) => Ok(Some((self.decoded(&field)?, self.decoded(&value)?))),
            Some(None) => self.random_repeating()?.next().transpose(),
        }
    }

    /// Returns `count` different fields by chance with their values, every choice with the same one; all if there are no more.
    ///
    /// **Command** `HRANDFIELD` with a count above 0. **Complexity** O(k log k), k the count, for few of a large hash; else
    /// O(n).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// stock.set_many([("apples", 3), ("pears", 4)])?;
    /// assert_eq!((stock.random_many(1)?.len(), stock.random_many(9)?.len()), (1, 2));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn random_many(&self, count: usize) -> Result<Vec<(F, V)>, OpError> {
        let Some(body) = self.capture_live()? else { return Ok(Vec::new()) };
        let mut chosen = Vec::new();
        let mut random = self.place.engine().core.chance();
        body.sample(count, &mut random, |entry| chosen.push(decode_pair(entry, self.place.key())));
        chosen.into_iter().collect()
    }

    /// Returns fields by chance, again and again, each draw with the same chance for all of them: take as many as you need.
    ///
    /// **Command** `HRANDFIELD` with a count below 0. **Complexity** O(1) for the capture and for each.
    ///
    /// # Errors
    /// As [`iter`](Self::iter).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let stock = engine.hash::<String, u32>("stock");
    /// assert_eq!(stock.random_repeating()?.take(5).count(), 0);
    /// stock.set("apples", 3)?;
    /// assert_eq!(stock.random_repeating()?.take(5).count(), 5);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn random_repeating(&self) -> Result<RandomEntries<F, V>, OpError> {
        let (body, random) = (self.capture_live()?, self.place.engine().core.chance());
        Ok(RandomEntries { body, random, key: shown(self.place.key()), types: PhantomData })
    }

    fn capture(&self) -> Result<Option<(Body, u64)>, OpError> {
        self.read(|body, now| (body.clone(), now))
    }

    /// A capture out of which the fields past their deadline were taken.
    fn capture_live(&self) -> Result<Option<Body>, OpError> {
        let Some((mut body, now)) = self.capture()? else { return Ok(None) };
        if body.is_due(now) {
            body.expire_due(now, usize::MAX, &self.place.engine().core.rules(), &mut |_| {});
        }
        Ok(Some(body).filter(|body| body.len() > 0))
    }

    fn walk(&self) -> Result<Walk, OpError> {
        Ok(Walk::new(self.capture()?, self.place.key()))
    }
}
