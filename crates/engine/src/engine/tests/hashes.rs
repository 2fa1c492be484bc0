//! Hashes through their handle, beside a map that knows the time; deadlines of fields; effects.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use crate::{
    At, Budget, EncodingLimits, Engine, ExpireCondition, Expiry, FieldExpiry, FieldPersist, FieldSetOptions,
    FieldTtl, Hash, ManualClock, OpError, ScanOptions, Ttl, UnixMillis,
};

const START: u64 = 1_700_000_000_000;
const KEY: &str = "h";

type Fields = BTreeMap<String, (String, Option<u64>)>;

#[derive(Debug, Clone)]
enum Op {
    Set(Vec<(String, String)>),
    SetIfAbsent(String, String),
    Remove(Vec<String>),
    Take(String),
    IncrBy(String, i64),
    IncrByFloat(String, String),
    Expire(Vec<String>, Expiry, ExpireCondition),
    Persist(String),
    GetAndExpire(Vec<String>, FieldTtl),
    SetWith { pairs: Vec<(String, String)>, none: bool, all: bool, keep: bool, expiry: Option<Expiry> },
    Advance(u64),
    Maintain,
    DeleteKey,
}

fn field() -> impl Strategy<Value = String> {
    (0_u8..12).prop_map(|n| format!("f{n}"))
}

fn fields() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(field(), 1..4)
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-100_i64..100).prop_map(|n| n.to_string()),
        2 => "[a-z]{0,12}",
        1 => Just("9223372036854775807".to_owned()),
        1 => Just("x".repeat(80)),
    ]
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::vec((field(), value()), 1..4)
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        4 => (0_u64..200).prop_map(|ms| Expiry::After(Duration::from_millis(ms))),
        1 => (START - 10..START + 500).prop_map(|at| Expiry::At(UnixMillis(at))),
        1 => Just(Expiry::At(UnixMillis::MAX)),
        1 => Just(Expiry::After(Duration::MAX)),
    ]
}

