//! A lock that ends by itself, for work that must not run twice at a time: TTL, renewal, fencing tokens.
//!
//! A holder that stalls past its TTL loses the lock without noticing, however good the lock is. So every grant carries a
//! token that only grows, the store refuses tokens older than the newest that it has seen, and a late write does no harm.
//!
//! ```text
//! cargo run --release --example lock
//! cargo test --example lock
//! ```

mod expiring;
mod fenced;

use std::error::Error;
use std::thread;
use std::time::Duration;

use larder::Engine;

use crate::expiring::{Lock, LockError};
use crate::fenced::Ledger;

const TTL: Duration = Duration::from_millis(500);

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::new();
    let lock = Lock::new(&engine, "invoices", TTL);
    let ledger = Ledger::new(&engine, "invoices");

    let ann = lock.try_acquire()?.ok_or("the lock is new")?;
    println!("Ann has the lock with token {} for {TTL:?}.", ann.token());
    for step in 1..=8 {
        thread::sleep(TTL / 8);
        ann.renew()?;
        ledger.write(ann.token(), &format!("Ann, step {step}"))?;
    }
    println!("She renewed it after each of 8 steps and has it still, after {TTL:?} of work.");

    println!("Now she stalls. Bob waits for the lock.");
    let bob = lock.acquire(Duration::from_secs(1))?.ok_or("Ann's time is over by then")?;
    ledger.fence(bob.token())?;
    ledger.write(bob.token(), "Bob")?;
    println!("Bob has it with token {}, and has written.", bob.token());

    match ann.renew() {
        Err(LockError::Lost) => println!("Ann wakes and renews: she is told that the lock is lost."),
        other => println!("Ann wakes and renews: {other:?}"),
    }
    match ledger.write(ann.token(), "Ann, too late") {
        Err(refused) => println!("Had she not asked, her write would fail all the same: {refused}."),
        Ok(()) => println!("Her late write went through."),
    }
    drop(ann);
    println!("Her letting go does not free Bob's lock: taken is {}.", lock.try_acquire()?.is_none());
    drop(bob);
    println!("Bob lets go; the ledger says {:?}.", ledger.read()?);
    Ok(())
}
