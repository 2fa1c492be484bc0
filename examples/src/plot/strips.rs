//! Strips: one row a case, one cell a slice of the population, darker where more of the slice remains.

use super::svg::{AXIS, Anchor, Canvas, GRID, INK, Style};

const WIDTH: f64 = 1_040.0;
/// Where the strips begin; row labels stand to the left.
const LEFT: f64 = 236.0;
/// Room for the notes to the right of the strips.
const RIGHT: f64 = 132.0;
const HEAD: f64 = 112.0;
const ROW: f64 = 30.0;
const BAR: f64 = 20.0;
const FOOT: f64 = 92.0;
/// Cells of 0 % and of 100 %.
const PALE: [f64; 3] = [238.0, 241.0, 245.0];
const DEEP: [f64; 3] = [0.0, 84.0, 150.0];

/// Neighbouring cells under one heading.
#[derive(Debug, Clone)]
pub struct Group {
    /// The heading, over the cells.
    pub name: String,
    /// How many cells it spans.
    pub cells: usize,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Strip {
    /// Stands to the left.
    pub label: String,
    /// Shares from 0.0 to 1.0, one for each cell.
    pub cells: Vec<f64>,
    /// Stands to the right.
    pub note: String,
}

/// Rows of cells under common headings.
#[derive(Debug, Clone)]
pub struct Strips {
    /// One line, large.
    pub title: String,
    /// One line, small.
    pub subtitle: String,
    /// Headings, from left to right; together they span all cells.
    pub groups: Vec<Group>,
    /// From top to bottom.
    pub strips: Vec<Strip>,
    /// Heading of the notes.
    pub note_title: String,
    /// Title of the horizontal axis.
    pub x_title: String,
    /// How many things one cell stands for; the ticks of the axis count them.
    pub cell_size: usize,
    /// What the shade of a cell means.
    pub scale_title: String,
}

impl Strips {
    /// Draws the rows as the text of an SVG file.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let rows = ROW * self.strips.len() as f64;
        let mut canvas = Canvas::new(WIDTH, HEAD + rows + FOOT);
        canvas.text((24.0, 36.0), &self.title, Style::new(20.0, INK).bold());
        canvas.text((24.0, 59.0), &self.subtitle, Style::new(12.5, AXIS));
        let cells: usize = self.groups.iter().map(|group| group.cells).sum();
        let cell = (WIDTH - LEFT - RIGHT) / cells.max(1) as f64;
        for (index, strip) in self.strips.iter().enumerate() {
            draw_strip(&mut canvas, strip, HEAD + ROW * index as f64, cell);
        }
        self.draw_groups(&mut canvas, cell, HEAD + rows);
        canvas.text((WIDTH - RIGHT + 14.0, HEAD - 12.0), &self.note_title, Style::new(12.0, AXIS));
        let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
        let title = Style::new(13.0, INK).anchor(Anchor::Middle);
        canvas.text((middle, HEAD + rows + 40.0), &self.x_title, title);
        self.draw_scale(&mut canvas, HEAD + rows + 58.0);
        canvas.finish()
    }

    /// Headings, the lines between groups and the ticks at their borders.
    fn draw_groups(&self, canvas: &mut Canvas, cell: f64, bottom: f64) {
        let mut before = 0_usize;
        for group in &self.groups {
            let left = LEFT + cell * before as f64;
            let right = left + cell * group.cells as f64;
            let heading = Style::new(12.5, INK).bold().anchor(Anchor::Middle);
            canvas.text((f64::midpoint(left, right), HEAD - 12.0), &group.name, heading);
            self.draw_tick(canvas, left, bottom, before);
            before += group.cells;
        }
        self.draw_tick(canvas, LEFT + cell * before as f64, bottom, before);
    }

    fn draw_tick(&self, canvas: &mut Canvas, x: f64, bottom: f64, cells_before: usize) {
        canvas.line((x, HEAD - 4.0), (x, bottom + 4.0), AXIS, 1.4, false);
        let label = crate::table::count((cells_before * self.cell_size) as u64);
        canvas.text((x, bottom + 19.0), &label, Style::new(12.0, AXIS).anchor(Anchor::Middle));
    }

    fn draw_scale(&self, canvas: &mut Canvas, top: f64) {
        let right = WIDTH - RIGHT;
        let style = Style::new(12.0, AXIS);
        for step in 0..=4_u32 {
            let share = f64::from(step) / 4.0;
            let x = right - 230.0 + 46.0 * f64::from(step);
            canvas.rect((x, top), (44.0, 12.0), &shade(share));
            let label = format!("{} %", step * 25);
            canvas.text((x + 22.0, top + 26.0), &label, style.anchor(Anchor::Middle));
        }
        canvas.text((right - 240.0, top + 10.5), &self.scale_title, style.anchor(Anchor::End));
    }
}

fn draw_strip(canvas: &mut Canvas, strip: &Strip, top: f64, cell: f64) {
    let bar_top = top + (ROW - BAR) / 2.0;
    let base = top + ROW / 2.0 + 4.5;
    canvas.text((LEFT - 12.0, base), &strip.label, Style::new(13.0, INK).anchor(Anchor::End));
    for (index, &share) in strip.cells.iter().enumerate() {
        let at = (LEFT + cell * index as f64, bar_top);
        canvas.rect(at, (cell, BAR), &shade(share));
    }
    canvas.text((WIDTH - RIGHT + 14.0, base), &strip.note, Style::new(12.5, INK));
    canvas.line((24.0, top + ROW), (WIDTH - 24.0, top + ROW), GRID, 0.8, false);
}

/// The colour of a share, by even mixing.
fn shade(share: f64) -> String {
    let share = share.clamp(0.0, 1.0);
    let [red, green, blue] = [0, 1, 2].map(|part| PALE[part] + (DEEP[part] - PALE[part]) * share);
    format!("rgb({red:.0},{green:.0},{blue:.0})")
}

#[cfg(test)]
mod tests {
    use super::{Group, Strip, Strips, shade};

    #[test]
    fn a_share_is_mixed_between_pale_and_deep() {
        assert_eq!(shade(0.0), "rgb(238,241,245)");
        assert_eq!(shade(1.0), "rgb(0,84,150)");
        assert_eq!(shade(7.0), shade(1.0));
    }

    #[test]
    fn every_row_draws_its_cells_and_words() {
        let strip = |label: &str| Strip {
            label: label.to_owned(),
            cells: vec![0.0, 0.5, 1.0],
            note: format!("note on {label}"),
        };
        let svg = Strips {
            title: "T".to_owned(),
            subtitle: "S".to_owned(),
            groups: vec![
                Group { name: "first".to_owned(), cells: 1 },
                Group { name: "others".to_owned(), cells: 2 },
            ],
            strips: vec![strip("lru"), strip("lfu")],
            note_title: "notes".to_owned(),
            x_title: "key".to_owned(),
            cell_size: 500,
            scale_title: "alive".to_owned(),
        }
        .to_svg();
        assert_eq!(svg.matches("rgb(0,84,150)").count(), 3, "two cells and the scale");
        for words in ["first", "others", "note on lfu", ">500<", ">1,500<", "alive"] {
            assert!(svg.contains(words), "{words} is missing");
        }
    }
}
