//! Bitmaps: strings seen as bits. SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP, BITFIELD.
//!
//! A bitmap is a string under its key: GET shows its bytes, the first bit the highest of the first byte. Reading counts and
//! searches walk a captured root outside of the lock when the string is large; what was never written is skipped, and costs no
//! memory.

use std::cell::Cell;

use super::Engine;
use super::edit::{Fresh, Plan, StringRef};
use super::place::{At, Key, Owned, Place};
use crate::collections::bits::field::{BitInteger, BitOverflow, FieldAction, FieldStep, WINDOW_BYTES};
use crate::collections::bits::{self, BitRange, combine::BitOperation};
use crate::collections::sparse::BLOCK_BYTES;
use crate::error::{LENGTH_BYTES_MAX, OpError};
use crate::feed::event;

/// A handle of the bitmap under a key. Making it looks nothing up.
///
/// # Examples
/// ```
/// let engine = larder::Engine::new();
/// let days = engine.bitmap("logged in:ann");
/// for day in [0, 2, 5] {
///     days.set(day, true)?;
/// }
/// assert_eq!(days.count()?, 3);
/// # Ok::<(), larder::OpError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bitmap<P = Owned> {
    place: P,
}

impl Engine {
    /// Returns a handle of the bitmap under a key.
    ///
    /// **Complexity** O(1), no look-up.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert!(!engine.bitmap("visits").set(7, true)?);
    /// assert_eq!(engine.get("visits")?.unwrap(), b"\x01");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn bitmap<'a>(&'a self, key: impl Into<Key<'a>>) -> Bitmap<At<'a>> {
        Bitmap { place: At::new(self, key) }
    }
}

impl Bitmap<At<'_>> {
    /// Returns a handle that owns its key and keeps the engine.
    #[must_use]
    pub fn into_owned(self) -> Bitmap<Owned> {
        Bitmap { place: self.place.into_owned() }
    }
}

/// The byte of a bit, if a string can have it.
fn byte_of(offset: u64) -> Result<usize, OpError> {
    let byte = usize::try_from(offset / 8).ok().filter(|&byte| byte < LENGTH_BYTES_MAX);
    byte.ok_or(OpError::OutOfRange { offset: i64::try_from(offset).unwrap_or(i64::MAX) })
}

impl<P: Place> Bitmap<P> {
    fn engine(&self) -> &Engine {
        self.place.engine()
    }

