//! Fixed window: so many requests in each minute, hour or day of the clock.
//!
//! A counter a caller, which expires when the window ends. Windows are cut from the epoch, so all callers' windows end
//! together. Promise: never more than the limit within one window. A caller who waits for the end of a window may send twice
//! the limit in a moment; where that hurts, use the sliding window.

use std::time::Duration;

use larder::{Engine, ExpireCondition, OpError, UnixMillis};

use crate::Decision;

#[derive(Debug, Clone)]
pub(crate) struct FixedWindow {
    engine: Engine,
    name: String,
    limit: u64,
    window_ms: u64,
}

impl FixedWindow {
    /// Lets `limit` requests of each caller through in each window of whole milliseconds.
    pub(crate) fn new(engine: &Engine, name: &str, limit: u64, window: Duration) -> Self {
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1);
        Self { engine: engine.clone(), name: format!("fixed:{name}"), limit, window_ms }
    }

    pub(crate) fn check(&self, caller: &str) -> Result<Decision, OpError> {
        let key = format!("{}:{caller}", self.name);
        self.engine.transaction([&key], |tx| {
            let ends =
                UnixMillis((tx.now().0 / self.window_ms).saturating_add(1).saturating_mul(self.window_ms));
            let count = tx.typed::<u64>().get_with(&key, |count| *count)?.unwrap_or(0);
            if count >= self.limit {
                return Ok(Decision::Denied { retry_after: ends.saturating_since(tx.now()) });
            }
            tx.incr(&key)?;
            // The first of a window sets its end, the others find it there.
            tx.expire_at(&key, ends, ExpireCondition::IfNone)?;
            Ok(Decision::Allowed)
        })
    }
}

#[cfg(test)]
mod tests {
    use larder::ManualClock;

    use super::*;

    #[test]
    fn the_count_begins_anew_with_each_window_of_the_clock() {
        let clock = ManualClock::new(UnixMillis(10_700));
        let engine = Engine::builder().clock(clock.clone()).build().unwrap();
        let limiter = FixedWindow::new(&engine, "api", 2, Duration::from_secs(1));
        let check = || limiter.check("ann").unwrap();
        assert_eq!([check(), check()], [Decision::Allowed; 2]);
        assert_eq!(check(), Decision::Denied { retry_after: Duration::from_millis(300) });
        clock.advance(Duration::from_millis(299));
        assert_eq!(check(), Decision::Denied { retry_after: Duration::from_millis(1) });
        // Here is the weakness: four within two milliseconds.
        clock.advance(Duration::from_millis(1));
        assert_eq!([check(), check()], [Decision::Allowed; 2]);
        assert_eq!(check(), Decision::Denied { retry_after: Duration::from_secs(1) });
    }
}
