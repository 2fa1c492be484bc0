//! Fuzzes a small service against a model, under a clock that the test moves, and finds the fault that was planted in it.
//!
//! ```text
//! cargo run -p larder-commands --features proptest --example fuzz_a_service
//! ```
//! The service is a rate limiter on an engine: so many requests in a window that the first of them opens. Others use
//! the same engine at the same time: random commands of every family, which must not matter. The planted fault: each
//! request renews the window, so a steady visitor is refused for ever. A history of dozens of steps shows it first;
//! proptest shrinks it to the few that matter.
#![expect(clippy::print_stdout, reason = "an example talks to its terminal")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use larder::{Clock, Engine, ManualClock, OpError};
use larder_commands::generate::{Command, Generator};
use larder_commands::{Session, Tree, execute};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

const LIMIT: i64 = 3;
const WINDOW: Duration = Duration::from_secs(10);
const VISITORS: [&str; 2] = ["ann", "bob"];

/// The service: nothing here knows that it is tested.
struct Limiter {
    engine: Engine,
    /// The planted fault.
    renews: bool,
}

impl Limiter {
    fn allows(&self, visitor: &str) -> Result<bool, OpError> {
        let key = format!("requests:{visitor}");
        let count = self.engine.incr(&key)?;
        if count == 1 || self.renews {
            self.engine.expire(&key, WINDOW)?;
        }
        Ok(count <= LIMIT)
    }
}

/// What the service should do, in the plainest words.
#[derive(Default)]
struct Model {
    /// When the window ends, and how many requests it has seen.
    windows: BTreeMap<&'static str, (u64, i64)>,
}

impl Model {
    fn allows(&mut self, visitor: &'static str, now_ms: u64) -> bool {
        let end = now_ms + u64::try_from(WINDOW.as_millis()).unwrap_or(u64::MAX);
        let window = self.windows.entry(visitor).or_insert((end, 0));
        if window.0 <= now_ms {
            *window = (end, 0);
        }
        window.1 += 1;
        window.1 <= LIMIT
    }
}

/// One step of a history.
#[derive(Clone)]
pub(crate) enum Step {
    Request(&'static str),
    Pass(Duration),
    /// Somebody else's command.
    Other(Command),
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(visitor) => write!(f, "{visitor} asks"),
            Self::Pass(span) => write!(f, "{} s pass", span.as_secs()),
            Self::Other(command) => write!(f, "somebody says {command}"),
        }
    }
}

fn steps() -> impl Strategy<Value = Step> {
    let visitor = any::<bool>().prop_map(|second| VISITORS[usize::from(second)]);
    prop_oneof![
        3 => visitor.prop_map(Step::Request),
        2 => (1..WINDOW.as_secs()).prop_map(|seconds| Step::Pass(Duration::from_secs(seconds))),
        3 => Generator::new().prop_map(Step::Other),
    ]
}

/// A service in its world: engine, clock, the others' session.
struct World {
    limiter: Limiter,
    clock: ManualClock,
    model: Model,
    others: Session,
}

impl World {
    fn new(renews: bool) -> Result<Self, Box<dyn Error>> {
        let clock = ManualClock::default();
        let engine = Engine::builder().clock(clock.clone()).seed(1).build()?;
        Ok(Self {
            limiter: Limiter { engine, renews },
            clock,
            model: Model::default(),
            others: Session::new(),
        })
    }

    /// Does one step, and says how the service answered and how the model did.
    fn step(&mut self, step: &Step) -> Result<Option<(bool, bool)>, OpError> {
        match step {
            Step::Request(visitor) => {
                let expected = self.model.allows(visitor, self.clock.now().0);
                return Ok(Some((self.limiter.allows(visitor)?, expected)));
            }
            Step::Pass(span) => self.clock.advance(*span),
            Step::Other(command) => {
                execute(&self.limiter.engine, &mut self.others, &command.words(), &mut Tree::new());
            }
        }
        Ok(None)
    }
}

/// Looks for a history on which service and model disagree, and shrinks it.
pub(crate) fn find(renews: bool) -> Result<Option<Vec<Step>>, Box<dyn Error>> {
    let config =
        Config { cases: 500, failure_persistence: None, max_shrink_iters: 50_000, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let result = TestRunner::new_with_rng(config, rng).run(&vec(steps(), 1..100), |history| {
        let fault = |error: &dyn fmt::Display| TestCaseError::fail(error.to_string());
        let mut world = World::new(renews).map_err(|error| fault(&error))?;
        for step in &history {
            match world.step(step).map_err(|error| fault(&error))? {
                Some((answer, expected)) if answer != expected => return Err(fault(&"they disagree")),
                _ => {}
            }
        }
        Ok(())
    });
    match result {
        Ok(()) => Ok(None),
        Err(TestError::Fail(_, history)) => Ok(Some(history)),
        Err(TestError::Abort(why)) => Err(why.to_string().into()),
    }
}

/// Prints a history with both answers, and returns what state it leaves.
fn show(history: &[Step]) -> Result<u64, Box<dyn Error>> {
    let mut world = World::new(true)?;
    for step in history {
        let said = |allowed| if allowed { "allowed" } else { "refused" };
        match world.step(step)? {
            Some((answer, expected)) if answer != expected => {
                println!("  {step:?}: {}, but should be {}", said(answer), said(expected));
            }
            Some((answer, _)) => println!("  {step:?}: {}", said(answer)),
            None => println!("  {step:?}"),
        }
    }
    Ok(world.limiter.engine.state_digest()?)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    println!("{LIMIT} requests in {} s; histories of up to 100 steps", WINDOW.as_secs());
    let Some(history) = find(true)? else {
        println!("the planted fault was not found");
        return Ok(ExitCode::FAILURE);
    };
    println!("a fault, shrunk to {} steps:", history.len());
    let digest = show(&history)?;
    println!("the same history leaves the same state: digest {digest:016x}");
    match find(false)? {
        None => println!("without the fault: 500 histories, no disagreement"),
        Some(history) => println!("without the planted fault there is another: {history:?}"),
    }
    Ok(ExitCode::SUCCESS)
}
