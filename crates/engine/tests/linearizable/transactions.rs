//! Transactions among plain calls: a bank of four accounts, and jobs that pass through a list, a hash and a counter.
//!
//! A transaction counts as one call. Some of them change something and then end in an error, or in a panic: they return
//! that, and have changed nothing.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use larder::{Engine, OpError};
use larder_testkit::linear::{Dice, Sequential, Slot};

use crate::bank::{Account, Bank, Ending, draw_account, draw_ending, ended};
use crate::several::{NAMES, campaign};
use crate::single::length;
use crate::{Ret, count, element, refused, ret, text};

/// Why a transaction was taken back.
#[derive(Debug)]
enum Stop {
    Engine(OpError),
    Own(&'static str),
}

impl From<OpError> for Stop {
    fn from(error: OpError) -> Self {
        Self::Engine(error)
    }
}

/// Ends the body as drawn; a panic that no hook reports.
fn end(ending: Ending) -> Result<(), Stop> {
    match ending {
        Ending::Commit => Ok(()),
        Ending::Error => Err(Stop::Own("error")),
        Ending::Panic => resume_unwind(Box::new("panic")),
    }
}

/// What a transaction returns, whichever way it ends.
fn outcome(run: impl FnOnce() -> Result<Ret, Stop>) -> Ret {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(ret)) => ret,
        Ok(Err(Stop::Engine(error))) => refused(&error),
        Ok(Err(Stop::Own(why))) => Ret::Refused(why.to_owned()),
        Err(_) => Ret::Refused("panic".to_owned()),
    }
}

/// The texts under some names.
fn texts(engine: &Engine, names: &[&str]) -> Result<Vec<Option<String>>, OpError> {
    let text = |value: larder::Value| String::from_utf8_lossy(&value).into_owned();
    names.iter().map(|name| Ok(engine.get(name)?.map(text))).collect()
}

/// The transactions of the bank. `Err` and panics leave it as it was.
fn transact(engine: &Engine, op: &Account) -> Result<Ret, Stop> {
    match *op {
        Account::Transfer { from, to, amount, ending } => {
            engine.transaction([NAMES[from], NAMES[to]], |tx| {
                if tx.decr_by(NAMES[from], amount)? < 0 {
                    return Err(Stop::Own("overdrawn"));
                }
                let balance = tx.incr_by(NAMES[to], amount)?;
                end(ending)?;
                Ok(Ret::Number(balance))
            })
        }
        Account::Swap(a, b) => engine.transaction([NAMES[a], NAMES[b]], |tx| {
            let old = texts(tx, &[NAMES[a], NAMES[b]])?;
            for (name, value) in [NAMES[b], NAMES[a]].into_iter().zip(&old) {
                match value {
                    Some(value) => tx.set(name, value)?,
                    None => drop(tx.remove(name)?),
                }
            }
            Ok(Ret::Texts(old))
        }),
        Account::Collect(from, to) => engine.transaction([NAMES[from[0]], NAMES[from[1]], NAMES[to]], |tx| {
            let mut sum = 0;
            for at in from {
                let taken = tx.get_del(NAMES[at])?;
                sum += taken.and_then(|text| text.as_str().ok()?.parse::<i64>().ok()).unwrap_or(0);
            }
            Ok(Ret::Number(tx.incr_by(NAMES[to], sum)?))
        }),
        Account::Statement => engine.transaction(NAMES, |tx| Ok(Ret::Texts(texts(tx, &NAMES)?))),
        Account::Audit => engine.exclusive(|tx| Ok(Ret::Texts(texts(tx, &NAMES)?))),
        Account::Deposit(at, amount) => Ok(ret(engine.incr_by(NAMES[at], amount), Ret::Number)),
        Account::Open(at, amount) => {
            let pairs = at.map(|at| (NAMES[at], amount.to_string()));
            Ok(ret(engine.set_many(&pairs), |()| Ret::Done))
        }
        Account::Get(at) => Ok(text(engine.get(NAMES[at]))),
        Account::Close(at) => Ok(text(engine.get_del(NAMES[at]))),
    }
}

fn run_account(engine: &Engine, op: &Account) -> Ret {
    outcome(|| transact(engine, op))
}

#[test]
fn transactions_of_a_bank_are_linearizable() {
    println!("{}", campaign("transactions_of_a_bank", Bank, draw_account, run_account, |call| vec![call]));
}

#[derive(Debug, Clone)]
enum Work {
    Push(u32),
    /// Takes the first job, notes it in a hash and counts it.
    Take(Ending),
    /// Takes a job out of the hash and puts it back in front, if it is there.
    Return(u32, Ending),
    /// Queue, hash and count at one moment.
    Look,
    Pop,
    Waiting,
    Taken(u32),
    Count,
}

/// State: the queue, who took what, and how often something was taken.
struct Jobs;

