//! How to test a service that caches: time is a parameter and chance has a seed, so nothing sleeps and
//! nothing flickers.
//!
//! The service below keeps login sessions and a cache of rendered pages. Its tests move a `ManualClock` by
//! hand and fix the seed. `main` runs the same three functions as `cargo test` and says what each one saw.
//!
//! ```text
//! cargo run --release --example deterministic_test
//! cargo test --example deterministic_test
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use larder::{Clock, ConfigError, Engine, ManualClock, OpError, SetOptions};
use serde::{Deserialize, Serialize};

/// A session ends half an hour after the login.
const SESSION: Duration = Duration::from_secs(30 * 60);
/// A rendered page is good for a minute.
const PAGE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Session {
    user: String,
}

/// The service under test. It is given its clock and its seed, as it is given its limit.
struct Service {
    cache: Engine,
}

impl Service {
    fn new(clock: impl Clock, seed: u64, limit_bytes: u64) -> Result<Self, ConfigError> {
        let cache = Engine::builder().clock(clock).seed(seed).max_memory(limit_bytes).build()?;
        Ok(Self { cache })
    }

    fn log_in(&self, token: &str, user: &str) -> Result<(), OpError> {
        let sessions = self.cache.typed::<Session>().with_ttl(SESSION);
        sessions.set(format!("session:{token}"), Session { user: user.to_owned() })
    }

    fn user_of(&self, token: &str) -> Result<Option<String>, OpError> {
        let key = format!("session:{token}");
        self.cache.typed::<Session>().get_with(key, |session| session.user.clone())
    }

    fn page(&self, number: u32, render: impl FnOnce() -> String) -> Result<String, OpError> {
        let key = format!("page:{number}");
        if let Some(page) = self.cache.get_with(&key, |bytes| String::from_utf8_lossy(bytes).into_owned())? {
            return Ok(page);
        }
        let page = render();
        self.cache.set_with(&key, &page, SetOptions::new().ttl(PAGE))?;
        Ok(page)
    }

    /// The pages of `0..count` that are still cached.
    fn cached_pages(&self, count: u32) -> Result<Vec<u32>, OpError> {
        let mut found = Vec::new();
        for number in 0..count {
            if self.cache.peek(format!("page:{number}"))?.is_some() {
                found.push(number);
            }
        }
        Ok(found)
    }
}

/// What a test hands back: one line for `main` to print.
type Outcome<T = String> = Result<T, Box<dyn Error>>;
type Test = fn() -> Outcome;

fn a_session_ends_on_the_minute() -> Outcome {
    let clock = ManualClock::default();
    let service = Service::new(clock.clone(), 1, 1 << 20)?;
    service.log_in("t1", "ada")?;
    clock.advance(SESSION - Duration::from_millis(1));
    assert_eq!(service.user_of("t1")?.as_deref(), Some("ada"), "one millisecond before the end");
    clock.advance(Duration::from_millis(1));
    assert_eq!(service.user_of("t1")?, None, "at the end");
    Ok("29:59.999 logged in, 30:00.000 logged out; no thread slept".to_owned())
}

fn a_page_is_rendered_again_after_a_minute() -> Outcome {
    let clock = ManualClock::default();
    let service = Service::new(clock.clone(), 1, 1 << 20)?;
    let mut renders = 0;
    for _ in 0..10 {
        service.page(1, || {
            renders += 1;
            format!("rendered {renders}")
        })?;
        clock.advance(Duration::from_secs(12));
    }
    // Asked for at 0, 12, .. 108 s: rendered at 0 and, when the first copy is over, at 60 s.
    assert_eq!(renders, 2);
    Ok("10 reads within two minutes, 2 renderings".to_owned())
}

fn the_same_seed_evicts_the_same_pages() -> Outcome {
    const PAGES: u32 = 5_000;
    let survivors = |seed: u64| -> Result<Vec<u32>, Box<dyn Error>> {
        let service = Service::new(ManualClock::default(), seed, 256 * 1024)?;
        for number in 0..PAGES {
            service.page(number, || format!("<html>page {number}</html>"))?;
            // Every third page is read again by a later visitor.
            service.page(number / 3, || format!("<html>page {}</html>", number / 3))?;
        }
        Ok(service.cached_pages(PAGES)?)
    };
    let first = survivors(42)?;
    assert!(first.len() > 100 && first.len() < PAGES as usize, "the limit bites: {} pages left", first.len());
    assert!(first == survivors(42)?, "the same seed gave other survivors");
    assert!(first != survivors(7)?, "another seed gave the same survivors");
    Ok(format!("seed 42 twice: the same {} of {PAGES} pages survive; seed 7: others", first.len()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let tests: [(&str, Test); 3] = [
        ("a_session_ends_on_the_minute", a_session_ends_on_the_minute),
        ("a_page_is_rendered_again_after_a_minute", a_page_is_rendered_again_after_a_minute),
        ("the_same_seed_evicts_the_same_pages", the_same_seed_evicts_the_same_pages),
    ];
    for (name, test) in tests {
        let start = Instant::now();
        let saw = test()?;
        println!("{name}: passed in {} ms\n    {saw}", start.elapsed().as_millis());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn a_session_ends_on_the_minute() -> Outcome<()> {
        super::a_session_ends_on_the_minute().map(drop)
    }

    #[test]
    fn a_page_is_rendered_again_after_a_minute() -> Outcome<()> {
        super::a_page_is_rendered_again_after_a_minute().map(drop)
    }

    #[test]
    fn the_same_seed_evicts_the_same_pages() -> Outcome<()> {
        super::the_same_seed_evicts_the_same_pages().map(drop)
    }
}
