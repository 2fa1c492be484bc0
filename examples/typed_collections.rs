//! Redis's collections with Rust's types: a queue of jobs, a hash whose fields expire, a set, a stream with a group.
//!
//! ```text
//! cargo run --release --example typed_collections
//! ```

use std::error::Error;
use std::time::Duration;

use larder::{Engine, Hash, List, ManualClock, OpError, Set, UnixMillis};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Job {
    id: u64,
    mail_to: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct UserId(u64);

/// Handles are made once and kept: they own their key, cost no look-up and may go to other threads.
struct Service {
    jobs: List<Job>,
    sessions: Hash<String, UserId>,
    online: Set<UserId>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::new(UnixMillis(1_795_132_800_000));
    let engine = Engine::builder().clock(clock.clone()).max_memory(16 << 20).build()?;
    let service = Service {
        jobs: engine.list("jobs").into_owned(),
        sessions: engine.hash("sessions").into_owned(),
        online: engine.set_of("online").into_owned(),
    };

    println!("1. A list of structs is a queue");
    for id in 1..=3 {
        service.jobs.push_back(Job { id, mail_to: format!("user{id}@example.org") })?;
    }
    println!("   first out: {:?}", service.jobs.pop_front()?);
    println!("   {} wait; a walk holds no lock: {:?}", service.jobs.len()?, ids(&service.jobs)?);

    println!("2. A hash whose fields expire one by one");
    service.sessions.set("token-a", UserId(7))?;
    service.sessions.set("token-b", UserId(8))?;
    service.sessions.expire(["token-a"], Duration::from_secs(60), larder::ExpireCondition::Always)?;
    clock.advance(Duration::from_secs(61));
    println!(
        "   after a minute: {:?} and {:?}",
        service.sessions.get("token-a")?,
        service.sessions.get("token-b")?
    );

    println!("3. Sets know each other");
    for id in [7, 8, 9] {
        service.online.add(UserId(id))?;
    }
    let friends = engine.set_of::<UserId>("friends:7");
    friends.add(UserId(9))?;
    friends.add(UserId(10))?;
    let mut both = Vec::new();
    for user in friends.intersection(["online"])? {
        both.push(user?.0);
    }
    println!("   friends of 7 who are online: {both:?}");

    println!("4. A stream keeps what happened, a group hands it out");
    let events = engine.stream("events");
    events.add([("kind", "login"), ("user", "7")])?;
    events.add([("kind", "logout"), ("user", "8")])?;
    let group = events.group("mailer");
    group.create(larder::StreamId::MIN)?;
    for entry in group.read("worker-1")? {
        println!("   {} {:?}", entry.id, entry.fields.get("kind").map(String::from_utf8_lossy));
        group.acknowledge([entry.id])?;
    }
    println!("   pending now: {}", events.group("mailer").pending_summary()?.count);

    println!("5. Another type is an error that says so");
    match engine.sorted_set::<UserId>("jobs").add(UserId(1), 1.0) {
        Err(error @ OpError::WrongType { .. }) => println!("   {error}"),
        other => return Err(format!("jobs is a list, so this was to be refused: {other:?}").into()),
    }
    Ok(())
}

fn ids(jobs: &List<Job>) -> Result<Vec<u64>, OpError> {
    jobs.iter()?.map(|job| job.map(|job| job.id)).collect()
}
