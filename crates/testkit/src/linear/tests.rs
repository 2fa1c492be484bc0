//! The checker against histories that are known to be good or bad, and against every permutation of small ones.

use std::collections::VecDeque;

use super::search::Verdict;
use super::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
    Read,
    Write(u32),
    Add(u32),
    Push(u32),
    Pop,
}

/// What a write or a push returns.
const DONE: Option<u32> = None;

struct Register;

impl Sequential for Register {
    type State = u32;
    type Op = Op;
    type Ret = Option<u32>;

    fn initial(&self) -> u32 {
        0
    }

    fn apply(&self, state: &mut u32, op: &Op) -> Option<u32> {
        match *op {
            Op::Write(value) => {
                *state = value;
                return DONE;
            }
            Op::Add(by) => *state += by,
            _ => {}
        }
        Some(*state)
    }
}

struct Queue;

impl Sequential for Queue {
    type State = VecDeque<u32>;
    type Op = Op;
    type Ret = Option<u32>;

    fn initial(&self) -> VecDeque<u32> {
        VecDeque::new()
    }

    fn apply(&self, state: &mut VecDeque<u32>, op: &Op) -> Option<u32> {
        match *op {
            Op::Push(value) => {
                state.push_back(value);
                DONE
            }
            _ => state.pop_front(),
        }
    }
}

/// A bag: which element comes out, it does not say.
struct Bag;

impl Model for Bag {
    type State = Vec<u32>;
    type Op = Op;
    type Ret = Option<u32>;

    fn initial(&self) -> Vec<u32> {
        Vec::new()
    }

    fn step(&self, state: &Vec<u32>, op: &Op, ret: &Option<u32>) -> Option<Vec<u32>> {
        let mut after = state.clone();
        match (op, ret) {
            (Op::Push(value), None) => after.push(*value),
            (Op::Pop, None) if state.is_empty() => {}
            (Op::Pop, Some(value)) => drop(after.remove(state.iter().position(|held| held == value)?)),
            _ => return None,
        }
        after.sort_unstable();
        Some(after)
    }

    fn unseen(&self, state: &Vec<u32>, op: &Op) -> Vec<Vec<u32>> {
        let rets = state.iter().copied().map(Some).chain([None]);
        rets.filter_map(|ret| self.step(state, op, &ret)).collect()
    }

    fn expected(&self, state: &Vec<u32>, _op: &Op) -> String {
        format!("one of {state:?}")
    }
}

/// Calls as (thread, begin, end, op, ret); an end of 0 never came.
fn history(calls: &[(usize, u64, u64, Op, Option<u32>)]) -> History<Op, Option<u32>> {
    let calls = calls.iter().map(|&(thread, invoked, end, op, ret)| Call {
        thread,
        op,
        invoked,
        outcome: (end > 0).then_some((end, ret)),
    });
    History::new(calls.collect())
}

#[track_caller]
fn good<M: Model>(model: &M, history: &History<M::Op, M::Ret>) {
    let verdict = check(model, history, STEPS);
    assert!(verdict.is_linearizable(), "{verdict}");
}

#[track_caller]
fn bad<M: Model>(model: &M, history: &History<M::Op, M::Ret>) -> String {
    let verdict = check(model, history, STEPS);
    assert!(verdict.is_violation(), "{verdict}");
    verdict.to_string()
}

#[test]
fn a_read_during_a_write_sees_the_old_or_the_new_value() {
    for seen in [0, 1] {
        good(&Register, &history(&[(0, 1, 4, Op::Write(1), DONE), (1, 2, 3, Op::Read, Some(seen))]));
    }
    bad(&Register, &history(&[(0, 1, 4, Op::Write(1), DONE), (1, 2, 3, Op::Read, Some(2))]));
}

#[test]
fn a_read_after_a_write_sees_it() {
    good(&Register, &history(&[(0, 1, 2, Op::Write(1), DONE), (1, 3, 4, Op::Read, Some(1))]));
    bad(&Register, &history(&[(0, 1, 2, Op::Write(1), DONE), (1, 3, 4, Op::Read, Some(0))]));
}

