//! From a grammar to the shape of one line: which options, how many repeats. The slots are filled afterwards, when it
//! is known what stands around them.

use super::tape::Tape;
use crate::syntax::grammar::Node;

/// A word of a line to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    /// This word.
    Word(&'static str),
    /// A value, by what the syntax calls it.
    Slot(&'static str),
}

/// How often a repeating group is taken beyond the least, by weight.
const REPEATS: [u32; 8] = [60, 30, 16, 8, 4, 2, 2, 1];
/// Beyond the list above: small encodings end at more elements than that.
const MANY: usize = 150;

/// Draws the shape of a line.
pub(super) fn expand(nodes: &[Node], tape: &mut Tape, out: &mut Vec<Item>) {
    for node in nodes {
        match node {
            Node::Word(word) => out.push(Item::Word(word)),
            Node::Slot(slot) => out.push(Item::Slot(slot)),
            Node::Group { alternatives, optional, repeats } => {
                let times = match (optional, repeats) {
                    (_, true) => repeat_count(alternatives, tape, out) + usize::from(!optional),
                    (true, false) => usize::from(tape.chance(35)),
                    (false, false) => 1,
                };
                for _ in 0..times {
                    if let Some(body) = choose(alternatives, tape) {
                        expand(body, tape, out);
                    }
                }
            }
        }
    }
}

/// Draws an alternative. Nothing that waits, and seldom an id that the clock makes.
fn choose<'a>(alternatives: &'a [Vec<Node>], tape: &mut Tape) -> Option<&'a [Node]> {
    let by_clock = alternatives.len() > 1 && !tape.chance(3);
    let usable: Vec<&[Node]> = alternatives
        .iter()
        .filter(|body| !matches!(body.first(), Some(Node::Word("BLOCK"))))
        .filter(|body| !(by_clock && matches!(body.as_slice(), [Node::Word("*")])))
        .map(Vec::as_slice)
        .collect();
    usable.get(tape.draw(usable.len())).copied()
}

fn repeat_count(alternatives: &[Vec<Node>], tape: &mut Tape, out: &[Item]) -> usize {
    // `STREAMS key [key ...] id [id ...]`: as many of the second as there were of the first.
    let paired = matches!(alternatives, [body] if matches!(body.as_slice(), [Node::Slot("id" | "weight")]));
    let keys = out.iter().filter(|item| **item == Item::Slot("key")).count();
    if paired && keys > 0 && (keys > 1 || out.contains(&Item::Word("WEIGHTS"))) && !tape.chance(8) {
        return keys - 1;
    }
    let count = tape.weighted(REPEATS.into_iter());
    if count + 1 == REPEATS.len() { tape.draw(MANY) } else { count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::grammar::parse;

    fn shapes(syntax: &'static str) -> Vec<Vec<Item>> {
        let nodes = parse(syntax).expect("a syntax");
        let mut tape = Tape::random(3);
        let mut shape = || {
            let mut out = Vec::new();
            expand(&nodes, &mut tape, &mut out);
            out
        };
        (0..3_000).map(|_| shape()).collect()
    }

    #[test]
    fn the_plainest_line_has_no_options() {
        let nodes = parse("key [NX | XX] <EX seconds | KEEPTTL> value [value ...]").expect("a syntax");
        let mut out = Vec::new();
        expand(&nodes, &mut Tape::replay(Vec::new()), &mut out);
        assert_eq!(out, [Item::Slot("key"), Item::Word("EX"), Item::Slot("seconds"), Item::Slot("value")]);
    }

    #[test]
    fn options_repeats_and_pairs_come_up() {
        let seen = shapes("STREAMS key [key ...] id [id ...]");
        let count = |shape: &[Item], slot| shape.iter().filter(|item| **item == Item::Slot(slot)).count();
        let even = seen.iter().filter(|shape| count(shape, "key") == count(shape, "id")).count();
        assert!(even > 1_500 && even < 3_000, "{even}");
        assert!(seen.iter().any(|shape| shape.len() > 60));
    }

    #[test]
    fn nothing_waits_and_the_clock_is_seldom_asked() {
        let seen = shapes("[BLOCK milliseconds] <* | id> field");
        assert!(seen.iter().all(|shape| !shape.contains(&Item::Word("BLOCK"))));
        let by_clock = seen.iter().filter(|shape| shape.contains(&Item::Word("*"))).count();
        assert!((1..300).contains(&by_clock), "{by_clock}");
    }
}
