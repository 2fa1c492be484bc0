//! Calls of several keys at once: one model holds them all, and nothing is checked key by key.

use std::collections::{BTreeSet, VecDeque};

use larder::{End, Engine};
use larder_testkit::linear::{Call, Dice, History, Model, STEPS, Sequential, Slot, check};

use crate::single::{all, draw_end, length, put, take};
use crate::{Ret, count, element, flag, ret, text};

pub(crate) const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Records histories and checks them whole, after `split` has put calls that promise no single moment into parts.
pub(crate) fn campaign<M: Model<Ret = Ret> + Send + Sync + 'static>(
    test: &'static str,
    model: M,
    draw: impl Fn(&mut Dice, Slot) -> M::Op + Send + Sync + 'static,
    run: impl Fn(&Engine, &M::Op) -> Ret + Send + Sync + 'static,
    split: impl Fn(Call<M::Op, Ret>) -> Vec<Call<M::Op, Ret>> + Send + Sync + 'static,
) -> String
where
    M::Op: Send,
{
    crate::campaign(test, model, draw, run, move |model, history| check(model, &history.split(&split), STEPS))
}

#[derive(Debug, Clone)]
enum Moving {
    Push(usize, End, u32),
    Pop(usize, End),
    Move {
        from: usize,
        to: usize,
        out: End,
        into: End,
    },
    /// LMPOP of the first that is not empty.
    PopFirst([usize; 2], End),
    Rename(usize, usize),
    Len(usize),
    All(usize),
}

/// Three lists.
struct Lists;

impl Sequential for Lists {
    type State = [VecDeque<u32>; 3];
    type Op = Moving;
    type Ret = Ret;

    fn initial(&self) -> Self::State {
        Self::State::default()
    }

    fn apply(&self, lists: &mut Self::State, op: &Moving) -> Ret {
        let one = |element: Option<u32>| Ret::Elements(element.into_iter().collect());
        match *op {
            Moving::Push(at, end, element) => {
                put(&mut lists[at], end, element);
                length(lists[at].len())
            }
            Moving::Pop(at, end) => one(take(&mut lists[at], end)),
            Moving::Move { from, to, out, into } => {
                let moved = take(&mut lists[from], out);
                if let Some(element) = moved {
                    put(&mut lists[to], into, element);
                }
                one(moved)
            }
            Moving::PopFirst(order, end) => {
                let first = order.into_iter().find(|&at| !lists[at].is_empty());
                let popped = first.and_then(|at| Some((at, take(&mut lists[at], end)?)));
                Ret::Pairs(
                    popped
                        .map(|(at, element)| (element, i64::try_from(at).unwrap_or(-1)))
                        .into_iter()
                        .collect(),
                )
            }
            Moving::Rename(from, to) => {
                if lists[from].is_empty() {
                    return Ret::Refused("NoSuchKey".to_owned());
                }
                if from != to {
                    lists[to] = std::mem::take(&mut lists[from]);
                }
                Ret::Done
            }
            Moving::Len(at) => length(lists[at].len()),
            Moving::All(at) => Ret::Elements(lists[at].iter().copied().collect()),
        }
    }
}

fn run_moving(engine: &Engine, op: &Moving) -> Ret {
    let list = |at: usize| engine.list::<u32>(NAMES[at]);
    match *op {
        Moving::Push(at, End::Head, element) => count(list(at).push_front(element)),
        Moving::Push(at, End::Tail, element) => count(list(at).push_back(element)),
        Moving::Pop(at, End::Head) => element(list(at).pop_front()),
        Moving::Pop(at, End::Tail) => element(list(at).pop_back()),
        Moving::Move { from, to, out, into } => element(list(from).move_to(NAMES[to], out, into)),
        Moving::PopFirst(order, end) => {
            let popped = engine.pop_from_lists::<u32, _>(&order.map(|at| NAMES[at]), end, 1);
            ret(popped, |popped| {
                let pair =
                    |(at, elements): (usize, Vec<u32>)| (elements[0], i64::try_from(order[at]).unwrap_or(-1));
                Ret::Pairs(popped.map(pair).into_iter().collect())
            })
        }
        Moving::Rename(from, to) => ret(engine.rename(NAMES[from], NAMES[to]), |()| Ret::Done),
        Moving::Len(at) => count(list(at).len()),
        Moving::All(at) => ret(list(at).range(0, -1), Ret::Elements),
    }
}

