//! Bitmaps and HyperLogLogs against plain vectors, in every form a string has: small, roped, sparse, captured.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::collections::bits::combine::BitOperation;
use crate::{AllocatorModel, BitInteger, BitOverflow, BitRange, Engine, OpError, Value};

const KEYS: [&str; 3] = ["a", "b", "c"];
/// Longer strings are tried by name: a model keeps all of its zeros.
const BYTES_MAX: u64 = 300 * 1024;

#[derive(Debug, Clone)]
enum Step {
    Set(usize, u64, bool),
    Field(usize, Vec<(u8, u64, i64, BitOverflow)>),
    Combine(BitOperation, usize, Vec<usize>),
    Append(usize, Vec<u8>),
    SetRange(usize, u64, Vec<u8>),
    Whole(usize, Vec<u8>),
    Copy(usize, usize),
    Hold(usize),
    LetGo,
    Add(usize, Vec<u16>),
    Merge(usize, Vec<usize>),
}

fn offset() -> impl Strategy<Value = u64> {
    let near = |bytes: u64| bytes * 8 - 20..bytes * 8 + 20;
    prop_oneof![0..200_u64, near(4_096), near(8_192), near(65_536), near(73_728), 0..BYTES_MAX * 8]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        (any::<u8>(), 0..20_000_usize).prop_map(|(byte, len)| vec![byte; len]),
        (any::<u8>(), 60_000..150_000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    let overflow = prop_oneof![Just(BitOverflow::Wrap), Just(BitOverflow::Saturate), Just(BitOverflow::Fail)];
    let field = (1..=64_u8, offset(), any::<i64>(), overflow);
    let operation = prop_oneof![
        Just(BitOperation::And),
        Just(BitOperation::Or),
        Just(BitOperation::Xor),
        Just(BitOperation::Not),
        Just(BitOperation::Diff),
        Just(BitOperation::Diff1),
        Just(BitOperation::AndOr),
        Just(BitOperation::One),
    ];
    prop_oneof![
        8 => (key.clone(), offset(), any::<bool>()).prop_map(|(key, at, bit)| Step::Set(key, at, bit)),
        4 => (key.clone(), prop::collection::vec(field, 0..5)).prop_map(|(key, fields)| Step::Field(key, fields)),
        3 => (operation, key.clone(), prop::collection::vec(key.clone(), 1..4))
            .prop_map(|(operation, key, sources)| Step::Combine(operation, key, sources)),
        2 => (key.clone(), text()).prop_map(|(key, bytes)| Step::Append(key, bytes)),
        2 => (key.clone(), 0..BYTES_MAX, text()).prop_map(|(key, at, bytes)| Step::SetRange(key, at, bytes)),
        1 => (key.clone(), text()).prop_map(|(key, bytes)| Step::Whole(key, bytes)),
        1 => (key.clone(), key.clone()).prop_map(|(from, to)| Step::Copy(from, to)),
        2 => key.clone().prop_map(Step::Hold),
        1 => Just(Step::LetGo),
        2 => (key.clone(), prop::collection::vec(any::<u16>(), 0..40)).prop_map(|(key, all)| Step::Add(key, all)),
        1 => (key.clone(), prop::collection::vec(key, 0..3)).prop_map(|(key, sources)| Step::Merge(key, sources)),
    ]
}

/// Keys and their bytes.
#[derive(Debug, Default, Clone)]
struct Model(BTreeMap<usize, Vec<u8>>);

impl Model {
    fn bit(&self, key: usize, at: u64) -> bool {
        let at = usize::try_from(at).expect("small");
        let byte = self.0.get(&key).and_then(|bytes| bytes.get(at / 8));
        byte.is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)
    }

    fn grow(&mut self, key: usize, bytes: usize) -> &mut Vec<u8> {
        let value = self.0.entry(key).or_default();
        if value.len() < bytes {
            value.resize(bytes, 0);
        }
        value
    }

    fn set(&mut self, key: usize, at: u64, bit: bool) {
        let at = usize::try_from(at).expect("small");
        let byte = &mut self.grow(key, at / 8 + 1)[at / 8];
        let mask = 0x80 >> (at % 8);
        *byte = if bit { *byte | mask } else { *byte & !mask };
    }

    /// A signed number, bit by bit.
    fn load(&self, key: usize, at: u64, width: u8) -> i64 {
        let bits = (0..u64::from(width)).map(|i| self.bit(key, at + i));
        let raw = bits.fold(0_i128, |sum, bit| sum * 2 + i128::from(bit));
        let half = 1_i128 << (width - 1);
        i64::try_from(if raw >= half { raw - 2 * half } else { raw }).expect("at most 64 bits")
    }

    fn store(&mut self, key: usize, at: u64, width: u8, number: i64) {
        for i in 0..u64::from(width) {
            self.set(key, at + i, number >> (u64::from(width) - 1 - i) & 1 == 1);
        }
    }

    fn combine(&mut self, operation: BitOperation, target: usize, sources: &[usize]) -> u64 {
        let empty = Vec::new();
        let all: Vec<&Vec<u8>> = sources.iter().map(|key| self.0.get(key).unwrap_or(&empty)).collect();
        let len = all.iter().map(|bytes| bytes.len()).max().unwrap_or(0);
        let byte = |source: &Vec<u8>, at: usize| source.get(at).copied().unwrap_or(0);
        let made: Vec<u8> = (0..len)
            .map(|at| {
                let others = all[1..].iter().fold(0, |any, source| any | byte(source, at));
                let first = byte(all[0], at);
                match operation {
                    BitOperation::And => all.iter().fold(0xff, |both, source| both & byte(source, at)),
                    BitOperation::Or => first | others,
                    BitOperation::Xor => all.iter().fold(0, |odd, source| odd ^ byte(source, at)),
                    BitOperation::Not => !first,
                    BitOperation::Diff => first & !others,
                    BitOperation::Diff1 => others & !first,
                    BitOperation::AndOr => first & others,
                    BitOperation::One => (0..8)
                        .map(|bit| 1 << bit)
                        .filter(|mask| all.iter().filter(|source| byte(source, at) & mask != 0).count() == 1)
                        .sum(),
                }
            })
            .collect();
        if made.is_empty() {
            self.0.remove(&target)
        } else {
            self.0.insert(target, made)
        };
        len as u64
    }
}

