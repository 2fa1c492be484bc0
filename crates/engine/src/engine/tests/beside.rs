//! Changes of very many elements: made outside of the lock they are what they are under it, and they lose nothing.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use crate::engine::beside::{during, with_limit};
use crate::{
    ClaimOptions, EncodingLimits, Engine, GroupReadOptions, ManualClock, OpError, RankRange, ScoreEnd,
    SortedRange, StreamId, UnixMillis, ZAddOptions,
};

fn engine(clock: &ManualClock) -> Engine {
    let limits = EncodingLimits {
        set_max_intset_entries: 6,
        set_max_listpack_entries: 6,
        hash_max_listpack_entries: 6,
        zset_max_listpack_entries: 6,
        stream_node_max_entries: 4,
        ..EncodingLimits::default()
    };
    let builder = Engine::builder().seed(5).shards(1).clock(clock.clone()).encoding_limits(limits);
    builder.record_effects(true).build().expect("the settings are valid")
}

#[derive(Debug, Clone)]
enum Step {
    Push(Vec<u8>),
    PopList(usize),
    AddMembers(Vec<u8>),
    RemoveMembers(Vec<u8>),
    SetFields(Vec<u8>, u8),
    RemoveFields(Vec<u8>),
    ExpireFields(Vec<u8>, u64),
    Score(Vec<u8>, u8),
    Unscore(Vec<u8>),
    Pop(u64, bool),
    RemoveRanks(u64, u64),
    AddEntry,
    RemoveEntries(Vec<u8>),
    ReadGroup(u8, Option<usize>),
    Acknowledge(Vec<u8>),
    Claim(u8, Vec<u8>),
    RemoveConsumer(u8),
    Wait(u64),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0_u8..20, 0..12)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => bytes().prop_map(Step::Push),
        1 => (0_usize..20).prop_map(Step::PopList),
        2 => bytes().prop_map(Step::AddMembers),
        1 => bytes().prop_map(Step::RemoveMembers),
        2 => (bytes(), 0_u8..9).prop_map(|(fields, value)| Step::SetFields(fields, value)),
        1 => bytes().prop_map(Step::RemoveFields),
        1 => (bytes(), 1_u64..30).prop_map(|(fields, ms)| Step::ExpireFields(fields, ms)),
        2 => (bytes(), 0_u8..9).prop_map(|(members, score)| Step::Score(members, score)),
        1 => bytes().prop_map(Step::Unscore),
        1 => (0_u64..8, any::<bool>()).prop_map(|(count, low)| Step::Pop(count, low)),
        1 => (0_u64..8, 0_u64..8).prop_map(|(start, len)| Step::RemoveRanks(start, start + len)),
        3 => Just(Step::AddEntry),
        1 => bytes().prop_map(Step::RemoveEntries),
        2 => (0_u8..3, prop::option::of(0_usize..9)).prop_map(|(name, count)| Step::ReadGroup(name, count)),
        1 => bytes().prop_map(Step::Acknowledge),
        1 => (0_u8..3, bytes()).prop_map(|(name, ids)| Step::Claim(name, ids)),
        1 => (0_u8..3).prop_map(Step::RemoveConsumer),
        1 => (1_u64..9).prop_map(Step::Wait),
    ]
}

fn ids(numbers: &[u8]) -> Vec<StreamId> {
    numbers.iter().map(|&number| StreamId::new(u64::from(number) + 1_000, 0)).collect()
}

