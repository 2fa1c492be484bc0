//! A cache ahead of a database: what it saves, what it costs, and that it never lies.
//!
//! Builds an embedded SQLite database of 34,006 cities in a temporary directory (nothing has to be installed
//! beside Rust and the C compiler it links with), then serves a skewed stream of reads and a few writes from
//! two threads through larder, under a byte limit smaller than the data. Halfway the crowd moves on: other
//! cities become popular. Every value read is compared with what the key may hold at that moment; one stale
//! or wrong value and the run fails. It prints a summary and writes two plots.
//!
//! ```text
//! cargo run --release --example tiered_cache [-- --requests N --limit-bytes N --seed N --out DIR]
//! ```
//!
//! `workload` is the part to read first: the loader, and the order of the steps in a write.

mod removals;
mod report;
mod watch;
mod workload;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use larder::Engine;
use larder_examples::cities::{self, City};
use larder_examples::database::CityDatabase;
use larder_examples::table;

use removals::RemovalLog;
use report::Report;
use workload::{Tally, Workload};

/// Threads that serve requests.
const THREADS: u64 = 2;
/// How long a city may stay in the cache.
const TTL: Duration = Duration::from_secs(4);
/// Exponent of the Zipf law that the requests follow.
const SKEW: f64 = 1.0;

#[derive(Debug, Parser)]
#[command(about = "A skewed stream of typed reads through larder, ahead of an embedded SQLite database")]
struct Args {
    /// Requests to serve, over all threads.
    #[arg(long, default_value_t = 6_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    requests: u64,
    /// The most bytes that the cache may use.
    #[arg(long, default_value_t = 4 * 1024 * 1024)]
    limit_bytes: u64,
    /// Seed of the requests and of the cache's choices.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Directory for the plots.
    #[arg(long, default_value = "target/larder-examples")]
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tiered_cache: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether every check held.
fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    if std::env::var_os("REDIS_URL").is_some() {
        println!(
            "REDIS_URL is set, but the remote tier is not built yet: larder stands ahead of SQLite alone.\n"
        );
    }
    let folder = tempfile::Builder::new().prefix("larder-tiered-cache-").tempdir()?;
    let path = folder.path().join("cities.db");
    let cities = cities::load()?;
    let start = Instant::now();
    let writer = CityDatabase::create(&path, &cities)?;
    let database_bytes = fs::metadata(&path)?.len();
    println!("{}", cities::ATTRIBUTION);
    println!(
        "Built {} with {} cities in {} ms; the cache may use {}.\n",
        table::bytes(database_bytes),
        table::count(cities.len() as u64),
        start.elapsed().as_millis(),
        table::bytes(args.limit_bytes)
    );

    let keys: Vec<String> = cities.iter().map(|city| format!("city:{}", city.id)).collect();
    let removals = Arc::new(RemovalLog::new(&keys));
    let engine = build_engine(args, &removals)?;
    let cache = engine.typed::<City>().with_ttl(TTL).with_weigher(City::owned_bytes);
    let workload = Workload::new(cities, keys, writer, cache, removals);
    let maintenance = engine.spawn_maintenance();
    let (tally, samples, elapsed) = serve(args, &engine, &workload, &path)?;
    drop(maintenance);

    let report = Report {
        requests: args.requests,
        limit_bytes: args.limit_bytes,
        database_bytes,
        elapsed,
        tally,
        samples,
        stats: engine.stats(),
        memory: engine.memory_usage(),
        workload: &workload,
    };
    println!("{report}");
    fs::create_dir_all(&args.out)?;
    let plots = [
        ("hits_and_memory.svg", report.hits_and_memory()),
        ("evictions_by_age.svg", report.evictions_by_age()),
    ];
    for (name, chart) in plots {
        let path = args.out.join(name);
        fs::write(&path, chart.to_svg())?;
        println!("Plot: {}", path.display());
    }
    Ok(report.passed())
}

fn build_engine(args: &Args, removals: &Arc<RemovalLog>) -> Result<Engine, Box<dyn Error>> {
    let log = Arc::clone(removals);
    let engine = Engine::builder()
        .max_memory(args.limit_bytes)
        .ttl_jitter(0.1)
        .seed(args.seed)
        .on_removal(move |removal| log.record(removal))
        .build()?;
    Ok(engine)
}

/// Serves all requests; this thread watches while the others work.
fn serve(
    args: &Args,
    engine: &Engine,
    workload: &Workload,
    path: &Path,
) -> Result<(Tally, Vec<watch::Sample>, Duration), Box<dyn Error>> {
    let start = Instant::now();
    thread::scope(|scope| {
        let share = |thread: u64| args.requests / THREADS + u64::from(thread < args.requests % THREADS);
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || workload.serve(thread, share(thread), args.seed, path)))
            .collect();
        let samples = watch::until_done(start, args.requests, engine, workload, || {
            threads.iter().all(thread::ScopedJoinHandle::is_finished)
        });
        let elapsed = start.elapsed();
        let mut tally = Tally::default();
        for thread in threads {
            let served = thread.join().map_err(|_| "a serving thread panicked")?;
            tally.merge(&served.map_err(|error| -> Box<dyn Error> { error })?);
        }
        Ok((tally, samples, elapsed))
    })
}