fn condition() -> impl Strategy<Value = ExpireCondition> {
    prop_oneof![
        3 => Just(ExpireCondition::Always),
        1 => Just(ExpireCondition::IfNone),
        1 => Just(ExpireCondition::IfAny),
        1 => Just(ExpireCondition::IfLater),
        1 => Just(ExpireCondition::IfEarlier),
        1 => Just(ExpireCondition::IfAnyEarlier),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let ttl = prop_oneof![
        1 => Just(FieldTtl::Keep),
        1 => Just(FieldTtl::Never),
        2 => expiry().prop_map(FieldTtl::Expire),
    ];
    prop_oneof![
        6 => pairs().prop_map(Op::Set),
        2 => (field(), value()).prop_map(|(field, value)| Op::SetIfAbsent(field, value)),
        3 => fields().prop_map(Op::Remove),
        1 => field().prop_map(Op::Take),
        2 => (field(), any::<i64>()).prop_map(|(field, by)| Op::IncrBy(field, by)),
        2 => (field(), prop_oneof![Just("0.5"), Just("-3"), Just("inf"), Just("x")])
            .prop_map(|(field, by)| Op::IncrByFloat(field, by.to_owned())),
        6 => (fields(), expiry(), condition()).prop_map(|(fields, expiry, when)| Op::Expire(fields, expiry, when)),
        2 => field().prop_map(Op::Persist),
        2 => (fields(), ttl).prop_map(|(fields, ttl)| Op::GetAndExpire(fields, ttl)),
        3 => (pairs(), any::<[bool; 3]>(), proptest::option::of(expiry())).prop_map(
            |(pairs, [none, all, keep], expiry)| Op::SetWith { pairs, none, all: all && !none, keep, expiry }
        ),
        3 => (1_u64..150).prop_map(Op::Advance),
        1 => Just(Op::Maintain),
        1 => Just(Op::DeleteKey),
    ]
}

/// The map, and what time it is.
struct Model {
    fields: Fields,
    now: u64,
}

impl Model {
    fn deadline(&self, expiry: Expiry) -> Result<u64, OpError> {
        let at = match expiry {
            Expiry::At(at) => Some(at.0),
            Expiry::After(span) => {
                u64::try_from(span.as_millis()).ok().and_then(|ms| ms.checked_add(self.now))
            }
        };
        at.filter(|&at| at <= UnixMillis::MAX.0).ok_or(OpError::InvalidExpiry)
    }

    fn put(&mut self, field: &str, value: &str, at: Option<u64>) -> bool {
        if at.is_some_and(|at| at <= self.now) {
            self.fields.remove(field);
            return false;
        }
        self.fields.insert(field.to_owned(), (value.to_owned(), at)).is_none()
    }

    fn expire(&mut self, field: &str, at: u64, condition: ExpireCondition) -> FieldExpiry {
        let Some((_, old)) = self.fields.get_mut(field) else { return FieldExpiry::NoField };
        let admitted = match (condition, *old) {
            (ExpireCondition::Always, _) => true,
            (ExpireCondition::IfNone, old) => old.is_none(),
            (ExpireCondition::IfAny, old) => old.is_some(),
            (ExpireCondition::IfLater, Some(old)) => at > old,
            (ExpireCondition::IfLater | ExpireCondition::IfAnyEarlier, None) => false,
            (ExpireCondition::IfEarlier, None) => true,
            (ExpireCondition::IfEarlier | ExpireCondition::IfAnyEarlier, Some(old)) => at < old,
        };
        if !admitted {
            return FieldExpiry::Unmet;
        }
        *old = Some(at);
        if at <= self.now {
            self.fields.remove(field);
            return FieldExpiry::Deleted;
        }
        FieldExpiry::Set
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        let now = self.now;
        self.fields.retain(|_, (_, at)| at.is_none_or(|at| at > now));
    }
}

struct World {
    engine: Engine,
    follower: Engine,
    clock: ManualClock,
    model: Model,
}

impl World {
    fn new(limits: EncodingLimits) -> Self {
        let clock = ManualClock::new(UnixMillis(START));
        let builder = || Engine::builder().clock(clock.clone()).seed(3).encoding_limits(limits);
        let engine = builder().record_effects(true).build().unwrap();
        let follower = builder().build().unwrap();
        Self { engine, follower, model: Model { fields: Fields::new(), now: START }, clock }
    }

    fn hash(&self) -> Hash<String, String, At<'_>> {
        self.engine.hash(KEY)
    }

    fn run(&mut self, op: &Op) {
        let engine = self.engine.clone();
        let hash: Hash<String, String, _> = engine.hash(KEY);
        let model = &mut self.model;
        match op {
            Op::Set(pairs) => {
                let mut created = 0;
                for (field, value) in pairs {
                    created += u64::from(model.put(field, value, None));
                }
                assert_eq!(hash.set_many(pairs.iter().map(|(f, v)| (f, v))), Ok(created));
            }
            Op::SetIfAbsent(field, value) => {
                let absent = !model.fields.contains_key(field);
                if absent {
                    model.put(field, value, None);
                }
                assert_eq!(hash.set_if_absent(field, value), Ok(absent));
            }
            Op::Remove(fields) => {
                let removed = fields.iter().filter(|&field| model.fields.remove(field).is_some()).count();
                assert_eq!(hash.remove_many(fields), Ok(removed as u64));
            }
            Op::Take(field) => {
                assert_eq!(hash.take(field), Ok(model.fields.remove(field).map(|(value, _)| value)));
            }
            Op::IncrBy(field, by) => {
                let old = model.fields.get(field).cloned().unwrap_or(("0".to_owned(), None));
                let sum = match old.0.parse::<i64>() {
                    Err(_) => Err(OpError::NotAnInteger),
                    Ok(number) => number.checked_add(*by).ok_or(OpError::Overflow),
                };
                if let Ok(sum) = sum {
                    model.put(field, &sum.to_string(), old.1);
                }
                assert_eq!(hash.incr_by(field, *by), sum);
            }
            Op::IncrByFloat(field, by) => self.incr_by_float(field, by),
            Op::Expire(fields, expiry, condition) => {
                let told = model.deadline(*expiry).map(|at| {
                    fields.iter().map(|field| model.expire(field, at, *condition)).collect::<Vec<_>>()
                });
                assert_eq!(hash.expire(fields, *expiry, *condition), told);
            }
            Op::Persist(field) => {
                let told = match model.fields.get_mut(field).map(|(_, at)| at.take()) {
                    None => FieldPersist::NoField,
                    Some(None) => FieldPersist::NoDeadline,
                    Some(Some(_)) => FieldPersist::Persisted,
                };
                assert_eq!(hash.persist([field]), Ok(vec![told]));
            }
            Op::GetAndExpire(fields, ttl) => self.get_and_expire(fields, *ttl),
            Op::SetWith { pairs, none, all, keep, expiry } => {
                self.set_with(pairs, [*none, *all, *keep], *expiry)
            }
            Op::Advance(ms) => {
                self.clock.advance(Duration::from_millis(*ms));
                model.pass(*ms);
            }
            Op::Maintain => while self.engine.maintain(Budget::default()).due {},
            Op::DeleteKey => {
                engine.remove(KEY).unwrap();
                model.fields.clear();
            }
        }
    }

    fn incr_by_float(&mut self, field: &String, by: &str) {
        let told = self.hash().incr_by_float(field, by);
        if !["0.5", "-3"].contains(&by) {
            assert!(matches!(told, Err(OpError::InvalidArgument(_))));
            return;
        }
        let old = self.model.fields.get(field).cloned().unwrap_or(("0".to_owned(), None));
        // Small numbers are exact in f64 as well.
        let exact = old.0.parse::<f64>().ok().filter(|number| number.abs() < 1e15);
        match (exact, told) {
            (Some(number), told) => {
                let sum = number + by.parse::<f64>().unwrap();
                assert_eq!(told.unwrap(), sum.to_string().as_str());
                self.model.put(field, &sum.to_string(), old.1);
            }
            (None, Ok(text)) => {
                let text = String::from_utf8(text.as_bytes().to_vec()).unwrap();
                self.model.put(field, &text, old.1);
            }
            (None, Err(error)) => assert!(matches!(error, OpError::NotAFloat | OpError::Overflow), "{error}"),
        }
    }

    fn get_and_expire(&mut self, fields: &[String], ttl: FieldTtl) {
        let told = self.hash().get_and_expire(fields, ttl);
        let model = &mut self.model;
        let deadline = match ttl {
            FieldTtl::Expire(expiry) => Some(model.deadline(expiry)),
            FieldTtl::Keep | FieldTtl::Never => None,
        };
        if let Some(Err(error)) = deadline {
            assert_eq!(told, Err(error));
            return;
        }
        let mut values = Vec::new();
        for field in fields {
            values.push(model.fields.get(field).map(|(value, _)| value.clone()));
            match (ttl, &deadline) {
                (FieldTtl::Never, _) => {
                    model.fields.entry(field.clone()).and_modify(|(_, at)| *at = None);
                }
                (_, Some(Ok(at))) => {
                    model.expire(field, *at, ExpireCondition::Always);
                }
                _ => {}
            }
        }
        assert_eq!(told, Ok(values));
    }

    fn set_with(&mut self, pairs: &[(String, String)], [none, all, keep]: [bool; 3], expiry: Option<Expiry>) {
        let mut options = FieldSetOptions::new();
        if none {
            options = options.if_none_exists();
        }
        if all {
            options = options.if_all_exist();
        }
        if keep {
            options = options.keep_ttl();
        }
        if let Some(expiry) = expiry {
            options = options.expire(expiry);
        }
        let told = self.hash().set_with(pairs.iter().map(|(f, v)| (f, v)), options);
        let model = &mut self.model;
        let at = match expiry.map(|expiry| model.deadline(expiry)).transpose() {
            Ok(at) => at,
            Err(error) => {
                assert_eq!(told, Err(error));
                return;
            }
        };
        let exists = |field: &String| model.fields.contains_key(field);
        let met =
            !(none && pairs.iter().any(|(f, _)| exists(f)) || all && !pairs.iter().all(|(f, _)| exists(f)));
        assert_eq!(told, Ok(met));
        if met {
            for (field, value) in pairs {
                let kept = model.fields.get(field).and_then(|(_, at)| *at);
                model.put(field, value, if keep { kept } else { at });
            }
        }
    }

    fn check(&self) {
        let (hash, model) = (self.hash(), &self.model);
        self.engine.validate();
        assert_eq!(hash.len(), Ok(model.fields.len() as u64));
        let walked: BTreeMap<_, _> = hash.iter().unwrap().map(Result::unwrap).collect();
        let expected: BTreeMap<_, _> =
            model.fields.iter().map(|(f, (v, _))| (f.clone(), v.clone())).collect();
        assert_eq!(walked, expected);
        assert_eq!(hash.iter().unwrap().len(), expected.len());
        let page = hash.scan(0, &ScanOptions::new().count(1_000)).unwrap();
        assert_eq!(page.entries.into_iter().collect::<BTreeMap<_, _>>(), expected);
        let all: Vec<String> = (0..12).map(|n| format!("f{n}")).collect();
        let times = all.iter().map(|f| model.fields.get(f).map(|(_, at)| at.map(UnixMillis)));
        assert_eq!(hash.expire_times(&all), Ok(times.collect()));
        assert_eq!(hash.get_many(&all), Ok(all.iter().map(|f| expected.get(f).cloned()).collect()));
        for field in &all {
            assert_eq!(hash.get(field), Ok(expected.get(field).cloned()));
            assert_eq!(hash.contains(field), Ok(expected.contains_key(field)));
            assert_eq!(hash.value_len(field), Ok(expected.get(field).map_or(0, |value| value.len() as u64)));
        }
        let drawn = hash.random().unwrap();
        assert_eq!(drawn.is_none(), expected.is_empty());
        assert!(drawn.is_none_or(|(field, value)| expected[&field] == value));
        let some: BTreeMap<_, _> = hash.random_many(5).unwrap().into_iter().collect();
        assert_eq!(some.len(), expected.len().min(5));
        assert!(some.iter().all(|(field, value)| expected[field] == *value));
        let repeated: Vec<_> = hash.random_repeating().unwrap().take(7).map(Result::unwrap).collect();
        assert_eq!(repeated.len(), if expected.is_empty() { 0 } else { 7 });
        assert!(repeated.iter().all(|(field, value)| expected[field] == *value));
        for effect in self.engine.take_effects() {
            self.follower.apply(&effect).unwrap();
        }
        assert_eq!(self.follower.state_digest(), self.engine.state_digest(), "P3");
        self.follower.validate();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn hashes_behave_as_maps_that_know_the_time(
        ops in proptest::collection::vec(op(), 1..50),
        entries in prop_oneof![Just(0), Just(6), Just(512)],
    ) {
        let limits = EncodingLimits { hash_max_listpack_entries: entries, ..EncodingLimits::default() };
        let mut world = World::new(limits);
        for op in &ops {
            world.run(op);
            world.check();
        }
        while world.engine.maintain(Budget::default()).due {}
        world.check();
        prop_assert_eq!(world.engine.exists(KEY), Ok(!world.model.fields.is_empty()));
    }
}

fn engine() -> (Engine, ManualClock) {
    let clock = ManualClock::new(UnixMillis(START));
    let engine = Engine::builder().clock(clock.clone()).seed(1).record_effects(true).build().unwrap();
    (engine, clock)
}

#[test]
fn maintenance_takes_out_many_fields_and_then_the_key() {
    let (engine, clock) = engine();
    let hash = engine.hash::<u32, u32>(KEY);
    let count = 20_000_u32;
    for n in 0..count {
        let after = Duration::from_millis(1_000 + u64::from(n % 4) * 1_000);
        hash.set_with([(n, n)], FieldSetOptions::new().expire(after)).unwrap();
    }
    hash.set(count, 0).unwrap();
    let charged = engine.memory_usage().blobs;
    for quarter in 1..=4 {
        clock.advance(Duration::from_secs(1));
        let left = u64::from(count) * (4 - quarter) / 4 + 1;
        assert_eq!(hash.len(), Ok(left), "before maintenance");
        while engine.maintain(Budget::default()).due {}
        assert_eq!(hash.iter().unwrap().len() as u64, left);
        engine.validate();
    }
    assert!(engine.memory_usage().blobs < charged / 100, "the bytes came back");
    hash.expire([count], Duration::from_millis(1), ExpireCondition::Always).unwrap();
    clock.advance(Duration::from_millis(1));
    while engine.maintain(Budget::default()).due {}
    assert_eq!((engine.exists(KEY), engine.len()), (Ok(false), Ok(0)));
    let follower = Engine::new();
    engine.take_effects().iter().for_each(|effect| follower.apply(effect).unwrap());
    assert_eq!(follower.len(), Ok(0), "every removal was recorded");
}

#[test]
fn a_field_is_served_until_its_deadline_and_not_at_it() {
    for entries in [0, 512] {
        let clock = ManualClock::new(UnixMillis(START));
        let limits = EncodingLimits { hash_max_listpack_entries: entries, ..EncodingLimits::default() };
        let engine = Engine::builder().clock(clock.clone()).encoding_limits(limits).build().unwrap();
        let hash = engine.hash::<String, String>(KEY);
        hash.set_many([("a", "1"), ("b", "2")]).unwrap();
        hash.expire(["a"], Duration::from_millis(10), ExpireCondition::Always).unwrap();
        clock.advance(Duration::from_millis(9));
        assert_eq!(hash.ttl("a"), Ok(Ttl::After(Duration::from_millis(1))));
        assert_eq!((hash.get("a"), hash.len()), (Ok(Some("1".to_owned())), Ok(2)));
        clock.advance(Duration::from_millis(1));
        assert_eq!((hash.ttl("a"), hash.get("a"), hash.len()), (Ok(Ttl::Absent), Ok(None), Ok(1)));
        assert_eq!((hash.ttl("b"), hash.ttl("c")), (Ok(Ttl::Never), Ok(Ttl::Absent)));
        assert_eq!(hash.incr_by("a", 5), Ok(5), "a dead field counts as absent");
        assert_eq!(hash.ttl("a"), Ok(Ttl::Never), "and its deadline is gone with it");
    }
}

#[test]
fn writes_treat_deadlines_as_redis_does() {
    let (engine, _) = engine();
    let hash = engine.hash::<String, String>(KEY);
    let minute = Duration::from_secs(60);
    let set = |field: &'static str| hash.set_with([(field, "1")], FieldSetOptions::new().expire(minute));
    for field in ["set", "incr", "float", "nx", "keep", "plain"] {
        set(field).unwrap();
    }
    hash.set("set", "2").unwrap();
    hash.incr_by("incr", 1).unwrap();
    hash.incr_by_float("float", "1.5").unwrap();
    assert_eq!(hash.set_if_absent("nx", "2"), Ok(false));
    hash.set_with([("keep", "2")], FieldSetOptions::new().keep_ttl()).unwrap();
    hash.set_with([("plain", "2")], FieldSetOptions::new()).unwrap();
    let ttl = |field: &'static str| hash.ttl(field).unwrap();
    assert_eq!([ttl("set"), ttl("plain")], [Ttl::Never; 2]);
    assert_eq!([ttl("incr"), ttl("float"), ttl("nx"), ttl("keep")], [Ttl::After(minute); 4]);
}

#[test]
fn a_walk_sees_the_moment_in_which_it_began() {
    for count in [10_u32, 5_000] {
        let (engine, clock) = engine();
        let hash = engine.hash::<u32, u32>(KEY).into_owned();
        hash.set_many((0..count).map(|n| (n, n))).unwrap();
        hash.expire([0, 1], Duration::from_millis(5), ExpireCondition::Always).unwrap();
        let walk = hash.iter().unwrap();
        let fields = hash.fields().unwrap();
        let mut raw = hash.iter().unwrap();
        hash.set_many((0..2 * count).map(|n| (n, n + 1))).unwrap();
        clock.advance(Duration::from_millis(10));
        engine.remove(KEY).unwrap();
        let mut seen: Vec<_> = walk.map(Result::unwrap).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq((0..count).map(|n| (n, n))));
        assert_eq!(fields.len(), count as usize);
        assert_eq!(hash.values().unwrap().count(), 0);
        let first =
            raw.next_with(|field, value| (Bytes::copy_from_slice(field), Bytes::copy_from_slice(value)));
        assert_eq!(first.map(|(field, value)| field == value), Some(true));
    }
}

