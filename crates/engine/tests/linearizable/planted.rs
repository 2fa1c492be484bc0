//! Engines with a bug in front of them. Each is found within few histories, by the same models and scripts that the engine
//! itself passes; if one is not, the tests beside this one prove nothing.
//!
//! A bug lies between two calls of the engine, and in between the thread gives the processor away, as a scheduler would
//! sooner or later by itself.

use std::sync::Mutex;
use std::thread::yield_now;

use larder::{End, Engine};
use larder_testkit::linear::{Dice, Model, Plan, STEPS, Slot, check, record, seed};

use crate::bank::{Account, Bank, Ending};
use crate::several::{Batch, NAMES, Strings as Several, run_batch};
use crate::single::{Ends, Lists, Strings, Text, run_list, run_text};
use crate::{Ret, count, element, engine, ret, text};

const KEY: &str = "k";

/// Histories after which a bug counts as not found; as a rule it takes fewer than ten.
const PATIENCE: u64 = 2_000;

/// Runs histories until one is a violation, and tells how many that took.
///
/// # Panics
/// If there is none, or if the checker gives up on one.
fn found<M: Model<Ret = Ret>, B>(
    bug: &'static str,
    model: &M,
    draw: impl Fn(&mut Dice, Slot) -> M::Op,
    bugs_state: impl Fn() -> B,
    run: impl Fn(&Engine, &B, &M::Op) -> Ret + Sync,
) -> String
where
    M::Op: Send,
    B: Sync,
{
    for (seed, tried) in (seed()..).zip(1..=PATIENCE) {
        let (engine, state) = (engine(seed), bugs_state());
        let history = record(seed, Plan { threads: 3, calls: 8 }, &draw, |op| run(&engine, &state, op));
        let verdict = check(model, &history, STEPS);
        if verdict.is_violation() {
            return format!("{bug}: found in history {tried}\n{verdict}");
        }
        assert!(verdict.is_linearizable(), "{bug}, seed {seed}: {verdict}");
    }
    panic!("{bug}: {PATIENCE} histories, and not one is a violation");
}

fn draw_counter(dice: &mut Dice, _: Slot) -> Text {
    if dice.once_in(3) { Text::Get } else { Text::Incr(1) }
}

#[test]
fn an_update_in_two_calls_is_found() {
    let run = |engine: &Engine, (): &(), op: &Text| match op {
        Text::Incr(by) => {
            let old = engine.get(KEY).expect("a string").map_or(0, |old| {
                old.as_str().ok().and_then(|text| text.parse::<i64>().ok()).expect("a number")
            });
            yield_now();
            engine.set(KEY, (old + by).to_string()).expect("room");
            Ret::Number(old + by)
        }
        op => run_text(engine, KEY, op),
    };
    println!("{}", found("lost update", &Strings, draw_counter, || (), run));
}

/// A cache in front that is filled by reads and emptied by writes, in the wrong order: before the write.
#[test]
fn a_stale_read_is_found() {
    let run = |engine: &Engine, cached: &Mutex<Option<Ret>>, op: &Text| match op {
        Text::Get => {
            let kept = cached.lock().expect("no panic").clone();
            kept.unwrap_or_else(|| {
                let fresh = text(engine.get(KEY));
                yield_now();
                *cached.lock().expect("no panic") = Some(fresh.clone());
                fresh
            })
        }
        op => {
            *cached.lock().expect("no panic") = None;
            yield_now();
            run_text(engine, KEY, op)
        }
    };
    println!("{}", found("stale read", &Strings, draw_counter, || Mutex::new(None), run));
}

fn draw_queue(dice: &mut Dice, slot: Slot) -> Ends {
    if dice.once_in(2) { Ends::Push(End::Tail, slot.unique()) } else { Ends::Pop(End::Head) }
}

#[test]
fn an_element_popped_twice_is_found() {
    let run = |engine: &Engine, (): &(), op: &Ends| match op {
        Ends::Pop(End::Head) => {
            let list = engine.list::<u32>(KEY);
            let first = list.get(0);
            yield_now();
            list.pop_front().expect("a list");
            element(first)
        }
        op => run_list(engine, KEY, op),
    };
    println!("{}", found("popped twice", &Lists, draw_queue, || (), run));
}

/// The length comes from a second call, when others have pushed too.
#[test]
fn a_length_of_later_is_found() {
    let run = |engine: &Engine, (): &(), op: &Ends| match op {
        Ends::Push(End::Tail, element) => {
            let list = engine.list::<u32>(KEY);
            list.push_back(*element).expect("a list");
            yield_now();
            count(list.len())
        }
        op => run_list(engine, KEY, op),
    };
    println!("{}", found("a length of later", &Lists, draw_queue, || (), run));
}

fn draw_batch(dice: &mut Dice, slot: Slot) -> Batch {
    match dice.below(3) {
        0 => Batch::SetMany([0, 1], slot.unique()),
        1 => Batch::Get(0),
        _ => Batch::Get(1),
    }
}

#[test]
fn a_batch_of_single_writes_is_found() {
    let run = |engine: &Engine, (): &(), op: &Batch| match op {
        Batch::SetMany(keys, value) => {
            for at in keys {
                engine.set(NAMES[*at], value.to_string()).expect("room");
                yield_now();
            }
            Ret::Done
        }
        op => run_batch(engine, op),
    };
    println!("{}", found("a batch of single writes", &Several, draw_batch, || (), run));
}

#[test]
fn a_rename_in_two_calls_is_found() {
    let draw = |dice: &mut Dice, slot: Slot| match dice.below(4) {
        0 => Batch::Set(0, slot.unique()),
        1 => Batch::Rename(0, 1),
        2 => Batch::Get(0),
        _ => Batch::Get(1),
    };
    let run = |engine: &Engine, (): &(), op: &Batch| match op {
        Batch::Rename(from, to) => {
            let Some(value) = engine.get_del(NAMES[*from]).expect("a string") else {
                return Ret::Refused("NoSuchKey".to_owned());
            };
            yield_now();
            engine.set(NAMES[*to], &value).expect("room");
            Ret::Done
        }
        op => run_batch(engine, op),
    };
    println!("{}", found("a rename in two calls", &Several, draw, || (), run));
}

/// A transfer that is a charge and a deposit, one after the other, and takes the charge back if the account is overdrawn.
#[test]
fn a_transaction_of_two_operations_is_found() {
    let draw = |dice: &mut Dice, _: Slot| {
        let (from, amount) = (dice.below(2) as usize, i64::from(1 + dice.below(9)));
        match dice.below(5) {
            0 | 1 => Account::Transfer { from, to: 1 - from, amount, ending: Ending::Commit },
            2 => Account::Deposit(from, 10),
            _ => Account::Get(from),
        }
    };
    let run = |engine: &Engine, (): &(), op: &Account| {
        let add = |at: usize, amount: i64| ret(engine.incr_by(NAMES[at], amount), Ret::Number);
        match *op {
            Account::Transfer { from, to, amount, .. } => {
                let left = add(from, -amount);
                yield_now();
                if matches!(left, Ret::Number(left) if left < 0) {
                    add(from, amount);
                    return Ret::Refused("overdrawn".to_owned());
                }
                add(to, amount)
            }
            Account::Deposit(at, amount) => add(at, amount),
            Account::Get(at) => text(engine.get(NAMES[at])),
            _ => unreachable!("not drawn"),
        }
    };
    println!("{}", found("a transaction of two operations", &Bank, draw, || (), run));
}
