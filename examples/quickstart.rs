//! The first ten lines with larder: make an engine, store, read, count, and look at the bytes.
//!
//! ```text
//! cargo run --release --example quickstart
//! ```

use std::error::Error;
use std::time::Duration;

use larder::{Engine, SetOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let cache = Engine::builder().max_memory(64 * 1024 * 1024).build()?;
    cache.set("greeting", "good morning")?;
    cache.set_with("code:17", "4711", SetOptions::new().ttl(Duration::from_secs(60)))?;
    let visits = cache.incr("visits")?;
    let greeting = cache.get_with("greeting", |bytes| String::from_utf8_lossy(bytes).into_owned())?;
    let nothing = cache.get("absent")?;
    println!("greeting: {greeting:?}, absent key found: {}", nothing.is_some());
    println!("visits: {visits}, keys: {}, bytes: {}", cache.len()?, cache.memory_usage().total());
    Ok(())
}
