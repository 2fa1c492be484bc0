//! Streams against a plain model: maps of entries, groups and pending entries, and Redis's rules over them.

mod model;
mod parts;

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::claiming::Claiming;
use super::deleting::References;
use super::id::{NewId, StreamId};
use super::log::{Entries, TrimTo, Trimming};
use super::reading::Reading;
use super::{NewMeta, Stream};
use crate::collections::Body;
use crate::collections::rules::{EncodingLimits, Rules};
use model::{Model, Names, Pairs};

const GROUPS: [&str; 3] = ["a", "b", "long-name-of-a-group"];
const CONSUMERS: [&str; 4] = ["x", "y", "z", "w"];

#[derive(Debug, Clone)]
enum Op {
    Add { id: NewId, pairs: Pairs },
    Remove { pick: usize },
    RemoveWith { pick: usize, references: References },
    AcknowledgeAndRemove { group: usize, pick: usize, references: References },
    Trim(Trimming),
    SetMeta { pick: usize, up: u64, added: Option<u64>, deleted: bool },
    CreateGroup { group: usize, pick: Option<usize>, read: Option<u64> },
    RemoveGroup { group: usize },
    Read { group: usize, consumer: usize, count: usize, no_ack: bool },
    ReadAgain { group: usize, consumer: usize, pick: usize, count: usize },
    Acknowledge { group: usize, pick: usize },
    Claim { group: usize, consumer: usize, picks: Vec<usize>, claiming: Claiming },
    AutoClaim { group: usize, consumer: usize, pick: usize, count: usize, claiming: Claiming },
    RemoveConsumer { group: usize, consumer: usize },
    Capture,
    Later(u64),
}

fn pairs() -> impl Strategy<Value = Pairs> {
    let name = prop_oneof![Just("temp".to_owned()), Just("unit".to_owned()), "[a-z]{0,3}"];
    let value = prop_oneof![4 => "[0-9]{0,6}", 2 => "[a-z]{0,20}", 1 => "[a-z]{200,400}"];
    prop_oneof![
        3 => value.clone().prop_map(|value| vec![("temp".into(), value)]),
        2 => (value.clone(), value.clone()).prop_map(|(a, b)| vec![("temp".into(), a), ("unit".into(), b)]),
        1 => vec((name, value), 1..4),
    ]
    .prop_map(|pairs: Vec<(String, String)>| {
        pairs.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect()
    })
}

fn new_id() -> impl Strategy<Value = NewId> {
    prop_oneof![
        6 => Just(NewId::Auto),
        1 => (0u64..2_000).prop_map(NewId::Sequence),
        2 => (0u64..2_000, 0u64..4).prop_map(|(ms, seq)| NewId::Exact(StreamId::new(ms, seq))),
        1 => (0u64..3).prop_map(|step| NewId::Exact(StreamId::new(u64::MAX / 4, u64::MAX - step))),
    ]
}

fn references() -> impl Strategy<Value = References> {
    prop_oneof![Just(References::Keep), Just(References::Delete), Just(References::Acknowledged)]
}

fn trimming() -> impl Strategy<Value = Trimming> {
    let to = prop_oneof![
        (0u64..60).prop_map(TrimTo::Length),
        (0u64..2_000, 0u64..3).prop_map(|(ms, seq)| TrimTo::Id(StreamId::new(ms, seq))),
    ];
    (to, any::<bool>(), prop_oneof![Just(0), 1u64..30]).prop_map(|(to, approximate, limit)| Trimming {
        to,
        approximate,
        limit,
    })
}