fn draw_moving(dice: &mut Dice, slot: Slot) -> Moving {
    let [from, to] = [dice.below(3) as usize, dice.below(3) as usize];
    let end = draw_end(dice);
    match dice.below(14) {
        0..=3 => Moving::Push(from, end, slot.unique()),
        4 => Moving::Pop(from, end),
        5..=8 => Moving::Move { from, to, out: end, into: draw_end(dice) },
        9 | 10 => Moving::PopFirst([from, to], end),
        11 => Moving::Rename(from, to),
        12 => Moving::Len(from),
        _ => Moving::All(from),
    }
}

#[test]
fn moves_between_lists_are_linearizable() {
    println!("{}", campaign("moves_between_lists", Lists, draw_moving, run_moving, |call| vec![call]));
}

#[derive(Debug, Clone)]
enum Algebra {
    Add(usize, u32),
    Remove(usize, u32),
    Move(usize, usize, u32),
    Union(usize, usize),
    Intersection(usize, usize),
    Difference(usize, usize),
    Store(Store, usize, [usize; 2]),
    All(usize),
}

#[derive(Debug, Clone, Copy)]
enum Store {
    Union,
    Intersection,
    Difference,
    Copy,
}

/// Three sets.
struct Sets;

impl Sequential for Sets {
    type State = [BTreeSet<u32>; 3];
    type Op = Algebra;
    type Ret = Ret;

    fn initial(&self) -> Self::State {
        Self::State::default()
    }

    fn apply(&self, sets: &mut Self::State, op: &Algebra) -> Ret {
        let sorted = |set: BTreeSet<u32>| Ret::Elements(set.into_iter().collect());
        match *op {
            Algebra::Add(at, member) => Ret::Flag(sets[at].insert(member)),
            Algebra::Remove(at, member) => Ret::Flag(sets[at].remove(&member)),
            Algebra::Move(from, to, member) => {
                let there = sets[from].remove(&member);
                if there {
                    sets[to].insert(member);
                }
                Ret::Flag(there)
            }
            Algebra::Union(a, b) => sorted(&sets[a] | &sets[b]),
            Algebra::Intersection(a, b) => sorted(&sets[a] & &sets[b]),
            Algebra::Difference(a, b) => sorted(&sets[a] - &sets[b]),
            Algebra::Store(Store::Copy, to, [from, _]) => {
                let copied = from != to && !sets[from].is_empty();
                if from == to {
                    return Ret::Refused("SameObject".to_owned());
                }
                if copied {
                    sets[to] = sets[from].clone();
                }
                Ret::Flag(copied)
            }
            Algebra::Store(store, to, [a, b]) => {
                sets[to] = match store {
                    Store::Union | Store::Copy => &sets[a] | &sets[b],
                    Store::Intersection => &sets[a] & &sets[b],
                    Store::Difference => &sets[a] - &sets[b],
                };
                length(sets[to].len())
            }
            Algebra::All(at) => sorted(sets[at].clone()),
        }
    }
}

