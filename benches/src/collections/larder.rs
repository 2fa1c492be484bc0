//! larder's own collections, through the typed handles with `Bytes` elements.

use super::{Contestant, Kind, Operation, chosen, element, score, timed_fill};
use crate::alloc::held;
use bytes::Bytes;
use larder::{Engine, RankRange};
use std::hint::black_box;

/// Fills a collection and tells what can be asked of it.
pub fn contestant(kind: Kind, len: u64) -> Contestant {
    let engine = Engine::builder().seed(1).build().expect("the settings are valid");
    let before = held().chunk_bytes;
    let fill_ns = fill(&engine, "k", kind, len);
    #[expect(clippy::cast_precision_loss, reason = "a number of bytes")]
    let bytes = (held().chunk_bytes - before) as f64 / len as f64;
    Contestant { name: "larder".into(), fill_ns, bytes, operations: operations(&engine, kind, len), share: 1 }
}

/// Fills the collection under a key.
pub fn fill(engine: &Engine, key: &str, kind: Kind, len: u64) -> f64 {
    let refused = "there is no limit";
    match kind {
        Kind::List => {
            let list = engine.list::<Bytes>(key);
            timed_fill(len, |i| {
                list.push_back(&element(i)).expect(refused);
            })
        }
        Kind::Set => {
            let set = engine.set_of::<Bytes>(key);
            timed_fill(len, |i| {
                set.add(&element(i)).expect(refused);
            })
        }
        Kind::Hash => {
            let hash = engine.hash::<Bytes, Bytes>(key);
            timed_fill(len, |i| {
                hash.set(&element(i), &element(!i)).expect(refused);
            })
        }
        Kind::SortedSet => {
            let sorted = engine.sorted_set::<Bytes>(key);
            timed_fill(len, |i| {
                sorted.add(&element(i), score(i)).expect(refused);
            })
        }
        Kind::Stream => {
            let stream = engine.stream(key);
            timed_fill(len, |i| {
                stream.add([(&b"f"[..], &element(i)[..])]).expect(refused);
            })
        }
    }
}

fn each(mut one: impl FnMut(u64) + 'static) -> Operation {
    Box::new(move |first, count| (first..first + u64::from(count)).for_each(&mut one))
}

fn operations(engine: &Engine, kind: Kind, len: u64) -> Vec<(&'static str, Operation)> {
    let fine = "the collection is there";
    let signed = |number: u64| i64::try_from(number).expect("small");
    match kind {
        Kind::List => {
            let list = || engine.list::<Bytes>("k").into_owned();
            let (turn, index, range) = (list(), list(), list());
            vec![
                (
                    "push + pop",
                    each(move |i| {
                        turn.push_back(&element(i)).expect(fine);
                        black_box(turn.pop_front().expect(fine));
                    }),
                ),
                ("index", each(move |i| drop(black_box(index.get(signed(chosen(i, len))).expect(fine))))),
                (
                    "range of 100",
                    each(move |i| {
                        let start = signed(chosen(i, len));
                        range.iter_range(start, start + 99).expect(fine).for_each_bytes(|one| {
                            black_box(one);
                        });
                    }),
                ),
            ]
        }
        Kind::Set => {
            let set = || engine.set_of::<Bytes>("k").into_owned();
            let (contains, turn, random) = (set(), set(), set());
            vec![
                (
                    "contains",
                    each(move |i| {
                        black_box(contains.contains(&element(chosen(i, len))).expect(fine));
                    }),
                ),
                (
                    "add + remove",
                    each(move |i| {
                        turn.add(&element(len + i)).expect(fine);
                        turn.remove(&element(len + i)).expect(fine);
                    }),
                ),
                ("random", each(move |_| drop(black_box(random.random().expect(fine))))),
            ]
        }
        Kind::Hash => {
            let hash = || engine.hash::<Bytes, Bytes>("k").into_owned();
            let (get, set, turn) = (hash(), hash(), hash());
            vec![
                ("get", each(move |i| drop(black_box(get.get(&element(chosen(i, len))).expect(fine))))),
                (
                    "set",
                    each(move |i| {
                        set.set(&element(chosen(i, len)), &element(i)).expect(fine);
                    }),
                ),
                (
                    "add + remove",
                    each(move |i| {
                        turn.set(&element(len + i), &element(i)).expect(fine);
                        turn.remove(&element(len + i)).expect(fine);
                    }),
                ),
            ]
        }
        Kind::SortedSet => {
            let sorted = || engine.sorted_set::<Bytes>("k").into_owned();
            let (by_member, rank, moved, turn, range) = (sorted(), sorted(), sorted(), sorted(), sorted());
            vec![
                (
                    "score",
                    each(move |i| {
                        black_box(by_member.score(&element(chosen(i, len))).expect(fine));
                    }),
                ),
                (
                    "rank",
                    each(move |i| {
                        black_box(rank.rank(&element(chosen(i, len))).expect(fine));
                    }),
                ),
                (
                    "move",
                    each(move |i| {
                        black_box(moved.add(&element(chosen(i, len)), score(i)).expect(fine));
                    }),
                ),
                (
                    "add + remove",
                    each(move |i| {
                        turn.add(&element(len + i), score(i)).expect(fine);
                        turn.remove(&element(len + i)).expect(fine);
                    }),
                ),
                (
                    "range of 100",
                    each(move |i| {
                        let start = signed(chosen(i, len));
                        let range = range.iter_range(RankRange::from(start..=start + 99)).expect(fine);
                        range.for_each_bytes(|member, score| {
                            black_box((member, score));
                        });
                    }),
                ),
            ]
        }
        Kind::Stream => stream_operations(engine),
    }
}

fn stream_operations(engine: &Engine) -> Vec<(&'static str, Operation)> {
    let fine = "the collection is there";
    let (add, len) = (engine.stream("k").into_owned(), engine.stream("k").into_owned());
    vec![
        (
            "add",
            each(move |i| {
                add.add([(&b"f"[..], &element(i)[..])]).expect(fine);
            }),
        ),
        (
            "length",
            each(move |_| {
                black_box(len.len().expect(fine));
            }),
        ),
    ]
}
