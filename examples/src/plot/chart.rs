//! Charts of lines and points: panels below each other, each with two axes, guides and a legend.

use super::svg::{AXIS, Anchor, Canvas, GRID, INK, Style, text_width};
use super::ticks;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 32.0;
const HEAD: f64 = 76.0;
const LEGEND: f64 = 30.0;
/// Room under a panel for tick labels, the axis title and air.
const FOOT: f64 = 64.0;

/// One axis: its title (with the unit), its range and how its ticks are written.
#[derive(Debug, Clone)]
pub struct Axis {
    title: String,
    low: f64,
    high: f64,
    log: bool,
    label: Option<fn(f64) -> String>,
}

impl Axis {
    /// Makes an axis with even distances.
    #[must_use]
    pub fn linear(title: &str, low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { title: title.to_owned(), low, high, log: false, label: None }
    }

    /// Makes a logarithmic axis; what is below `low` is drawn at `low`.
    ///
    /// # Panics
    ///
    /// Panics if `low` is not above 0.
    #[must_use]
    pub fn log(title: &str, low: f64, high: f64) -> Self {
        assert!(low > 0.0, "a logarithmic axis begins above 0");
        let high = if high > low { high } else { low * 10.0 };
        Self { title: title.to_owned(), low, high, log: true, label: None }
    }

    /// Writes the ticks by `label` instead of as plain numbers.
    #[must_use]
    pub fn labelled(self, label: fn(f64) -> String) -> Self {
        Self { label: Some(label), ..self }
    }

    /// The place of a value along the axis, 0.0 to 1.0; values outside stick to the ends.
    fn place(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        share.clamp(0.0, 1.0)
    }

    fn ticks(&self, wanted: u32) -> Vec<(f64, String)> {
        let (values, step) = if self.log {
            (ticks::decades(self.low, self.high), 1.0)
        } else {
            ticks::linear(self.low, self.high, wanted)
        };
        let write = |value: f64| self.label.map_or_else(|| ticks::label(value, step), |label| label(value));
        values.into_iter().map(|value| (value, write(value))).collect()
    }
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Points joined by a line.
    Line,
    /// Points alone.
    Dots,
}

/// Named data.
#[derive(Debug, Clone)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// Any colour that SVG knows.
    pub colour: &'static str,
    /// Line or points.
    pub mark: Mark,
    /// The data; pairs that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// A dashed line across the panel, with a few words.
#[derive(Debug, Clone)]
pub enum Guide {
    /// At a height.
    Across(f64, String),
    /// At a place on the x axis.
    Down(f64, String),
}

/// One pair of axes and what is drawn between them.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Height of the drawing area in pixels.
    pub height: f64,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The data, drawn in this order.
    pub series: Vec<Series>,
    /// Lines that help to read the data.
    pub guides: Vec<Guide>,
}

/// A title over panels.
#[derive(Debug, Clone)]
pub struct Chart {
    /// One line, large.
    pub title: String,
    /// One line, small: the conditions of the measurement.
    pub subtitle: String,
    /// From top to bottom.
    pub panels: Vec<Panel>,
}

impl Chart {
    /// Draws the chart as the text of an SVG file.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let panels: f64 = self.panels.iter().map(|panel| LEGEND + panel.height + FOOT).sum();
        let mut canvas = Canvas::new(WIDTH, HEAD + panels);
        canvas.text((24.0, 36.0), &self.title, Style::new(20.0, INK).bold());
        canvas.text((24.0, 59.0), &self.subtitle, Style::new(12.5, AXIS));
        let mut top = HEAD;
        for panel in &self.panels {
            panel.draw(&mut canvas, top);
            top += LEGEND + panel.height + FOOT;
        }
        canvas.finish()
    }
}

impl Panel {
    fn draw(&self, canvas: &mut Canvas, top: f64) {
        self.draw_legend(canvas, top + LEGEND / 2.0);
        let frame = Frame { top: top + LEGEND, height: self.height };
        self.draw_axes(canvas, &frame);
        for series in &self.series {
            self.draw_series(canvas, &frame, series);
        }
        for guide in &self.guides {
            self.draw_guide(canvas, &frame, guide);
        }
    }

    fn draw_legend(&self, canvas: &mut Canvas, y: f64) {
        let mut x = LEFT;
        for series in &self.series {
            match series.mark {
                Mark::Line => canvas.line((x, y), (x + 24.0, y), series.colour, 3.0, false),
                Mark::Dots => canvas.dots(&[(x + 16.0, y)], series.colour, 5.0, 0.9),
            }
            canvas.text((x + 31.0, y + 4.5), &series.name, Style::new(13.0, INK));
            x += 31.0 + text_width(&series.name, 13.0) + 26.0;
        }
    }