fn run_algebra(engine: &Engine, op: &Algebra) -> Ret {
    let set = |at: usize| engine.set_of::<u32>(NAMES[at]);
    match *op {
        Algebra::Add(at, member) => flag(set(at).add(member)),
        Algebra::Remove(at, member) => flag(set(at).remove(member)),
        Algebra::Move(from, to, member) => flag(set(from).move_to(NAMES[to], member)),
        Algebra::Union(a, b) => all(set(a).union([NAMES[b]]).and_then(Iterator::collect)),
        Algebra::Intersection(a, b) => all(set(a).intersection([NAMES[b]]).and_then(Iterator::collect)),
        Algebra::Difference(a, b) => all(set(a).difference([NAMES[b]]).and_then(Iterator::collect)),
        Algebra::Store(Store::Copy, to, [from, _]) => flag(engine.copy(NAMES[from], engine, NAMES[to], true)),
        Algebra::Store(store, to, [a, b]) => {
            let (to, sources) = (set(to), [NAMES[a], NAMES[b]]);
            count(match store {
                Store::Union | Store::Copy => to.store_union(sources),
                Store::Intersection => to.store_intersection(sources),
                Store::Difference => to.store_difference(sources),
            })
        }
        Algebra::All(at) => all(set(at).iter().and_then(Iterator::collect)),
    }
}

#[test]
fn moves_and_algebra_of_sets_are_linearizable() {
    let draw = |dice: &mut Dice, _| {
        let [a, b, c] = [(); 3].map(|()| dice.below(3) as usize);
        let member = dice.below(4);
        match dice.below(16) {
            0..=4 => Algebra::Add(a, member),
            5 => Algebra::Remove(a, member),
            6..=8 => Algebra::Move(a, b, member),
            9 => Algebra::Union(a, b),
            10 => Algebra::Intersection(a, b),
            11 => Algebra::Difference(a, b),
            12..=14 => {
                let store = dice.pick(&[Store::Union, Store::Intersection, Store::Difference, Store::Copy]);
                Algebra::Store(store, a, [b, c])
            }
            _ => Algebra::All(a),
        }
    };
    println!("{}", campaign("moves_and_algebra", Sets, draw, run_algebra, |call| vec![call]));
}

#[derive(Debug, Clone)]
pub(crate) enum Batch {
    Get(usize),
    /// MGET: reads, each at a moment of its own; split before the check.
    GetAll,
    Set(usize, u32),
    Incr(usize),
    /// MSET of these keys, all with this value.
    SetMany([usize; 2], u32),
    SetAllIfAbsent(u32),
    Rename(usize, usize),
    RenameIfAbsent(usize, usize),
    Remove(usize),
}

/// Four strings.
pub(crate) struct Strings;

impl Sequential for Strings {
    type State = [Option<i64>; 4];
    type Op = Batch;
    type Ret = Ret;

    fn initial(&self) -> Self::State {
        [None; 4]
    }

    fn apply(&self, values: &mut Self::State, op: &Batch) -> Ret {
        let shown = |value: Option<i64>| value.map(|value| value.to_string());
        match *op {
            Batch::Get(at) => Ret::Text(shown(values[at])),
            Batch::GetAll => Ret::Texts(values.map(shown).into()),
            Batch::Set(at, value) => {
                values[at] = Some(i64::from(value));
                Ret::Done
            }
            Batch::Incr(at) => {
                let value = values[at].unwrap_or(0) + 1;
                values[at] = Some(value);
                Ret::Number(value)
            }
            Batch::SetMany(keys, value) => {
                keys.into_iter().for_each(|at| values[at] = Some(i64::from(value)));
                Ret::Done
            }
            Batch::SetAllIfAbsent(value) => {
                let absent = values.iter().all(Option::is_none);
                if absent {
                    values.fill(Some(i64::from(value)));
                }
                Ret::Flag(absent)
            }
            Batch::Rename(from, to) => match values[from].take() {
                None => Ret::Refused("NoSuchKey".to_owned()),
                value => {
                    values[to] = value;
                    Ret::Done
                }
            },
            Batch::RenameIfAbsent(from, _) if values[from].is_none() => Ret::Refused("NoSuchKey".to_owned()),
            Batch::RenameIfAbsent(from, to) => {
                let free = values[to].is_none();
                if free {
                    values[to] = values[from].take();
                }
                Ret::Flag(free)
            }
            Batch::Remove(at) => Ret::Flag(values[at].take().is_some()),
        }
    }
}

