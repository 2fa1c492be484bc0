//! The accounts against the allocator: what the engine says it uses is what it has asked for.
//!
//! The counting allocator sees every allocation of this thread. After each step the difference between what is held
//! now and what was held when the engine was empty must be `total() - fixed`, to the byte, under both models:
//! entries, large strings, decoded objects (whose weigher tells their heap), tables, ring, ghosts and timers.
//!
//! Outside the accounts, and therefore kept out of the exact runs: a thread's counters (4 KiB per sixteen threads),
//! the table of invalidation tokens (16 KiB with the first invalidation), pins, flights under way, names of keyspaces, tags of cached copies, and the skip list of the ordered index, which is
//! an estimate. COPY of a large string shares its bytes and charges both owners; that errs on the safe side, and is
//! checked as an inequality.

#![expect(clippy::cast_possible_truncation, reason = "small numbers, known to fit")]

use larder::{AllocatorModel, Builder, Engine, Policy};
use larder_testkit::{CountingAllocator, Generator, Held, Operation, Profile, Subject};
use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const MODELS: [AllocatorModel; 2] = [AllocatorModel::Requested, AllocatorModel::Glibc];

/// What an exact run may draw.
fn exact() -> Profile {
    Profile { copies: false, extras: false, ..Profile::default() }
}

/// An empty engine, and what the thread held when it was empty.
struct Measured {
    subject: Subject,
    model: AllocatorModel,
    empty: Held,
}

impl Measured {
    fn new(builder: Builder, model: AllocatorModel) -> Self {
        let subject = Subject::new(builder, model).expect("valid settings");
        // The first count gives the thread its counters, the first invalidation makes the table of tokens.
        subject.engine().get("absent").expect("a read is never refused");
        subject.engine().invalidate("absent").expect("an invalidation is never refused");
        Self { subject, model, empty: CountingAllocator::held() }
    }

    fn held(&self) -> u64 {
        CountingAllocator::held().since(self.empty).bytes(self.model)
    }

    fn charged(&self) -> u64 {
        let usage = self.subject.engine().memory_usage();
        usage.total() - usage.fixed
    }

    fn check(&self, step: usize, operation: &Operation) {
        let (held, charged) = (self.held(), self.charged());
        let usage = self.subject.engine().memory_usage();
        assert_eq!(
            charged, held,
            "{:?}, step {step}, after {operation:?}: charged, held; {usage:?}",
            self.model
        );
    }

    /// Applies all, and checks after every `interval`th.
    fn run(&self, operations: &[Operation], interval: usize) {
        for (step, operation) in operations.iter().enumerate() {
            drop(self.subject.apply(operation));
            if step % interval == 0 {
                self.check(step, operation);
            }
        }
    }

    fn empty_again(&self) {
        self.subject.engine().flush_all().expect("a flush is never refused");
        let usage = self.subject.engine().memory_usage();
        assert_eq!((usage.blobs, usage.objects), (0, 0), "an empty engine has no entries");
        assert_eq!(self.charged(), self.held(), "an empty engine");
    }
}

fn builders() -> Vec<(&'static str, Builder)> {
    let builder = || Engine::builder().seed(11).shards(4);
    let mut builders = vec![
        ("unlimited", builder()),
        ("one shard", Engine::builder().seed(3).shards(1)),
        ("entries", builder().max_entries(150)),
        ("weight", builder().max_weight(9_000, |key, value| (key.len() + value.len()) as u32)),
        ("idle", builder().time_to_live(std::time::Duration::from_secs(60)).ttl_jitter(0.2)),
    ];
    for policy in Policy::ALL {
        builders.push(("bytes", builder().max_memory(200 << 10).policy(policy)));
    }
    builders
}

#[test]
fn long_runs_are_charged_to_the_byte() {
    for model in MODELS {
        for (number, (name, builder)) in builders().into_iter().enumerate() {
            println!("{model:?} {name} {number}");
            let operations: Vec<_> = Generator::new(number as u64, exact()).take(6_000).collect();
            let measured = Measured::new(builder, model);
            measured.run(&operations, 3);
            measured.empty_again();
        }
    }
}

#[test]
fn growth_is_charged_to_the_byte() {
    for model in MODELS {
        let measured = Measured::new(Engine::builder().seed(5).shards(2), model);
        let engine = measured.subject.engine();
        for i in 0..40_000u32 {
            let options =
                larder::SetOptions::new().ttl(std::time::Duration::from_secs(u64::from(i % 900) + 1));
            engine.set_with(i.to_le_bytes(), "v", options).expect("there is no limit");
            if i % 101 == 0 {
                assert_eq!(measured.charged(), measured.held(), "{model:?}, {i} keys");
            }
        }
        for step in 0..1_000 {
            measured.subject.clock().advance(std::time::Duration::from_secs(1));
            engine.maintain(larder::Budget::keys(1_000));
            assert_eq!(measured.charged(), measured.held(), "{model:?}, second {step}");
        }
        assert_eq!(engine.len(), Ok(0));
        measured.empty_again();
    }
}

