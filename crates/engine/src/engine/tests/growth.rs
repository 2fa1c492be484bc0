//! Strings that grow: across the inline limit, across chunks, with readers that hold what they read.

use crate::{CacheOptions, Engine, OpError, Origin, Value};

#[test]
fn append_grows_across_every_boundary_while_readers_hold_captures() {
    let engine = Engine::builder().shards(1).build().unwrap();
    let mut model = Vec::new();
    let mut captures: Vec<(Value, usize)> = Vec::new();
    for round in 0..400usize {
        let bytes = vec![round.to_le_bytes()[0]; [1, 300, 700, 4_000][round % 4]];
        model.extend_from_slice(&bytes);
        assert_eq!(engine.append("k", &bytes), Ok(model.len() as u64));
        if round % 7 == 0 {
            captures.push((engine.get("k").unwrap().unwrap(), model.len()));
        }
        if round % 50 == 0 {
            engine.validate();
        }
    }
    assert!(model.len() > 256 << 10);
    assert_eq!(engine.get("k").unwrap().unwrap(), model);
    for (value, len) in captures {
        assert_eq!(value, model[..len], "what a reader holds does not change");
    }
    engine.set_range("k", 4_090, [0xff; 300_000]).unwrap();
    assert_eq!(engine.get_range("k", 4_089, 4_090).unwrap(), [model[4_089], 0xff]);
    engine.validate();
    engine.remove("k").unwrap();
    assert_eq!(engine.memory_usage().blobs, 0);
}

#[test]
fn a_set_value_is_not_changed_under_its_readers() {
    let engine = Engine::new();
    engine.set("k", vec![b'a'; 10_000]).unwrap();
    let held = engine.get("k").unwrap().unwrap();
    engine.copy("k", &engine, "copy", false).unwrap();
    engine.set_range("k", 0, "bbb").unwrap();
    engine.append("k", "ccc").unwrap();
    assert_eq!(held, vec![b'a'; 10_000]);
    assert_eq!(engine.get("copy").unwrap().unwrap(), vec![b'a'; 10_000]);
    assert_eq!(engine.strlen("k"), Ok(10_003));
}

#[test]
fn a_refused_append_leaves_a_copy_as_it_was() {
    let engine = Engine::builder().max_memory(200 << 10).shards(1).build().unwrap();
    let token = engine.cache_token("k", Origin::default());
    engine.insert_if(token, "k", vec![b'x'; 5_000], &CacheOptions::new().tags(&[b"red"])).unwrap();
    let refused = engine.append("k", vec![b'x'; 190 << 10]);
    assert!(matches!(refused, Err(OpError::OutOfMemory { .. })), "{refused:?}");
    engine.invalidate_tag("red");
    assert!(engine.get("k").unwrap().is_none(), "it still carried its tag");
}

#[test]
fn a_short_append_asks_for_little_room() {
    let engine = Engine::builder().max_memory(200 << 10).shards(1).build().unwrap();
    for key in ["a", "b", "c", "d"] {
        engine.set(key, vec![b'x'; 10_000]).unwrap();
    }
    engine.append("a", "y").unwrap();
    assert_eq!((engine.len(), engine.stats().evicted_keys()), (Ok(4), 0));
}
