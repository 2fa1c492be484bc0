//! Plots as SVG text, without any library: [`Chart`] for lines and points, [`Strips`] for shares along a row.
//!
//! ```text
//!  title
//!  subtitle
//!  -- legend   -- legend          (one row above its panel, so it never covers data)
//!  y |        . . guide
//!    |  ~~~~~~~~~~
//!    +-------------- x            (each panel has its own axes; ticks are chosen by `ticks`)
//! ```
//!
//! Text widths are estimated, as SVG has no way to ask. It does no interaction, no themes, no PNG.

mod chart;
mod strips;
mod svg;
mod ticks;

pub use chart::{Axis, Chart, Guide, Mark, Panel, Series};
pub use strips::{Group, Strip, Strips};

/// Colours that stay apart for colour-blind readers (after Okabe and Ito).
pub mod colour {
    /// Blue.
    pub const BLUE: &str = "#0072b2";
    /// Vermilion.
    pub const VERMILION: &str = "#d55e00";
    /// Bluish green.
    pub const GREEN: &str = "#009e73";
    /// Reddish purple.
    pub const PURPLE: &str = "#a8487f";
    /// Grey, for what stands in the background.
    pub const GREY: &str = "#6b7280";
}
