use proptest::prelude::*;

use super::*;

const SPARSE_MAX: usize = 3_000;

fn add(bytes: &mut Vec<u8>, element: &[u8]) -> bool {
    let (index, rank) = place(element);
    raise(bytes, index, rank, SPARSE_MAX).expect("a sound one")
}

fn element(number: usize) -> Vec<u8> {
    format!("element:{number}").into_bytes()
}

fn of(numbers: Range<usize>) -> Vec<u8> {
    let mut bytes = empty();
    mark_stale(&mut bytes);
    for number in numbers {
        add(&mut bytes, &element(number));
        // PFADD marks the count as stale whenever a register rose, dense or sparse.
        mark_stale(&mut bytes);
    }
    bytes
}

/// FNV-1a, to keep long golden bytes short.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn all(bytes: &[u8]) -> Vec<u8> {
    let mut registers = Registers::new();
    registers.merge(bytes).expect("a sound one");
    registers.values().to_vec()
}

#[test]
fn bytes_are_those_of_redis() {
    // redis-server 7.0.15: PFADD k a b c; GET k
    let mut bytes = empty();
    for element in ["a", "b", "c"] {
        assert!(add(&mut bytes, element.as_bytes()));
        assert!(!add(&mut bytes, element.as_bytes()));
    }
    let golden = b"HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80`\xf3\x80P\xb1\x84K\xfb\x80BZ";
    assert_eq!(bytes.escape_ascii().to_string(), golden.escape_ascii().to_string());
    assert_eq!(empty(), b"HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff");
}

#[test]
fn bytes_are_those_of_redis_all_the_way_to_the_dense_form() {
    // redis-server 7.0.15: PFADD h element:0 .. element:n-1 one by one; bytes, FNV-1a of GET h; PFCOUNT h; FNV-1a of GET h.
    let golden: [(usize, usize, u64, u64, u64); 13] = [
        (1, 21, 0x5db2e01c33707b73, 1, 0xee0dc2daee4050ac),
        (3, 27, 0x18f3ec6221e86519, 3, 0x389b9909edc1e9f3),
        (10, 48, 0x7159c7ee612b0c1a, 10, 0x911d310964ebaba7),
        (50, 158, 0x968ed5c2cc4b37ec, 50, 0x95cc55086bb70934),
        (100, 285, 0x400051a0d90b9a9e, 99, 0x033e4e4e6be9ec79),
        (300, 687, 0x26acffd849446284, 301, 0x56def88b8ae4e3e3),
        (700, 1401, 0x509ca6c8ec8e0e01, 703, 0x00f1a383f6fe06ec),
        (1000, 1897, 0x8f47c4247005f496, 997, 0xb2a2cc508fc5ee31),
        (1200, 2230, 0x1dc8f9b137a5bdca, 1198, 0xd4ec640514375830),
        (1500, 2722, 0xd5e8f9140402842a, 1500, 0xac1c3b14462300f7),
        (3000, 12304, 0xf1b82e7cdb6802eb, 3002, 0x8ea95bd892be3fff),
        (20000, 12304, 0xd6abbf3ba7ac2a24, 19986, 0x73d1f56db36cfbff),
        (100000, 12304, 0x6847c0e1a6b0ca2d, 100039, 0xf9c01647cea59fdd),
    ];
    let mut bytes = empty();
    let mut done = 0;
    for (n, len, stale, counted, cached_too) in golden {
        while done < n {
            if add(&mut bytes, &element(done)) {
                mark_stale(&mut bytes);
            }
            done += 1;
        }
        assert_eq!((bytes.len(), fingerprint(&bytes)), (len, stale), "{n} elements");
        assert_eq!(cached(&bytes), None);
        assert_eq!(count(&bytes), Ok(counted), "{n} elements");
        let (at, field) = cache_field(counted);
        bytes[at..at + 8].copy_from_slice(&field);
        assert_eq!(cached(&bytes), Some(counted));
        assert_eq!(fingerprint(&bytes), cached_too, "{n} elements, counted");
    }
}

#[test]
fn merged_bytes_are_those_of_redis() {
    let union = |sources: &[Vec<u8>]| {
        let mut registers = Registers::new();
        for source in sources {
            registers.merge(source).expect("a sound one");
        }
        let mut merged = empty();
        registers.write_to(&mut merged, SPARSE_MAX).expect("a sound one");
        (merged.len(), fingerprint(&merged), registers.count())
    };
    assert_eq!(union(&[of(0..400), of(300..700)]), (1_401, 0x1ee1_e7db_4c44_da07, 703));
    assert_eq!(union(&[of(0..400), of(0..100_000)]), (DENSE_BYTES, 0x8c61_5f2c_0212_2d45, 100_039));
    let mut nothing = empty();
    mark_stale(&mut nothing);
    assert_eq!(union(&[]), (18, fingerprint(&nothing), 0));
}

