//! A session store: a session ends when it was not used for a while, all of a user's can be ended at once, and the active ones
//! are counted exactly.
//!
//! ```text
//! session:token      the session, a typed value: a hit decodes nothing; expires unless it is used
//! sessions:of:user   sorted set: token -> when it ends       sessions:active   the same of all users
//! ```
//! Every change of a session is one transaction over these three keys, so they never disagree. What has ended is cut off the sorted
//! sets by its score; nobody has to walk over sessions.
//!
//! A use costs a write to the index of all. A store so busy that this key becomes hot notes a use once a minute, not each time.
//!
//! Promise: once `close_all` has returned, no request of that user finds a session that was there before, not even one that was
//! being served meanwhile.
//!
//! ```text
//! cargo run --release --example sessions
//! cargo test --example sessions
//! ```

use std::error::Error;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use larder::{Engine, ManualClock, OpError, ScoreRange, SortedRange, Tx, UnixMillis};
use serde::{Deserialize, Serialize};

const ACTIVE: &str = "sessions:active";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    user: String,
    device: String,
}

#[derive(Debug, Clone)]
struct Sessions {
    engine: Engine,
    /// A session ends when it was not used for so long.
    idle: Duration,
}

impl Sessions {
    fn new(engine: &Engine, idle: Duration) -> Self {
        Self { engine: engine.clone(), idle }
    }

    /// Opens a session. The token is the caller's: draw it from the operating system, so that nobody can guess it.
    fn open(&self, token: &str, session: &Session) -> Result<(), OpError> {
        let keys = [key_of(token), index_of(&session.user), ACTIVE.to_owned()];
        self.engine.transaction(keys, |tx| {
            tx.typed::<Session>().set(key_of(token), session.clone())?;
            self.note_use(tx, token, &session.user)
        })
    }

    /// Returns the session, and lets it live on: what every request begins with.
    fn use_session(&self, token: &str) -> Result<Option<Arc<Session>>, OpError> {
        let Some(session) = self.engine.typed::<Session>().get(key_of(token))? else { return Ok(None) };
        let keys = [key_of(token), index_of(&session.user), ACTIVE.to_owned()];
        self.engine.transaction(keys, |tx| {
            // It may have been closed since we looked; then it must not come back.
            if !tx.exists(key_of(token))? {
                return Ok(None);
            }
            self.note_use(tx, token, &session.user)?;
            Ok(Some(session))
        })
    }

    fn note_use(&self, tx: &Tx<'_>, token: &str, user: &str) -> Result<(), OpError> {
        tx.expire(key_of(token), self.idle)?;
        let index = index_of(user);
        let (now, ends) = (score(tx.now()), score(tx.now().saturating_add(self.idle)));
        for key in [index.as_str(), ACTIVE] {
            tx.sorted_set::<String>(key).remove_range(SortedRange::scores(..=now))?;
            tx.sorted_set::<String>(key).add(token, ends)?;
            // This session ends last, and the index with it.
            tx.expire(key, self.idle)?;
        }
        Ok(())
    }

    /// Ends one session; `false` if it has ended already.
    fn close(&self, token: &str) -> Result<bool, OpError> {
        let Some(session) = self.engine.typed::<Session>().get(key_of(token))? else { return Ok(false) };
        let keys = [key_of(token), index_of(&session.user), ACTIVE.to_owned()];
        self.engine.transaction(keys, |tx| {
            tx.sorted_set::<String>(index_of(&session.user)).remove(token)?;
            tx.sorted_set::<String>(ACTIVE).remove(token)?;
            tx.remove(key_of(token))
        })
    }