#[test]
fn many_keyspaces_are_charged_to_the_byte() {
    for model in MODELS {
        let measured = Measured::new(Engine::builder().seed(5).shards(8), model);
        let engine = measured.subject.engine();
        let names: Vec<_> =
            (0..300).map(|i| engine.keyspace(&format!("space {i}")).expect("room for names")).collect();
        // Names lie outside the accounts; what comes from here on does not.
        let (held, charged) = (measured.held(), measured.charged());
        for (number, space) in names.iter().enumerate() {
            space.remove("never there").expect("never refused");
            space.set("k", "v").expect("there is no limit");
            assert_eq!(measured.charged() - charged, measured.held() - held, "{model:?}, keyspace {number}");
        }
    }
}

/// Bitmaps and HyperLogLogs: small, roped, sparse, beside a reader, and made of each other.
#[test]
fn bits_are_charged_to_the_byte() {
    for model in MODELS {
        let measured = Measured::new(Engine::builder().seed(5).shards(2), model);
        let engine = measured.subject.engine();
        let mut offset = 1_u64;
        for step in 0..1_500_u64 {
            offset = offset.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let name = ["a", "b", "c"][step as usize % 3];
            let reach = [1_000, 100_000, 1_000_000, 4_294_967_296][(step / 7) as usize % 4];
            let at = (offset >> 24) % reach;
            let bitmap = engine.bitmap(name);
            match step % 11 {
                0 => drop(engine.append(name, [7; 5_000])),
                1 => drop(engine.set_range(name, at / 8, [1; 300])),
                2 => drop(engine.hyperloglog::<u64>("log").add_all(step * 50..step * 50 + 50)),
                3 => drop(engine.hyperloglog::<u64>("log").count()),
                4 => drop(engine.hyperloglog::<u64>("all").merge(&["log"])),
                5 if step % 5 == 0 => drop(engine.set(name, vec![3; 100_000])),
                6 if step % 4 == 0 => drop(engine.remove(name)),
                // NOT of a far bit would be half a gigabyte.
                7 => drop(bitmap.combine(larder::BitOperation::Or, &["a", "b", "c"])),
                8 => drop(bitmap.combine(larder::BitOperation::And, &["a", "b"])),
                9 => {
                    // A reader holds what is written meanwhile; it lets go before the count.
                    let held = if engine.strlen(name).is_ok_and(|bytes| bytes < 1 << 20) {
                        engine.get(name).ok()
                    } else {
                        None
                    };
                    bitmap.set(at.min(500_000), true).expect("there is no limit");
                    drop(held);
                }
                _ => drop(bitmap.set(at, step % 2 == 0)),
            }
            assert_eq!(measured.charged(), measured.held(), "{model:?}, step {step}");
        }
        measured.empty_again();
    }
}

/// Streams: entries, blocks that fill, groups with consumers and pending entries, trims, beside a reader.
#[test]
fn streams_are_charged_to_the_byte() {
    use larder::{AddOptions, ClaimOptions, GroupOptions, GroupReadOptions, References, StreamId, Trim};
    use std::time::Duration;
    for model in MODELS {
        let mut limits = larder::EncodingLimits::default();
        limits.stream_node_max_entries = 20;
        let builder = Engine::builder().seed(5).shards(2).encoding_limits(limits);
        let measured = Measured::new(builder, model);
        let engine = measured.subject.engine();
        let mut chance = 1_u64;
        for step in 0..4_000_u64 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // What a step makes for itself is gone before the count.
            let work = || {
                let stream = engine.stream(["a", "b"][(chance >> 60) as usize % 2]);
                let group = stream.group(["g", "a group with a long name"][(chance >> 50) as usize % 2]);
                let consumer = format!("consumer {}", (chance >> 40) % 40);
                let id = StreamId::new((chance >> 20) % (step + 1) + 1, 0);
                let read = GroupReadOptions::new().count(1 + (chance >> 30) as usize % 9);
                let claim = ClaimOptions::new(Duration::ZERO).force();
                match chance >> 33 & 15 {
                    0 => drop(group.create_with(id, GroupOptions::new().make_stream())),
                    1 => drop(group.read_with(&consumer, read)),
                    2 => drop(group.read_with(&consumer, read.no_ack())),
                    3 => drop(group.acknowledge((1..40).map(|back| StreamId::new(id.ms + back, 0)))),
                    4 => drop(group.claim_ids(&consumer, [id], &claim)),
                    5 => drop(group.auto_claim(&consumer, id, &claim)),
                    6 if step % 5 == 0 => drop(group.remove_consumer(&consumer)),
                    7 if step % 40 == 0 => drop(group.destroy()),
                    8 => drop(stream.trim(Trim::to_length(400).approximate())),
                    9 if step % 9 == 0 => drop(stream.trim(Trim::to_length(300))),
                    10 => drop(stream.remove_with(References::Delete, [id])),
                    11 if step % 90 == 0 => drop(engine.remove(["a", "b"][step as usize / 90 % 2])),
                    _ => {
                        // A reader holds what is written meanwhile; it lets go before the count.
                        let held = stream.range(..).ok().filter(|_| step % 3 == 0);
                        let options = AddOptions::new().id(StreamId::new(step + 1, 0));
                        let value = vec![b'v'; chance as usize % 90];
                        drop(stream.add_with(&options, [("field", value.as_slice()), ("other", b"1")]));
                        drop(held);
                    }
                }
            };
            work();
            assert_eq!(measured.charged(), measured.held(), "{model:?}, step {step}");
        }
        measured.empty_again();
    }
}