struct World {
    engine: Engine,
    follower: Engine,
    model: Model,
    held: Vec<(Value, Vec<u8>)>,
}

impl World {
    fn new(model: AllocatorModel) -> Self {
        let engine = Engine::builder().seed(1).shards(2).allocator_model(model).record_effects(true).build();
        Self {
            engine: engine.expect("valid settings"),
            follower: Engine::builder().shards(1).build().expect("valid settings"),
            model: Model::default(),
            held: Vec::new(),
        }
    }

    fn apply(&mut self, step: Step) {
        let (engine, model) = (&self.engine, &mut self.model);
        match step {
            Step::Set(key, at, bit) => {
                let was = engine.bitmap(KEYS[key]).set(at, bit).expect("never refused");
                assert_eq!(was, model.bit(key, at));
                model.set(key, at, bit);
            }
            Step::Field(key, fields) => fields_step(engine, model, key, &fields),
            Step::Combine(operation, target, sources) => {
                let names: Vec<&str> = sources.iter().map(|&key| KEYS[key]).collect();
                let got = engine.bitmap(KEYS[target]).combine(operation, &names);
                if operation.takes(names.len()) {
                    assert_eq!(got, Ok(model.combine(operation, target, &sources)));
                } else {
                    assert!(matches!(got, Err(OpError::InvalidArgument(_))));
                }
            }
            Step::Append(key, bytes) => {
                engine.append(KEYS[key], &bytes).expect("never refused");
                model.grow(key, 0).extend(bytes);
            }
            Step::SetRange(key, at, bytes) => {
                engine.set_range(KEYS[key], at, &bytes).expect("never refused");
                let at = usize::try_from(at).expect("small");
                if !bytes.is_empty() {
                    model.grow(key, at + bytes.len())[at..at + bytes.len()].copy_from_slice(&bytes);
                }
            }
            Step::Whole(key, bytes) => {
                engine.set(KEYS[key], &bytes).expect("never refused");
                model.0.insert(key, bytes);
            }
            Step::Copy(from, to) => {
                engine.copy(KEYS[from], engine, KEYS[to], true).ok();
                if let Some(bytes) = model.0.get(&from).cloned() {
                    model.0.insert(to, bytes);
                }
            }
            Step::Hold(key) => {
                if let Some(value) = engine.get(KEYS[key]).expect("a string") {
                    self.held.push((value, model.0[&key].clone()));
                }
            }
            Step::LetGo => self.held.clear(),
            Step::Add(key, elements) => {
                let log = engine.hyperloglog::<u16>(KEYS[key]);
                let before = log.registers();
                let added = log.add_all(&elements);
                match before {
                    Ok(before) => {
                        let after = log.registers().expect("a sound one").expect("it was made");
                        let rose = before.is_none_or(|before| before != after);
                        assert_eq!(added, Ok(rose));
                        assert_eq!(log.count_union::<&str>(&[]), log.count(), "cached or not");
                    }
                    // Bits that were set by hand may make it corrupt where no addition looks.
                    Err(OpError::CorruptHyperLogLog { .. }) if added.is_ok() => {}
                    Err(refused) => assert_eq!(added, Err(refused)),
                }
                self.reread(key);
            }
            Step::Merge(key, sources) => {
                let names: Vec<&str> = sources.iter().map(|&key| KEYS[key]).collect();
                let log = engine.hyperloglog::<u16>(KEYS[key]);
                let expected = log.count_union(&names);
                match log.merge(&names) {
                    Ok(()) => assert_eq!(log.count(), expected),
                    Err(refused) => assert_eq!(expected, Err(refused)),
                }
                self.reread(key);
            }
        }
    }

