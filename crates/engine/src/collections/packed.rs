//! Byte strings in one allocation: the small encoding under lists, hashes, sets and sorted sets.
//!
//! ```text
//! [gap][len][bytes][nel] [len][bytes][nel] ...        len: LEB128, nel: the same bytes in reverse order
//! ```
//! A walk from the head reads `len`, a walk from the tail reads `nel` backwards; under 128 bytes each takes one byte, so an
//! entry costs 2 B above its content.
//!
//! A gap at the head makes pushing and popping there as cheap as at the tail; only `push_front` and `remove` make one.
//!
//! Invariants: I1: behind the gap the buffer is a sequence of `count` whole entries. I2: the capacity is at most an eighth
//! above what was needed at the last growth, and at most four times what is needed now.
//!
//! Cost: reaching entry i is O(min(i, n - i)); a change moves the bytes behind it; both ends of a walk are O(1) a step.
//! [`Spot`]s let a caller that holds several entries together (field and value) walk once.
//!
//! It does not look for order, encode integers or limit its size: its owner converts it before it gets long.

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

/// A sequence of byte strings.
#[derive(Clone, Default)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    count: u32,
    /// The bytes of the gap.
    head: u32,
}

/// Where an entry begins, or the end. Any change before it makes it void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot(usize);

/// Below this length a length takes one byte.
const SHORT: usize = 128;
/// A buffer this small is never shrunk.
const KEEP_BYTES: usize = 64;

impl Packed {
    pub(crate) const fn new() -> Self {
        Self { bytes: Vec::new(), count: 0, head: 0 }
    }

    /// One that takes this many bytes of entries without growing.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), count: 0, head: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The size of the allocation; zero when there is none.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The bytes in use, lengths included.
    pub(crate) fn content_bytes(&self) -> usize {
        self.bytes.len() - self.gap()
    }

