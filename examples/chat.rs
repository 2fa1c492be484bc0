//! Chat rooms: messages are pushed by publish and subscribe, and a short history repairs what a slow member missed.
//!
//! ```text
//! room:x          channel: "say 17 ann hello", "join bob", "leave bob"
//! room:x:said     stream of the last messages; the id of message 17 is 17-0        room:x:last   the last number
//! room:x:present  hash: member -> 1; a field goes by itself when its member's heart stops
//! ```
//! A message gets its number and its place in the history in one transaction, and is published after that. Its number tells a member
//! whether it is the next one. If not, or if the subscription says that it lagged, the member reads on in the history.
//!
//! Promise: every member gets every message after its joining once and in order, or is told how many it missed: those that have
//! left the history before it came to read. A speaker killed between the two steps has said it: members get it with the next
//! message. Joining and leaving are told as they happen and not kept; who is present is asked.
//!
//! ```text
//! cargo run --release --example chat
//! cargo test --example chat
//! ```

use std::collections::VecDeque;
use std::error::Error;
use std::ops::Bound;
use std::time::Duration;

use larder::{
    AddOptions, Engine, FieldSetOptions, OpError, Received, StreamEntry, StreamId, Subscriber,
    SubscriberOptions, Trim,
};

/// What a member gets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Said {
        number: u64,
        from: String,
        text: String,
    },
    Joined(String),
    Left(String),
    /// So many messages left the history before this member read them.
    Missed(u64),
}

/// How a room is kept.
#[derive(Debug, Clone, Copy)]
struct RoomOptions {
    /// How many messages the history holds.
    history: u64,
    /// How many notices wait for a member before it lags.
    waiting_max: usize,
    /// Who is silent for so long is not present any more.
    patience: Duration,
}

#[derive(Debug, Clone)]
struct Room {
    engine: Engine,
    channel: String,
    options: RoomOptions,
}

impl Room {
    fn new(engine: &Engine, name: &str, options: RoomOptions) -> Self {
        Self { engine: engine.clone(), channel: format!("room:{name}"), options }
    }

    fn key(&self, part: &str) -> String {
        format!("{}:{part}", self.channel)
    }

    /// Joins the room; the member hears what is said from now on.
    fn join(&self, name: &str) -> Result<Member, OpError> {
        let options = SubscriberOptions::new().capacity(self.options.waiting_max);
        let subscriber = self.engine.subscriber(options);
        // First listen, then ask how far the talk is: nothing comes between them unheard.
        subscriber.subscribe(&self.channel)?;
        let seen = self.engine.typed::<u64>().get_with(self.key("last"), |last| *last)?.unwrap_or(0);
        let member =
            Member { room: self.clone(), name: name.to_owned(), subscriber, seen, heard: VecDeque::new() };
        member.beat()?;
        self.engine.publish(&self.channel, format!("join {name}"))?;
        Ok(member)
    }

    /// The first half of saying something: its number, and its place in the history.
    fn record(&self, from: &str, text: &str) -> Result<u64, OpError> {
        let (said, last) = (self.key("said"), self.key("last"));
        self.engine.transaction([&said, &last], |tx| {
            let number = tx.incr(&last)?.unsigned_abs();
            let options =
                AddOptions::new().id(StreamId::new(number, 0)).trim(Trim::to_length(self.options.history));
            tx.stream(&said).add_with(&options, [("from", from), ("text", text)])?;
            Ok(number)
        })
    }

    fn say(&self, from: &str, text: &str) -> Result<u64, OpError> {
        let number = self.record(from, text)?;
        self.engine.publish(&self.channel, format!("say {number} {from} {text}"))?;
        Ok(number)
    }

    /// Returns who is present.
    fn present(&self) -> Result<Vec<String>, OpError> {
        let mut names: Vec<String> =
            self.engine.hash::<String, u8>(self.key("present")).fields()?.collect::<Result<_, _>>()?;
        names.sort_unstable();
        Ok(names)
    }
}

/// A member of a room. Dropping it leaves the room.
#[derive(Debug)]
struct Member {
    room: Room,
    /// One word, as the notices are divided by spaces.
    name: String,
    subscriber: Subscriber,
    /// The number of the last message that it heard of.
    seen: u64,
    heard: VecDeque<Heard>,
}

impl Member {
    fn say(&self, text: &str) -> Result<u64, OpError> {
        self.room.say(&self.name, text)
    }

