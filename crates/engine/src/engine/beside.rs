//! Changes of very many elements in one call: most of the work is done while no lock is held.
//!
//! ```text
//! change_many: few? --> change, under the lock
//!              many --> capture (O(1)) -> change the copy: its nodes are copied as they are touched -> lock -> same stamp?
//!                       swap the roots : again, from the capture on
//! ```
//! Invariants: I1: what is put in was made of the state that it replaces. I2: the swap is a change like any other
//! (keyspace/collect.rs): room, accounts, timers, stamps and deltas are its business. I3: under the lock at most
//! `UNDER_LOCK_MAX` elements are touched, unless writers changed the collection eight times in a row.
//!
//! Cost: what the change costs, and a copy of every node that it touches; those are not in the accounts until the swap, and
//! those that they replace leave them with it. The old nodes are freed by the caller, after the lock. Where nobody writes
//! meanwhile, the change is made once; its error, or that it changes nothing, holds for the moment of the capture.

use super::multi::OPTIMISTIC_TRIES;
use super::place::{Place, change};
use crate::collections::Body;
use crate::error::OpError;
use crate::keyspace::blob::ValueRef;
use crate::keyspace::collect::{Absent, Change, Made, body_of};

/// Elements that a change may touch under the lock: a few hundred microseconds at most.
const UNDER_LOCK_MAX: u64 = 1_024;

/// The stamp of a collection that does not exist.
const NO_STAMP: u64 = 0;

/// Changes a collection as `change` does; `touches` tells about how many elements that will be. `f` may run several times,
/// on copies of which all but one are dropped.
pub(crate) fn change_many<B: Body, R>(
    place: &impl Place,
    absent: Absent,
    room: usize,
    touches: impl Fn(&B) -> u64,
    mut f: impl FnMut(&mut Change<'_, B>) -> Result<R, OpError>,
) -> Result<Option<R>, OpError> {
    // Inside a transaction the locks are held anyhow.
    let max = if crate::local::in_section() { u64::MAX } else { under_lock_max() };
    let few =
        change(
            place,
            absent,
            room,
            |change: &mut Change<'_, B>| {
                if touches(change.body) > max { Ok(None) } else { f(change).map(Some) }
            },
        )?;
    match few {
        Some(Some(result)) => return Ok(Some(result)),
        Some(None) => {}
        None => return Ok(None),
    }
    for _ in 0..OPTIMISTIC_TRIES {
        let Some((stamp, body)) = begin(place, absent)? else { return Ok(None) };
        let mut made = made_of(place, body, &mut f)?;
        if !made.changed {
            return Ok(Some(made.result));
        }
        let put = change(place, absent, room, |change| {
            let same = change.stamp() == stamp && change.is_told_by(&made);
            if same {
                change.adopt(&mut made);
            }
            Ok(same)
        })?;
        if put == Some(true) {
            return Ok(Some(made.result));
        }
    }
    change(place, absent, room, f)
}

/// A copy to be changed, and the stamp of its state; `None` if there is nothing and is to be nothing.
fn begin<B: Body>(place: &impl Place, absent: Absent) -> Result<Option<(u64, B)>, OpError> {
    let (engine, key) = (place.engine(), place.key());
    let core = &*engine.core;
    let seen = core.peek_entry(engine.db, key, |blob| {
        let body: &B = body_of(blob, key)?;
        let stamp = match blob.value() {
            ValueRef::Collection(held) => held.stamp,
            _ => NO_STAMP,
        };
        Ok((stamp, body.clone()))
    })?;
    match seen {
        Some(seen) => seen.map(Some),
        None if absent == Absent::Create => Ok(Some((NO_STAMP, B::empty(&core.rules())))),
        None => Ok(None),
    }
}

fn made_of<B: Body, R>(
    place: &impl Place,
    body: B,
    f: &mut impl FnMut(&mut Change<'_, B>) -> Result<R, OpError>,
) -> Result<Made<B, R>, OpError> {
    let core = &*place.engine().core;
    Made::new(core, &core.rules(), body, &mut |change| {
        meanwhile();
        let result = f(change);
        meanwhile();
        result
    })
}

#[cfg(not(test))]
const fn under_lock_max() -> u64 {
    UNDER_LOCK_MAX
}

#[cfg(not(test))]
const fn meanwhile() {}

#[cfg(test)]
pub(crate) use hooks::{during, with_limit};
#[cfg(test)]
use hooks::{meanwhile, under_lock_max};

#[cfg(test)]
mod hooks {
    //! What tests change for the thread they run on: the limit, and what happens while no lock is held.

    use std::cell::{Cell, RefCell};

    thread_local! {
        static LIMIT: Cell<u64> = const { Cell::new(super::UNDER_LOCK_MAX) };
        static MEANWHILE: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
    }

    pub(super) fn under_lock_max() -> u64 {
        LIMIT.get()
    }

    pub(super) fn meanwhile() {
        // Taken out: what happens meanwhile may be a change of many elements itself.
        let hook = MEANWHILE.take();
        if let Some(mut hook) = hook {
            hook();
            MEANWHILE.set(Some(hook));
        }
    }

    /// Runs `f` with another limit for this thread.
    pub(crate) fn with_limit<R>(limit: u64, f: impl FnOnce() -> R) -> R {
        let was = LIMIT.replace(limit);
        let result = f();
        LIMIT.set(was);
        result
    }

    /// Runs `f`, and `hook` before and after each computation outside of the lock.
    pub(crate) fn during<R>(hook: impl FnMut() + 'static, f: impl FnOnce() -> R) -> R {
        MEANWHILE.set(Some(Box::new(hook)));
        let result = f();
        MEANWHILE.set(None);
        result
    }
}