    /// The bytes of HyperLogLogs are tested beside their code; here they are taken as they are.
    fn reread(&mut self, key: usize) {
        match self.engine.get(KEYS[key]).expect("a string") {
            Some(value) => self.model.0.insert(key, value.to_vec()),
            None => self.model.0.remove(&key),
        };
    }

    fn check(&self, range: BitRange) {
        self.engine.validate();
        for effect in self.engine.take_effects() {
            self.follower.apply(&effect).expect("never refused");
        }
        for (key, name) in KEYS.iter().enumerate() {
            let expected = self.model.0.get(&key);
            for engine in [&self.engine, &self.follower] {
                let got = engine.get(name).expect("a string");
                assert!(got.as_deref() == expected.map(Vec::as_slice), "{name}");
            }
            let bytes = expected.map_or(&[][..], Vec::as_slice);
            assert_eq!(self.engine.strlen(name), Ok(bytes.len() as u64));
            let bitmap = self.engine.bitmap(*name);
            let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
            assert_eq!(bitmap.count(), Ok(u64::from(ones)));
            let flat = Engine::new();
            if expected.is_some() {
                // The same bytes in one piece; ranges over one piece are tested beside the pure functions.
                flat.set("flat", bytes).expect("never refused");
            }
            assert_eq!(bitmap.count_in(range), flat.bitmap("flat").count_in(range));
            for bit in [false, true] {
                assert_eq!(bitmap.position_in(bit, range), flat.bitmap("flat").position_in(bit, range));
            }
        }
        for (value, expected) in &self.held {
            assert!(value.as_bytes() == expected, "what a reader holds never changes");
        }
    }
}