/// An object's allocation is that of an `Arc`: two counters and the value, padded to its alignment.
#[test]
fn objects_of_any_alignment_are_charged_to_the_byte() {
    #[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
    #[repr(align(64))]
    struct Wide(u8);
    for model in MODELS {
        let measured = Measured::new(Engine::builder().seed(1).shards(1), model);
        let engine = measured.subject.engine();
        for key in 0..20u8 {
            engine.typed::<u8>().with_weigher(|_| 0).set([key, 0], key).expect("there is no limit");
            engine
                .typed::<(u16, u8)>()
                .with_weigher(|_| 0)
                .set([key, 1], (7, key))
                .expect("there is no limit");
            engine.typed::<u128>().with_weigher(|_| 0).set([key, 2], key.into()).expect("there is no limit");
            assert_eq!(measured.charged(), measured.held(), "{model:?}");
        }
    }
    let measured = Measured::new(Engine::builder().seed(1).shards(1), AllocatorModel::Requested);
    let engine = measured.subject.engine();
    engine.typed::<Wide>().with_weigher(|_| 0).set("k", Wide(1)).expect("there is no limit");
    assert_eq!(measured.charged(), measured.held(), "aligned to 64");
    assert_eq!(engine.typed::<Wide>().get_with("k", |wide| wide.0), Ok(Some(1)));
}

#[test]
fn copies_are_never_charged_less_than_they_take() {
    for model in MODELS {
        let profile = Profile { extras: false, value_bytes_max: 6_000, names: 40, ..Profile::default() };
        let operations: Vec<_> = Generator::new(9, profile).take(5_000).collect();
        let measured = Measured::new(Engine::builder().seed(1).shards(2), model);
        for (step, operation) in operations.iter().enumerate() {
            drop(measured.subject.apply(operation));
            let (held, charged) = (measured.held(), measured.charged());
            assert!(held <= charged, "step {step}, {operation:?}: held {held}, charged {charged}");
        }
        measured.empty_again();
    }
}

#[test]
fn the_ordered_index_is_estimated() {
    let measured =
        Measured::new(Engine::builder().seed(1).shards(2).ordered_index(true), AllocatorModel::Glibc);
    for i in 0..20_000u32 {
        measured.subject.engine().set(format!("user:{i}"), "value").expect("there is no limit");
    }
    let (held, charged) = (measured.held(), measured.charged());
    let apart = held.abs_diff(charged);
    assert!(apart * 20 < held, "within 5 percent: held {held}, charged {charged}");
}

/// The fixed part covers what an engine holds before its first key.
#[test]
fn the_fixed_part_covers_an_empty_engine() {
    for (shards, databases) in [(1, 16), (256, 16), (64, 1_000)] {
        let before = CountingAllocator::held();
        let builder = Engine::builder().shards(shards).databases(databases).max_memory(64 << 20);
        let engine = builder.allocator_model(AllocatorModel::Glibc).build().expect("valid settings");
        let held = CountingAllocator::held().since(before).glibc;
        let fixed = engine.memory_usage().fixed;
        assert!(held <= fixed && fixed <= held + held / 4 + 20_000, "held {held}, fixed {fixed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_run_is_charged_to_the_byte(
        operations in exact().operations(400),
        choice in 0..14usize,
        glibc in any::<bool>(),
    ) {
        let model = MODELS[usize::from(glibc)];
        let (_, builder) = builders().swap_remove(choice % builders().len());
        let measured = Measured::new(builder, model);
        measured.run(&operations, 1);
        measured.empty_again();
    }
}