pub(crate) fn run_batch(engine: &Engine, op: &Batch) -> Ret {
    match *op {
        Batch::Get(at) => text(engine.get(NAMES[at])),
        Batch::GetAll => ret(engine.get_many(&NAMES), |values| {
            let shown = |value: larder::Value| String::from_utf8_lossy(&value).into_owned();
            Ret::Texts(values.into_iter().map(|value| value.map(shown)).collect())
        }),
        Batch::Set(at, value) => ret(engine.set(NAMES[at], value.to_string()), |()| Ret::Done),
        Batch::Incr(at) => ret(engine.incr(NAMES[at]), Ret::Number),
        Batch::SetMany(keys, value) => {
            let pairs = keys.map(|at| (NAMES[at], value.to_string()));
            ret(engine.set_many(&pairs), |()| Ret::Done)
        }
        Batch::SetAllIfAbsent(value) => {
            flag(engine.set_many_if_absent(&NAMES.map(|name| (name, value.to_string()))))
        }
        Batch::Rename(from, to) => ret(engine.rename(NAMES[from], NAMES[to]), |()| Ret::Done),
        Batch::RenameIfAbsent(from, to) => flag(engine.rename_if_absent(NAMES[from], NAMES[to])),
        Batch::Remove(at) => flag(engine.remove(NAMES[at])),
    }
}

/// Makes reads of an MGET, each within the interval of the whole.
fn reads_of(call: Call<Batch, Ret>) -> Vec<Call<Batch, Ret>> {
    let Some((end, Ret::Texts(values))) = call.outcome else { return vec![call] };
    let (thread, invoked) = (call.thread, call.invoked);
    let read =
        |(at, value)| Call { thread, op: Batch::Get(at), invoked, outcome: Some((end, Ret::Text(value))) };
    values.into_iter().enumerate().map(read).collect()
}

fn draw_batch(dice: &mut Dice, slot: Slot) -> Batch {
    let [a, b] = [(); 2].map(|()| dice.below(4) as usize);
    match dice.below(15) {
        0 | 1 => Batch::Get(a),
        2 | 3 => Batch::GetAll,
        4 => Batch::Set(a, slot.unique()),
        5 => Batch::Incr(a),
        6..=8 => Batch::SetMany([a, b], slot.unique()),
        9 => Batch::SetAllIfAbsent(slot.unique()),
        10 | 11 => Batch::Rename(a, b),
        12 => Batch::RenameIfAbsent(a, b),
        _ => Batch::Remove(a),
    }
}

#[test]
fn batches_and_renames_are_linearizable() {
    println!("{}", campaign("batches_and_renames", Strings, draw_batch, run_batch, reads_of));
}

/// A result that the documentation of `get_many` allows: old values and new ones of a batch written meanwhile.
#[test]
fn a_batch_of_reads_promises_no_single_moment() {
    let call = |thread, op, invoked, end, ret| Call { thread, op, invoked, outcome: Some((end, ret)) };
    let one = || Some("1".to_owned());
    let torn = Ret::Texts(vec![None, one(), None, None]);
    let calls = vec![call(0, Batch::GetAll, 1, 4, torn), call(1, Batch::SetMany([0, 1], 1), 2, 3, Ret::Done)];
    let history = History::new(calls);
    assert!(check(&Strings, &history, STEPS).is_violation());
    assert!(check(&Strings, &history.split(reads_of), STEPS).is_linearizable());
}

/// Renaming a key to itself changes nothing; everything else of RENAME is in the histories.
#[cfg(not(shuttle))]
#[test]
fn the_model_of_renames_is_that_of_the_engine() -> Result<(), larder::OpError> {
    let engine = crate::engine(1);
    let mut state = Sequential::initial(&Strings);
    for op in [
        Batch::Set(0, 1),
        Batch::Rename(0, 0),
        Batch::RenameIfAbsent(0, 0),
        Batch::RenameIfAbsent(1, 1),
        Batch::Rename(1, 1),
        Batch::GetAll,
    ] {
        assert_eq!(run_batch(&engine, &op), Strings.apply(&mut state, &op), "{op:?}");
    }
    assert_eq!(engine.len()?, 1);
    Ok(())
}
