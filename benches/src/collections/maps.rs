//! What a user would otherwise pick: std's and hashbrown's collections of boxed bytes, and the skip list with spans. None of
//! them has a lock, a key to find or an expiry to check.

use super::{Contestant, Kind, Operation, chosen, element, score, timed_fill};
use crate::alloc::held;
use crate::peers::skiplist::SpanSkipList;
use foldhash::fast::FixedState;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::rc::Rc;

type Bytes = Box<[u8]>;

/// The contestants of a type.
pub fn contestants(kind: Kind, len: u64) -> Vec<Contestant> {
    match kind {
        Kind::List => vec![deque(len)],
        Kind::Set => vec![hash_set(len)],
        Kind::Hash => vec![hash_map(len)],
        Kind::SortedSet => vec![skip_list(len), tree_and_map(len)],
        Kind::Stream => vec![tree_of_entries(len)],
    }
}

fn build<T: 'static>(
    name: &str,
    len: u64,
    mut value: T,
    mut fill: impl FnMut(&mut T, u64),
    operations: impl FnOnce(&Rc<RefCell<T>>) -> Vec<(&'static str, Operation)>,
) -> Contestant {
    let before = held().chunk_bytes;
    let fill_ns = timed_fill(len, |i| fill(&mut value, i));
    #[expect(clippy::cast_precision_loss, reason = "a number of bytes")]
    let bytes = (held().chunk_bytes - before) as f64 / len as f64;
    let operations = operations(&Rc::new(RefCell::new(value)));
    Contestant { name: name.into(), fill_ns, bytes, operations, share: 1 }
}

fn each<T: 'static>(value: &Rc<RefCell<T>>, mut one: impl FnMut(&mut T, u64) + 'static) -> Operation {
    let value = Rc::clone(value);
    Box::new(move |first, count| {
        let value = &mut *value.borrow_mut();
        (first..first + u64::from(count)).for_each(|i| one(value, i));
    })
}

fn place(number: u64) -> usize {
    usize::try_from(number).expect("small")
}

fn deque(len: u64) -> Contestant {
    let fill = |deque: &mut VecDeque<Bytes>, i| deque.push_back(Box::from(element(i)));
    build("VecDeque", len, VecDeque::new(), fill, |deque| {
        vec![
            (
                "push + pop",
                each(deque, |deque, i| {
                    deque.push_back(Box::from(element(i)));
                    black_box(deque.pop_front());
                }),
            ),
            ("index", each(deque, move |deque, i| drop(black_box(deque[place(chosen(i, len))].clone())))),
            (
                "range of 100",
                each(deque, move |deque, i| {
                    for one in deque.iter().skip(place(chosen(i, len))).take(100) {
                        black_box(&**one);
                    }
                }),
            ),
        ]
    })
}

fn hash_set(len: u64) -> Contestant {
    type Set = hashbrown::HashSet<Bytes, FixedState>;
    let fill = |set: &mut Set, i| {
        set.insert(Box::from(element(i)));
    };
    build("HashSet", len, Set::default(), fill, |set| {
        vec![
            (
                "contains",
                each(set, move |set, i| {
                    black_box(set.contains(&element(chosen(i, len))[..]));
                }),
            ),
            (
                "add + remove",
                each(set, move |set, i| {
                    set.insert(Box::from(element(len + i)));
                    set.remove(&element(len + i)[..]);
                }),
            ),
        ]
    })
}

fn hash_map(len: u64) -> Contestant {
    type Map = hashbrown::HashMap<Bytes, Bytes, FixedState>;
    let fill = |map: &mut Map, i: u64| drop(map.insert(Box::from(element(i)), Box::from(element(!i))));
    build("HashMap", len, Map::default(), fill, |map| {
        vec![
            ("get", each(map, move |map, i| drop(black_box(map.get(&element(chosen(i, len))[..]).cloned())))),
            (
                "set",
                each(map, move |map, i| {
                    drop(map.insert(Box::from(element(chosen(i, len))), Box::from(element(i))));
                }),
            ),
            (
                "add + remove",
                each(map, move |map, i| {
                    map.insert(Box::from(element(len + i)), Box::from(element(i)));
                    map.remove(&element(len + i)[..]);
                }),
            ),
        ]
    })
}

fn skip_list(len: u64) -> Contestant {
    let fill = |list: &mut SpanSkipList, i| list.insert(&element(i), score(i));
    build("skip list with spans", len, SpanSkipList::new(), fill, |list| {
        vec![
            (
                "score",
                each(list, move |list, i| {
                    black_box(list.score(&element(chosen(i, len))));
                }),
            ),
            (
                "rank",
                each(list, move |list, i| {
                    black_box(list.rank(&element(chosen(i, len))));
                }),
            ),
        ]
    })
}

/// A score as a key of a map: never NaN, so that its order is total.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Score(f64);

impl Eq for Score {}

#[expect(clippy::derive_ord_xor_partial_ord, reason = "both compare the same float")]
impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[derive(Default)]
struct TreeAndMap {
    order: BTreeMap<(Score, Bytes), ()>,
    scores: hashbrown::HashMap<Bytes, Score, FixedState>,
}

impl TreeAndMap {
    fn add(&mut self, member: &[u8], score: f64) {
        if let Some(old) = self.scores.insert(member.into(), Score(score)) {
            self.order.remove(&(old, member.into()));
        }
        self.order.insert((Score(score), member.into()), ());
    }

    fn remove(&mut self, member: &[u8]) {
        if let Some(old) = self.scores.remove(member) {
            self.order.remove(&(old, member.into()));
        }
    }
}

fn tree_and_map(len: u64) -> Contestant {
    let fill = |both: &mut TreeAndMap, i| both.add(&element(i), score(i));
    build("BTreeMap + HashMap (no rank)", len, TreeAndMap::default(), fill, |both| {
        vec![
            (
                "score",
                each(both, move |both, i| {
                    black_box(both.scores.get(&element(chosen(i, len))[..]).map(|score| score.0));
                }),
            ),
            ("move", each(both, move |both, i| both.add(&element(chosen(i, len)), score(i)))),
            (
                "add + remove",
                each(both, move |both, i| {
                    both.add(&element(len + i), score(i));
                    both.remove(&element(len + i));
                }),
            ),
        ]
    })
}

fn tree_of_entries(len: u64) -> Contestant {
    type Entries = BTreeMap<u64, Vec<(Bytes, Bytes)>>;
    let one = |i: u64| vec![(Box::from(*b"f"), Box::from(element(i)))];
    build(
        "BTreeMap",
        len,
        Entries::new(),
        move |entries, i| drop(entries.insert(i, one(i))),
        |entries| {
            let add = move |entries: &mut Entries, i: u64| drop(entries.insert(len + i, one(i)));
            vec![("add", each(entries, add))]
        },
    )
}
