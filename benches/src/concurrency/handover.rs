//! From a push to the popper that was asleep.
//!
//! ```text
//! popper  (processor 1)   announce k | pop ..... asleep ..................... wakes, reads the counter | announce k+1 | pop
//! pusher  (processor 0)   sees k | sees the popper asleep | a pause | reads the counter | push | sees that it has come
//! ```
//! Every hand-over is one value; the popper's answer must be the value that was pushed. That the popper sleeps is read from
//! /proc before each push, and a server is asked in addition whether it has a blocked client. Contestants take turns of a few
//! hand-overs. A turn in which the scheduler took the processor from either thread, or let one stand in its queue for long, is
//! counted apart: another job ran there. What is done to the server's own process is not seen.

use crate::timing::{Histogram, Task, Ticks, pin};
use crossbeam_channel::{bounded, unbounded};
use larder::{ChangeFilter, End, Engine, SubscriberOptions};
use larder_testkit::resp::Reply;
use larder_testkit::servers::{Connection, Server};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// The row that the others are held against.
pub const LARDER: &str = "list.pop_blocking";
/// Hand-overs of a turn.
const TURN: u64 = 10;
/// The value that ends the popper.
const END: u64 = u64::MAX;
/// How long the popper and what it waits at may settle after the popper fell asleep.
const PAUSE: Duration = Duration::from_micros(20);
/// A turn whose threads stood in the scheduler's queue for a larger part of it than one in this many was disturbed.
const QUEUED_PART: u64 = 8;

/// The times of one contestant, in nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Times {
    /// Who it is.
    pub name: &'static str,
    /// From before the push until the popper has the value, median of the turns without disturbance.
    pub p50_ns: f64,
    /// One in a hundred of theirs takes longer.
    pub p99_ns: f64,
    /// The median of all turns.
    pub all_p50_ns: f64,
    /// One in a hundred of all takes longer.
    pub all_p99_ns: f64,
    /// How long the push itself took, median of the turns without disturbance.
    pub push_ns: f64,
    /// Turns without disturbance, and all of them.
    pub quiet: (u64, u64),
    /// Hand-overs in the first two figures.
    pub count: u64,
}

type Push = Box<dyn FnMut(u64)>;
type Pop = Box<dyn FnMut() -> u64 + Send>;

/// A way to hand a value over.
struct Way {
    name: &'static str,
    push: Push,
    pop: Pop,
    /// What besides the popper's sleep shows that it waits.
    waits: Option<Box<dyn FnMut() -> bool>>,
}

/// A way with its popper at work.
struct Line {
    name: &'static str,
    push: Push,
    waits: Option<Box<dyn FnMut() -> bool>>,
    popper: Option<JoinHandle<()>>,
    task: Task,
    desk: Arc<Desk>,
    next: u64,
    seen: Seen,
}

/// Where popper and pusher see each other.
#[derive(Default)]
struct Desk {
    /// The number of the hand-over that the popper waits for.
    announced: AtomicU64,
    /// When the last one came.
    landed_at: AtomicU64,
    /// Its number.
    landed: AtomicU64,
}

#[derive(Default)]
struct Seen {
    quiet: Histogram,
    all: Histogram,
    push: Histogram,
    turns: (u64, u64),
}

/// Measures `count` hand-overs of everybody.
pub fn measure(server: Option<&Server>, count: u64) -> Vec<Times> {
    let ticks = Ticks::calibrate();
    let mut lines: Vec<Line> = ways(server).into_iter().map(Line::start).collect();
    pin(0);
    let many = lines.len();
    for round in 0..=count.div_ceil(TURN) {
        for turn in 0..many {
            let line = &mut lines[(turn + usize::try_from(round).expect("small")) % many];
            line.turn(&ticks, round > 0);
        }
    }
    lines.into_iter().map(|line| line.finish()).collect()
}

