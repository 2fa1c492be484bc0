//! Sixteen increments, or sixteen reads, one by one and in one go.
//!
//! An operation is all sixteen. The keys of a group are strangers to each other: with 256 shards a pipeline locks nearly as often
//! as the single calls do, with one shard it locks once.

use super::slices::{Hand, Plan, Variant, measure};
use super::{KEYS, Layout, counters, group, total};
use crate::peers::contest::Outcome;
use larder::{Engine, OpError};
use larder_testkit::servers::Server;
use std::hint::black_box;
use std::sync::Arc;

/// The row that the others are held against.
pub const PLAIN: &str = "one by one";
/// Operations in one go.
pub const TOGETHER: usize = 16;

/// What is done sixteen times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `INCR`.
    Increments,
    /// `GET` of a short value.
    Gets,
}

impl What {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Increments => "incr",
            Self::Gets => "get",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Pipeline,
    Batch,
    Transaction,
    Many,
}

const WAYS: [(Way, &str); 5] = [
    (Way::Plain, PLAIN),
    (Way::Pipeline, "pipeline"),
    (Way::Batch, "batch over the 16 keys"),
    (Way::Transaction, "transaction over the 16 keys"),
    (Way::Many, "get_many"),
];

/// Measures one kind of operation in one thread, beside a server if there is one.
pub fn measure_cell(layout: Layout, what: What, server: Option<&Server>, plan: &Plan) -> Vec<Outcome> {
    let mut books = Vec::new();
    let there = |way: &Way| *way != Way::Many || what == What::Gets;
    let mut variants: Vec<Variant> = WAYS
        .into_iter()
        .filter(|(way, _)| there(way))
        .map(|(way, name)| {
            let engine = layout.engine();
            let keys: Arc<[String]> = counters(&engine, 0).into();
            let hand = hand(&engine, Arc::clone(&keys), way, what);
            books.push((engine, keys));
            Variant::new(name, 8, vec![hand])
        })
        .collect();
    if let Some(server) = server {
        variants.push(remote(server, what, true));
        variants.push(remote(server, what, false));
    }
    let outcomes = measure(&mut variants, plan);
    for (variant, (engine, keys)) in variants.iter().zip(&books) {
        let increments = if what == What::Increments { variant.hands[0].done() * TOGETHER as u64 } else { 0 };
        assert_eq!(u64::try_from(total(engine, keys)), Ok(increments), "{}", variant.name);
    }
    outcomes
}

fn hand(engine: &Engine, keys: Arc<[String]>, way: Way, what: What) -> Hand {
    let engine = engine.clone();
    Hand::each(move |i| {
        let group = group(&keys, i, TOGETHER);
        let one = |engine: &Engine, key: &String| match what {
            What::Increments => engine.incr(key).map(|count| {
                black_box(count);
            }),
            What::Gets => engine.get(key).map(|value| drop(black_box(value))),
        };
        let all = |engine: &Engine| group.iter().try_for_each(|key| one(engine, key));
        let done = match way {
            Way::Plain => all(&engine),
            Way::Pipeline => pipeline(&engine, group, what),
            Way::Batch => engine.batch(&[], Some(group), |tx| all(tx)).map(drop),
            Way::Transaction => engine.transaction(group, |tx| all(tx)),
            Way::Many => engine.get_many(group).map(|values| drop(black_box(values))),
        };
        done.expect("there is no limit");
    })
}

fn pipeline(engine: &Engine, group: &[String], what: What) -> Result<(), OpError> {
    let mut pipeline = engine.pipeline();
    match what {
        What::Increments => {
            let tickets: Vec<_> = group.iter().map(|key| pipeline.add(key, move |tx| tx.incr(key))).collect();
            let mut results = pipeline.run()?;
            tickets.into_iter().try_for_each(|ticket| {
                results.take(ticket).map(|count| {
                    black_box(count);
                })
            })
        }
        What::Gets => {
            let tickets: Vec<_> = group.iter().map(|key| pipeline.add(key, move |tx| tx.get(key))).collect();
            let mut results = pipeline.run()?;
            tickets
                .into_iter()
                .try_for_each(|ticket| results.take(ticket).map(|value| drop(black_box(value))))
        }
    }
}

fn remote(server: &Server, what: What, in_one_go: bool) -> Variant {
    let mut connection = server.connect();
    let keys: Vec<String> = (0..KEYS).map(|i| format!("pipeline:counter:{i:04}")).collect();
    let set: Vec<Vec<&str>> = keys.iter().map(|key| vec!["SET", key, "0"]).collect();
    connection.pipeline(&set);
    let name = if what == What::Increments { "INCR" } else { "GET" };
    let hand = Hand::each(move |i| {
        let commands: Vec<Vec<&str>> =
            group(&keys, i, TOGETHER).iter().map(|key| vec![name, key.as_str()]).collect();
        if in_one_go {
            black_box(connection.pipeline(&commands));
        } else {
            commands.iter().for_each(|command| drop(black_box(connection.ask(command))));
        }
    });
    let label = if in_one_go { "redis-server, pipelined" } else { "redis-server, one by one" };
    Variant::asleep(label, if in_one_go { 4 } else { 1 }, hand)
}
