//! Increments of several counters: one after the other, in a transaction, in one that is given up, in one without a way back.
//!
//! Every thread has counters of its own, so that what two threads share are shards and their locks, never a key. An operation
//! is one group of 2 or 8 increments. After a cell the counters are added up: nothing may be lost, and nothing of what was given
//! up may stay.

use super::slices::{Hand, Plan, Variant, measure};
use super::{Layout, counters, group, total};
use crate::peers::contest::Outcome;
use larder::{Engine, OpError};
use larder_testkit::servers::Server;
use std::sync::Arc;

/// The row that the others are held against.
pub const PLAIN: &str = "one by one, no transaction";

/// How a group of increments is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    Committed,
    GivenUp,
    Batch,
    Empty,
}

const WAYS: [(Way, &str); 5] = [
    (Way::Plain, PLAIN),
    (Way::Committed, "transaction, committed"),
    (Way::GivenUp, "transaction, given up at its end"),
    (Way::Batch, "batch (as EXEC: no way back)"),
    (Way::Empty, "transaction that does nothing"),
];

/// Measures groups of `size` keys; a server is asked by the first thread alone.
pub fn measure_cell(
    layout: Layout,
    size: usize,
    threads: usize,
    server: Option<&Server>,
    plan: &Plan,
) -> Vec<Outcome> {
    let mut books = Vec::new();
    let mut variants: Vec<Variant> = WAYS
        .into_iter()
        .map(|(way, name)| {
            let engine = layout.engine();
            let keys: Vec<Arc<[String]>> = (0..threads).map(|i| counters(&engine, i).into()).collect();
            let hands = keys.iter().map(|keys| hand(&engine, Arc::clone(keys), way, size)).collect();
            books.push((way, engine, keys));
            Variant::new(name, 16, hands)
        })
        .collect();
    variants.extend(server.filter(|_| threads == 1).map(|server| remote(server, size)));
    let outcomes = measure(&mut variants, plan);
    for (variant, (way, engine, keys)) in variants.iter().zip(&books) {
        for (hand, keys) in variant.hands.iter().zip(keys) {
            let stays = !matches!(way, Way::GivenUp | Way::Empty);
            let expected = if stays { hand.done() * size as u64 } else { 0 };
            assert_eq!(u64::try_from(total(engine, keys)), Ok(expected), "{}", variant.name);
        }
    }
    outcomes
}

fn hand(engine: &Engine, keys: Arc<[String]>, way: Way, size: usize) -> Hand {
    let engine = engine.clone();
    let refused = "there is no limit";
    Hand::each(move |i| {
        let group = group(&keys, i, size);
        let increments = |engine: &Engine| {
            group.iter().try_for_each(|key| {
                engine.incr(key).map(|count| {
                    std::hint::black_box(count);
                })
            })
        };
        match way {
            Way::Plain => increments(&engine).expect(refused),
            Way::Committed => engine.transaction(group, |tx| increments(tx)).expect(refused),
            Way::Batch => {
                engine
                    .batch(&[], Some(group), |tx| increments(tx))
                    .expect(refused)
                    .expect("nothing is watched");
            }
            Way::Empty => engine.transaction(group, |_| Ok::<_, OpError>(())).expect(refused),
            Way::GivenUp => {
                let outcome = engine.transaction(group, |tx| {
                    increments(tx)?;
                    Err::<(), _>(OpError::Overflow)
                });
                assert_eq!(outcome, Err(OpError::Overflow));
            }
        }
    })
}

/// `MULTI`, the increments and `EXEC`, sent in one go.
fn remote(server: &Server, size: usize) -> Variant {
    let mut connection = server.connect();
    let keys: Vec<String> = (0..super::KEYS).map(|i| format!("multi:counter:{i:04}")).collect();
    let hand = Hand::each(move |i| {
        let mut commands = vec![vec!["MULTI"]];
        commands.extend(group(&keys, i, size).iter().map(|key| vec!["INCR", key.as_str()]));
        commands.push(vec!["EXEC"]);
        let replies = connection.pipeline(&commands);
        assert!(replies.last().is_some_and(|exec| exec.starts_with(b"*")), "the increments were made");
    });
    Variant::asleep("redis-server: MULTI .. EXEC in one write", 4, hand)
}
