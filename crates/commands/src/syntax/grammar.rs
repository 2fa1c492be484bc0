//! The grammar of a command, read from its row's `syntax`.
//!
//! ```text
//! "key [NX | XX] score member [score member ...]"
//!  Slot  Group{optional, NX | XX}  Slot Slot  Group{optional, repeats, Slot Slot}
//! ```
//! `[..]` may be left out, `<..>` may not, `|` separates alternatives, `...` lets the group that it stands in repeat. A
//! word that begins with a lower-case letter is a slot to be filled; every other word stands for itself.
//!
//! Cost: O(n) once a row. A syntax that does not close its brackets is an error, which a test finds.

/// A part of a grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// A word that stands for itself.
    Word(&'static str),
    /// A place for a value, by what it is called.
    Slot(&'static str),
    /// Alternatives, of which one is taken.
    Group { alternatives: Vec<Vec<Node>>, optional: bool, repeats: bool },
}

/// Reads a syntax.
pub(crate) fn parse(syntax: &'static str) -> Result<Vec<Node>, String> {
    let mut words = split(syntax).into_iter();
    let mut body = alternatives(&mut words, None).map_err(|why| format!("{why} in `{syntax}`"))?;
    match (body.alternatives.pop(), body.alternatives.is_empty() && !body.repeats) {
        (Some(nodes), true) => Ok(nodes),
        _ => Err(format!("`|` or `...` outside of brackets in `{syntax}`")),
    }
}

/// Cuts a syntax into words and brackets.
fn split(syntax: &'static str) -> Vec<&'static str> {
    let bracket = |letter: char| matches!(letter, '[' | ']' | '<' | '>' | '|');
    let mut words = Vec::new();
    for chunk in syntax.split_whitespace() {
        let mut rest = chunk;
        while let Some(first) = rest.chars().next() {
            let length = if bracket(first) { 1 } else { rest.find(bracket).unwrap_or(rest.len()) };
            let (word, tail) = rest.split_at(length);
            words.push(word);
            rest = tail;
        }
    }
    words
}

struct Body {
    alternatives: Vec<Vec<Node>>,
    repeats: bool,
}

/// Reads up to the closing bracket, or to the end.
fn alternatives(
    words: &mut std::vec::IntoIter<&'static str>,
    close: Option<&'static str>,
) -> Result<Body, String> {
    let mut body = Body { alternatives: Vec::new(), repeats: false };
    let mut nodes = Vec::new();
    loop {
        let word = words.next();
        if word == close {
            body.alternatives.push(nodes);
            return Ok(body);
        }
        match word {
            None => return Err("a bracket is not closed".to_owned()),
            Some("|") => body.alternatives.push(std::mem::take(&mut nodes)),
            Some("...") => body.repeats = true,
            Some(open @ ("[" | "<")) => {
                let optional = open == "[";
                let inner = alternatives(words, Some(if optional { "]" } else { ">" }))?;
                let Body { alternatives, repeats } = inner;
                nodes.push(Node::Group { alternatives, optional, repeats });
            }
            Some("]" | ">") => return Err("a bracket closes that is not open".to_owned()),
            Some(word) if word.starts_with(|first: char| first.is_ascii_lowercase()) => {
                nodes.push(Node::Slot(word));
            }
            Some(word) => nodes.push(Node::Word(word)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(alternatives: Vec<Vec<Node>>, optional: bool, repeats: bool) -> Node {
        Node::Group { alternatives, optional, repeats }
    }

    #[test]
    fn brackets_alternatives_and_repetition_are_read() {
        assert_eq!(
            parse("key [NX | XX] score member [score member ...]"),
            Ok(vec![
                Node::Slot("key"),
                group(vec![vec![Node::Word("NX")], vec![Node::Word("XX")]], true, false),
                Node::Slot("score"),
                Node::Slot("member"),
                group(vec![vec![Node::Slot("score"), Node::Slot("member")]], true, true),
            ])
        );
        assert_eq!(
            parse("<* | id> [LIMIT count]"),
            Ok(vec![
                group(vec![vec![Node::Word("*")], vec![Node::Slot("id")]], false, false),
                group(vec![vec![Node::Word("LIMIT"), Node::Slot("count")]], true, false),
            ])
        );
        assert_eq!(parse(""), Ok(vec![]));
    }

    #[test]
    fn a_broken_syntax_is_refused() {
        for syntax in ["key [NX", "key NX]", "key <NX]", "key | other", "key ..."] {
            assert!(parse(syntax).is_err(), "{syntax}");
        }
    }

    #[test]
    fn every_row_has_a_grammar() {
        for found in crate::table::commands() {
            for row in [found].into_iter().chain(found.subcommands()) {
                if let Err(why) = parse(row.spec.syntax) {
                    panic!("{}: {why}", row.full_name());
                }
            }
        }
    }
}