    /// Ends all sessions of a user: "log out everywhere". Returns how many.
    fn close_all(&self, user: &str) -> Result<usize, OpError> {
        let index = index_of(user);
        loop {
            // A transaction declares its keys, so look first which they are, and make sure inside.
            let tokens = tokens_in(&self.engine, &index)?;
            let sessions: Vec<String> = tokens.iter().map(|token| key_of(token)).collect();
            let keys = sessions.iter().map(String::as_str).chain([index.as_str(), ACTIVE]);
            let closed = self.engine.transaction(keys, |tx| -> Result<_, OpError> {
                if tokens_in(tx, &index)?.iter().any(|token| !tokens.contains(token)) {
                    return Ok(None);
                }
                tx.remove(&index)?;
                tx.sorted_set::<String>(ACTIVE).remove_all(&tokens)?;
                tx.del(&sessions).map(Some)
            })?;
            if let Some(closed) = closed {
                return Ok(usize::try_from(closed).unwrap_or(usize::MAX));
            }
        }
    }

    /// Returns how many sessions are active, of one user or of all: a count over a range of scores, not a walk.
    fn active(&self, user: Option<&str>) -> Result<u64, OpError> {
        let key = user.map_or_else(|| ACTIVE.to_owned(), index_of);
        let now = Bound::Excluded(score(self.engine.now()));
        self.engine.sorted_set::<String>(&key).count(ScoreRange::new(now, Bound::Unbounded))
    }
}

fn key_of(token: &str) -> String {
    format!("session:{token}")
}

fn index_of(user: &str) -> String {
    format!("sessions:of:{user}")
}

/// Milliseconds are whole numbers far below 2^53: a score holds them exactly.
fn score(at: UnixMillis) -> f64 {
    at.0 as f64
}