fn fields_step(engine: &Engine, model: &mut Model, key: usize, fields: &[(u8, u64, i64, BitOverflow)]) {
    let bitmap = engine.bitmap(KEYS[key]);
    let mut call = bitmap.fields();
    let mut expected = Vec::new();
    let writes = fields.iter().map(|&(width, at, ..)| (at + u64::from(width)).div_ceil(8)).max();
    if let Some(bytes) = writes {
        model.grow(key, usize::try_from(bytes).expect("small"));
    }
    for &(width, at, number, overflow) in fields {
        let kind = BitInteger::signed(width).expect("1 to 64 bits");
        call = call.overflow(overflow).increment(kind, at, number).get(kind, at);
        let (half, sum) =
            (1_i128 << (width - 1), i128::from(model.load(key, at, width)) + i128::from(number));
        let fits = (-half..half).contains(&sum);
        let new = match overflow {
            _ if fits => Some(sum),
            BitOverflow::Wrap => Some((sum + half).rem_euclid(2 * half) - half),
            BitOverflow::Saturate => Some(sum.clamp(-half, half - 1)),
            BitOverflow::Fail => None,
        };
        let new = new.map(|new| i64::try_from(new).expect("at most 64 bits"));
        if let Some(new) = new {
            model.store(key, at, width, new);
        }
        expected.extend([new, Some(model.load(key, at, width))]);
    }
    assert_eq!(call.run().expect("never refused"), expected);
}