fn claiming() -> impl Strategy<Value = Claiming> {
    let retry = prop_oneof![3 => Just(None), 1 => (0u64..5).prop_map(Some)];
    (0u64..30, 0u64..50, retry, any::<(bool, bool)>()).prop_map(
        |(min_idle_ms, delivered_ms, retry_count, (force, just_id))| Claiming {
            min_idle_ms,
            delivered_ms,
            retry_count,
            force,
            just_id,
            now_ms: 0,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let (group, consumer, pick) = (0..GROUPS.len(), 0..CONSUMERS.len(), 0usize..200);
    prop_oneof![
        30 => (new_id(), pairs()).prop_map(|(id, pairs)| Op::Add { id, pairs }),
        5 => pick.clone().prop_map(|pick| Op::Remove { pick }),
        3 => (pick.clone(), references()).prop_map(|(pick, references)| Op::RemoveWith { pick, references }),
        3 => (group.clone(), pick.clone(), references())
            .prop_map(|(group, pick, references)| Op::AcknowledgeAndRemove { group, pick, references }),
        2 => trimming().prop_map(Op::Trim),
        1 => (pick.clone(), 0u64..9, prop_oneof![Just(None), (0u64..300).prop_map(Some)], any::<bool>())
            .prop_map(|(pick, up, added, deleted)| Op::SetMeta { pick, up, added, deleted }),
        4 => (
            group.clone(),
            prop_oneof![Just(None), pick.clone().prop_map(Some)],
            prop_oneof![2 => Just(None), 1 => (0u64..100).prop_map(Some)],
        )
            .prop_map(|(group, pick, read)| Op::CreateGroup { group, pick, read }),
        1 => group.clone().prop_map(|group| Op::RemoveGroup { group }),
        9 => (group.clone(), consumer.clone(), prop_oneof![1usize..6, Just(usize::MAX)], any::<bool>())
            .prop_map(|(group, consumer, count, no_ack)| Op::Read { group, consumer, count, no_ack }),
        4 => (group.clone(), consumer.clone(), pick.clone(), 1usize..9)
            .prop_map(|(group, consumer, pick, count)| Op::ReadAgain { group, consumer, pick, count }),
        6 => (group.clone(), pick.clone()).prop_map(|(group, pick)| Op::Acknowledge { group, pick }),
        5 => (group.clone(), consumer.clone(), vec(pick.clone(), 1..5), claiming()).prop_map(
            |(group, consumer, picks, claiming)| Op::Claim { group, consumer, picks, claiming }
        ),
        4 => (group.clone(), consumer.clone(), pick, 1usize..6, claiming()).prop_map(
            |(group, consumer, pick, count, claiming)| Op::AutoClaim { group, consumer, pick, count, claiming }
        ),
        1 => (group, consumer).prop_map(|(group, consumer)| Op::RemoveConsumer { group, consumer }),
        2 => Just(Op::Capture),
        5 => (0u64..25).prop_map(Op::Later),
    ]
}

struct World {
    rules: Rules,
    stream: Stream,
    model: Model,
    now_ms: u64,
    captures: Vec<(Stream, Model)>,
}

impl World {
    fn new(entries: u32, bytes: u32) -> Self {
        let limits = EncodingLimits {
            stream_node_max_entries: entries,
            stream_node_max_bytes: bytes,
            ..EncodingLimits::default()
        };
        let rules = Rules { limits, ..Rules::default() };
        let stream = Stream::empty(&rules);
        Self { rules, stream, model: Model::default(), now_ms: 1_000, captures: Vec::new() }
    }

    fn claiming(&self, claiming: &Claiming) -> Claiming {
        let delivered_ms = self.now_ms - claiming.delivered_ms;
        Claiming { delivered_ms, now_ms: self.now_ms, ..*claiming }
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Capture => self.captures.push((self.stream.clone(), self.model.clone())),
            Op::Later(ms) => self.now_ms += ms,
            Op::Add { .. }
            | Op::Remove { .. }
            | Op::RemoveWith { .. }
            | Op::AcknowledgeAndRemove { .. }
            | Op::Trim(_)
            | Op::SetMeta { .. } => self.step_log(op),
            _ => self.step_group(op),
        }
    }

    fn step_log(&mut self, op: &Op) {
        let Self { stream, model, .. } = self;
        match op {
            Op::Add { id, pairs } => {
                let id = stream.resolve(*id, self.now_ms).ok();
                if let Some(id) = id {
                    assert!(id > model.last_id);
                    stream.add(id, &pairs.iter().map(|(a, b)| (a, b)).collect(), &self.rules);
                    model.add(id, pairs.clone());
                }
            }
            Op::Remove { pick } => {
                let id = model.pick(*pick);
                assert_eq!(stream.remove(id), model.remove(id));
            }
            Op::RemoveWith { pick, references } => {
                let id = model.pick(*pick);
                let removal = stream.remove_with(id, *references);
                assert_eq!(removal.outcome, model.remove_with(id, *references));
            }
            Op::AcknowledgeAndRemove { group, pick, references } => {
                let id = model.pick(*pick);
                let removal = stream.acknowledge_and_remove(GROUPS[*group].as_bytes(), id, *references);
                let expected = model.acknowledge_and_remove(GROUPS[*group], id, *references);
                assert_eq!(removal.map(|removal| removal.outcome), expected);
            }
            Op::Trim(trimming) => {
                let trimmed = stream.trim(trimming);
                let exact = model.excess(trimming.to);
                if trimming.approximate {
                    assert!(trimmed.removed <= exact, "no more than asked for");
                    assert!(trimming.limit == 0 || trimmed.removed <= trimming.limit, "the limit");
                } else {
                    assert_eq!(trimmed.removed, exact);
                }
                model.drop_first(trimmed.removed);
                assert!(model.entries.keys().all(|&id| id >= trimmed.before));
            }
            Op::SetMeta { pick, up, added, deleted } => {
                let mut last_id = model.pick(*pick);
                last_id.ms = last_id.ms.saturating_add(*up);
                let max_deleted_id = deleted.then(|| model.pick(*pick));
                let meta = NewMeta { last_id, entries_added: *added, max_deleted_id };
                assert_eq!(stream.set_meta(&meta).is_ok(), model.set_meta(&meta));
            }
            _ => unreachable!("the caller sorts them"),
        }
    }

    fn step_group(&mut self, op: &Op) {
        let now_ms = self.now_ms;
        match op {
            Op::CreateGroup { group, pick, read } => {
                let (name, last) = (GROUPS[*group], pick.map_or(StreamId::MIN, |pick| self.model.pick(pick)));
                let made = self.stream.create_group(name.as_bytes(), last, *read);
                assert_eq!(made, self.model.create_group(name, last, *read));
            }
            Op::RemoveGroup { group } => {
                let removed = self.stream.remove_group(GROUPS[*group].as_bytes());
                assert_eq!(removed.is_some(), self.model.groups.remove(GROUPS[*group]).is_some());
            }
            Op::Read { group, consumer, count, no_ack } => {
                let reading = Reading { count: *count, no_ack: *no_ack, now_ms };
                let names = (GROUPS[*group], CONSUMERS[*consumer]);
                let read = self.stream.read_new(names.0.as_bytes(), names.1.as_bytes(), &reading);
                assert_eq!(read.map(|read| read.ids), self.model.read_new(names, &reading));
            }
            Op::ReadAgain { group, consumer, pick, count } => {
                let reading = Reading { count: *count, no_ack: false, now_ms };
                let after = if pick % 3 == 0 { StreamId::MIN } else { self.model.pick(*pick) };
                let names = (GROUPS[*group], CONSUMERS[*consumer]);
                let read = self.stream.read_again(names.0.as_bytes(), names.1.as_bytes(), after, &reading);
                assert_eq!(read.map(|read| read.0), self.model.read_again(names, after, &reading));
            }
            Op::Acknowledge { group, pick } => {
                let (name, id) = (GROUPS[*group], self.model.pick(*pick));
                let done = self.stream.edit_group(name.as_bytes(), |group| group.acknowledge(id));
                assert_eq!(done.unwrap_or(false), self.model.acknowledge(name, id));
            }
            Op::Claim { group, consumer, picks, claiming } => {
                let claiming = self.claiming(claiming);
                let ids: Vec<StreamId> = picks.iter().map(|&pick| self.model.pick(pick)).collect();
                let names = (GROUPS[*group], CONSUMERS[*consumer]);
                let claimed = self.stream.claim(names.0.as_bytes(), names.1.as_bytes(), &ids, &claiming);
                assert_eq!(claimed.map(|claimed| claimed.ids), self.model.claim(names, &ids, &claiming));
            }
            Op::AutoClaim { group, consumer, pick, count, claiming } => {
                let claiming = self.claiming(claiming);
                let start = if pick % 2 == 0 { StreamId::MIN } else { self.model.pick(*pick) };
                let names = (GROUPS[*group], CONSUMERS[*consumer]);
                let stream = &mut self.stream;
                let claimed =
                    stream.auto_claim(names.0.as_bytes(), names.1.as_bytes(), start, *count, &claiming);
                let claimed = claimed.map(|claimed| (claimed.next, claimed.ids, claimed.gone));
                assert_eq!(claimed, self.model.auto_claim(names, start, *count, &claiming));
            }
            Op::RemoveConsumer { group, consumer } => {
                let names: Names<'_> = (GROUPS[*group], CONSUMERS[*consumer]);
                let stream = &mut self.stream;
                let removed = stream
                    .edit_group(names.0.as_bytes(), |group| group.remove_consumer(names.1.as_bytes()))
                    .flatten();
                assert_eq!(removed, self.model.remove_consumer(names));
            }
            _ => unreachable!("the caller sorts them"),
        }
    }

    fn check(&self) {
        self.stream.validate(&self.rules);
        self.model.compare(&self.stream);
    }

    fn check_captures(&self) {
        for (stream, model) in &self.captures {
            stream.validate(&self.rules);
            model.compare(stream);
        }
    }

    /// The deltas of a stream make an equal one.
    fn check_deltas(&self) {
        let mut rebuilt = Stream::empty(&self.rules);
        self.stream.deltas(&mut |delta| {
            rebuilt.apply(&delta, &self.rules);
            // Twice is once.
            rebuilt.apply(&delta, &self.rules);
        });
        rebuilt.validate(&self.rules);
        self.model.compare(&rebuilt);
        assert_eq!(rebuilt.digest(), self.stream.digest());
    }

    /// Backward is forward reversed, for a range that begins and ends at any ids.
    fn check_ranges(&self, picks: &[usize]) {
        for pair in picks.windows(2) {
            let (a, b) = (self.model.pick(pair[0]), self.model.pick(pair[1]));
            let range = a.min(b)..=a.max(b);
            let forward: Vec<_> = Entries::new(self.stream.log().clone(), range.clone(), false).collect();
            let mut backward: Vec<_> = Entries::new(self.stream.log().clone(), range.clone(), true).collect();
            backward.reverse();
            assert_eq!(forward, backward);
            assert_eq!(forward.len(), self.model.entries.range(range).count());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn streams_are_what_the_model_says(
        entries in prop_oneof![Just(1u32), Just(3), Just(100), Just(0)],
        bytes in prop_oneof![Just(4_096u32), Just(300), Just(0)],
        ops in vec(op(), 1..250),
        picks in vec(0usize..200, 2..6),
    ) {
        let mut world = World::new(entries, bytes);
        for op in &ops {
            world.step(op);
            world.check();
        }
        world.check_captures();
        world.check_deltas();
        world.check_ranges(&picks);
        let mut stream = world.stream.clone();
        while !stream.free_some(3) {}
        world.check();
    }
}