#[test]
fn other_types_are_refused_and_left_alone() {
    let (engine, _) = engine();
    engine.set(KEY, "text").unwrap();
    let hash = engine.hash::<String, String>(KEY);
    let wrong = OpError::wrong_type(KEY.as_bytes(), crate::ValueType::Hash, crate::ValueType::String);
    assert_eq!(hash.get("a"), Err(wrong.clone()));
    assert_eq!(hash.set("a", "b"), Err(wrong.clone()));
    assert_eq!(hash.remove("a"), Err(wrong.clone()));
    assert_eq!(hash.incr_by("a", 1), Err(wrong.clone()));
    assert_eq!(hash.expire(["a"], Duration::ZERO, ExpireCondition::Always), Err(wrong.clone()));
    assert_eq!(hash.iter().map(|_| ()), Err(wrong));
    assert_eq!(engine.get(KEY).unwrap().unwrap(), "text");
    assert_eq!(engine.hash::<String, u8>("n").get("a"), Ok(None));
    engine.hash::<String, String>("n").set("a", "no number").unwrap();
    let refused = engine.hash::<String, u8>("n").get("a");
    assert!(matches!(&refused, Err(OpError::Codec { key, .. }) if **key == *b"n"), "{refused:?}");
}

#[test]
fn deadlines_go_with_copies_moves_and_effects() {
    let (engine, clock) = engine();
    let follower = Engine::builder().clock(clock.clone()).build().unwrap();
    for count in [4_u32, 2_000] {
        let name = |what: &str| format!("{what}:{count}");
        let hash = engine.hash::<u32, u32>(name("source"));
        hash.set_many((0..count).map(|n| (n, n))).unwrap();
        hash.expire(0..count - 1, Duration::from_millis(10), ExpireCondition::Always).unwrap();
        engine.copy(name("source"), &engine, name("copy"), false).unwrap();
        engine.rename(name("source"), name("renamed")).unwrap();
        engine.take_effects().iter().for_each(|effect| follower.apply(effect).unwrap());
        clock.advance(Duration::from_millis(10));
        for engine in [&engine, &follower] {
            while engine.maintain(Budget::default()).due {}
            engine.validate();
        }
        engine.take_effects().iter().for_each(|effect| follower.apply(effect).unwrap());
        for engine in [&engine, &follower] {
            for key in [name("copy"), name("renamed")] {
                let left: Vec<_> =
                    engine.hash::<u32, u32>(&key).iter().unwrap().map(Result::unwrap).collect();
                assert_eq!(left, [(count - 1, count - 1)], "{key}");
            }
        }
        assert_eq!(engine.state_digest(), follower.state_digest());
    }
}