    /// What an entry with this much content takes.
    pub(crate) fn entry_bytes(content: usize) -> usize {
        content + 2 * length_bytes(content)
    }

    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter { bytes: self.content(), left: self.len() }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        if index >= self.len() {
            return None;
        }
        self.read(self.seek(index)).map(|(entry, _)| entry)
    }

    /// The index of the first entry equal to this.
    pub(crate) fn find(&self, wanted: &[u8]) -> Option<usize> {
        self.iter().position(|entry| entry == wanted)
    }

    /// Where the first entry begins.
    pub(crate) fn first(&self) -> Spot {
        Spot(self.gap())
    }

    /// Where entry `index` begins; the end for `len()` and above.
    pub(crate) fn seek(&self, index: usize) -> Spot {
        if index >= self.len() {
            return Spot(self.bytes.len());
        }
        if index <= self.len() / 2 {
            let mut at = self.gap();
            for _ in 0..index {
                let (len, head) = length_at(&self.bytes[at..]);
                at += len + 2 * head;
            }
            return Spot(at);
        }
        let mut end = self.bytes.len();
        for _ in index..self.len() {
            let (len, tail) = length_before(&self.bytes[..end]);
            end -= len + 2 * tail;
        }
        Spot(end)
    }

    /// The entry here and where the next one begins; `None` at the end.
    #[inline]
    pub(crate) fn read(&self, spot: Spot) -> Option<(&[u8], Spot)> {
        let rest = self.bytes.get(spot.0..)?;
        if rest.is_empty() {
            return None;
        }
        let (len, head) = length_at(rest);
        Some((&rest[head..head + len], Spot(spot.0 + len + 2 * head)))
    }

    /// The spot of the first entry equal to this among entries 0, `step`, 2 * `step`, ..., and its index.
    pub(crate) fn find_every(&self, step: usize, wanted: &[u8]) -> Option<(usize, Spot)> {
        let mut spot = self.first();
        let mut index = 0;
        while spot.0 < self.bytes.len() {
            let (len, head) = length_at(&self.bytes[spot.0..]);
            if len == wanted.len() {
                let entry = &self.bytes[spot.0 + head..spot.0 + head + len];
                // Names of one length mostly differ at their end, which is sooner seen than the whole.
                if entry.last() == wanted.last() && entry == wanted {
                    return Some((index, spot));
                }
            }
            spot = self.skip(Spot(spot.0 + len + 2 * head), step - 1);
            index += step;
        }
        None
    }

    /// The spot `count` entries on, or the end.
    #[inline]
    pub(crate) fn skip(&self, spot: Spot, count: usize) -> Spot {
        let mut at = spot.0;
        for _ in 0..count {
            if at >= self.bytes.len() {
                break;
            }
            let (len, head) = length_at(&self.bytes[at..]);
            at += len + 2 * head;
        }
        Spot(at)
    }

    pub(crate) fn push(&mut self, entry: &[u8]) {
        let (head, used) = encode(entry.len());
        self.use_gap(entry.len() + 2 * used);
        self.make_room(entry.len() + 2 * used);
        self.bytes.extend_from_slice(&head[..used]);
        self.bytes.extend_from_slice(entry);
        self.bytes.extend(head[..used].iter().rev());
        self.count += 1;
    }

    pub(crate) fn push_front(&mut self, entry: &[u8]) {
        let needed = Self::entry_bytes(entry.len());
        if self.gap() < needed && !self.widen(needed) {
            return self.insert_at(self.first(), entry);
        }
        let at = self.gap() - needed;
        self.head = short(at).expect("a place in the gap, whose size fits");
        self.write(at, entry);
        self.count += 1;
    }

    /// Puts an entry before entry `index`; at the end for `len()` and above.
    pub(crate) fn insert(&mut self, index: usize, entry: &[u8]) {
        if index == 0 {
            return self.push_front(entry);
        }
        self.insert_at(self.seek(index), entry);
    }

    /// Puts an entry before the one here.
    pub(crate) fn insert_at(&mut self, spot: Spot, entry: &[u8]) {
        self.open(spot.0, 0, Self::entry_bytes(entry.len()));
        self.write(spot.0, entry);
        self.count += 1;
    }

    /// Puts an entry in the place of entry `index`, which must exist; `false` if it does not.
    pub(crate) fn replace(&mut self, index: usize, entry: &[u8]) -> bool {
        self.replace_at(self.seek(index), entry)
    }

    /// Puts an entry in the place of the one here; `false` at the end.
    pub(crate) fn replace_at(&mut self, spot: Spot, entry: &[u8]) -> bool {
        let Some((_, next)) = self.read(spot) else { return false };
        self.open(spot.0, next.0 - spot.0, Self::entry_bytes(entry.len()));
        self.write(spot.0, entry);
        self.settle();
        true
    }

    /// Removes the entries of a range; what lies beyond the end is not missed.
    pub(crate) fn remove(&mut self, range: Range<usize>) {
        let end = range.end.min(self.len());
        if range.start >= end {
            return;
        }
        let from = self.seek(range.start);
        let to = self.skip(from, end - range.start);
        // A gap that is no larger than what is behind it is closed at the cost of what made it.
        match short(to.0).filter(|_| range.start == 0 && to.0 <= self.bytes.len() - to.0) {
            Some(head) => {
                self.head = head;
                self.count -= short(end).expect("no more than there are");
            }
            None => self.remove_at(from, end - range.start),
        }
    }

    /// Removes up to `count` entries from here on.
    pub(crate) fn remove_at(&mut self, spot: Spot, count: usize) {
        let mut to = spot.0;
        let mut removed = 0;
        while (removed as usize) < count && to < self.bytes.len() {
            let (len, head) = length_at(&self.bytes[to..]);
            to += len + 2 * head;
            removed += 1;
        }
        self.bytes.drain(spot.0..to);
        self.count -= removed;
        self.settle();
    }

    /// Takes away the entries from `index` on.
    pub(crate) fn split_off(&mut self, index: usize) -> Self {
        let index = index.min(self.len());
        let at = self.seek(index).0;
        let kept = short(index).expect("no more than there are");
        let tail = Self { bytes: self.bytes[at..].to_vec(), count: self.count - kept, head: 0 };
        self.bytes.truncate(at);
        self.count = kept;
        self.settle();
        tail
    }

    /// Moves all entries of `other` behind these.
    pub(crate) fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        self.make_room(other.content_bytes());
        self.bytes.extend_from_slice(other.content());
        self.count += other.count;
        other.clear();
    }

    /// Removes everything and frees the buffer.
    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Makes room for an entry, and for some more than that at once: for one that will be followed by others.
    pub(crate) fn make_room_ahead(&mut self, content: usize, ahead: usize) {
        self.use_gap(Self::entry_bytes(content));
        let needed = self.bytes.len() + Self::entry_bytes(content);
        if needed > self.bytes.capacity() {
            self.bytes.reserve_exact(needed + ahead - self.bytes.len());
        }
    }

    /// Gives back what the buffer has to spare.
    pub(crate) fn fit(&mut self) {
        self.close();
        self.bytes.shrink_to_fit();
    }

    fn gap(&self) -> usize {
        self.head as usize
    }

    fn content(&self) -> &[u8] {
        &self.bytes[self.gap()..]
    }

    fn close(&mut self) {
        self.bytes.drain(..self.gap());
        self.head = 0;
    }

    /// Closes the gap rather than grow the buffer for what is pushed, if it is worth the move.
    fn use_gap(&mut self, more: usize) {
        let full = self.bytes.len() + more > self.bytes.capacity();
        if full && self.gap() >= more && self.gap() >= self.content_bytes() / 8 {
            self.close();
        }
    }

    /// Makes the gap so wide, and an eighth of the content wider (I2); `false` if it would be too wide to note.
    fn widen(&mut self, needed: usize) -> bool {
        let (gap, used) = (self.gap(), self.content_bytes());
        let wide = needed + used / 8;
        let Some(head) = short(wide) else { return false };
        let len = wide + used;
        if len > self.bytes.capacity() {
            self.bytes.reserve_exact(len - self.bytes.len());
        }
        self.bytes.resize(len, 0);
        self.bytes.copy_within(gap..gap + used, wide);
        self.head = head;
        true
    }

    /// I2 for growth: exact, or an eighth above.
    fn make_room(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            self.bytes.reserve_exact(needed + needed / 8 - self.bytes.len());
        }
    }

    /// I2 for shrinking.
    fn settle(&mut self) {
        let used = self.content_bytes();
        if used == 0 {
            (self.bytes, self.head) = (Vec::new(), 0);
        } else if self.bytes.capacity() > KEEP_BYTES && used < self.bytes.capacity() / 2 {
            self.close();
            self.bytes.shrink_to(used + used / 8);
        }
    }

    /// Makes the `was` bytes at `at` into `now` bytes, whose content is left over.
    fn open(&mut self, at: usize, was: usize, now: usize) {
        if now == was {
            return;
        }
        let len = self.bytes.len();
        if now > was {
            self.make_room(now - was);
            self.bytes.resize(len + now - was, 0);
        }
        self.bytes.copy_within(at + was..len, at + now);
        self.bytes.truncate(len + now - was);
    }

    fn write(&mut self, at: usize, entry: &[u8]) {
        let (head, used) = encode(entry.len());
        let place = &mut self.bytes[at..at + entry.len() + 2 * used];
        place[..used].copy_from_slice(&head[..used]);
        place[used..used + entry.len()].copy_from_slice(entry);
        for (to, from) in place[used + entry.len()..].iter_mut().zip(head[..used].iter().rev()) {
            *to = *from;
        }
    }

    /// Panics if an invariant is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self) {
        let mut at = self.gap();
        let mut count = 0;
        assert!(at <= self.bytes.len(), "I1: the gap lies in the buffer");
        while at < self.bytes.len() {
            let (len, head) = length_at(&self.bytes[at..]);
            let end = at + len + 2 * head;
            assert!(end <= self.bytes.len(), "I1: an entry is whole");
            assert_eq!(length_before(&self.bytes[..end]), (len, head), "I1: both lengths agree");
            at = end;
            count += 1;
        }
        assert_eq!(count, self.count, "I1: the count is right");
        let cap = self.bytes.capacity();
        assert!(
            cap <= KEEP_BYTES + KEEP_BYTES / 8 || cap <= 4 * self.content_bytes(),
            "I2: {cap} B is too much"
        );
    }
}

