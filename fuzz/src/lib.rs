//! Bytes become engine calls, and a small model says what each call must answer.
//!
//! The same interpreter serves libFuzzer (`fuzz_targets/operations.rs`) and the ordinary tests that
//! replay the committed corpus (`tests/replay.rs`). Every byte string is a valid input: a header that
//! sets up an engine, then operations until the bytes end.
//!
//! - F1: the engine runs under a manual clock and a fixed seed, so an input gives the same run for ever.
//! - F2: without a limit the engine and the model agree on every answer.
//! - F3: with a limit a key may vanish at any time; a key that is there has the model's value and
//!   deadline, and a key that the model has lost never comes back.
//! - F4: a refused call has changed nothing.
//! - F5: under `cfg(fuzzing)` the engine's own `validate()` holds after every operation.
//!
//! `input` is the byte format, `operation` the list of operations, `model` what they mean, `driver` the
//! two side by side, `seeds` the committed corpus. Not covered: threads, loaders, listeners.
//!
//! `commands` is the other target: command lines, without a model, held against the engine's own invariants.

mod commands;
mod driver;
mod input;
mod model;
mod operation;
pub mod seeds;

pub use commands::{command_seeds, run_commands};
use driver::Driver;
use input::Input;
use operation::{Operation, Setup};

/// Runs one input from start to end.
///
/// # Panics
/// When the engine and the model disagree. The message names the operation by its number.
pub fn run_operations(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(setup) = input.take::<Setup>() else { return };
    let mut driver = Driver::new(setup);
    while let Some(operation) = input.take::<Operation>() {
        driver.run(&operation);
    }
    driver.finish();
}
