//! Locks and events: parking_lot's and event-listener's, or, under `--cfg shuttle`, a scheduler's that tries out
//! interleavings (tests/models.rs).
//!
//! Under the scheduler every lock operation is a point at which another thread may go on. Atomics stay the real ones: the
//! scheduler runs one thread at a time, so what it explores is the order of critical sections and of waits.

#[cfg(not(shuttle))]
pub(crate) use event_listener::{Event, EventListener, Listener};
#[cfg(not(shuttle))]
pub(crate) use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
#[cfg(not(shuttle))]
pub(crate) use std::thread_local;

#[cfg(shuttle)]
pub(crate) use self::model::{Event, EventListener, Listener, Mutex, RwLock, RwLockWriteGuard};
#[cfg(shuttle)]
pub(crate) use shuttle::thread_local;

#[cfg(shuttle)]
mod model {
    //! The same faces over shuttle's primitives.

    use std::future::Future;
    use std::pin::Pin;
    use std::sync::PoisonError;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use shuttle::sync::RwLockReadGuard;
    pub(crate) use shuttle::sync::RwLockWriteGuard;
    use shuttle::sync::{Arc, Condvar, MutexGuard};

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