/// Both reads lie within the write; the later one must not go back.
#[test]
fn new_then_old_is_a_violation() {
    let reads = |first, second| {
        history(&[
            (0, 1, 10, Op::Write(1), DONE),
            (1, 2, 3, Op::Read, Some(first)),
            (2, 4, 5, Op::Read, Some(second)),
        ])
    };
    good(&Register, &reads(0, 1));
    bad(&Register, &reads(1, 0));
}

#[test]
fn a_lost_update_is_a_violation() {
    let adds = |second| history(&[(0, 1, 3, Op::Add(1), Some(1)), (1, 2, 4, Op::Add(1), Some(second))]);
    good(&Register, &adds(2));
    bad(&Register, &adds(1));
}

/// Herlihy and Wing's first example of a queue, and one in which an element overtakes.
#[test]
fn a_queue_keeps_its_order() {
    let pops = |first, second| {
        history(&[
            (0, 1, 4, Op::Push(1), DONE),
            (1, 2, 3, Op::Push(2), DONE),
            (1, 5, 6, Op::Pop, Some(first)),
            (0, 7, 8, Op::Pop, Some(second)),
        ])
    };
    good(&Queue, &pops(1, 2));
    good(&Queue, &pops(2, 1));
    bad(&Queue, &pops(1, 1));
    bad(
        &Queue,
        &history(&[(0, 1, 2, Op::Push(1), DONE), (0, 3, 4, Op::Push(2), DONE), (1, 5, 6, Op::Pop, Some(2))]),
    );
}

#[test]
fn an_empty_pop_needs_a_moment_without_elements() {
    bad(&Queue, &history(&[(0, 1, 2, Op::Push(1), DONE), (1, 3, 4, Op::Pop, None)]));
    good(&Queue, &history(&[(0, 1, 3, Op::Push(1), DONE), (1, 2, 4, Op::Pop, None)]));
}

#[test]
fn a_call_that_never_returned_counts_when_it_is_needed() {
    let write = (0, 1, 0, Op::Write(1), DONE);
    good(&Register, &history(&[write, (1, 2, 3, Op::Read, Some(0))]));
    good(&Register, &history(&[write, (1, 2, 3, Op::Read, Some(1)), (1, 4, 5, Op::Read, Some(1))]));
    bad(&Register, &history(&[write, (1, 2, 3, Op::Read, Some(1)), (1, 4, 5, Op::Read, Some(0))]));
    // It cannot act before it began.
    bad(&Register, &history(&[(1, 1, 2, Op::Read, Some(1)), (0, 3, 0, Op::Write(1), DONE)]));
}

#[test]
fn a_call_that_never_returned_may_have_taken_any_element() {
    let left = |last| {
        history(&[
            (0, 1, 2, Op::Push(1), DONE),
            (0, 3, 4, Op::Push(2), DONE),
            (1, 5, 0, Op::Pop, None),
            (0, 6, 7, Op::Pop, last),
            (0, 8, 9, Op::Pop, None),
        ])
    };
    good(&Bag, &left(Some(1)));
    good(&Bag, &left(Some(2)));
    bad(&Bag, &left(None));
}

/// Without the memory of places this would take 20! steps.
#[test]
fn many_calls_at_once_take_few_steps() {
    let mut calls: Vec<_> =
        (0..16).map(|thread| (thread, 1 + thread as u64, 100, Op::Add(1), None)).collect();
    for (call, sum) in calls.iter_mut().zip(1..) {
        (call.2, call.4) = (100 + u64::from(sum), Some(sum));
    }
    good(&Register, &history(&calls));
    calls[3].4 = Some(99);
    let verdict = check(&Register, &history(&calls), 5_000);
    assert!(verdict.is_violation(), "{verdict}");
}

#[test]
fn too_few_steps_are_no_verdict() {
    let pushes = (0..12).zip(1_u32..).map(|(thread, n)| (thread, u64::from(n), 0, Op::Push(n), DONE));
    let mut calls: Vec<_> = pushes.collect();
    calls.push((12, 50, 51, Op::Pop, Some(99)));
    let verdict = check(&Queue, &history(&calls), 1_000);
    assert!(matches!(verdict, Verdict::Unknown { steps: 1_000 }), "{verdict}");
    assert!(!verdict.is_linearizable() && !verdict.is_violation());
}

