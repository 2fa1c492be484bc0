//! The example finds the fault that was planted, in its plainest form, and no other.

#[path = "../examples/fuzz_a_service.rs"]
#[expect(dead_code, reason = "the example's own main and what it prints")]
mod fuzz_a_service;

use fuzz_a_service::{Step, find};

#[test]
fn the_planted_fault_is_found_and_shrunk() {
    let history = find(true).expect("the search ends").expect("the fault is found");
    assert!(history.len() <= 7, "{history:?}");
    assert!(history.iter().all(|step| !matches!(step, Step::Other(_))), "others do not matter: {history:?}");
    let requests = history.iter().filter(|step| matches!(step, Step::Request(_))).count();
    assert!((4..=5).contains(&requests), "{history:?}");
}

#[test]
fn without_the_fault_nothing_is_found() {
    assert!(find(false).expect("the search ends").is_none());
}
