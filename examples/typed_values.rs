//! Structs as values: stored decoded, updated in place, loaded once however many threads ask.
//!
//! Shows `set`, `get`, `get_with` and `update` on a struct, single flight (eight threads ask for a missing
//! key at the same moment, the loader runs once), and that the error of a loader reaches every caller but is
//! not cached.
//!
//! ```text
//! cargo run --release --example typed_values
//! ```

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use larder::{Engine, LoadError, Typed};
use serde::{Deserialize, Serialize};

const CALLERS: usize = 8;
const LOAD_TIME: Duration = Duration::from_millis(150);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    visits: u32,
}

#[derive(Debug)]
struct DirectoryDown;

impl fmt::Display for DirectoryDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the user directory does not answer")
    }
}

impl Error for DirectoryDown {}

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::builder().max_memory(16 * 1024 * 1024).build()?;
    let users: Typed<User> = engine.typed::<User>();
    store_and_update(&users)?;
    load_once(&users)?;
    errors_are_not_cached(&users)
}

fn store_and_update(users: &Typed<User>) -> Result<(), Box<dyn Error>> {
    println!("1. A struct goes in and comes out, decoded");
    users.set("user:1", User { name: "Ada".to_owned(), visits: 1 })?;
    let ada = users.get("user:1")?.ok_or("user:1 was just stored")?;
    println!("   get       {ada:?}");
    let again = users.get("user:1")?.ok_or("user:1 was just stored")?;
    println!("   a second get shares the same object: {}", Arc::ptr_eq(&ada, &again));
    users.update("user:1", |user| user.map(|user| User { visits: user.visits + 1, ..user.clone() }))?;
    println!("   update    {:?} visits now", users.get_with("user:1", |user| user.visits)?);
    println!("   the Arc from before still reads {} visit", ada.visits);
    users.update("user:1", |_| None)?;
    println!("   update to None removes it: {:?}\n", users.get("user:1")?);
    Ok(())
}

fn load_once(users: &Typed<User>) -> Result<(), Box<dyn Error>> {
    println!("2. {CALLERS} threads ask for a missing key at once; a load takes {} ms", LOAD_TIME.as_millis());
    let loads = AtomicU32::new(0);
    let together = Barrier::new(CALLERS);
    let start = Instant::now();
    let ask = || {
        together.wait();
        users.get_or_insert_with("user:2", || {
            loads.fetch_add(1, Ordering::Relaxed);
            thread::sleep(LOAD_TIME);
            Ok::<_, DirectoryDown>(User { name: "Grace".to_owned(), visits: 7 })
        })
    };
    let answers: Result<Vec<_>, _> = thread::scope(|scope| {
        let threads: Vec<_> = (0..CALLERS).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a caller does not panic")).collect()
    });
    let answers = answers?;
    let same = answers.iter().all(|user| Arc::ptr_eq(user, &answers[0]));
    println!(
        "   loads: {}, callers served: {}, one shared object: {same}",
        loads.into_inner(),
        answers.len()
    );
    println!(
        "   all done after {} ms, not {} x {}\n",
        start.elapsed().as_millis(),
        CALLERS,
        LOAD_TIME.as_millis()
    );
    Ok(())
}

fn errors_are_not_cached(users: &Typed<User>) -> Result<(), Box<dyn Error>> {
    println!("3. A loader that fails is not cached");
    match users.get_or_insert_with("user:3", || Err(DirectoryDown)) {
        Err(LoadError::Loader(error)) => println!("   first call:  {error}"),
        other => return Err(format!("expected the loader's error, got {other:?}").into()),
    }
    println!("   in the cache: {:?}", users.get("user:3")?);
    let user = users.get_or_insert_with("user:3", || {
        Ok::<_, DirectoryDown>(User { name: "Edsger".to_owned(), visits: 1 })
    })?;
    println!("   second call: {user:?}");
    Ok(())
}