impl PartialEq for Packed {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.content() == other.content()
    }
}

impl Eq for Packed {}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(<[u8]>::escape_ascii)).finish()
    }
}

impl<'a> IntoIterator for &'a Packed {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Packed {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        let mut packed = Self::new();
        for entry in entries {
            packed.push(entry.as_ref());
        }
        packed
    }
}

/// A walk over the entries from either end.
#[derive(Debug, Clone)]
pub(crate) struct Iter<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.left == 0 {
            return None;
        }
        let (len, head) = length_at(self.bytes);
        let entry = &self.bytes[head..head + len];
        self.bytes = &self.bytes[len + 2 * head..];
        self.left -= 1;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let (len, tail) = length_before(self.bytes);
        let start = self.bytes.len() - len - 2 * tail;
        let entry = &self.bytes[start + tail..start + tail + len];
        self.bytes = &self.bytes[..start];
        self.left -= 1;
        Some(entry)
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// The most bytes that a length takes.
const LENGTH_MAX: usize = 10;

/// A number as a packed block keeps it.
fn short(number: usize) -> Option<u32> {
    u32::try_from(number).ok()
}

fn length_bytes(len: usize) -> usize {
    if len < SHORT { 1 } else { (usize::BITS - len.leading_zeros()).div_ceil(7) as usize }
}

fn encode(len: usize) -> ([u8; LENGTH_MAX], usize) {
    let mut bytes = [0; LENGTH_MAX];
    let mut rest = len;
    let mut used = 0;
    while rest >= SHORT {
        bytes[used] = rest.to_le_bytes()[0] | 0x80;
        rest >>= 7;
        used += 1;
    }
    bytes[used] = rest.to_le_bytes()[0];
    (bytes, used + 1)
}

/// The length at the head of a whole entry, and the bytes it took.
#[inline]
fn length_at(bytes: &[u8]) -> (usize, usize) {
    let first = usize::from(bytes[0]);
    if first < SHORT { (first, 1) } else { decode(bytes.iter()) }
}

/// The same, from the end of one.
#[inline]
fn length_before(bytes: &[u8]) -> (usize, usize) {
    let last = usize::from(bytes[bytes.len() - 1]);
    if last < SHORT { (last, 1) } else { decode(bytes.iter().rev()) }
}

#[cold]
fn decode<'a>(bytes: impl Iterator<Item = &'a u8>) -> (usize, usize) {
    let mut len = 0;
    let mut used = 0;
    for byte in bytes.take(LENGTH_MAX) {
        len |= usize::from(byte & 0x7f) << (7 * used);
        used += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    (len, used)
}
