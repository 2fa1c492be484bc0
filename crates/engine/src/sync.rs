//! Locks and events: parking_lot's and event-listener's, or, under `--cfg shuttle`, a scheduler's that tries out
//! interleavings (tests/models.rs).
//!
//! Who finds a reader-writer lock held by a writer spins for as long as most changes take before it lets parking_lot put it
//! to sleep. Sleeping there begins with yields of the processor, and ends by a wake-up that is late by many times the hold,
//! and may find that the thread which woke it has taken the lock again: both cost more than the wait itself.
//!
//! Under the scheduler every lock operation is a point at which another thread may go on. Atomics stay the real ones: the
//! scheduler runs one thread at a time, so what it explores is the order of critical sections and of waits.

#[cfg(not(shuttle))]
pub(crate) use event_listener::{Event, EventListener, Listener};
#[cfg(not(shuttle))]
pub(crate) use parking_lot::{Mutex, RwLockReadGuard, RwLockWriteGuard};
#[cfg(not(shuttle))]
pub(crate) use std::thread_local;

#[cfg(not(shuttle))]
pub(crate) use self::spinning::RwLock;

#[cfg(shuttle)]
pub(crate) use self::model::{
    Event, EventListener, Listener, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
#[cfg(shuttle)]
pub(crate) use shuttle::thread_local;

#[cfg(not(shuttle))]
mod spinning {
    //! A reader-writer lock whose waiters spin first.

    use std::hint::spin_loop;

    use parking_lot::{RwLockReadGuard, RwLockWriteGuard};

    /// How often a waiter looks before it sleeps.
    const LOOKS: u32 = 64;
    /// Pauses between two looks, at most: a look takes the lock's cache line from its holder. With pauses of 140 cycles all
    /// looks together take about 40 us.
    const PAUSES_MAX: u32 = 16;

    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(parking_lot::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(parking_lot::RwLock::new(value))
        }

        #[inline]
        pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.try_read().unwrap_or_else(|| self.read_late())
        }

        #[inline]
        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.try_write().unwrap_or_else(|| self.write_late())
        }

        /// Without waiting at all.
        pub(crate) fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
            self.0.try_write()
        }

        #[cold]
        fn read_late(&self) -> RwLockReadGuard<'_, T> {
            for look in 0..LOOKS {
                if !self.0.is_locked_exclusive() {
                    if let Some(guard) = self.0.try_read() {
                        return guard;
                    }
                }
                pause(look);
            }
            self.0.read()
        }

        #[cold]
        fn write_late(&self) -> RwLockWriteGuard<'_, T> {
            for look in 0..LOOKS {
                if !self.0.is_locked_exclusive() {
                    if let Some(guard) = self.0.try_write() {
                        return guard;
                    }
                    if !self.0.is_locked_exclusive() {
                        // Readers alone. The lock lets no more of them in once a writer has announced itself, and they
                        // might never be gone all at once.
                        break;
                    }
                }
                pause(look);
            }
            self.0.write()
        }
    }

    fn pause(look: u32) {
        (0..PAUSES_MAX.min(look + 1)).for_each(|_| spin_loop());
    }
}

#[cfg(shuttle)]
mod model {
    //! The same faces over shuttle's primitives.

    use std::future::Future;
    use std::pin::Pin;
    use std::sync::PoisonError;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use shuttle::sync::{Arc, Condvar, MutexGuard};
    pub(crate) use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
            self.0.try_write().ok()
        }
    }

    /// Generations: a listener waits for a later one than it saw.
    #[derive(Debug)]
    pub(crate) struct Event(Arc<(Mutex<u64>, Condvar)>);

    impl Event {
        pub(crate) fn new() -> Self {
            Self(Arc::new((Mutex::new(0), Condvar::new())))
        }

        pub(crate) fn listen(&self) -> EventListener {
            EventListener { event: Arc::clone(&self.0), seen: *self.0.0.lock() }
        }

        pub(crate) fn notify(&self, _listeners: usize) {
            *self.0.0.lock() += 1;
            self.0.1.notify_all();
        }
    }

    #[derive(Debug)]
    pub(crate) struct EventListener {
        event: Arc<(Mutex<u64>, Condvar)>,
        seen: u64,
    }

    /// What event-listener's trait of this name offers.
    pub(crate) trait Listener {
        fn wait(self);
        /// A timeout passes when the scheduler comes back without a notification.
        fn wait_timeout(self, timeout: Duration) -> Option<()>;
    }

    impl Listener for EventListener {
        fn wait(self) {
            let mut generation = self.event.0.lock();
            while *generation == self.seen {
                generation = self.event.1.wait(generation).unwrap_or_else(PoisonError::into_inner);
            }
        }

        fn wait_timeout(self, _timeout: Duration) -> Option<()> {
            shuttle::thread::yield_now();
            (*self.event.0.lock() != self.seen).then_some(())
        }
    }

    impl Future for EventListener {
        type Output = ();

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if *self.event.0.lock() != self.seen {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
}
