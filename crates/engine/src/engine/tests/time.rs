//! Expiry to the millisecond, time-to-idle, jitter, timers that do not pile up.

use std::time::Duration;

use crate::{
    Budget, CacheOptions, Engine, ExpireCondition, ManualClock, OpError, Origin, SetOptions, Ttl, UnixMillis,
};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

fn engine_with(configure: impl FnOnce(crate::Builder) -> crate::Builder) -> (Engine, ManualClock) {
    let clock = ManualClock::new(UnixMillis(1_000_000));
    let engine = configure(Engine::builder().clock(clock.clone()).seed(1).shards(2)).build().unwrap();
    (engine, clock)
}

fn engine() -> (Engine, ManualClock) {
    engine_with(|builder| builder)
}

fn ttl(span: Duration) -> SetOptions {
    SetOptions::new().ttl(span)
}

#[test]
fn a_key_is_served_until_its_deadline_and_not_at_it() {
    let (engine, clock) = engine();
    engine.set_with("k", "v", ttl(SECOND)).unwrap();
    clock.advance(SECOND - MILLISECOND);
    assert_eq!(engine.get("k").unwrap().unwrap(), "v");
    assert_eq!(engine.ttl("k"), Ok(Ttl::After(MILLISECOND)));
    clock.advance(MILLISECOND);
    assert!(engine.get("k").unwrap().is_none() && engine.peek("k").unwrap().is_none());
    assert_eq!((engine.ttl("k"), engine.exists("k")), (Ok(Ttl::Absent), Ok(false)));
    assert_eq!(engine.stats().expired_keys, 0, "a read removes nothing");
    assert_eq!(engine.incr("k"), Ok(1), "a write finds nothing, and makes the key anew");
    assert_eq!((engine.ttl("k"), engine.stats().expired_keys), (Ok(Ttl::Never), 1));
}

#[test]
fn maintenance_removes_at_the_deadline_and_not_before() {
    for span_ms in [1u64, 63, 64, 65, 4_095, 4_096, 4_097, 262_144, 1_000_000_007] {
        let (engine, clock) = engine();
        engine.set_with("k", "v", ttl(Duration::from_millis(span_ms))).unwrap();
        clock.advance(Duration::from_millis(span_ms - 1));
        let remaining = engine.maintain(Budget::default());
        assert!(!remaining.due && engine.len() == Ok(1), "{span_ms}");
        assert!(remaining.next.is_some_and(|next| next <= UnixMillis(1_000_000 + span_ms)), "{span_ms}");
        clock.advance(MILLISECOND);
        assert!(!engine.maintain(Budget::default()).due);
        assert_eq!((engine.len(), engine.stats().expired_keys), (Ok(0), 1), "{span_ms}");
        assert_eq!(engine.stats().expiry_lag_max_ms, 0);
    }
}

#[test]
fn maintenance_says_due_while_dead_keys_are_left() {
    for budget in [1, 7, 64, 1_000] {
        let (engine, clock) = engine();
        for i in 0..500 {
            engine.set_with(format!("k{i}"), "v", ttl(Duration::from_millis(100 + i % 50))).unwrap();
        }
        clock.advance(SECOND);
        let mut calls = 0;
        while engine.maintain(Budget::keys(budget)).due {
            calls += 1;
            assert!(calls < 5_000, "it ends");
        }
        assert_eq!((engine.len(), engine.stats().timers), (Ok(0), 0), "budget {budget}");
        assert!(calls * budget >= 500u32.saturating_sub(budget), "a budget is kept");
        engine.validate();
    }
}

#[test]
fn the_smallest_budget_comes_to_invalidated_copies() {
    let (engine, _) = engine();
    for i in 0..300 {
        let key = format!("k{i}");
        let token = engine.cache_token(&key, Origin::default());
        engine.insert_if(token, &key, "v", &CacheOptions::new()).unwrap();
    }
    engine.invalidate_copies();
    let mut calls = 0;
    while engine.maintain(Budget::keys(1)).due || engine.len() != Ok(0) {
        calls += 1;
        assert!(calls < 1_000, "it ends");
    }
    assert_eq!(engine.stats().invalidated, 300);
}

