//! Limits of encodings that change while there are collections: those follow when they change, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::{Encoding, EncodingLimits, Engine};

#[derive(Debug, Clone)]
enum Step {
    Limits {
        list: i32,
        others: u32,
        bytes: u32,
    },
    Add(u16),
    Remove(u16),
    /// Elements at the list's head are cut off, and one is overwritten.
    Cut(u8, u16),
}

fn step() -> impl Strategy<Value = Step> {
    let sizes = prop_oneof![Just(-5), Just(-2), Just(-1), Just(1), Just(3), Just(40)];
    prop_oneof![
        2 => (sizes, prop_oneof![Just(0_u32), 1..20_u32, Just(512)], prop_oneof![Just(0_u32), 4..12_u32, Just(64)])
            .prop_map(|(list, others, bytes)| Step::Limits { list, others, bytes }),
        12 => (0..400_u16).prop_map(Step::Add),
        3 => (0..400_u16).prop_map(Step::Remove),
        2 => (0..60_u8, 0..400_u16).prop_map(|(count, number)| Step::Cut(count, number)),
    ]
}

/// Some are integers, some are long.
fn text(number: u16) -> String {
    match number % 4 {
        0 | 1 => number.to_string(),
        2 => format!("element {number}"),
        _ => format!("{number:0>200}"),
    }
}

#[derive(Debug, Default)]
struct Model {
    list: Vec<String>,
    members: BTreeSet<String>,
    fields: BTreeMap<String, String>,
}

fn limits(list: i32, others: u32, bytes: u32) -> EncodingLimits {
    EncodingLimits {
        list_max_listpack_size: list,
        hash_max_listpack_entries: others,
        hash_max_listpack_value: bytes,
        set_max_intset_entries: others,
        set_max_listpack_entries: others,
        set_max_listpack_value: bytes,
        zset_max_listpack_entries: others,
        zset_max_listpack_value: bytes,
        ..EncodingLimits::default()
    }
}

impl Model {
    fn step(&mut self, engine: &Engine, step: &Step) {
        let (list, set) = (engine.list::<String>("l"), engine.set_of::<String>("s"));
        let (sorted, hash) = (engine.sorted_set::<String>("z"), engine.hash::<String, String>("h"));
        match step {
            Step::Limits { list, others, bytes } => {
                engine.set_encoding_limits(limits(*list, *others, *bytes));
            }
            Step::Add(number) => {
                let text = text(*number);
                list.push_back(&text).unwrap();
                set.add(&text).unwrap();
                sorted.add(&text, f64::from(number % 7)).unwrap();
                hash.set(&text, &text).unwrap();
                self.list.push(text.clone());
                self.members.insert(text.clone());
                self.fields.insert(text.clone(), text);
            }
            Step::Remove(number) => {
                let text = text(*number);
                let had = self.members.remove(&text);
                assert_eq!(set.remove(&text), Ok(had));
                assert_eq!(sorted.remove(&text), Ok(had));
                assert_eq!(hash.remove(&text), Ok(self.fields.remove(&text).is_some()));
                let before = self.list.len();
                self.list.retain(|element| *element != text);
                assert_eq!(list.remove(0, &text), Ok((before - self.list.len()) as u64));
            }
            Step::Cut(count, number) => {
                list.trim(i64::from(*count), -1).unwrap();
                self.list.drain(..usize::from(*count).min(self.list.len()));
                if let Some(last) = self.list.last_mut() {
                    *last = text(*number);
                    list.set(-1, &*last).unwrap();
                }
            }
        }
    }

    fn check(&self, engine: &Engine) {
        engine.validate();
        assert_eq!(engine.list::<String>("l").range(0, -1).unwrap(), self.list);
        for text in &self.members {
            assert_eq!(engine.set_of::<String>("s").contains(text), Ok(true));
            assert!(engine.sorted_set::<String>("z").score(text).unwrap().is_some());
        }
        for (field, value) in &self.fields {
            assert_eq!(engine.hash::<String, String>("h").get(field).unwrap().as_ref(), Some(value));
        }
        let count = self.members.len() as u64;
        assert_eq!(engine.set_of::<String>("s").len(), Ok(count));
        assert_eq!(engine.sorted_set::<String>("z").len(), Ok(count));
        assert_eq!(engine.hash::<String, String>("h").len(), Ok(self.fields.len() as u64));
    }
}

#[test]
fn collections_above_lowered_limits_stay_until_they_change() {
    let engine = Engine::builder().seed(1).build().unwrap();
    let mut model = Model::default();
    (0..24).for_each(|number| model.step(&engine, &Step::Add(4 * number)));
    let encodings = || ["l", "s", "z", "h"].map(|key| engine.encoding(key).unwrap().unwrap());
    let small = [Encoding::Listpack, Encoding::Intset, Encoding::Listpack, Encoding::Listpack];
    assert_eq!(encodings(), small);
    engine.set_encoding_limits(limits(4, 4, 64));
    assert_eq!(encodings(), small);
    model.check(&engine);
    model.step(&engine, &Step::Add(400));
    assert_eq!(
        encodings(),
        [Encoding::Quicklist, Encoding::Hashtable, Encoding::Skiplist, Encoding::Hashtable]
    );
    model.check(&engine);
    engine.set_encoding_limits(limits(-5, 512, 64));
    model.check(&engine);
    model.step(&engine, &Step::Cut(1, 8));
    model.step(&engine, &Step::Remove(400));
    model.check(&engine);
    let copy = engine.copy("l", &engine, "copy", false).unwrap();
    assert!(copy);
    model.check(&engine);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_lost_while_limits_change(steps in prop::collection::vec(step(), 1..150)) {
        let engine = Engine::builder().seed(1).shards(2).build().unwrap();
        let mut model = Model::default();
        for step in &steps {
            model.step(&engine, step);
            engine.validate();
        }
        model.check(&engine);
    }
}