impl Line {
    fn start(way: Way) -> Self {
        let Way { name, push, mut pop, waits } = way;
        let desk = Arc::new(Desk::default());
        let (own, (tell, told)) = (Arc::clone(&desk), mpsc::channel());
        let popper = std::thread::spawn(move || {
            pin(1);
            tell.send(Task::current()).expect("the pusher listens");
            for number in 1.. {
                own.announced.store(number, Ordering::Release);
                let value = pop();
                let now = Ticks::now();
                if value == END {
                    return;
                }
                assert_eq!(value, number, "{name} hands over what was pushed, once");
                own.landed_at.store(now, Ordering::Relaxed);
                own.landed.store(number, Ordering::Release);
            }
        });
        let task = told.recv().expect("the popper tells");
        Self { name, push, waits, popper: Some(popper), task, desk, next: 1, seen: Seen::default() }
    }

    /// Some hand-overs, and whether the machine let them be.
    fn turn(&mut self, ticks: &Ticks, counts: bool) {
        let mine = Task::current();
        let lost = |task: &Task| (task.involuntary_switches(), task.queue_wait_ns());
        let before = [lost(&mine), lost(&self.task)];
        let start = Instant::now();
        let took: Vec<(u64, u64)> = (0..TURN).map(|_| self.hand_over()).collect();
        let span = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let after = [lost(&mine), lost(&self.task)];
        if !counts {
            return;
        }
        let quiet =
            before.iter().zip(&after).all(|(old, new)| new.0 == old.0 && new.1 - old.1 < span / QUEUED_PART);
        self.seen.turns.0 += u64::from(quiet);
        self.seen.turns.1 += 1;
        for (whole, push) in took {
            // Whole nanoseconds, so that the steps of the histogram are.
            self.seen.all.record(ticks.ns(whole) as u64);
            if quiet {
                self.seen.quiet.record(ticks.ns(whole) as u64);
                self.seen.push.record(ticks.ns(push) as u64);
            }
        }
    }

    /// One value: how long until the popper had it, and how long the push took.
    fn hand_over(&mut self) -> (u64, u64) {
        self.until_it_waits();
        let number = self.next;
        let before = Ticks::now();
        (self.push)(number);
        let pushed = Ticks::now();
        while self.desk.landed.load(Ordering::Acquire) < number {
            std::hint::spin_loop();
        }
        self.next += 1;
        (self.desk.landed_at.load(Ordering::Relaxed).saturating_sub(before), pushed - before)
    }

