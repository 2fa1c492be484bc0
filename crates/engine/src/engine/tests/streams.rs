//! The stream handle: what was recorded, replayed; walks beside writers; groups, idle times, errors.

use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use crate::{
    AddOptions, ClaimOptions, Encoding, EncodingLimits, Engine, EntryRemoval, GroupOptions, GroupPosition,
    GroupReadOptions, ManualClock, OpError, PendingQuery, Policy, References, StreamFields, StreamId,
    StreamMeta, Trim, UnixMillis,
};

const KEYS: [&str; 2] = ["a", "b"];
const GROUPS: [&str; 2] = ["g", "h"];
const CONSUMERS: [&str; 3] = ["x", "y", "z"];

#[derive(Debug, Clone)]
struct Step {
    kind: u8,
    key: usize,
    group: usize,
    consumer: usize,
    back: u64,
    count: usize,
    flag: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let places = (0..KEYS.len(), 0..GROUPS.len(), 0..CONSUMERS.len());
    (0..24u8, places, 0..30u64, 0..12usize, any::<bool>()).prop_map(
        |(kind, (key, group, consumer), back, count, flag)| Step {
            kind,
            key,
            group,
            consumer,
            back,
            count,
            flag,
        },
    )
}

fn engine(clock: &ManualClock) -> Engine {
    let limits = EncodingLimits { stream_node_max_entries: 5, ..EncodingLimits::default() };
    Engine::builder()
        .encoding_limits(limits)
        .clock(clock.clone())
        .record_effects(true)
        .shards(4)
        .seed(7)
        .build()
        .expect("an engine")
}

