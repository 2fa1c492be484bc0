//! Who is told of changes: subscribers, handlers, keyspace events.

use super::Engine;
use crate::error::OpError;
use crate::feed::{ChangeFilter, Changes, Delivery, Flags, HandlerGuard};

impl Engine {
    /// Subscribes to the changes that a filter admits, from now on.
    ///
    /// They come in the order in which they were committed, with the engine's sequence numbers. A change that is committed after
    /// this call returns is delivered, or counted in a [`Delivery::Lagged`] in its place if the subscriber has not kept up: writers
    /// do not wait. What an operation or a transaction changed comes in a row or not at all. To follow a database from what it
    /// holds now, subscribe first, then read: what is changed meanwhile comes twice, never too little.
    ///
    /// A typed value is encoded where [`Change::delta`](crate::Change::delta) is asked for, not when it is stored.
    ///
    /// **Complexity** O(s), s the subscribers and handlers. From then on each change is copied once, and compared with each filter.
    ///
    /// # Examples
    /// ```
    /// use larder::{ChangeFilter, Delta, Engine};
    /// let engine = Engine::new();
    /// let mut changes = engine.changes(ChangeFilter::new().prefix("job:"));
    /// engine.set("job:1", "done")?;
    /// let delivery = changes.recv().unwrap();
    /// assert_eq!(delivery.change().unwrap().event, "set");
    /// assert!(matches!(delivery.change().unwrap().delta(), Delta::SetString { value, .. } if **value == *b"done"));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn changes(&self, filter: ChangeFilter) -> Changes {
        Changes::new(&self.core.share(), self.db, filter)
    }

    /// Runs `handler` for every change that a filter admits, until the guard is dropped.
    ///
    /// It runs after the locks of the change were released, on a thread that made a change: usually the one whose change it is,
    /// else one that is running the handler already. So it is called in the order of the changes, never twice at a time, and other
    /// writers do not wait for it. It may use the engine; what it changes comes to it later. If it falls behind by more than the
    /// filter's capacity, it gets a [`Delivery::Lagged`].
    ///
    /// A panic of the handler goes on into the call whose thread ran it. The changes are committed by then, and the handler stays: it
    /// is called for the next delivery by the next writer.
    ///
    /// **Complexity** as [`changes`](Self::changes).
    ///
    /// # Examples
    /// ```
    /// use larder::{ChangeFilter, Engine};
    /// let engine = Engine::new();
    /// let _guard = engine.on(ChangeFilter::new().event("del"), |engine, delivery| {
    ///     if delivery.change().is_some() { engine.incr("deletions").unwrap(); }
    /// });
    /// engine.set("k", "v")?;
    /// engine.remove("k")?;
    /// assert_eq!(engine.get("deletions")?.unwrap(), "1");
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn on(
        &self,
        filter: ChangeFilter,
        handler: impl FnMut(&Self, &Delivery) + Send + 'static,
    ) -> HandlerGuard {
        HandlerGuard::new(&self.core.share(), self.db, filter, handler)
    }

    /// Chooses which keyspace events are published, by Redis's letters; none by default.
    ///
    /// `K` publishes on `__keyspace@<db>__:<key>`, `E` on `__keyevent@<db>__:<event>`; one of them is needed. The classes are `g`
    /// (generic), `$`, `l`, `s`, `h`, `z`, `t` (the types), `x` (expired), `e` (evicted), `A` (all of these), `n` (new keys) and `m`
    /// (misses). `d`, the events of modules, is taken and never sent.
    ///
    /// **Command** `CONFIG SET notify-keyspace-events`. **Complexity** O(1); while any are published each change is recorded.
    ///
    /// # Errors
    /// [`OpError::InvalidArgument`] for a letter that there is not.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// engine.set_keyspace_events("KEA")?;
    /// assert_eq!(engine.keyspace_events(), "AKE");
    /// assert!(engine.set_keyspace_events("Q").is_err());
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn set_keyspace_events(&self, letters: &str) -> Result<(), OpError> {
        let flags =
            Flags::parse(letters).ok_or(OpError::InvalidArgument("no such class of keyspace events"))?;
        self.core.feed.set_flags(flags);
        Ok(())
    }

    /// Returns which keyspace events are published, in the order in which Redis tells the letters.
    ///
    /// **Command** `CONFIG GET notify-keyspace-events`. **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// assert_eq!(larder::Engine::new().keyspace_events(), "");
    /// ```
    #[must_use]
    pub fn keyspace_events(&self) -> String {
        self.core.feed.flags().letters()
    }
}
