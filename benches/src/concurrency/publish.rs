//! One message to nobody, one, ten, a thousand.
//!
//! An operation is one publish of 100 bytes. Subscribers take what came between the chunks, which are shorter than their queues:
//! nothing is missed, and that is checked. What taking costs is timed for itself. Beside it one crossbeam channel a subscriber, and a
//! clone of the same shared bytes in each.

use super::slices::{Hand, Plan, Variant, measure};
use crate::peers::contest::Outcome;
use bytes::Bytes;
use larder::{Engine, Received, Subscriber, SubscriberOptions};
use std::hint::black_box;

/// Bytes of a message.
pub const MESSAGE_BYTES: usize = 100;

/// Who listens, and how many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Nobody ever subscribed to anything.
    Never,
    /// Somebody subscribed to another channel.
    Elsewhere,
    /// So many subscribed to the channel.
    Channel(usize),
    /// So many subscribed to a pattern that matches.
    Pattern(usize),
    /// So many crossbeam channels.
    Crossbeam(usize),
}

impl Audience {
    /// All rows.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Never, "publish, nobody ever subscribed"),
        (Self::Elsewhere, "publish, one on another channel"),
        (Self::Channel(1), "publish to 1"),
        (Self::Channel(10), "publish to 10"),
        (Self::Channel(1_000), "publish to 1,000"),
        (Self::Pattern(1), "publish to 1 by a pattern"),
        (Self::Pattern(1_000), "publish to 1,000 by one pattern"),
        (Self::Crossbeam(1), "1 crossbeam channel"),
        (Self::Crossbeam(10), "10 crossbeam channels"),
        (Self::Crossbeam(1_000), "1,000 crossbeam channels"),
    ];

    /// How many receive a message.
    pub fn receivers(self) -> usize {
        match self {
            Self::Never | Self::Elsewhere => 0,
            Self::Channel(count) | Self::Pattern(count) | Self::Crossbeam(count) => count,
        }
    }

    /// Messages between two times of taking them.
    fn chunk(self) -> u32 {
        if self.receivers() > 100 { 16 } else { 256 }
    }
}

/// Measures every row.
pub fn measure_all(plan: &Plan) -> Vec<Outcome> {
    let variant = |(audience, name): (Audience, &'static str)| {
        let hand = match audience {
            Audience::Crossbeam(count) => channels(count, audience.chunk()),
            _ => publisher(audience),
        };
        Variant::new(name, audience.chunk(), vec![hand])
    };
    let mut variants: Vec<Variant> = Audience::ALL.into_iter().map(variant).collect();
    measure(&mut variants, plan)
}

fn publisher(audience: Audience) -> Hand {
    let engine = Engine::builder().seed(1).build().expect("the settings are valid");
    let subscribe = |_: usize| {
        let subscriber = engine.subscriber(SubscriberOptions::new());
        let new = match audience {
            Audience::Pattern(_) => subscriber.psubscribe("chan*"),
            Audience::Elsewhere => subscriber.subscribe("another"),
            _ => subscriber.subscribe("channel"),
        };
        assert_eq!(new, Ok(true));
        subscriber
    };
    let count = if audience == Audience::Elsewhere { 1 } else { audience.receivers() };
    let subscribers: Vec<Subscriber> = (0..count).map(subscribe).collect();
    let (receivers, message, chunk) = (audience.receivers(), [b'm'; MESSAGE_BYTES], audience.chunk());
    let hand = Hand::each(move |_| {
        assert_eq!(engine.publish("channel", message), Ok(receivers));
    });
    if receivers == 0 {
        // They stay for as long as the hand does, and have nothing to take.
        return hand.with_aside(move || assert!(subscribers.iter().all(Subscriber::is_empty)));
    }
    hand.with_aside(move || {
        for subscriber in &subscribers {
            let taken = subscriber.try_iter().inspect(|one| {
                assert!(!matches!(one, Received::Lagged { .. }), "nothing is missed");
                black_box(one);
            });
            assert_eq!(taken.count(), usize::try_from(chunk).expect("small"), "every message came");
        }
    })
}

fn channels(count: usize, chunk: u32) -> Hand {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..count).map(|_| crossbeam_channel::bounded::<Bytes>(1_024)).unzip();
    let message = [b'm'; MESSAGE_BYTES];
    Hand::each(move |_| {
        let shared = Bytes::copy_from_slice(&message);
        senders.iter().for_each(|sender| sender.try_send(shared.clone()).expect("there is room"));
    })
    .with_aside(move || {
        for receiver in &receivers {
            let taken = receiver.try_iter().inspect(|one| {
                black_box(one);
            });
            assert_eq!(taken.count(), usize::try_from(chunk).expect("small"), "every message came");
        }
    })
}