#[test]
fn a_clock_that_went_back_delays_no_removal() {
    let (engine, clock) = engine();
    engine.set_with("idle", "v", SetOptions::new().idle(SECOND)).unwrap();
    engine.set_with("gone", "v", ttl(MILLISECOND)).unwrap();
    clock.advance(MILLISECOND);
    assert!(!engine.maintain(Budget::default()).due);
    clock.set(UnixMillis(999_000));
    engine.set_with("new", "v", ttl(Duration::from_millis(10))).unwrap();
    assert!(engine.get("idle").unwrap().is_some());
    clock.advance(Duration::from_millis(10));
    assert!(!engine.maintain(Budget::default()).due);
    assert_eq!(engine.len(), Ok(1), "only the one that idles is left");
    clock.set(UnixMillis(1_001_000));
    assert!(!engine.maintain(Budget::default()).due);
    assert_eq!(engine.len(), Ok(0));
}

#[test]
fn timers_stay_bounded_when_keys_with_a_long_ttl_come_and_go() {
    let (engine, _) = engine();
    for i in 0..100_000u32 {
        let key = format!("k{}", i % 64);
        engine.set_with(&key, "v", ttl(86_400 * SECOND)).unwrap();
        engine.remove(&key).unwrap();
        if i % 256 == 0 {
            engine.maintain(Budget::keys(1_000));
            assert!(engine.stats().timers <= 4 * 256 + 512, "{} timers", engine.stats().timers);
        }
    }
    engine.maintain(Budget::keys(10_000));
    assert!(engine.stats().timers <= 2 * 256 + 256);
    engine.validate();
}

#[test]
fn timers_stay_bounded_when_one_deadline_goes_to_and_fro() {
    let (engine, clock) = engine();
    engine.set("k", "v").unwrap();
    for i in 0..20_000u64 {
        // Every second one is earlier than the one before, and needs a timer of its own.
        engine.expire("k", SECOND * if i % 2 == 0 { 7_200 } else { 3_600 }).unwrap();
        if i % 256 == 0 {
            engine.maintain(Budget::keys(1_000));
        }
    }
    engine.maintain(Budget::keys(10_000));
    engine.maintain(Budget::keys(10_000));
    assert!(engine.stats().timers <= 600, "{} timers", engine.stats().timers);
    clock.advance(3_600 * SECOND);
    while engine.maintain(Budget::default()).due {}
    assert_eq!(engine.len(), Ok(0), "the timer that is left is the right one");
}

#[test]
fn reading_keeps_an_idle_key_until_its_hard_deadline() {
    let (engine, clock) = engine();
    engine.set_with("k", "v", ttl(10 * SECOND).idle(3 * SECOND)).unwrap();
    for _ in 0..4 {
        clock.advance(2 * SECOND);
        assert!(engine.get("k").unwrap().is_some());
        assert!(!engine.maintain(Budget::default()).due);
    }
    assert_eq!(engine.ttl("k"), Ok(Ttl::After(2 * SECOND)), "never past the hard one");
    clock.advance(2 * SECOND);
    assert!(engine.get("k").unwrap().is_none());
    engine.set_with("k", "v", SetOptions::new().idle(3 * SECOND)).unwrap();
    clock.advance(3 * SECOND - MILLISECOND);
    assert!(engine.peek("k").unwrap().is_some(), "a peek sees it");
    clock.advance(MILLISECOND);
    assert!(engine.get("k").unwrap().is_none(), "and does not keep it");
}

#[test]
fn every_read_keeps_an_idle_key() {
    type Read = fn(&Engine);
    let reads: [Read; 8] = [
        |engine| drop(engine.get("k")),
        |engine| drop(engine.get_with("k", |_| ())),
        |engine| drop(engine.get_many(&["k"])),
        |engine| drop(engine.exists("k")),
        |engine| drop(engine.strlen("k")),
        |engine| drop(engine.get_range("k", 0, 1)),
        |engine| drop(engine.lookup("k")),
        |engine| drop(engine.typed::<String>().get_with("k", |_| ())),
    ];
    for (i, read) in reads.into_iter().enumerate() {
        let (engine, clock) = engine_with(|builder| builder.time_to_idle(SECOND));
        engine.set("k", "v").unwrap();
        for _ in 0..3 {
            clock.advance(SECOND / 2);
            read(&engine);
        }
        assert_eq!(engine.ttl("k"), Ok(Ttl::After(SECOND)), "read {i}");
    }
}