const TAKER: i64 = 1;

impl Sequential for Jobs {
    type State = (VecDeque<u32>, BTreeMap<u32, i64>, Option<i64>);
    type Op = Work;
    type Ret = Ret;

    fn initial(&self) -> Self::State {
        Self::State::default()
    }

    fn apply(&self, (queue, taken, takes): &mut Self::State, op: &Work) -> Ret {
        match *op {
            Work::Push(job) => {
                queue.push_back(job);
                length(queue.len())
            }
            Work::Take(ending) => {
                if queue.is_empty() {
                    return Ret::Refused("empty".to_owned());
                }
                if let Some(ret) = ended(ending) {
                    return ret;
                }
                let job = queue.pop_front();
                taken.extend(job.map(|job| (job, TAKER)));
                *takes = Some(takes.unwrap_or(0) + 1);
                Ret::Elements(job.into_iter().collect())
            }
            Work::Return(job, ending) => {
                if !taken.contains_key(&job) {
                    return Ret::Refused("not taken".to_owned());
                }
                if let Some(ret) = ended(ending) {
                    return ret;
                }
                taken.remove(&job);
                queue.push_front(job);
                length(queue.len())
            }
            Work::Look => {
                let queue = queue.iter().map(|job| (*job, 0));
                let taken = taken.iter().map(|(job, taker)| (*job, *taker));
                Ret::Pairs(queue.chain(taken).chain([(0, takes.unwrap_or(0))]).collect())
            }
            Work::Pop => Ret::Elements(queue.pop_back().into_iter().collect()),
            Work::Waiting => length(queue.len()),
            Work::Taken(job) => Ret::Pairs(taken.get(&job).map(|taker| (job, *taker)).into_iter().collect()),
            Work::Count => Ret::Text(takes.map(|takes| takes.to_string())),
        }
    }
}

const QUEUE: &str = "queue";
const TAKEN: &str = "taken";
const TAKES: &str = "takes";

fn work(engine: &Engine, op: &Work) -> Result<Ret, Stop> {
    let queue = engine.list::<u32>(QUEUE);
    let taken = engine.hash::<u32, i64>(TAKEN);
    Ok(match *op {
        Work::Push(job) => count(queue.push_back(job)),
        Work::Take(ending) => engine.transaction([QUEUE, TAKEN, TAKES], |tx| {
            let Some(job) = tx.list::<u32>(QUEUE).pop_front()? else { return Err(Stop::Own("empty")) };
            tx.hash::<u32, i64>(TAKEN).set(job, TAKER)?;
            tx.incr(TAKES)?;
            end(ending)?;
            Ok(Ret::Elements(vec![job]))
        })?,
        Work::Return(job, ending) => engine.transaction([QUEUE, TAKEN], |tx| {
            if !tx.hash::<u32, i64>(TAKEN).remove(job)? {
                return Err(Stop::Own("not taken"));
            }
            let len = tx.list::<u32>(QUEUE).push_front(job);
            end(ending)?;
            Ok(count(len))
        })?,
        Work::Look => engine.transaction([QUEUE, TAKEN, TAKES], |tx| {
            let queue = tx.list::<u32>(QUEUE).range(0, -1)?.into_iter().map(|job| (job, 0));
            let mut taken = tx.hash::<u32, i64>(TAKEN).iter()?.collect::<Result<Vec<_>, _>>()?;
            taken.sort_unstable();
            let takes = tx.get(TAKES)?.and_then(|text| text.as_str().ok()?.parse().ok()).unwrap_or(0);
            Ok::<_, Stop>(Ret::Pairs(queue.chain(taken).chain([(0, takes)]).collect()))
        })?,
        Work::Pop => element(queue.pop_back()),
        Work::Waiting => count(queue.len()),
        Work::Taken(job) => {
            ret(taken.get(job), |taker| Ret::Pairs(taker.map(|taker| (job, taker)).into_iter().collect()))
        }
        Work::Count => text(engine.get(TAKES)),
    })
}

#[test]
fn transactions_over_several_types_are_linearizable() {
    let draw = |dice: &mut Dice, slot: Slot| {
        let job = 1 + 100 * dice.below(3) + dice.below(4);
        match dice.below(14) {
            0..=3 => Work::Push(slot.unique()),
            4..=6 => Work::Take(draw_ending(dice)),
            7 | 8 => Work::Return(job, draw_ending(dice)),
            9 | 10 => Work::Look,
            11 => Work::Pop,
            12 => {
                if dice.once_in(2) {
                    Work::Waiting
                } else {
                    Work::Count
                }
            }
            _ => Work::Taken(job),
        }
    };
    let run = |engine: &Engine, op: &Work| outcome(|| work(engine, op));
    println!("{}", campaign("transactions_over_several_types", Jobs, draw, run, |call| vec![call]));
}