/// Takes a step, and tells what it answered.
fn take(engine: &Engine, clock: &ManualClock, step: &Step) -> Result<String, OpError> {
    let list = engine.list::<u8>("list");
    let set = engine.set_of::<u8>("set");
    let hash = engine.hash::<u8, u8>("hash");
    let sorted = engine.sorted_set::<u8>("sorted");
    let stream = engine.stream("stream");
    let group = stream.group("group");
    Ok(match step {
        Step::Push(all) => format!("{}", list.extend_back(all)?),
        Step::PopList(count) => format!("{:?}", list.pop_many(crate::End::Head, *count)?),
        Step::AddMembers(all) => format!("{}", set.add_many(all)?),
        Step::RemoveMembers(all) => format!("{}", set.remove_many(all)?),
        Step::SetFields(all, value) => format!("{}", hash.set_many(all.iter().map(|field| (field, value)))?),
        Step::RemoveFields(all) => format!("{:?}", hash.take_many(all)?),
        Step::ExpireFields(all, ms) => {
            format!("{:?}", hash.expire(all, Duration::from_millis(*ms), crate::ExpireCondition::Always)?)
        }
        Step::Score(all, score) => {
            let all = all.iter().map(|member| (member, f64::from(*score ^ (*member / 3))));
            format!("{:?}", sorted.add_all(all, ZAddOptions::new().if_greater())?)
        }
        Step::Unscore(all) => format!("{}", sorted.remove_all(all)?),
        Step::Pop(count, low) => {
            format!("{:?}", sorted.pop(if *low { ScoreEnd::Lowest } else { ScoreEnd::Highest }, *count)?)
        }
        Step::RemoveRanks(start, end) => {
            let ranks = RankRange::from(i64::try_from(*start).unwrap()..i64::try_from(*end).unwrap());
            format!("{}", sorted.remove_range(SortedRange::from(ranks))?)
        }
        Step::AddEntry => {
            let next = stream.len()? + 1_000;
            let id = crate::AddOptions::new().id(StreamId::new(next, 0));
            format!("{:?}", stream.add_with(&id, [("f", "v")]).is_ok())
        }
        Step::RemoveEntries(all) => format!("{}", stream.remove(ids(all))?),
        Step::ReadGroup(name, count) => {
            let options = count.map_or(GroupReadOptions::new(), |count| GroupReadOptions::new().count(count));
            format!("{:?}", group.read_with([*name], options))
        }
        Step::Acknowledge(all) => format!("{}", group.acknowledge(ids(all))?),
        Step::Claim(name, all) => {
            let options = ClaimOptions::new(Duration::ZERO).force();
            format!("{:?}", group.claim_ids([*name], ids(all), &options))
        }
        Step::RemoveConsumer(name) => format!("{:?}", group.remove_consumer([*name])),
        Step::Wait(ms) => {
            clock.advance(Duration::from_millis(*ms));
            // Writes expire what is due on their way, and a large change writes twice: nothing is left to them here.
            while engine.maintain(crate::Budget::keys(100)).due {}
            String::new()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_change_made_outside_of_the_lock_is_the_one_made_under_it(steps in prop::collection::vec(step(), 1..60)) {
        let clocks = [0; 2].map(|_| ManualClock::new(UnixMillis(1_000_000)));
        let engines = [&clocks[0], &clocks[1]].map(engine);
        for engine in &engines {
            engine.stream("stream").group("group")
                .create_with(StreamId::MIN, crate::GroupOptions::new().make_stream()).expect("it is new");
        }
        for step in &steps {
            let plain = with_limit(u64::MAX, || take(&engines[0], &clocks[0], step));
            let beside = with_limit(0, || take(&engines[1], &clocks[1], step));
            prop_assert_eq!(plain, beside, "{:?}", step);
            prop_assert_eq!(engines[0].take_effects(), engines[1].take_effects(), "{:?}", step);
            prop_assert_eq!(engines[0].state_digest(), engines[1].state_digest());
            // A copied node has no spare room, so that the bytes may differ; `validate` recounts them.
            engines.iter().for_each(Engine::validate);
        }
    }
}

/// An engine of one shard, and a set with a thousand members.
fn thousand() -> Engine {
    let engine = Engine::builder().seed(1).shards(1).build().expect("the settings are valid");
    engine.set_of::<u32>("set").add_many(0..1_000).expect("there is no limit");
    engine
}

#[test]
fn neighbours_get_through_while_a_large_change_is_made() {
    let (engine, seen) = (thousand(), Rc::new(Cell::new(0)));
    let (other, count) = (engine.clone(), Rc::clone(&seen));
    let neighbour = move || {
        // The same shard: were its lock held by this thread, this would be refused or never return.
        other.set("small", "value").expect("there is no limit");
        assert_eq!(
            other.set_of::<u32>("set").len().expect("it is sound"),
            1_000,
            "nothing shows before the swap"
        );
        count.set(count.get() + 1);
    };
    let removed = with_limit(100, || during(neighbour, || engine.set_of::<u32>("set").remove_many(0..900)));
    assert_eq!((removed, seen.get()), (Ok(900), 2));
    assert_eq!(engine.set_of::<u32>("set").len(), Ok(100));
    engine.validate();
}

#[test]
fn nothing_is_lost_that_is_written_meanwhile() {
    for writes in [1_u32, 3, 7, 40] {
        let (engine, left) = (thousand(), Rc::new(Cell::new(writes)));
        let (other, rest) = (engine.clone(), Rc::clone(&left));
        let writer = move || {
            if let Some(next) = rest.get().checked_sub(1) {
                rest.set(next);
                assert!(other.set_of::<u32>("set").add(5_000 + next).expect("there is no limit"));
            }
        };
        let removed = with_limit(100, || during(writer, || engine.set_of::<u32>("set").remove_many(0..900)));
        assert_eq!(removed, Ok(900));
        let written = writes - left.get();
        assert_eq!(written, writes.min(16), "eight attempts, then under the lock");
        let set = engine.set_of::<u32>("set");
        assert_eq!(set.len(), Ok(100 + u64::from(written)));
        assert!((0..written).all(|at| set.contains(5_000 + writes - 1 - at).expect("it is sound")));
        engine.validate();
    }
}

#[test]
fn a_key_that_goes_or_comes_meanwhile_is_met_as_it_is_then() {
    let (engine, done) = (thousand(), Rc::new(Cell::new(false)));
    let (other, once) = (engine.clone(), Rc::clone(&done));
    let rival = move || {
        if !once.replace(true) {
            other.remove("set").expect("it is sound");
            other.set_of::<u32>("fresh").add(7).expect("there is no limit");
        }
    };
    with_limit(100, || {
        during(rival, || {
            assert_eq!(engine.set_of::<u32>("set").remove_many(0..900), Ok(0), "it went before");
            done.set(false);
            assert_eq!(engine.set_of::<u32>("fresh").add_many(0..900), Ok(899), "one came before");
        });
    });
    assert_eq!(engine.set_of::<u32>("fresh").len(), Ok(900));
    engine.validate();
}

#[test]
fn what_was_captured_before_stays_and_errors_change_nothing() {
    let engine = thousand();
    let captured = engine.set_of::<u32>("set").iter().expect("it is sound");
    with_limit(100, || engine.set_of::<u32>("set").remove_many(0..1_000)).expect("it is a set");
    assert!(!engine.exists("set").expect("it is sound"), "an empty set goes");
    assert_eq!(captured.count(), 1_000);
    engine.set("text", "value").expect("there is no limit");
    let refused = with_limit(0, || engine.list::<Bytes>("text").extend_back(["a", "b"]));
    assert!(matches!(refused, Err(OpError::WrongType { .. })));
    engine.validate();
}

#[test]
fn a_limit_refuses_a_large_change_whole() {
    let engine = Engine::builder().seed(1).shards(1).max_memory(300_000).policy(crate::Policy::NoEviction);
    let engine = engine.build().expect("the settings are valid");
    let set = engine.set_of::<u32>("set");
    set.add_many(0..10).expect("there is room");
    let refused = set.add_many(0..100_000);
    assert!(matches!(refused, Err(OpError::OutOfMemory { .. })), "{refused:?}");
    assert_eq!(set.len(), Ok(10));
    engine.validate();
}
