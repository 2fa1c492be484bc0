//! Keys that collide under the unseeded hash function do not collide here: the secret comes from the engine's seed.
//!
//! The keys are found by brute force: all equal in the low 20 bits of seedless xxh3, those of bucket and tag. Nothing is
//! timed. A scan of one key a page shows by its cursor where a key lies: shard above, hash bits below; those places
//! are counted.

use std::collections::BTreeMap;

use larder::{Engine, ScanOptions};
use xxhash_rust::xxh3::xxh3_64;

const KEYS: usize = 64;
/// Low bits that choose the bucket and tag of a table; this many are equal in every key.
const EQUAL_BITS: u32 = 20;
const CURSOR_SHARD_SHIFT: u32 = 20;

/// Keys of equal low bits under seedless xxh3.
fn colliding() -> Vec<Vec<u8>> {
    let mask = (1u64 << EQUAL_BITS) - 1;
    let wanted = xxh3_64(&0u64.to_le_bytes()) & mask;
    let keys = (0u64..).map(u64::to_le_bytes).filter(|key| xxh3_64(key) & mask == wanted);
    keys.take(KEYS).map(|key| key.to_vec()).collect()
}

fn ordinary() -> Vec<Vec<u8>> {
    (0..KEYS as u64).map(|i| (i * 0x9e37_79b9).to_le_bytes().to_vec()).collect()
}

/// Where each key lies: its shard and the hash bits that the table keeps, the latter by asking where it begins.
fn places(keys: &[Vec<u8>], seed: u64) -> Vec<(u64, u64)> {
    let engine = Engine::builder().shards(16).seed(seed).build().expect("valid settings");
    engine.set_many(&keys.iter().map(|key| (key, "v")).collect::<Vec<_>>()).expect("there is no limit");
    let (mut places, mut cursor) = (Vec::new(), 0);
    loop {
        let page = engine.scan(cursor, &ScanOptions::new().count(1)).expect("a scan");
        // The next cursor lies just behind the bits of this page's last key; at a shard's end it is the next shard's
        // start, and the bits are not told.
        let next = page.cursor;
        if !page.keys.is_empty() {
            let told = next & ((1 << CURSOR_SHARD_SHIFT) - 1);
            let shard = (next >> CURSOR_SHARD_SHIFT).wrapping_sub(u64::from(told == 0)) % 16;
            places.extend(page.keys.iter().map(|_| (shard, told)));
        }
        cursor = next;
        if cursor == 0 {
            return places;
        }
    }
}

/// How many pairs of keys share a bucket of a table of 4,096, and how many keys the fullest shard has.
fn crowding(places: &[(u64, u64)]) -> (usize, usize) {
    let (mut buckets, mut shards) = (BTreeMap::new(), BTreeMap::new());
    for &(shard, told) in places {
        *shards.entry(shard).or_insert(0) += 1;
        if told > 0 {
            *buckets.entry((told - 1) & 0xfff).or_insert(0) += 1;
        }
    }
    let pairs = buckets.values().map(|n: &usize| n * (n - 1) / 2).sum();
    (pairs, shards.into_values().max().unwrap_or(0))
}

#[test]
fn keys_made_to_collide_are_spread_like_any_others() {
    let (attack, ordinary) = (colliding(), ordinary());
    assert!(attack.windows(2).all(|two| xxh3_64(&two[0]) << 44 == xxh3_64(&two[1]) << 44), "they do collide");
    let (mut attacked, mut usual) = ((0, 0), (0, 0));
    for seed in 0..20 {
        for (keys, sum) in [(&attack, &mut attacked), (&ordinary, &mut usual)] {
            let places = places(keys, seed);
            assert_eq!(places.len(), KEYS, "each key is scanned once");
            let (pairs, fullest) = crowding(&places);
            *sum = (sum.0 + pairs, sum.1 + fullest);
            assert!(fullest <= 16, "seed {seed}: {fullest} of 64 keys in one of 16 shards");
        }
    }
    // By chance 2,016 pairs share one of 4,096 buckets half a time a seed: about ten in all. A seedless table would have all of
    // them, twenty times 2,016.
    assert!(attacked.0 <= 40 && usual.0 <= 40, "pairs in one bucket: attack {attacked:?}, usual {usual:?}");
    assert!(attacked.1 <= usual.1 * 3 / 2, "fullest shards: attack {attacked:?}, usual {usual:?}");
}

/// Without a seed the builder draws one, so two engines of one program lay the same keys out differently.
#[test]
fn engines_without_a_seed_differ() {
    let order = || {
        let engine = Engine::builder().shards(16).build().unwrap();
        (0..64).for_each(|i| engine.set(format!("k:{i}"), "v").unwrap());
        engine.keys("*").unwrap()
    };
    assert_ne!(order(), order());
}