#[test]
fn the_error_stays_within_three_sigma() {
    const SIGMA: f64 = 0.0081;
    let mut worst: f64 = 0.0;
    for seed in 0..24_u64 {
        for n in [1_000_u64, 20_000, 200_000] {
            let mut bytes = empty();
            for number in 0..n {
                let (index, rank) = place(&[seed.to_le_bytes(), number.to_le_bytes()].concat());
                raise(&mut bytes, index, rank, SPARSE_MAX).expect("a sound one");
            }
            let counted = u32::try_from(count(&bytes).expect("a sound one")).expect("small");
            let error = f64::from(counted) / f64::from(u32::try_from(n).expect("small")) - 1.0;
            worst = worst.max(error.abs());
        }
    }
    assert!(worst < 3.0 * SIGMA, "worst error {worst}");
    assert!(worst > 0.0, "an estimate that is never wrong would be suspicious");
}

#[test]
fn foreign_and_corrupt_bytes_are_refused() {
    let dense = {
        let mut bytes = of(0..10);
        promote(&mut bytes).expect("a sound one");
        bytes
    };
    let foreign: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"HYLL".to_vec(),
        b"HYLX\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff".to_vec(),
        b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0\x7f\xff".to_vec(),
        dense[..DENSE_BYTES - 1].to_vec(),
        [&dense[..], b"x"].concat(),
    ];
    for bytes in foreign {
        assert_eq!(check(&bytes), Err(Refused::Foreign), "{}", bytes[..bytes.len().min(20)].escape_ascii());
        assert_eq!(count(&bytes), Err(Refused::Foreign));
    }
    let header = &empty()[..HEADER_BYTES];
    for runs in [&b""[..], b"\x7f\xfe", b"\x7f", b"\x7f\xff\x80", b"\x7f\xff\x7f\xff", b"\x80\x7f\xff"] {
        let mut bytes = [header, runs].concat();
        assert_eq!(count(&bytes), Err(Refused::Corrupt), "{}", runs.escape_ascii());
        assert_eq!(Registers::new().merge(&bytes), Err(Refused::Corrupt));
        assert_eq!(promote(&mut bytes), Err(Refused::Corrupt));
        assert_eq!(bytes, [header, runs].concat(), "what is refused stays as it was");
    }
    let mut short = [header, &b"\x00"[..]].concat();
    assert_eq!(raise(&mut short, 1, 3, SPARSE_MAX), Err(Refused::Corrupt));
}

proptest! {
    /// Registers behave like a plain array, whatever the form and the limit at which it changes.
    #[test]
    fn registers_keep_the_highest_rank(
        steps in prop::collection::vec((0..REGISTERS, 1..=RANK_MAX), 0..400),
        near in prop::collection::vec((0..40_usize, 1..=6_u8), 0..200),
        sparse_max in prop_oneof![Just(0_usize), 20..400_usize, Just(SPARSE_MAX)],
    ) {
        let mut model = vec![0; REGISTERS];
        let mut bytes = empty();
        for (index, rank) in steps.into_iter().chain(near) {
            let rose = raise(&mut bytes, index, rank, sparse_max).expect("a sound one");
            prop_assert_eq!(rose, model[index] < rank);
            model[index] = rank.max(model[index]);
            prop_assert!(check(&bytes) == Ok(Form::Dense) || bytes.len() <= sparse_max.max(18));
        }
        prop_assert_eq!(&all(&bytes), &model);
        let before = count(&bytes);
        promote(&mut bytes).expect("a sound one");
        prop_assert_eq!(&all(&bytes), &model);
        prop_assert_eq!(count(&bytes), before, "the form does not matter");
        let places: Vec<(usize, u8)> = (0..5).map(|number| place(&element(number))).collect();
        let rises = places.iter().any(|&(index, rank)| model[index] < rank);
        prop_assert_eq!(dense_would_rise(&bytes, &places), rises);
        let mut whole = bytes.clone();
        for (index, rank) in places {
            let window = dense_window(index);
            let rose = raise_in_window(&mut bytes[window], index, rank);
            prop_assert_eq!(rose, raise_dense(&mut whole, index, rank));
        }
        prop_assert_eq!(bytes, whole);
    }

    /// Whatever follows the header, nothing panics, and counting and merging agree on what is sound.
    #[test]
    fn hostile_bytes_do_no_harm(runs in prop::collection::vec(any::<u8>(), 0..60), index in 0..REGISTERS, rank in 1..=RANK_MAX) {
        let bytes = [&empty()[..HEADER_BYTES], &runs[..]].concat();
        prop_assert_eq!(count(&bytes).is_ok(), Registers::new().merge(&bytes).is_ok());
        let mut changed = bytes.clone();
        let sound = count(&bytes).is_ok();
        let done = raise(&mut changed, index, rank, SPARSE_MAX);
        prop_assert!(done.is_ok() || !sound);
        prop_assert_eq!(count(&changed).is_ok(), sound, "a change covers the same registers");
    }
}