#[test]
fn keepttl_keeps_idling() {
    let (engine, clock) = engine_with(|builder| builder.time_to_idle(3 * SECOND));
    engine.set("k", "a").unwrap();
    assert_eq!(engine.compare_and_set("k", "a", "b"), Ok(true));
    for _ in 0..10 {
        clock.advance(2 * SECOND);
        assert!(engine.get("k").unwrap().is_some(), "a swapped value idles as before");
    }
    engine.set_with("k", "a", ttl(10 * SECOND)).unwrap();
    engine.set_with("k", "c", SetOptions::new().keep_ttl()).unwrap();
    for _ in 0..4 {
        clock.advance(2 * SECOND);
        assert!(engine.get("k").unwrap().is_some());
    }
    clock.advance(2 * SECOND);
    assert!(engine.get("k").unwrap().is_none(), "and dies at its hard deadline");
}

#[test]
fn jitter_shortens_by_its_share_at_most() {
    let (engine, _) = engine_with(|builder| builder.ttl_jitter(0.1));
    let mut spans: Vec<u64> = (0..2_000)
        .map(|i| {
            let key = format!("k{i}");
            engine.set_with(&key, "v", ttl(10 * SECOND)).unwrap();
            engine.expire_time(&key).unwrap().unwrap().unwrap().0 - 1_000_000
        })
        .collect();
    spans.sort_unstable();
    let (first, last) = (spans[0], spans[spans.len() - 1]);
    assert!((9_000..9_020).contains(&first) && (9_980..=10_000).contains(&last), "{first} to {last}");
    let below_middle = spans.iter().filter(|&&span| span < 9_500).count();
    assert!((850..1_150).contains(&below_middle), "evenly: {below_middle}");
    engine.set_with("one", "v", ttl(MILLISECOND)).unwrap();
    assert_eq!(engine.ttl("one"), Ok(Ttl::After(MILLISECOND)), "the shortest span is not made shorter");
    engine.expire("one", SECOND).unwrap();
    assert_eq!(engine.ttl("one"), Ok(Ttl::After(SECOND)), "EXPIRE is exact");
}

#[test]
fn spans_and_points_out_of_range_are_refused() {
    let (engine, _) = engine();
    engine.set("k", "v").unwrap();
    let refused = Err(OpError::InvalidExpiry);
    assert_eq!(engine.set_ex("k", Duration::ZERO, "w"), refused);
    assert_eq!(engine.set_ex("k", Duration::from_micros(999), "w"), refused);
    assert_eq!(engine.set_ex("k", Duration::MAX, "w"), refused);
    assert_eq!(engine.set_with("k", "w", SetOptions::new().idle(Duration::ZERO)).map(drop), refused);
    assert_eq!(
        engine.set_with("k", "w", SetOptions::new().expire_at(UnixMillis(u64::MAX))).map(drop),
        refused
    );
    assert_eq!(engine.expire("k", Duration::MAX).map(drop), refused);
    assert_eq!(engine.expire_at("k", UnixMillis(u64::MAX), ExpireCondition::Always).map(drop), refused);
    assert_eq!(engine.get("k").unwrap().unwrap(), "v");
    assert_eq!(engine.expire_at("k", UnixMillis::MAX, ExpireCondition::Always), Ok(true));
    engine.set_with("k", "w", SetOptions::new().keep_ttl()).unwrap();
    assert_eq!(engine.expire_time("k"), Ok(Some(Some(UnixMillis::MAX))));
}

#[test]
fn every_way_of_reading_and_writing_is_measured_on_request() {
    let engine = Engine::builder().measure_latency(true).build().unwrap();
    engine.set("k", "v").unwrap();
    engine.incr("n").unwrap();
    engine.get("k").unwrap();
    engine.get_with("k", <[u8]>::len).unwrap();
    engine.lookup("k").unwrap();
    engine.typed::<String>().get_with("k", String::len).unwrap();
    let stats = engine.stats();
    assert_eq!(stats.reads.unwrap().count, 4);
    // The typed read attached the decoded object, which is a write, too.
    assert_eq!(stats.writes.unwrap().count, 3);
    assert!(Engine::new().stats().reads.is_none());
}