    /// Shows that the member is still there.
    fn beat(&self) -> Result<(), OpError> {
        let present = self.room.engine.hash::<String, u8>(self.room.key("present"));
        let options = FieldSetOptions::new().expire(self.room.options.patience);
        present.set_with([(&self.name, 1)], options).map(drop)
    }

    /// Returns what comes next, waiting for it; `None` when the time is over.
    fn next(&mut self, timeout: Duration) -> Result<Option<Heard>, OpError> {
        while self.heard.is_empty() {
            match self.subscriber.recv_timeout(timeout) {
                None => return Ok(None),
                Some(Received::Lagged { .. }) => self.catch_up()?,
                Some(other) => {
                    let notice = other.payload().map(|payload| String::from_utf8_lossy(payload).into_owned());
                    self.take_notice(&notice.unwrap_or_default())?;
                }
            }
        }
        Ok(self.heard.pop_front())
    }

    fn take_notice(&mut self, notice: &str) -> Result<(), OpError> {
        let mut words = notice.splitn(4, ' ');
        let (what, first) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match what {
            "join" => self.heard.push_back(Heard::Joined(first.to_owned())),
            "leave" => self.heard.push_back(Heard::Left(first.to_owned())),
            _ => {
                let number = first.parse().unwrap_or(0);
                if number == self.seen + 1 {
                    let (from, text) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                    self.seen = number;
                    self.heard.push_back(Heard::Said {
                        number,
                        from: from.to_owned(),
                        text: text.to_owned(),
                    });
                } else if number > self.seen {
                    self.catch_up()?;
                }
            }
        }
        Ok(())
    }

    /// Reads on in the history from the last message that it heard of.
    fn catch_up(&mut self) -> Result<(), OpError> {
        let from = (Bound::Excluded(StreamId::new(self.seen, 0)), Bound::Unbounded);
        for entry in self.room.engine.stream(self.room.key("said")).range(from)? {
            let number = entry.id.ms;
            if number > self.seen + 1 {
                self.heard.push_back(Heard::Missed(number - self.seen - 1));
            }
            self.seen = number;
            let (from, text) = (field(&entry, "from"), field(&entry, "text"));
            self.heard.push_back(Heard::Said { number, from, text });
        }
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Who cannot say goodbye is missed when its patience is over.
        let Room { engine, channel, .. } = &self.room;
        let _ = engine.hash::<String, u8>(self.room.key("present")).remove(&self.name);
        let _ = engine.publish(channel, format!("leave {}", self.name));
    }
}

fn field(entry: &StreamEntry, name: &str) -> String {
    String::from_utf8_lossy(entry.fields.get(name).unwrap_or_default()).into_owned()
}

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::new();
    let options = RoomOptions { history: 5, waiting_max: 4, patience: Duration::from_millis(100) };
    let room = Room::new(&engine, "rust", options);
    let mut ann = room.join("ann")?;
    let bob = room.join("bob")?;
    bob.say("hello, is anybody here?")?;
    ann.say("yes, I am")?;
    println!("Ann hears:");
    print(&mut ann)?;

    println!(
        "Ann sleeps while Bob says 10 things. Her queue holds {}, the history {}.",
        options.waiting_max, options.history
    );
    for number in 1..=10 {
        bob.say(&format!("thing {number}"))?;
    }
    println!("When she wakes she hears:");
    print(&mut ann)?;

    println!("Present: {:?}", room.present()?);
    std::mem::forget(bob);
    println!("Bob is cut off without a goodbye; Ann's heart goes on beating.");
    for _ in 0..6 {
        std::thread::sleep(options.patience / 4);
        ann.beat()?;
    }
    println!("Present: {:?}", room.present()?);
    Ok(())
}

