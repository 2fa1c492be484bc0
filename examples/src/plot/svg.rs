//! The few shapes that the plots need, written as SVG elements.

/// Grey of axes and ticks.
pub(super) const AXIS: &str = "#4b5563";
/// Grey of grid lines.
pub(super) const GRID: &str = "#e5e7eb";
/// Colour of titles.
pub(super) const INK: &str = "#111827";

const FONT: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";

/// Where a text stands in relation to its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) size: f64,
    pub(super) colour: &'static str,
    pub(super) bold: bool,
    pub(super) anchor: Anchor,
}

impl Style {
    pub(super) const fn new(size: f64, colour: &'static str) -> Self {
        Self { size, colour, bold: false, anchor: Anchor::Start }
    }

    pub(super) const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub(super) const fn anchor(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }
}

/// A drawing that grows by one shape after the other; later shapes lie on top.
#[derive(Debug)]
pub(super) struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

impl Canvas {
    pub(super) const fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    /// Fills a rectangle; without smoothing, or neighbours would show a hairline between them.
    pub(super) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str) {
        self.push(&format!(
            concat!(
                r#"<rect x="{:.2}" y="{:.2}" width="{:.2}" height="{:.2}" fill="{}" "#,
                r#"shape-rendering="crispEdges"/>"#
            ),
            x,
            y,
            width,
            height,
            escape(fill)
        ));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64, dashed: bool) {
        let dash = if dashed { r#" stroke-dasharray="5 4""# } else { "" };
        self.push(&format!(
            r#"<line x1="{:.2}" y1="{:.2}" x2="{:.2}" y2="{:.2}" stroke="{}" stroke-width="{width}"{dash}/>"#,
            from.0,
            from.1,
            to.0,
            to.1,
            escape(colour)
        ));
    }

    pub(super) fn polyline(&mut self, points: &[(f64, f64)], colour: &str, width: f64) {
        let list: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let (list, colour) = (list.join(" "), escape(colour));
        let stroke = format!(r#"stroke="{colour}" stroke-width="{width}" stroke-linejoin="round""#);
        self.push(&format!(r#"<polyline points="{list}" fill="none" {stroke}/>"#));
    }

    /// Draws points of one colour; a group keeps the file small.
    pub(super) fn dots(&mut self, points: &[(f64, f64)], colour: &str, radius: f64, opacity: f64) {
        self.push(&format!(r#"<g fill="{}" fill-opacity="{opacity}">"#, escape(colour)));
        for (x, y) in points {
            self.push(&format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}"/>"#));
        }
        self.push("</g>");
    }

    /// Writes text with its base line at `at`. A pale edge keeps it legible on top of data.
    pub(super) fn text(&mut self, at: (f64, f64), text: &str, style: Style) {
        self.rotated_text(at, 0.0, text, style);
    }

    pub(super) fn rotated_text(&mut self, (x, y): (f64, f64), degrees: f64, text: &str, style: Style) {
        let anchor = match style.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if style.bold { r#" font-weight="bold""# } else { "" };
        let turn = if degrees == 0.0 {
            String::new()
        } else {
            format!(r#" transform="rotate({degrees} {x:.2} {y:.2})""#)
        };
        self.push(&format!(
            concat!(
                r#"<text x="{:.2}" y="{:.2}" font-size="{}" fill="{}" text-anchor="{}"{}{} "#,
                r##"stroke="#ffffff" stroke-width="3" stroke-opacity="0.8" paint-order="stroke">{}</text>"##
            ),
            x,
            y,
            style.size,
            style.colour,
            anchor,
            weight,
            turn,
            escape(text)
        ));
    }

    /// Closes the drawing.
    pub(super) fn finish(self) -> String {
        let Self { width, height, body } = self;
        format!(
            concat!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}" "#,
                r#"font-family="{2}">"#,
                "\n",
                r##"<rect width="{0}" height="{1}" fill="#ffffff"/>"##,
                "\n{3}</svg>\n"
            ),
            width, height, FONT, body
        )
    }

    fn push(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }
}

/// Estimates how wide a text is; DejaVu Sans is about 0.6 of its size a letter.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.6
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{Canvas, INK, Style, escape};

    #[test]
    fn text_cannot_break_out_of_its_element() {
        assert_eq!(escape(r#"a<b & "c">"#), "a&lt;b &amp; &quot;c&quot;&gt;");
        let mut canvas = Canvas::new(10.0, 10.0);
        canvas.text((0.0, 0.0), "<script>", Style::new(10.0, INK));
        let svg = canvas.finish();
        assert!(!svg.contains("<script>") && svg.ends_with("</svg>\n"));
    }
}
