//! Where the doors of the keyspace find the section that their thread is in.
//!
//! ```text
//! enter(&mut section, body) --> CELL = section --> body --> a door --> with(|section| ..) : CELL empty meanwhile --> CELL = None
//! ```
//! Invariants: I1: the cell names a section only while `enter` runs on this thread, and `enter` has that section borrowed for
//! as long. I2: `with` takes the name out while it shows the section, so there are never two exclusive references.
#![expect(unsafe_code, reason = "a scoped thread-local reference; the safe face is enter and with")]

use std::cell::Cell;
use std::ptr::NonNull;

use super::section::Section;
use crate::local::InSection;
use crate::sync;

sync::thread_local! {
    static CELL: Cell<Option<NonNull<Section<'static>>>> = const { Cell::new(None) };
}

/// Empties the cell, or puts a name back into it, whatever happens.
struct Leaving(Option<NonNull<Section<'static>>>);

impl Drop for Leaving {
    fn drop(&mut self) {
        CELL.with(|cell| cell.set(self.0.take()));
    }
}

/// Runs `body` inside a section: until it is over, this thread's doors lead into it.
pub(super) fn enter<R>(section: &mut Section<'_>, body: impl FnOnce() -> R) -> R {
    let _mark = InSection::enter(section.id(), section.now_ms());
    let name = NonNull::from(section).cast::<Section<'static>>();
    CELL.with(|cell| cell.set(Some(name)));
    let _leaving = Leaving(None);
    body()
}

/// Shows the section that this thread is in; `None` outside of any, and inside another call of this.
pub(super) fn with<R>(show: impl FnOnce(&mut Section<'_>) -> R) -> Option<R> {
    let mut name = CELL.with(Cell::take)?;
    let _leaving = Leaving(Some(name));
    // SAFETY: by I1 the section outlives this call, which runs inside `enter` on the same thread, and nobody uses the
    // reference that `enter` holds meanwhile; by I2 no other reference was made from the name. `show` takes a section of any
    // lifetime, so that it can neither keep a part of it nor put a shorter one in.
    Some(show(unsafe { name.as_mut() }))
}