#[test]
fn keys_are_checked_by_themselves() {
    let calls = |last| {
        history(&[
            (0, 1, 2, Op::Write(1), DONE),
            (1, 3, 4, Op::Push(7), DONE),
            (0, 5, 6, Op::Read, Some(1)),
            (1, 7, 8, Op::Pop, last),
        ])
    };
    /// The register's calls have one key, the queue's the other.
    struct Both;
    impl Sequential for Both {
        type State = (u32, VecDeque<u32>);
        type Op = Op;
        type Ret = Option<u32>;
        fn initial(&self) -> Self::State {
            (0, VecDeque::new())
        }
        fn apply(&self, state: &mut Self::State, op: &Op) -> Option<u32> {
            match op {
                Op::Push(_) | Op::Pop => Queue.apply(&mut state.1, op),
                _ => Register.apply(&mut state.0, op),
            }
        }
    }
    let key = |op: &Op| matches!(op, Op::Push(_) | Op::Pop);
    assert!(check_by_key(&Both, calls(Some(7)), key, STEPS).is_linearizable());
    assert!(check_by_key(&Both, calls(None), key, STEPS).is_violation());
    assert_eq!(
        calls(None).by_key(key).into_values().map(|part| part.calls().len()).collect::<Vec<_>>(),
        [2, 2]
    );
}

#[test]
fn an_explanation_shows_the_shortest_impossible_part() {
    let text = bad(
        &Register,
        &history(&[
            (0, 1, 2, Op::Write(5), DONE),
            (0, 3, 6, Op::Add(1), Some(6)),
            (1, 4, 5, Op::Read, Some(4)),
            (1, 7, 8, Op::Write(9), DONE),
        ]),
    );
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            "not linearizable: no order of these calls explains what they returned",
            "   1  thread 0  []...   Write(5) -> None",
            "   ?  thread 0  ..[==>  Add(1) (running)",
            "   ?  thread 1  ...[]   Read -> Some(4)",
            "the longest order that the model allows:",
            "   1. thread 0  Write(5) -> None",
            "it leaves 5, and nothing goes on from there:",
            "      thread 1  Read -> Some(4), expected Some(5)",
        ]
    );
}

#[test]
fn overlaps_are_counted_between_threads() {
    let apart = history(&[(0, 1, 2, Op::Read, None), (1, 3, 4, Op::Read, None)]);
    assert_eq!(apart.overlapping(), 0);
    let over = history(&[(0, 1, 3, Op::Read, None), (1, 2, 4, Op::Read, None), (0, 5, 6, Op::Read, None)]);
    assert_eq!(over.overlapping(), 1);
}

/// Looks for an order by trying all of them.
fn by_trying_all(model: &impl Model<Op = Op, Ret = Option<u32>>, history: &History<Op, Option<u32>>) -> bool {
    fn go<M: Model<Op = Op, Ret = Option<u32>>>(
        model: &M,
        calls: &[Call<Op, Option<u32>>],
        done: &mut Vec<usize>,
        state: &M::State,
    ) -> bool {
        let missing = |at: &usize| !done.contains(at);
        let left: Vec<usize> = (0..calls.len()).filter(missing).collect();
        if left.iter().all(|&at| calls[at].outcome.is_none()) {
            return true;
        }
        left.iter().any(|&at| {
            if left.iter().any(|&other| calls[other].returned() < calls[at].invoked) {
                return false;
            }
            let states = match &calls[at].outcome {
                Some((_, ret)) => model.step(state, &calls[at].op, ret).into_iter().collect(),
                None => model.unseen(state, &calls[at].op),
            };
            done.push(at);
            let found = states.iter().any(|state| go(model, calls, done, state));
            done.pop();
            found
        })
    }
    go(model, history.calls(), &mut Vec::new(), &model.initial())
}