fn run(engine: &Engine, step: &Step, top: &mut u64) {
    let stream = engine.stream(KEYS[step.key]);
    let group = stream.group(GROUPS[step.group]);
    let consumer = CONSUMERS[step.consumer];
    let id = StreamId::new(top.saturating_sub(step.back), 0);
    let references = [References::Keep, References::Delete, References::Acknowledged][step.count % 3];
    match step.kind {
        0..=8 => {
            *top += 1;
            let mut options = AddOptions::new().id(StreamId::new(*top, 0));
            if step.count == 0 {
                options = options.trim(Trim::to_length(step.back));
            }
            stream.add_with(&options, [("f", top.to_string()), ("g", "1".to_owned())]).map(drop).unwrap();
        }
        9 => drop(stream.remove([id]).unwrap()),
        10 => drop(stream.remove_with(references, [id]).unwrap()),
        11 => drop(stream.trim(Trim::to_id(id)).unwrap()),
        12 => drop(stream.trim(Trim::to_length(step.back).approximate()).unwrap()),
        13 => drop(stream.set_last_id(StreamMeta::new(StreamId::new(*top, 1)).entries_added(*top + 40))),
        14 | 15 => {
            let options = GroupOptions::new().make_stream();
            let options = if step.flag { options } else { options.entries_read(3) };
            group.create_with(id, options).unwrap();
        }
        16 => drop(group.set_position(id, None)),
        17 if step.count == 0 => drop(group.destroy()),
        18 => {
            let options = GroupReadOptions::new().count(step.count + 1);
            drop(group.read_with(consumer, if step.flag { options } else { options.no_ack() }));
        }
        17 | 19 => drop(group.read(consumer)),
        20 => drop(group.read_again(consumer, StreamId::MIN, Some(step.count))),
        21 => drop(group.acknowledge([id, StreamId::new(*top, 0)]).unwrap()),
        22 if step.flag => {
            drop(group.claim(consumer, [id], &ClaimOptions::new(Duration::ZERO).force().last_id(id)))
        }
        22 => drop(group.auto_claim(consumer, StreamId::MIN, &ClaimOptions::new(Duration::from_millis(5)))),
        _ if step.count < 2 => drop(group.remove_consumer(consumer)),
        _ => drop(group.acknowledge_and_remove(references, [id]).unwrap()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn effects_make_the_same_streams(steps in prop::collection::vec(step(), 1..120)) {
        let clock = ManualClock::new(UnixMillis(1_000));
        let (engine, follower) = (engine(&clock), Engine::new());
        let mut top = 10;
        for step in &steps {
            run(&engine, step, &mut top);
            engine.validate();
            clock.advance(Duration::from_millis(step.back));
        }
        for effect in engine.take_effects() {
            follower.apply(&effect).unwrap();
        }
        follower.validate();
        prop_assert_eq!(engine.state_digest(), follower.state_digest());
        for key in KEYS {
            let (a, b) = (engine.stream(key), follower.stream(key));
            prop_assert!(a.range(..).unwrap().eq(b.range(..).unwrap()));
            prop_assert_eq!(a.groups(), b.groups());
        }
    }
}

/// Refused and pointless changes leave no key behind and record nothing.
#[test]
fn what_changes_nothing_records_nothing() {
    let engine = engine(&ManualClock::new(UnixMillis(5)));
    let stream = engine.stream("s");
    assert!(stream.add_with(&AddOptions::new().id(StreamId::MIN), [("f", "v")]).is_err());
    assert!(stream.add(StreamFields::default()).is_err(), "an entry has fields");
    assert_eq!(stream.add_with(&AddOptions::new().existing_only(), [("f", "v")]), Ok(None));
    assert_eq!(stream.trim(Trim::to_length(0)), Ok(0));
    assert_eq!(stream.remove([StreamId::MAX]), Ok(0));
    assert_eq!(stream.set_last_id(StreamMeta::new(StreamId::MAX)), Err(OpError::NoSuchKey));
    assert_eq!(stream.group("g").create(GroupPosition::End), Err(OpError::NoSuchKey));
    assert_eq!(stream.group("g").destroy(), Err(OpError::NoSuchKey));
    assert!(matches!(stream.group("g").read("c"), Err(OpError::NoSuchGroup { .. })));
    assert_eq!(engine.exists("s"), Ok(false));
    assert!(engine.take_effects().is_empty());
    let id = stream.add([("f", "v")]).unwrap();
    assert_eq!(id, StreamId::new(5, 0), "the clock gives the id");
    stream.remove([id]).unwrap();
    assert_eq!((engine.exists("s"), stream.is_empty()), (Ok(true), Ok(true)), "an empty stream stays");
    assert_eq!(stream.add([("f", "v")]), Ok(StreamId::new(5, 1)), "ids are not given twice");
    let _ = engine.take_effects();
    stream.group("g").create(GroupPosition::End).unwrap();
    let _ = engine.take_effects();
    assert_eq!(stream.group("g").read("c").map(|read| read.len()), Ok(0));
    assert_eq!(stream.group("g").create(GroupPosition::End), Ok(false));
    assert_eq!(stream.group("g").acknowledge([id]), Ok(0));
    assert!(engine.take_effects().is_empty());
    engine.validate();
}

#[test]
fn other_types_are_refused() {
    let engine = Engine::new();
    engine.set("s", "text").unwrap();
    let stream = engine.stream("s");
    let wrong =
        |error: &OpError| matches!(error, OpError::WrongType { expected: "stream", found: "string", .. });
    assert!(stream.add([("f", "v")]).is_err_and(|error| wrong(&error)));
    assert!(stream.range(..).is_err_and(|error| wrong(&error)));
    assert!(stream.group("g").read("c").is_err_and(|error| wrong(&error)));
    assert!(engine.read_streams(&[("s", StreamId::MIN)]).is_err_and(|error| wrong(&error)));
    engine.remove("s").unwrap();
    stream.add([("f", "v")]).unwrap();
    assert!(engine.get("s").is_err());
    assert_eq!(engine.encoding("s"), Ok(Some(Encoding::Stream)));
}

#[test]
fn walks_see_the_stream_as_it_was() {
    let engine = Engine::new();
    let stream = engine.stream("s").into_owned();
    for n in 1..=1_000u64 {
        stream.add_with(&AddOptions::new().id(StreamId::new(n, 0)), [("n", n.to_string())]).unwrap();
    }
    let (mut all, back) = (stream.range(..).unwrap(), stream.range_reversed(..).unwrap());
    assert_eq!(all.next().map(|entry| entry.id.ms), Some(1));
    stream.trim(Trim::to_length(10)).unwrap();
    engine.remove("s").unwrap();
    assert_eq!(all.map(|entry| entry.id.ms).collect::<Vec<_>>(), (2..=1_000).collect::<Vec<_>>());
    assert_eq!(back.map(|entry| entry.id.ms).collect::<Vec<_>>(), (1..=1_000).rev().collect::<Vec<_>>());
}

/// Idle times come from the engine's clock.
#[test]
fn entries_are_claimed_when_they_were_idle_long_enough() {
    let clock = ManualClock::new(UnixMillis(1_000));
    let engine = engine(&clock);
    let stream = engine.stream("jobs");
    let ids = [stream.add([("n", "1")]).unwrap(), stream.add([("n", "2")]).unwrap()];
    let group = stream.group("g");
    group.create(StreamId::MIN).unwrap();
    assert_eq!(group.read_with("ann", GroupReadOptions::new().count(1)).unwrap().len(), 1);
    clock.advance(Duration::from_secs(60));
    assert_eq!(group.read("ann").unwrap().len(), 1);
    clock.advance(Duration::from_secs(1));
    let minute = ClaimOptions::new(Duration::from_secs(60));
    let idle = group.pending(&PendingQuery::new().min_idle(Duration::from_secs(60))).unwrap();
    assert_eq!(idle.iter().map(|one| one.id).collect::<Vec<_>>(), [ids[0]]);
    assert_eq!(idle[0].idle, Duration::from_secs(61));
    assert_eq!(group.claim_ids("bob", ids, &minute), Ok(vec![ids[0]]));
    stream.remove([ids[1]]).unwrap();
    let claimed = group.auto_claim("bob", StreamId::MIN, &minute).unwrap();
    assert_eq!((claimed.claimed.len(), claimed.deleted, claimed.next), (0, vec![ids[1]], StreamId::MIN));
    let consumers = group.consumers().unwrap();
    let told: Vec<(&[u8], u64)> = consumers.iter().map(|one| (&*one.name, one.pending)).collect();
    assert_eq!(told, [(&b"ann"[..], 0), (b"bob", 1)]);
    assert_eq!(consumers[0].idle, Duration::from_secs(1));
    assert_eq!(group.remove_consumer("bob"), Ok(1));
    assert_eq!(group.pending_summary().unwrap().count, 0);
}

/// What the documentation of Redis 8.2 says of the three ways to treat references.
#[test]
fn references_decide_what_is_removed() {
    let engine = Engine::new();
    let stream = engine.stream("s");
    let add = |ms| stream.add_with(&AddOptions::new().id(StreamId::new(ms, 0)), [("f", "v")]).unwrap();
    let ids: Vec<StreamId> = (1..=6).filter_map(add).collect();
    assert_eq!(stream.remove_with(References::Acknowledged, [ids[0]]).unwrap(), [EntryRemoval::Referenced]);
    for name in ["g", "h"] {
        stream.group(name).create(StreamId::MIN).unwrap();
        stream.group(name).read("c").unwrap();
    }
    let (g, h) = (stream.group("g"), stream.group("h"));
    let ack = |group: &crate::StreamGroup<'_, _>, references, id| {
        group.acknowledge_and_remove(references, [id]).unwrap()[0]
    };
    assert_eq!(ack(&g, References::Acknowledged, ids[0]), EntryRemoval::Referenced);
    assert_eq!(ack(&g, References::Acknowledged, ids[0]), EntryRemoval::NotFound);
    assert_eq!(ack(&h, References::Acknowledged, ids[0]), EntryRemoval::Removed);
    assert_eq!(ack(&g, References::Keep, ids[1]), EntryRemoval::Removed);
    assert_eq!(ack(&h, References::Keep, ids[1]), EntryRemoval::Removed, "it was pending still");
    assert_eq!(ack(&g, References::Delete, ids[2]), EntryRemoval::Removed);
    assert_eq!(ack(&h, References::Delete, ids[2]), EntryRemoval::NotFound);
    stream.remove([ids[3]]).unwrap();
    assert_eq!(stream.remove_with(References::Delete, [ids[3]]).unwrap(), [EntryRemoval::NotFound]);
    assert_eq!(g.pending_summary().unwrap().count, 2, "it is forgotten all the same");
    assert_eq!(stream.len(), Ok(2));
    engine.validate();
}

/// Every entry is delivered to one consumer, whoever asks.
#[test]
fn consumers_share_the_entries() {
    const ENTRIES: u64 = 2_000;
    let engine = Engine::new();
    let stream = engine.stream("s");
    stream.group("g").create_with(StreamId::MIN, GroupOptions::new().make_stream()).unwrap();
    let got: u64 = thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..ENTRIES {
                stream.add([("n", n.to_string())]).unwrap();
            }
        });
        let readers: Vec<_> = ["x", "y"]
            .map(|consumer| {
                let stream = &stream;
                scope.spawn(move || {
                    let (mut got, mut last) = (0, StreamId::MIN);
                    while stream.group("g").info().unwrap().entries_read < Some(ENTRIES) {
                        let read =
                            stream.group("g").read_with(consumer, GroupReadOptions::new().count(7)).unwrap();
                        for entry in &read {
                            assert!(entry.id > last, "a consumer sees ids ascend");
                            last = entry.id;
                        }
                        let ids: Vec<StreamId> = read.iter().map(|entry| entry.id).collect();
                        got += stream.group("g").acknowledge(ids).unwrap();
                    }
                    got
                })
            })
            .into_iter()
            .collect();
        readers.into_iter().map(|reader| reader.join().expect("a reader")).sum()
    });
    assert_eq!(got, ENTRIES);
    let group = stream.group("g").info().unwrap();
    assert_eq!((group.pending, group.lag), (0, Some(0)));
    engine.validate();
}

#[test]
fn a_full_engine_still_acknowledges_and_trims() {
    let engine = Engine::builder().max_memory(1 << 20).policy(Policy::NoEviction).shards(1).build().unwrap();
    let stream = engine.stream("s");
    stream.group("g").create_with(StreamId::MIN, GroupOptions::new().make_stream()).unwrap();
    let refused = loop {
        if let Err(refused) = stream.add([("f", [7u8; 100])]) {
            break refused;
        }
    };
    assert!(matches!(refused, OpError::OutOfMemory { .. }));
    let len = stream.len().unwrap();
    assert!(len > 7_000, "{len} entries of 100 bytes in a MiB");
    assert!(matches!(stream.group("g").read("c"), Err(OpError::OutOfMemory { .. })), "pending entries cost");
    assert_eq!(stream.trim(Trim::to_length(5_000)), Ok(len - 5_000));
    let read = stream.group("g").read_with("c", GroupReadOptions::new().count(100)).unwrap();
    assert_eq!(stream.group("g").acknowledge(read.iter().map(|entry| entry.id)), Ok(100));
    engine.validate();
}