fn range() -> impl Strategy<Value = BitRange> {
    let near = || prop_oneof![-300..300_i64, -600_000..600_000_i64, any::<i64>()];
    prop_oneof![
        (near(), near()).prop_map(|(start, end)| BitRange::bytes(start, end)),
        (near(), near()).prop_map(|(start, end)| BitRange::bits(start, end)),
        near().prop_map(BitRange::bytes_from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn strings_of_every_form_behave_like_vectors(
        steps in prop::collection::vec((step(), range()), 1..20),
        glibc: bool,
    ) {
        let mut world =
            World::new(if glibc { AllocatorModel::Glibc } else { AllocatorModel::Requested });
        for (step, range) in steps {
            world.apply(step);
            world.check(range);
        }
    }
}

#[test]
fn a_far_bit_costs_little_and_is_found() {
    let engine = Engine::builder().record_effects(true).build().unwrap();
    let bitmap = engine.bitmap("k");
    assert_eq!(bitmap.set(4_294_967_295, true), Ok(false));
    assert_eq!(bitmap.set(4_294_967_295, true), Ok(true));
    assert!(engine.entry_bytes("k").unwrap().unwrap() < 20_000);
    assert_eq!(engine.strlen("k"), Ok(512 * 1024 * 1024));
    assert_eq!((bitmap.count(), bitmap.get(4_294_967_295), bitmap.get(7)), (Ok(1), Ok(true), Ok(false)));
    assert_eq!(bitmap.position(true), Ok(Some(4_294_967_295)));
    assert_eq!(bitmap.position(false), Ok(Some(0)));
    assert_eq!(engine.get_range("k", -1, -1).unwrap(), [1]);
    assert_eq!(engine.bitmap("or").combine(BitOperation::Or, &["k", "none"]), Ok(512 * 1024 * 1024));
    assert_eq!(engine.bitmap("or").position(true), Ok(Some(4_294_967_295)));
    assert!(engine.entry_bytes("or").unwrap().unwrap() < 20_000, "what no source has is not written");
    assert!(matches!(bitmap.set(4_294_967_296, true), Err(OpError::OutOfRange { .. })));
    assert!(matches!(engine.append("k", "x"), Err(OpError::ValueTooLong { .. })));
    engine.validate();
    let follower = Engine::new();
    for effect in engine.take_effects() {
        follower.apply(&effect).unwrap();
    }
    assert!(follower.entry_bytes("k").unwrap().unwrap() < 20_000);
    assert!(follower.entry_bytes("or").unwrap().unwrap() < 20_000);
    assert_eq!(follower.bitmap("or").position(true), Ok(Some(4_294_967_295)));
}

#[test]
fn the_tutorials_come_out_the_same() {
    let engine = Engine::new();
    let bitmap = engine.bitmap("bits");
    for at in [0, 2, 5] {
        bitmap.set(at, true).unwrap();
    }
    assert_eq!(bitmap.count(), Ok(3));
    let (one, two) = (engine.hyperloglog::<String>("hll1"), engine.hyperloglog::<String>("hll2"));
    one.add_all(["a", "b", "c"]).unwrap();
    two.add_all(["b", "c", "d", "e"]).unwrap();
    assert_eq!((one.count(), two.count()), (Ok(3), Ok(4)));
    engine.hyperloglog::<String>("both").merge(&["hll1", "hll2"]).unwrap();
    assert_eq!(engine.hyperloglog::<String>("both").count(), Ok(5));
    assert_eq!(one.count_union(&["hll2"]), Ok(5));
}

#[test]
fn other_types_are_refused() {
    let engine = Engine::new();
    engine.list::<String>("list").push_back("x").unwrap();
    let wrong = |result: Result<u64, OpError>| assert!(matches!(result, Err(OpError::WrongType { .. })));
    wrong(engine.bitmap("list").count());
    wrong(engine.bitmap("list").set(1, true).map(u64::from));
    wrong(engine.bitmap("list").fields().get(BitInteger::U8, 0).run().map(|_| 0));
    wrong(engine.bitmap("new").combine(BitOperation::Or, &["list"]));
    wrong(engine.hyperloglog::<u8>("list").add(1).map(u64::from));
    wrong(engine.hyperloglog::<u8>("list").count());
    wrong(engine.hyperloglog::<u8>("new").merge(&["list"]).map(|()| 0));
    engine.set("text", "no log").unwrap();
    let refused = engine.hyperloglog::<u8>("text").add(1);
    assert_eq!(refused, Err(OpError::NotHyperLogLog { key: (*b"text").into() }));
    assert_eq!(engine.get("text").unwrap().unwrap(), "no log");
    // The first key that is refused is told.
    let union = engine.hyperloglog::<u8>("text").count_union(&["list"]);
    assert_eq!(union, Err(OpError::NotHyperLogLog { key: (*b"text").into() }));
}

#[test]
fn expiry_stays_with_changes_and_goes_with_combinations() {
    use crate::{SetOptions, Ttl};
    let engine = Engine::new();
    let minute = || SetOptions::new().ttl(std::time::Duration::from_secs(60));
    let expires = |key: &str| matches!(engine.ttl(key), Ok(Ttl::After(_)));
    engine.set_with("k", "abc", minute()).unwrap();
    engine.bitmap("k").set(100_000, true).unwrap();
    assert!(expires("k"));
    engine.bitmap("k").combine(BitOperation::Or, &["k"]).unwrap();
    assert!(!expires("k"), "BITOP stores as SET does");
    engine.hyperloglog::<u8>("log").add(1).unwrap();
    engine.expire("log", std::time::Duration::from_secs(60)).unwrap();
    engine.hyperloglog::<u8>("log").merge(&["log"]).unwrap();
    assert!(expires("log"), "PFMERGE changes what is there");
}

#[test]
fn decoded_objects_are_strings_too() {
    let engine = Engine::new();
    engine.typed::<String>().set("s", "foobar".to_owned()).unwrap();
    assert_eq!(engine.bitmap("s").count(), Ok(26));
    assert_eq!(engine.bitmap("s").set(0, true), Ok(false));
    assert_eq!(engine.get("s").unwrap().unwrap(), b"\xe6oobar");
    engine.typed::<String>().set("t", "abcdef".to_owned()).unwrap();
    assert_eq!(engine.bitmap("both").combine(BitOperation::And, &["t", "t"]), Ok(6));
    assert_eq!(engine.get("both").unwrap().unwrap(), "abcdef");
}