    fn view<R>(&self, quick: bool, f: impl FnOnce(StringRef<'_>) -> R) -> Result<Option<R>, OpError> {
        self.engine().view_string(self.place.key(), quick, f)
    }

    /// Sets or clears a bit, and returns what it was. The string grows to hold it; what lies between is clear.
    ///
    /// **Command** `SETBIT`. **Complexity** O(1) above 4 KiB (O(n) below, n the bytes of the string), plus one copy of at most
    /// 64 KiB if a reader holds the part that changes. A bit far behind the end costs about 10 KiB, not the bytes between.
    ///
    /// # Errors
    /// [`OpError::OutOfRange`] from bit 2^32 on, [`OpError::WrongType`], [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// assert!(!engine.bitmap("k").set(4_294_967_295, true)?);
    /// assert!(engine.entry_bytes("k")?.unwrap() < 20_000);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set(&self, offset: u64, bit: bool) -> Result<bool, OpError> {
        let byte = byte_of(offset)?;
        let mask = 0x80_u8 >> (offset % 8);
        let event = Cell::new(event::SETBIT);
        let look = |string: Option<StringRef<'_>>| {
            let (mut room, mut len) = (0, 0);
            event.set(event::SETBIT);
            if let Some(string) = string {
                (room, len) = (string.room(byte, 1), string.len());
                let mut old = [0];
                string.read(byte, &mut old);
                if byte < len && (old[0] & mask != 0) == bit {
                    // Small strings are written back even so: Redis makes raw bytes of an integer on the way, and tells nobody.
                    if matches!(string, StringRef::Rope(_)) {
                        return Ok(Plan::Done(bit));
                    }
                    event.set(event::UNCHANGED);
                }
            }
            Ok(Plan::Write { len: len.max(byte + 1), bytes: 1, room })
        };
        self.engine().edit_string(self.place.key(), (Fresh::Grown, &event), look, |string| {
            let mut here = [0];
            string.read(byte, &mut here);
            let was = here[0] & mask != 0;
            let new = if bit { here[0] | mask } else { here[0] & !mask };
            string.write(byte, &[new]);
            Ok(was)
        })
    }

    /// Returns a bit; those behind the end are clear.
    ///
    /// **Command** `GETBIT`. **Complexity** O(1).
    ///
    /// # Errors
    /// [`OpError::OutOfRange`] from bit 2^32 on, [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "a")?; // 0110_0001
    /// assert!(engine.bitmap("k").get(1)? && !engine.bitmap("k").get(100)?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn get(&self, offset: u64) -> Result<bool, OpError> {
        let byte = byte_of(offset)?;
        let bit = self.view(true, |string| {
            let mut here = [0];
            string.read(byte, &mut here);
            here[0] & (0x80 >> (offset % 8)) != 0
        })?;
        Ok(bit.unwrap_or(false))
    }

    /// Returns how many bits are set.
    ///
    /// **Command** `BITCOUNT`. **Complexity** O(n), n the bytes that were written. Above 4 KiB it blocks nobody.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", "foobar")?;
    /// assert_eq!(engine.bitmap("k").count()?, 26);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn count(&self) -> Result<u64, OpError> {
        self.count_in(BitRange::ALL)
    }

    /// Returns how many bits of a range are set.
    ///
    /// **Command** `BITCOUNT` with a range. **Complexity** O(n), n the bytes of the range that were written.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::BitRange;
    /// let engine = larder::Engine::new();
    /// engine.set("k", "foobar")?;
    /// assert_eq!(engine.bitmap("k").count_in(BitRange::bytes(0, 0))?, 4);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn count_in(&self, range: BitRange) -> Result<u64, OpError> {
        let count = self.view(false, |string| {
            let Some(bits) = range.resolve_to_count(string.len()) else { return 0 };
            bits::count(string.pieces(BitRange::bytes_of(&bits)), bits)
        })?;
        Ok(count.unwrap_or(0))
    }

    /// Returns the first bit that is set, or the first that is clear. An absent key is clear everywhere.
    ///
    /// **Command** `BITPOS`. **Complexity** O(n), n the bytes before it that were written.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set("k", b"\xff\xf0\x00")?;
    /// assert_eq!(engine.bitmap("k").position(false)?, Some(12));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn position(&self, bit: bool) -> Result<Option<u64>, OpError> {
        self.position_in(bit, BitRange::ALL)
    }

    /// Returns the first bit of a range that is set, or that is clear. Where the range has no end, the bits behind the string
    /// count as clear.
    ///
    /// **Command** `BITPOS` with a range. **Complexity** O(n), n the bytes of the range before it that were written.
    ///
    /// # Errors
    /// [`OpError::WrongType`].
    ///
    /// # Examples
    /// ```
    /// use larder::BitRange;
    /// let engine = larder::Engine::new();
    /// engine.set("k", b"\x00\xff\xf0")?;
    /// assert_eq!(engine.bitmap("k").position_in(true, BitRange::bytes_from(2))?, Some(16));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn position_in(&self, bit: bool, range: BitRange) -> Result<Option<u64>, OpError> {
        let found = self
            .view(false, |string| bits::position(string.len(), bit, range, |bytes| string.pieces(bytes)))?;
        Ok(found.unwrap_or(if bit { None } else { Some(0) }))
    }

    /// Stores here what a bit operation makes of other bitmaps, and returns its length in bytes, that of the longest source.
    /// If all are empty, the key goes. An expiry that the key had is gone.
    ///
    /// **Command** `BITOP`. **Complexity** O(n), n the bytes of all sources that were written, computed outside of any lock. What
    /// no source has is not written either (except by `Not`).
    ///
    /// # Errors
    /// [`OpError::InvalidArgument`] for too many or too few sources, [`OpError::WrongType`], [`OpError::OutOfMemory`].
    ///
    /// # Examples
    /// ```
    /// use larder::BitOperation;
    /// let engine = larder::Engine::new();
    /// engine.set_many(&[("a", "foobar"), ("b", "abcdef")])?;
    /// assert_eq!(engine.bitmap("both").combine(BitOperation::And, &["a", "b"])?, 6);
    /// assert_eq!(engine.get("both")?.unwrap(), "`bc`ab");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn combine<K: AsRef<[u8]>>(&self, operation: BitOperation, sources: &[K]) -> Result<u64, OpError> {
        self.engine().combine_bits(operation, self.place.key(), sources)
    }

    /// Begins a list of reads and changes of integers inside the bitmap, which run together.
    ///
    /// **Command** `BITFIELD`, `BITFIELD_RO`.
    ///
    /// # Examples
    /// ```
    /// use larder::BitInteger;
    /// let engine = larder::Engine::new();
    /// let done = engine.bitmap("k").fields().set(BitInteger::U8, 8, 200).increment(BitInteger::U8, 8, 100).run()?;
    /// assert_eq!(done, [Some(0), Some(44)]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    #[must_use = "nothing is done before `run`"]
    pub fn fields(&self) -> BitFields<'_, P> {
        BitFields { bitmap: self, steps: Vec::new(), overflow: BitOverflow::Wrap }
    }
}