fn tokens_in(engine: &Engine, index: &str) -> Result<Vec<String>, OpError> {
    engine.sorted_set::<String>(index).iter()?.map(|member| Ok(member?.0)).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    const MINUTE: Duration = Duration::from_secs(60);
    // The clock is moved by hand, so that half an hour passes in no time.
    let clock = ManualClock::default();
    let engine = Engine::builder().clock(clock.clone()).build()?;
    let sessions = Sessions::new(&engine, 30 * MINUTE);
    for (token, user, device) in [("t1", "ann", "laptop"), ("t2", "ann", "phone"), ("t3", "bob", "phone")] {
        sessions.open(token, &Session { user: user.to_owned(), device: device.to_owned() })?;
    }
    println!("Ann logs in on two devices, Bob on one: {} active.", sessions.active(None)?);

    clock.advance(20 * MINUTE);
    let session = sessions.use_session("t1")?.ok_or("used within half an hour")?;
    println!("After 20 minutes Ann uses her {}.", session.device);
    clock.advance(20 * MINUTE);
    println!(
        "After 40 minutes: Ann {}, Bob {}, together {}.",
        sessions.active(Some("ann"))?,
        sessions.active(Some("bob"))?,
        sessions.active(None)?
    );
    let phone = sessions.use_session("t2")?;
    println!("Her phone has to log in again: {}.", phone.is_none());

    sessions.open("t4", &Session { user: "ann".to_owned(), device: "tablet".to_owned() })?;
    println!("She logs in on a tablet, and then logs out everywhere: {} closed.", sessions.close_all("ann")?);
    println!("The tablet's next request finds a session: {}.", sessions.use_session("t4")?.is_some());
    println!("Closing it once more: {}. Active: {}.", sessions.close("t4")?, sessions.active(None)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const IDLE: Duration = Duration::from_secs(1_800);
    const TICK: Duration = Duration::from_millis(1);

    fn world() -> (ManualClock, Sessions) {
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).build().unwrap();
        (clock, Sessions::new(&engine, IDLE))
    }

    fn open(sessions: &Sessions, token: &str, user: &str) {
        sessions.open(token, &Session { user: user.to_owned(), device: "phone".to_owned() }).unwrap();
    }

    #[test]
    fn a_session_lives_on_while_it_is_used_and_counts_agree_at_every_moment() {
        let (clock, sessions) = world();
        open(&sessions, "used", "ann");
        open(&sessions, "left", "ann");
        for _ in 0..4 {
            clock.advance(IDLE - TICK);
            assert!(sessions.use_session("used").unwrap().is_some());
        }
        assert_eq!(sessions.use_session("left"), Ok(None));
        assert_eq!((sessions.active(Some("ann")), sessions.active(None)), (Ok(1), Ok(1)));
        clock.advance(IDLE - TICK);
        assert_eq!(sessions.active(None), Ok(1), "one millisecond before its end");
        clock.advance(TICK);
        assert_eq!((sessions.active(None), sessions.use_session("used")), (Ok(0), Ok(None)));
        while sessions.engine.maintain(larder::Budget::default()).due {}
        assert_eq!(sessions.engine.len(), Ok(0), "nothing is left behind");
    }

    #[test]
    fn a_request_that_stalls_in_the_middle_does_not_bring_a_closed_session_back() {
        let (_clock, sessions) = world();
        open(&sessions, "t", "ann");
        let (began, has_begun) = mpsc::channel();
        let (wake, woken) = mpsc::channel::<()>();
        let request = thread::spawn({
            let sessions = sessions.clone();
            move || {
                let session = sessions.use_session("t").unwrap();
                began.send(session.is_some()).unwrap();
                woken.recv().unwrap();
                // It goes on, and a later part of it asks once more.
                sessions.use_session("t").unwrap()
            }
        });
        assert!(has_begun.recv().unwrap());
        assert_eq!(sessions.close_all("ann"), Ok(1));
        wake.send(()).unwrap();
        assert_eq!(request.join().unwrap(), None);
        assert_eq!((sessions.active(None), sessions.close("t")), (Ok(0), Ok(false)));
    }

    #[test]
    fn logging_out_everywhere_holds_against_requests_that_race_with_it() {
        let (_clock, sessions) = world();
        for round in 0..50 {
            let tokens: Vec<String> = (0..3).map(|device| format!("{round}:{device}")).collect();
            tokens.iter().for_each(|token| open(&sessions, token, "ann"));
            thread::scope(|scope| {
                for token in &tokens {
                    // Each asks until it is logged out.
                    scope.spawn(|| while sessions.use_session(token).unwrap().is_some() {});
                }
                assert_eq!(sessions.close_all("ann"), Ok(3));
                assert!(tokens.iter().all(|token| sessions.use_session(token).unwrap().is_none()));
            });
            assert_eq!(sessions.engine.len(), Ok(0));
        }
    }

    #[test]
    fn logins_that_race_with_logging_out_everywhere_are_closed_or_counted() {
        const LOGINS: u32 = 2_000;
        let (_clock, sessions) = world();
        let done = AtomicBool::new(false);
        let closed = thread::scope(|scope| {
            scope.spawn(|| {
                (0..LOGINS).for_each(|number| open(&sessions, &number.to_string(), "ann"));
                done.store(true, Ordering::Release);
            });
            let mut closed = 0;
            while !done.load(Ordering::Acquire) {
                closed += sessions.close_all("ann").unwrap();
            }
            closed
        });
        // Using a session would count it again: only look whether it is there.
        let open = (0..LOGINS).filter(|number| sessions.engine.exists(key_of(&number.to_string())).unwrap());
        let open = u64::try_from(open.count()).unwrap();
        assert_eq!(u64::try_from(closed).unwrap() + open, u64::from(LOGINS));
        assert_eq!((sessions.active(Some("ann")), sessions.active(None)), (Ok(open), Ok(open)));
    }

    #[test]
    fn a_worker_killed_in_the_middle_of_a_request_takes_no_session_along() {
        let (clock, sessions) = world();
        open(&sessions, "t", "ann");
        let killed = thread::spawn({
            let sessions = sessions.clone();
            move || {
                let _session = sessions.use_session("t").unwrap().unwrap();
                panic!("killed in the middle of its request (this panic is part of the test)");
            }
        });
        assert!(killed.join().is_err());
        clock.advance(IDLE - TICK);
        assert!(sessions.use_session("t").unwrap().is_some());
    }
}