/// Random intervals, results mostly those of some order, some calls without an end.
fn random_history(dice: &mut Dice, ops: &[Op]) -> History<Op, Option<u32>> {
    let calls = 2 + dice.below(5);
    let mut events: Vec<u32> = (0..calls).flat_map(|call| [call, call]).collect();
    for at in (1..events.len()).rev() {
        events.swap(at, dice.below(u32::try_from(at + 1).unwrap()) as usize);
    }
    let times = |call: u32| {
        let mut at = events.iter().zip(1..).filter(|(event, _)| **event == call).map(|(_, at)| at);
        (at.next().unwrap(), at.next().unwrap())
    };
    let drawn = (0..calls).map(|call| {
        let (begin, end) = times(call);
        let op = dice.pick(ops);
        let ret = match op {
            Op::Write(_) | Op::Push(_) => DONE,
            Op::Pop if dice.once_in(3) => None,
            _ => Some(dice.below(3)),
        };
        (call as usize, begin, if dice.once_in(6) { 0 } else { end }, op, ret)
    });
    history(&drawn.collect::<Vec<_>>())
}

#[test]
fn the_search_agrees_with_trying_all_orders() {
    let mut dice = Dice::new(5);
    let mut good = [0; 3];
    let rounds = 4_000;
    for _ in 0..rounds {
        let registers = random_history(&mut dice, &[Op::Read, Op::Write(1), Op::Write(2), Op::Add(1)]);
        let queues = random_history(&mut dice, &[Op::Push(1), Op::Push(2), Op::Pop]);
        let found = [
            (check(&Register, &registers, STEPS), by_trying_all(&Register, &registers)),
            (check(&Queue, &queues, STEPS), by_trying_all(&Queue, &queues)),
            (check(&Bag, &queues, STEPS), by_trying_all(&Bag, &queues)),
        ];
        for (at, (verdict, truth)) in found.into_iter().enumerate() {
            good[at] += u32::from(truth);
            assert_eq!(verdict.is_linearizable(), truth, "{registers:?} {queues:?} {verdict}");
            assert_eq!(verdict.is_violation(), !truth);
        }
    }
    assert!(good.iter().all(|&good| good > rounds / 20 && good < rounds * 19 / 20), "{good:?} of {rounds}");
}

/// A register behind a lock is one; the recorder's threads do meet.
#[test]
fn a_recorded_history_of_a_locked_register_is_linearizable() {
    let mut report = Report::default();
    for seed in 0..200 {
        let register = std::sync::Mutex::new(0_u32);
        let draw = |dice: &mut Dice, slot: Slot| match dice.below(3) {
            0 => Op::Read,
            1 => Op::Write(slot.unique()),
            _ => Op::Add(1),
        };
        let run = |op: &Op| Register.apply(&mut register.lock().unwrap(), op);
        let recorded = record(seed, Plan { threads: 3, calls: 8 }, draw, run);
        assert_eq!(recorded.calls().len(), 24);
        good(&Register, &recorded);
        report.count(&recorded);
    }
    assert!(report.overlapped > 0, "{report}");
}

#[test]
fn a_register_that_forgets_its_lock_is_found() {
    let found = (0..400).find(|&seed| {
        let register = std::sync::atomic::AtomicU32::new(0);
        let run = |_: &Op| {
            let old = register.load(std::sync::atomic::Ordering::SeqCst);
            std::thread::yield_now();
            register.store(old + 1, std::sync::atomic::Ordering::SeqCst);
            Some(old + 1)
        };
        let recorded = record(seed, Plan { threads: 2, calls: 8 }, |_, _| Op::Add(1), run);
        check(&Register, &recorded, STEPS).is_violation()
    });
    assert!(found.is_some(), "400 histories without a lost update");
}

#[test]
fn a_script_is_determined_by_its_seed() {
    let ops = |seed| {
        let draw = |dice: &mut Dice, slot: Slot| (dice.below(1_000), slot.unique());
        let history = record(seed, Plan { threads: 2, calls: 6 }, draw, |_| ());
        let mut ops: Vec<_> = history.calls().iter().map(|call| (call.op.1, call.op.0)).collect();
        ops.sort_unstable();
        ops
    };
    assert_eq!(ops(3), ops(3));
    assert_ne!(ops(3), ops(4));
}

#[test]
#[should_panic(expected = "the call's own words")]
fn a_panic_reaches_the_test_and_nobody_waits_for_it() {
    record(
        1,
        Plan { threads: 3, calls: 6 },
        |dice, _| dice.below(4),
        |op| {
            assert_ne!(*op, 2, "the call's own words");
        },
    );
}