    fn draw_axes(&self, canvas: &mut Canvas, frame: &Frame) {
        let (left, right, bottom) = (LEFT, WIDTH - RIGHT, frame.top + frame.height);
        for (value, label) in self.y.ticks(5) {
            let y = frame.y(self.y.place(value));
            canvas.line((left, y), (right, y), GRID, 1.0, false);
            canvas.text((left - 9.0, y + 4.0), &label, Style::new(12.0, AXIS).anchor(Anchor::End));
        }
        for (value, label) in self.x.ticks(10) {
            let x = Frame::x(self.x.place(value));
            canvas.line((x, frame.top), (x, bottom), GRID, 1.0, false);
            canvas.line((x, bottom), (x, bottom + 5.0), AXIS, 1.0, false);
            canvas.text((x, bottom + 19.0), &label, Style::new(12.0, AXIS).anchor(Anchor::Middle));
        }
        canvas.line((left, frame.top), (left, bottom), AXIS, 1.2, false);
        canvas.line((left, bottom), (right, bottom), AXIS, 1.2, false);
        let title = Style::new(13.0, INK).anchor(Anchor::Middle);
        canvas.text((f64::midpoint(left, right), bottom + 41.0), &self.x.title, title);
        canvas.rotated_text((24.0, frame.top + frame.height / 2.0), -90.0, &self.y.title, title);
    }

    fn draw_series(&self, canvas: &mut Canvas, frame: &Frame, series: &Series) {
        let finite = series.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let points: Vec<(f64, f64)> =
            finite.map(|&(x, y)| (Frame::x(self.x.place(x)), frame.y(self.y.place(y)))).collect();
        match series.mark {
            Mark::Line => canvas.polyline(&points, series.colour, 2.0),
            Mark::Dots => canvas.dots(&points, series.colour, 2.2, 0.5),
        }
    }

    fn draw_guide(&self, canvas: &mut Canvas, frame: &Frame, guide: &Guide) {
        match guide {
            Guide::Across(value, words) => {
                let y = frame.y(self.y.place(*value));
                canvas.line((LEFT, y), (WIDTH - RIGHT, y), AXIS, 1.4, true);
                let style = Style::new(12.0, INK).anchor(Anchor::End);
                canvas.text((WIDTH - RIGHT - 6.0, y - 6.0), words, style);
            }
            Guide::Down(value, words) => {
                let x = Frame::x(self.x.place(*value));
                canvas.line((x, frame.top), (x, frame.top + frame.height), AXIS, 1.4, true);
                // The words stand on the side that has room for them.
                let fits = x + 7.0 + text_width(words, 12.0) < WIDTH - RIGHT;
                let (x, anchor) = if fits { (x + 7.0, Anchor::Start) } else { (x - 7.0, Anchor::End) };
                canvas.text(
                    (x, frame.top + frame.height - 10.0),
                    words,
                    Style::new(12.0, INK).anchor(anchor),
                );
            }
        }
    }
}

/// Where a panel's drawing area lies.
struct Frame {
    top: f64,
    height: f64,
}

impl Frame {
    fn x(place: f64) -> f64 {
        LEFT + place * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, place: f64) -> f64 {
        self.top + (1.0 - place) * self.height
    }
}

#[cfg(test)]
mod tests {
    use super::{Axis, Chart, Guide, Mark, Panel, Series};

    #[test]
    fn values_lie_where_the_scale_says() {
        let even = Axis::linear("x", 10.0, 20.0);
        assert_eq!([even.place(10.0), even.place(15.0), even.place(99.0)], [0.0, 0.5, 1.0]);
        let log = Axis::log("x", 1.0, 10_000.0);
        assert!((log.place(100.0) - 0.5).abs() < 1e-12);
        assert_eq!(log.place(0.0), 0.0);
    }

    #[test]
    fn an_axis_without_span_still_has_a_place() {
        assert_eq!(Axis::linear("x", 3.0, 3.0).place(3.0), 0.0);
        assert_eq!(Axis::log("x", 3.0, 3.0).place(3.0), 0.0);
    }

    #[test]
    fn a_chart_holds_every_finite_point_and_all_words() {
        let panel = Panel {
            height: 100.0,
            x: Axis::linear("time (s)", 0.0, 2.0),
            y: Axis::linear("share (%)", 0.0, 100.0),
            series: vec![Series {
                name: "hits & more".to_owned(),
                colour: "red",
                mark: Mark::Dots,
                points: vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)],
            }],
            guides: vec![Guide::Across(50.0, "half".to_owned()), Guide::Down(1.0, "now".to_owned())],
        };
        let chart = Chart { title: "A title".to_owned(), subtitle: "sub".to_owned(), panels: vec![panel] };
        let svg = chart.to_svg();
        // Two points and the legend's.
        assert_eq!(svg.matches("<circle").count(), 3);
        for words in ["A title", "time (s)", "share (%)", "hits &amp; more", "half", "now", ">1.0<", ">100<"]
        {
            assert!(svg.contains(words), "{words} is missing in {svg}");
        }
    }
}
