//! What the examples share, so that each example shows larder and little else.
//!
//! - [`cities`]: the data file that ships with the examples, parsed into [`cities::City`].
//! - [`database`]: those cities in an embedded SQLite database.
//! - [`random`]: a seeded generator and a Zipf sampler.
//! - [`latency`]: a histogram of durations with quantiles.
//! - [`table`]: tables for the terminal, and numbers with their units.
//! - [`plot`]: line charts, scatter charts and strips, written as SVG.
//!
//! Nothing here is part of larder; nothing here is tuned for use elsewhere.

pub mod cities;
pub mod database;
pub mod latency;
pub mod plot;
pub mod random;
pub mod table;
