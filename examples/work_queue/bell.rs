//! A bell: lets workers sleep until there may be work, where the work lies in something that cannot be waited for in one step.
//!
//! A list with at most one ring in it. Whoever adds work rings; a worker looks for work first and waits for a ring if there is
//! none; a worker that took something and leaves more behind rings again. So at any moment in which there is work there is a
//! ring, or a worker that was woken and is about to look. A ring wakes one worker, the one that waits longest.
//!
//! A ring that dies with the worker that it woke is missed until the next one: never wait for longer than you can afford.

use std::time::Duration;

use larder::{End, Engine, OpError, Tx};

#[derive(Debug, Clone)]
pub(crate) struct Bell {
    engine: Engine,
    key: String,
}

impl Bell {
    pub(crate) fn new(engine: &Engine, queue: &str) -> Self {
        Self { engine: engine.clone(), key: format!("{queue}:bell") }
    }

    /// The key that a transaction declares in order to ring.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Rings, in the transaction that adds the work: the worker wakes when it is over.
    pub(crate) fn ring(&self, tx: &Tx<'_>) -> Result<(), OpError> {
        let rings = tx.list::<u8>(&self.key);
        if rings.is_empty()? {
            rings.push_back(1)?;
        }
        Ok(())
    }

    /// Sleeps until it rings, but no longer than `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<(), OpError> {
        self.engine.list::<u8>(&self.key).pop_blocking(End::Head, Some(timeout)).map(drop)
    }
}