    fn until_it_waits(&mut self) {
        while self.desk.announced.load(Ordering::Acquire) < self.next {
            std::hint::spin_loop();
        }
        if cfg!(target_os = "linux") {
            while !self.task.is_asleep() {}
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
        while self.waits.as_mut().is_some_and(|waits| !waits()) {}
        let start = Instant::now();
        while start.elapsed() < PAUSE {
            std::hint::spin_loop();
        }
    }

    fn finish(mut self) -> Times {
        self.until_it_waits();
        (self.push)(END);
        self.popper.take().expect("it runs").join().expect("the popper got what was pushed");
        let Seen { quiet, all, push, turns } = &self.seen;
        let at = |histogram: &Histogram, q| {
            if histogram.count() > 0 { histogram.quantile(q) as f64 } else { f64::NAN }
        };
        Times {
            name: self.name,
            p50_ns: at(quiet, 0.5),
            p99_ns: at(quiet, 0.99),
            all_p50_ns: at(all, 0.5),
            all_p99_ns: at(all, 0.99),
            push_ns: at(push, 0.5),
            quiet: *turns,
            count: quiet.count(),
        }
    }
}

fn ways(server: Option<&Server>) -> Vec<Way> {
    let mut ways = vec![list(), subscriber(), changes()];
    let (send, receive) = bounded(1);
    ways.push(channel("crossbeam-channel, bounded(1)", send, receive));
    let (send, receive) = unbounded();
    ways.push(channel("crossbeam-channel, unbounded", send, receive));
    ways.push(unpark());
    if let Some(server) = server {
        ways.push(remote("redis-server BRPOP, TCP loopback", "loopback", server, Server::connect_loopback));
        ways.push(remote("redis-server BRPOP, Unix socket", "socket", server, Server::connect));
    }
    ways
}

fn engine() -> Engine {
    Engine::builder().seed(1).build().expect("the settings are valid")
}

fn list() -> Way {
    let engine = engine();
    let (push, pop) = (engine.list::<u64>("jobs").into_owned(), engine.list::<u64>("jobs").into_owned());
    Way {
        name: LARDER,
        push: Box::new(move |value| {
            push.push_back(value).expect("there is no limit");
        }),
        pop: Box::new(move || pop.pop_blocking(End::Head, None).expect("a list").expect("no time is set")),
        waits: None,
    }
}

fn subscriber() -> Way {
    let engine = engine();
    let subscriber = engine.subscriber(SubscriberOptions::new());
    subscriber.subscribe("channel").expect("a short name");
    Way {
        name: "publish to Subscriber::recv",
        push: Box::new(move |value| {
            assert_eq!(engine.publish("channel", value.to_le_bytes()), Ok(1));
        }),
        pop: Box::new(move || {
            let received = subscriber.recv().expect("the engine is there");
            number(received.payload().expect("a message"))
        }),
        waits: None,
    }
}

fn changes() -> Way {
    let engine = engine();
    let mut changes = engine.changes(ChangeFilter::new());
    Way {
        name: "set to Changes::recv",
        push: Box::new(move |value| engine.set("key", value.to_le_bytes()).expect("there is no limit")),
        pop: Box::new(move || {
            let delivery = changes.recv().expect("the engine is there");
            match delivery.change().expect("nothing was missed").delta() {
                larder::Delta::SetString { value, .. } => number(value),
                other => panic!("a string was set, not {other:?}"),
            }
        }),
        waits: None,
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

fn channel(
    name: &'static str,
    send: crossbeam_channel::Sender<u64>,
    receive: crossbeam_channel::Receiver<u64>,
) -> Way {
    Way {
        name,
        push: Box::new(move |value| send.send(value).expect("the popper is there")),
        pop: Box::new(move || receive.recv().expect("the pusher is there")),
        waits: None,
    }
}

/// The floor: a number, and a thread that is woken.
fn unpark() -> Way {
    let (slot, popper) = (Arc::new(AtomicU64::new(0)), Arc::new(std::sync::OnceLock::<Thread>::new()));
    let (own, me) = (Arc::clone(&slot), Arc::clone(&popper));
    Way {
        name: "thread::unpark alone",
        push: Box::new(move |value| {
            slot.store(value, Ordering::Release);
            popper.get().expect("it waits").unpark();
        }),
        pop: Box::new(move || {
            me.get_or_init(std::thread::current);
            loop {
                match own.swap(0, Ordering::Acquire) {
                    0 => std::thread::park(),
                    value => return value,
                }
            }
        }),
        waits: None,
    }
}

fn remote(name: &'static str, key: &'static str, server: &Server, connect: fn(&Server) -> Connection) -> Way {
    let (mut push, mut pop, mut ask) = (connect(server), connect(server), server.connect());
    let Reply::Integer(client) = pop.ask(&["CLIENT", "ID"]) else { panic!("{name} numbers its clients") };
    let client = client.to_string();
    Way {
        name,
        push: Box::new(move |value| {
            let reply = push.ask(&["LPUSH", key, &value.to_string()]);
            assert_eq!(reply, Reply::Integer(1), "the list was empty");
        }),
        pop: Box::new(move || {
            loop {
                // Not for ever: a connection's patience has an end, and others have their turns.
                match pop.ask(&["BRPOP", key, "10"]) {
                    Reply::Array(items) => match items.as_slice() {
                        [_, Reply::Bulk(value)] => {
                            let text = std::str::from_utf8(value).expect("digits");
                            return text.parse().expect("a number");
                        }
                        other => panic!("a key and a value, not {other:?}"),
                    },
                    Reply::NullArray => {}
                    other => panic!("a key and a value, not {other:?}"),
                }
            }
        }),
        waits: Some(Box::new(move || match ask.ask(&["CLIENT", "LIST", "ID", &client]) {
            Reply::Bulk(line) => line.windows(8).any(|part| part == b" flags=b"),
            other => panic!("{name} lists its clients, not {other:?}"),
        })),
    }
}
