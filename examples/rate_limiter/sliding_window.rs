//! Sliding window, kept as a log: never more than the limit in any window, wherever it begins.
//!
//! A list a caller with the times of the requests that were let through and still count, oldest first. Exact, and it says
//! exactly when the next one fits; it costs a few bytes for each request in the window, so it is for limits up to thousands.
//! Refused requests do not count. Each check forgets what left the window: O(1) a request over time.

use std::time::Duration;

use larder::{Engine, OpError};

use crate::Decision;

#[derive(Debug, Clone)]
pub(crate) struct SlidingWindow {
    engine: Engine,
    name: String,
    limit: u64,
    window_ms: u64,
}

impl SlidingWindow {
    /// Lets at most `limit` requests of each caller through in any window of so many whole milliseconds.
    pub(crate) fn new(engine: &Engine, name: &str, limit: u64, window: Duration) -> Self {
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1);
        Self { engine: engine.clone(), name: format!("sliding:{name}"), limit, window_ms }
    }

    pub(crate) fn check(&self, caller: &str) -> Result<Decision, OpError> {
        let key = format!("{}:{caller}", self.name);
        self.engine.transaction([&key], |tx| {
            let now_ms = tx.now().0;
            let leaves_at = |passed_ms: u64| passed_ms.saturating_add(self.window_ms);
            let passed = tx.list::<u64>(&key);
            while passed.get(0)?.is_some_and(|oldest| leaves_at(oldest) <= now_ms) {
                passed.pop_front()?;
            }
            if passed.len()? >= self.limit {
                let fits_at = passed.get(0)?.map_or(leaves_at(now_ms), leaves_at);
                return Ok(Decision::Denied { retry_after: Duration::from_millis(fits_at - now_ms) });
            }
            passed.push_back(now_ms)?;
            tx.expire(&key, Duration::from_millis(self.window_ms))?;
            Ok(Decision::Allowed)
        })
    }
}

#[cfg(test)]
mod tests {
    use larder::{Clock, ManualClock};
    use larder_examples::random::Rng;

    use super::*;

    #[test]
    fn no_window_anywhere_holds_more_than_the_limit_and_none_is_refused_in_vain() {
        const LIMIT: usize = 5;
        const WINDOW_MS: u64 = 1_000;
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).build().unwrap();
        let limiter = SlidingWindow::new(&engine, "api", 5, Duration::from_millis(WINDOW_MS));
        let mut random = Rng::new(1);
        // The model: the times of all that passed.
        let mut passed: Vec<u64> = Vec::new();
        for _ in 0..2_000 {
            clock.advance(Duration::from_millis(random.below(300)));
            let now = clock.now().0;
            let in_window = passed.iter().filter(|&&at| at + WINDOW_MS > now).count();
            match limiter.check("ann").unwrap() {
                Decision::Allowed => {
                    assert!(in_window < LIMIT);
                    passed.push(now);
                }
                Decision::Denied { retry_after } => {
                    assert_eq!(in_window, LIMIT);
                    let oldest = passed[passed.len() - LIMIT];
                    assert_eq!(retry_after, Duration::from_millis(oldest + WINDOW_MS - now));
                }
            }
        }
        assert!(passed.len() > 500, "{}", passed.len());
    }
}
