//! The syntax of a command as a tree, read from the line that its row has.
//!
//! ```text
//! key [NX | XX] [COUNT count] member [member ...] <ASC | DESC>
//! |   |          |             |                   `-- one of these
//! |   |          |             `-- one or more
//! |   |          `-- a block of a literal and a value, optional
//! |   `-- one of two literals, optional
//! `-- a value
//! ```
//! Invariants: I1: a word that begins with a lower-case letter names a value, every other word is a literal. I2: `x [x ...]`, for
//! any sequence x, is one argument that may be repeated. A test parses every row of the table.

pub(crate) mod grammar;

use grammar::Node;

/// A part of a command's syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// What it is.
    pub kind: Kind,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may come several times.
    pub multiple: bool,
}

/// What an argument is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A word that is written as it stands.
    Literal(&'static str),
    /// A value; the word says of what sort: `key`, `score`, `count`.
    Value(&'static str),
    /// Exactly one of these.
    OneOf(Vec<Argument>),
    /// These in their order.
    Block(Vec<Argument>),
}

impl Argument {
    fn new(kind: Kind) -> Self {
        Self { kind, optional: false, multiple: false }
    }

    /// A block of one is that one.
    fn of(mut parts: Vec<Self>) -> Self {
        match (parts.pop(), parts.is_empty()) {
            (Some(only), true) => only,
            (Some(last), false) => {
                parts.push(last);
                Self::new(Kind::Block(parts))
            }
            (None, _) => Self::new(Kind::Block(parts)),
        }
    }

    /// Returns a name: the word itself, or that of the first part.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match &self.kind {
            Kind::Literal(word) | Kind::Value(word) => word,
            Kind::OneOf(parts) | Kind::Block(parts) => parts.first().map_or("", Self::name),
        }
    }

    /// Returns the type as COMMAND DOCS names it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        let Kind::Value(word) = self.kind else {
            return match self.kind {
                Kind::Literal(_) => "pure-token",
                Kind::OneOf(_) => "oneof",
                _ => "block",
            };
        };
        match word {
            "key" | "destination" | "source" => "key",
            "pattern" => "pattern",
            _ if word.starts_with("unix-time") => "unix-time",
            "score" | "longitude" | "latitude" | "radius" | "width" | "height" | "weight" => "double",
            "count" | "index" | "start" | "stop" | "end" | "offset" | "bit" | "seconds" | "milliseconds"
            | "numkeys" | "numfields" | "cursor" | "rank" | "len" | "limit" => "integer",
            _ => "string",
        }
    }
}

/// Reads the syntax of a row.
///
/// # Examples
/// ```
/// use larder_commands::syntax::{Kind, parse};
/// let parts = parse("key [NX | XX] member [member ...]");
/// assert_eq!(parts.len(), 3);
/// assert!(parts[1].optional && matches!(&parts[1].kind, Kind::OneOf(two) if two.len() == 2));
/// assert!(parts[2].multiple);
/// ```
#[must_use]
pub fn parse(syntax: &'static str) -> Vec<Argument> {
    // A test sees to it that the rows' brackets close.
    tree(&grammar::parse(syntax).unwrap_or_default())
}

fn tree(nodes: &[Node]) -> Vec<Argument> {
    let mut parts = Vec::new();
    for node in nodes {
        match node {
            Node::Word(word) => parts.push(Argument::new(Kind::Literal(word))),
            Node::Slot(word) => parts.push(Argument::new(Kind::Value(word))),
            Node::Group { alternatives, repeats: true, .. } => {
                repeat(&mut parts, alternatives.first().map_or(0, |nodes| tree(nodes).len()));
            }
            Node::Group { alternatives, optional, .. } => {
                let choice = |nodes: &Vec<Node>| Argument::of(tree(nodes));
                let group = match alternatives.as_slice() {
                    [only] => choice(only),
                    several => Argument::new(Kind::OneOf(several.iter().map(choice).collect())),
                };
                parts.push(Argument { optional: *optional || group.optional, ..group });
            }
        }
    }
    parts
}

/// Makes one repeated argument of the last `count` parts (I2).
fn repeat(parts: &mut Vec<Argument>, count: usize) {
    let repeated = parts.split_off(parts.len().saturating_sub(count));
    parts.push(Argument { multiple: true, ..Argument::of(repeated) });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(parts: &[Argument]) -> String {
        let one = |part: &Argument| {
            let body = match &part.kind {
                Kind::Literal(word) | Kind::Value(word) => (*word).to_owned(),
                Kind::OneOf(parts) => {
                    format!(
                        "({})",
                        parts.iter().map(|p| shown(std::slice::from_ref(p))).collect::<Vec<_>>().join("|")
                    )
                }
                Kind::Block(parts) => format!("{{{}}}", shown(parts)),
            };
            format!("{body}{}{}", if part.multiple { "+" } else { "" }, if part.optional { "?" } else { "" })
        };
        parts.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn lines_become_trees() {
        let rows = [
            ("", ""),
            ("key [key ...]", "key+"),
            ("key value [key value ...]", "{key value}+"),
            ("key [NX | XX] [COUNT count [ANY]]", "key (NX|XX)? {COUNT count ANY?}?"),
            ("[GET pattern [GET pattern ...]]", "{GET pattern}+?"),
            ("key <id | $> [MKSTREAM]", "key (id|$) MKSTREAM?"),
            ("<<a | b> c | D>", "({(a|b) c}|D)"),
            ("[key [key ...]]", "key+?"),
        ];
        for (line, tree) in rows {
            assert_eq!(shown(&parse(line)), tree, "{line}");
        }
    }

    #[test]
    fn every_row_reads_well() {
        for found in crate::table::commands().flat_map(|f| f.subcommands().chain([f]).collect::<Vec<_>>()) {
            let line = found.spec.syntax;
            let count = |mark: char| line.chars().filter(|&found| found == mark).count();
            assert_eq!(count('['), count(']'), "{}", found.full_name());
            let parts = parse(line);
            assert_eq!(parts.is_empty(), line.is_empty());
            // As many words must follow the name as the arity says, at least.
            let named = 1 + usize::from(found.parent.is_some());
            let least = |parts: &[Argument]| parts.iter().filter(|part| !part.optional).count();
            let arity = usize::try_from(found.spec.arity.unsigned_abs()).unwrap_or(0);
            if found.spec.subcommands.is_empty() {
                assert!(named + least(&parts) <= arity, "{}: {line} / {arity}", found.full_name());
            }
        }
    }
}