/// Reads and changes of integers inside a bitmap, made by [`Bitmap::fields`].
#[derive(Debug)]
#[must_use = "nothing is done before `run`"]
pub struct BitFields<'a, P> {
    bitmap: &'a Bitmap<P>,
    steps: Vec<FieldStep>,
    overflow: BitOverflow,
}

impl<P: Place> BitFields<'_, P> {
    /// Says what becomes of numbers that do not fit, for the changes that follow.
    pub fn overflow(mut self, overflow: BitOverflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Reads the integer at a bit offset.
    pub fn get(self, kind: BitInteger, offset: u64) -> Self {
        self.step(kind, offset, FieldAction::Get)
    }

    /// Writes an integer at a bit offset; the reply is what was there.
    pub fn set(self, kind: BitInteger, offset: u64, value: i64) -> Self {
        let overflow = self.overflow;
        self.step(kind, offset, FieldAction::Set(value, overflow))
    }

    /// Adds to the integer at a bit offset; the reply is what is there then.
    pub fn increment(self, kind: BitInteger, offset: u64, by: i64) -> Self {
        let overflow = self.overflow;
        self.step(kind, offset, FieldAction::Increment(by, overflow))
    }

    fn step(mut self, kind: BitInteger, offset: u64, action: FieldAction) -> Self {
        self.steps.push(FieldStep { kind, offset, action });
        self
    }

    /// Runs the steps in order, nothing in between, and returns what each of them found: `None` where a number was refused.
    /// The string grows to hold every field that is to be written, even if the number is then refused.
    ///
    /// **Complexity** O(k), k the steps, above 4 KiB; O(k + n) below, n the bytes of the string.
    ///
    /// # Errors
    /// [`OpError::OutOfRange`] from bit 2^32 on, [`OpError::WrongType`], [`OpError::OutOfMemory`].
    pub fn run(self) -> Result<Vec<Option<i64>>, OpError> {
        for step in &self.steps {
            byte_of(step.offset)?;
        }
        let steps = &self.steps;
        let Some(needed) = steps.iter().filter_map(FieldStep::needs_bytes).max() else {
            let read = |string: StringRef<'_>| {
                steps.iter().map(|step| Some(load(step, |at, out| string.read(at, out)))).collect()
            };
            let values = self.bitmap.view(true, read)?;
            return Ok(values.unwrap_or_else(|| vec![Some(0); steps.len()]));
        };
        let look = |string: Option<StringRef<'_>>| {
            let len = string.map_or(0, StringRef::len);
            let room = string.map_or(0, |string| room(string, steps));
            Ok(Plan::Write { len: len.max(needed), bytes: steps.len() * WINDOW_BYTES, room })
        };
        self.bitmap.engine().edit_string(
            self.bitmap.place.key(),
            (Fresh::Grown, &Cell::new(event::SETBIT)),
            look,
            |string| {
                string.grow(needed);
                let mut replies = Vec::with_capacity(steps.len());
                for step in steps {
                    let old = load(step, |at, out| string.read(at, out));
                    let (reply, new) = step.run(old);
                    replies.push(reply);
                    if let Some(new) = new {
                        let place = step.kind.window(step.offset);
                        let mut window = [0; WINDOW_BYTES];
                        string.read(place.start, &mut window);
                        step.kind.store(&mut window, step.offset, new);
                        string.write(place.start, &window[..place.len()]);
                    }
                }
                Ok(replies)
            },
        )
    }
}

fn load(step: &FieldStep, read: impl FnOnce(usize, &mut [u8])) -> i64 {
    let mut window = [0; WINDOW_BYTES];
    let place = step.kind.window(step.offset);
    read(place.start, &mut window[..place.len()]);
    step.kind.load(window, step.offset)
}

/// The most that the steps' writes may ask of the allocator: once for every block that they touch.
fn room(string: StringRef<'_>, steps: &[FieldStep]) -> usize {
    let writes = steps.iter().filter(|step| step.needs_bytes().is_some());
    let mut places: Vec<_> = writes.map(|step| step.kind.window(step.offset)).collect();
    places.sort_unstable_by_key(|place| place.start);
    let mut last = None;
    let mut room = 0_usize;
    for place in places {
        let block = (place.start / BLOCK_BYTES, place.end / BLOCK_BYTES);
        if last.replace(block) != Some(block) {
            room = room.saturating_add(string.room(place.start, place.len()));
        }
    }
    room
}