fn print(member: &mut Member) -> Result<(), OpError> {
    while let Some(heard) = member.next(Duration::ZERO)? {
        match heard {
            Heard::Said { number, from, text } => println!("  {number:2} {from}: {text}"),
            Heard::Joined(name) => println!("     {name} joins"),
            Heard::Left(name) => println!("     {name} leaves"),
            Heard::Missed(count) => println!("     ({count} messages missed)"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{iter, thread};

    use larder::ManualClock;

    use super::*;

    const OPTIONS: RoomOptions =
        RoomOptions { history: 8, waiting_max: 4, patience: Duration::from_secs(30) };

    fn world(options: RoomOptions) -> (ManualClock, Room) {
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).build().unwrap();
        (clock, Room::new(&engine, "r", options))
    }

    fn said(number: u64, from: &str, text: &str) -> Heard {
        Heard::Said { number, from: from.to_owned(), text: text.to_owned() }
    }

    fn all(member: &mut Member) -> Vec<Heard> {
        iter::from_fn(|| member.next(Duration::ZERO).unwrap()).collect()
    }

    #[test]
    fn members_hear_each_other_come_talk_and_go() {
        let (_clock, room) = world(OPTIONS);
        room.say("zoe", "before").unwrap();
        let mut ann = room.join("ann").unwrap();
        let bob = room.join("bob").unwrap();
        bob.say("two words").unwrap();
        drop(bob);
        let [ann_name, bob_name] = ["ann", "bob"].map(str::to_owned);
        let expected = [
            Heard::Joined(ann_name),
            Heard::Joined(bob_name.clone()),
            said(2, "bob", "two words"),
            Heard::Left(bob_name),
        ];
        assert_eq!(all(&mut ann), expected);
    }

    #[test]
    fn a_member_that_stalls_gets_the_history_and_is_told_what_it_missed() {
        let (_clock, room) = world(OPTIONS);
        let mut slow = room.join("slow").unwrap();
        assert_eq!(all(&mut slow).len(), 1);
        for number in 1..=20 {
            room.say("ann", &number.to_string()).unwrap();
        }
        let mut expected = vec![Heard::Missed(12)];
        expected.extend((13..=20).map(|number| said(number, "ann", &number.to_string())));
        assert_eq!(all(&mut slow), expected);
        room.say("ann", "21").unwrap();
        assert_eq!(all(&mut slow), [said(21, "ann", "21")]);
    }

    #[test]
    fn a_message_whose_notice_was_pushed_out_by_others_is_heard_all_the_same() {
        let (_clock, room) = world(OPTIONS);
        let mut slow = room.join("slow").unwrap();
        room.say("ann", "hello").unwrap();
        for _ in 0..OPTIONS.waiting_max {
            drop(room.join("bob").unwrap());
        }
        assert_eq!(all(&mut slow)[0], said(1, "ann", "hello"));
    }

    #[test]
    fn a_speaker_killed_between_the_steps_is_heard_with_the_next_message() {
        let (_clock, room) = world(OPTIONS);
        let mut ann = room.join("ann").unwrap();
        assert_eq!(all(&mut ann).len(), 1);
        let killed = thread::spawn({
            let room = room.clone();
            move || {
                room.record("bob", "help").unwrap();
                panic!("killed before it was published (this panic is part of the test)");
            }
        });
        assert!(killed.join().is_err());
        assert_eq!(all(&mut ann), []);
        room.say("eve", "what was that?").unwrap();
        assert_eq!(all(&mut ann), [said(1, "bob", "help"), said(2, "eve", "what was that?")]);
    }

    #[test]
    fn a_member_killed_without_a_goodbye_is_present_no_longer_than_its_patience() {
        let (clock, room) = world(OPTIONS);
        let ann = room.join("ann").unwrap();
        std::mem::forget(room.join("killed").unwrap());
        assert_eq!(room.present().unwrap(), ["ann", "killed"]);
        clock.advance(OPTIONS.patience / 2);
        ann.beat().unwrap();
        clock.advance(OPTIONS.patience / 2);
        assert_eq!(room.present().unwrap(), ["ann"]);
    }

    #[test]
    fn every_member_hears_everything_once_and_in_order_however_many_talk() {
        const EACH: u64 = 200;
        // The history holds all of it, the queues do not: members lag and repair it.
        let (_clock, room) = world(RoomOptions { history: 10 * EACH, ..OPTIONS });
        let mut members: Vec<_> = ["a", "b"].map(|name| room.join(name).unwrap()).into();
        thread::scope(|scope| {
            for speaker in ["x", "y", "z"] {
                let room = &room;
                scope.spawn(move || (0..EACH).for_each(|_| drop(room.say(speaker, "hi"))));
            }
            for member in &mut members {
                scope.spawn(move || {
                    let mut expected = 1;
                    while expected <= 3 * EACH {
                        match member.next(Duration::from_secs(60)).unwrap().expect("somebody talks") {
                            Heard::Said { number, .. } => {
                                assert_eq!(number, expected);
                                expected += 1;
                            }
                            Heard::Missed(count) => panic!("{count} missed, all are in the history"),
                            Heard::Joined(_) | Heard::Left(_) => {}
                        }
                    }
                });
            }
        });
    }
}
