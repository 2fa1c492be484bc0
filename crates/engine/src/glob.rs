//! Glob patterns over bytes, as Redis's KEYS, SCAN MATCH and PSUBSCRIBE understand them.
//!
//! `*` is any run of bytes, `?` is one byte, `[ab]`, `[a-z]` and `[^ab]` are one byte of (or outside) a
//! class, and `\x` is the byte `x`. A class that never closes ends with the pattern: `[ab` is `[ab]`, and
//! `[^` is any one byte. A backslash that ends the pattern stands for itself. A range takes its ends in
//! either order.
//!
//! - I1: the position in the text, or the text position of the last star, grows with every step, so matching
//!   ends. Going back to the last star is enough, because an earlier one can only reach a later place.
//!
//! Cost: O(pattern) for a plain pattern, O(pattern x text) at worst, no recursion and no allocation.
//!
//! Where Redis differs by accident we chose: bytes are unsigned in a range (as Redis on ARM; on x86 its
//! `[a-\xff]` excludes most of the range), and more than 1,000 stars still match. The one pattern that
//! matches the empty text besides the empty pattern is `*` itself; `**` does not, as in Redis.

use std::borrow::Cow;

/// Tells whether a whole text matches a glob pattern of Redis's: `*`, `?`, `[a-z]`, `[^a]`, `\\x`.
///
/// **Complexity** O(n m), n and m the bytes of pattern and text; no recursion, no allocation.
///
/// # Examples
/// ```
/// assert!(larder::glob_matches(b"user:[1-3]?", b"user:20"));
/// assert!(!larder::glob_matches(b"user:*", b"job:1"));
/// ```
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    if pattern == b"*" {
        return true;
    }
    if text.is_empty() {
        return pattern.is_empty();
    }
    let mut rest = pattern;
    let mut at = 0;
    // The pattern after the last star, and where in the text that star now ends.
    let mut star: Option<(&[u8], usize)> = None;
    while let Some(&byte) = text.get(at) {
        if rest.first() == Some(&b'*') {
            rest = skip_stars(rest);
            if rest.is_empty() {
                return true;
            }
            star = Some((rest, at));
            continue;
        }
        match match_one(rest, byte) {
            Some(after) => {
                rest = after;
                at += 1;
            }
            None => {
                let Some((after_star, end)) = star else { return false };
                rest = after_star;
                at = end + 1;
                star = Some((after_star, at));
            }
        }
    }
    // What is left of the pattern needs a byte unless it is all stars, and a longer star leaves fewer.
    skip_stars(rest).is_empty()
}

/// The bytes with which every match begins, without their escapes.
///
/// It borrows from the pattern when no escape falls into it.
pub(crate) fn literal_prefix(pattern: &[u8]) -> Cow<'_, [u8]> {
    let plain = pattern.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(pattern.len());
    let (prefix, mut rest) = pattern.split_at(plain);
    if rest.first() != Some(&b'\\') {
        return Cow::Borrowed(prefix);
    }
    let mut prefix = prefix.to_vec();
    loop {
        rest = match rest {
            [] | [b'*' | b'?' | b'[', ..] => return Cow::Owned(prefix),
            [b'\\', byte, after @ ..] | [byte, after @ ..] => {
                prefix.push(*byte);
                after
            }
        };
    }
}

fn skip_stars(pattern: &[u8]) -> &[u8] {
    let stars = pattern.iter().take_while(|&&byte| byte == b'*').count();
    &pattern[stars..]
}

/// Matches one byte against the first element of the pattern; gives the pattern after it.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (hit, after) = match pattern {
        [] => return None,
        [b'?', after @ ..] => (true, after),
        [b'[', b'^', class @ ..] => {
            let (hit, after) = match_class(class, byte);
            (!hit, after)
        }
        [b'[', class @ ..] => match_class(class, byte),
        [b'\\', literal, after @ ..] | [literal, after @ ..] => (*literal == byte, after),
    };
    hit.then_some(after)
}

/// Looks the byte up in a class, whose `[` is already gone; gives the pattern after the class.
fn match_class(mut class: &[u8], byte: u8) -> (bool, &[u8]) {
    let mut hit = false;
    loop {
        class = match class {
            [] => return (hit, class),
            [b'\\', literal, after @ ..] => {
                hit |= *literal == byte;
                after
            }
            [b']', after @ ..] => return (hit, after),
            [from, b'-', to, after @ ..] => {
                hit |= (*from.min(to)..=*from.max(to)).contains(&byte);
                after
            }
            [literal, after @ ..] => {
                hit |= *literal == byte;
                after
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{literal_prefix, matches};
    use std::borrow::Cow;

    use proptest::prelude::*;

    /// A pattern, texts that match, texts that do not.
    type Row = (&'static [u8], &'static [&'static [u8]], &'static [&'static [u8]]);

    /// Confirmed with a real server.
    const TABLE: &[Row] = &[
        (b"", &[b""], &[b"a"]),
        (b"*", &[b"", b"a", b"abc"], &[]),
        (b"**", &[b"a", b"abc"], &[b""]),
        (b"?", &[b"a", b"*"], &[b"", b"ab"]),
        (b"a*", &[b"a", b"ab"], &[b"", b"ba"]),
        (b"*a", &[b"a", b"ba", b"aa"], &[b"ab"]),
        (b"a*b*", &[b"ab", b"acbd", b"abb"], &[b"a", b"ac", b"ba"]),
        (b"*a*b*c", &[b"abc", b"xaxbxc", b"abcabc"], &[b"acb", b"abcx"]),
        (b"h[ae]llo", &[b"hello", b"hallo"], &[b"hillo", b"hllo"]),
        (b"h[^e]llo", &[b"hallo"], &[b"hello"]),
        (b"[a-c]", &[b"a", b"b", b"c"], &[b"d", b"-"]),
        (b"[c-a]", &[b"a", b"b", b"c"], &[b"d"]),
        (b"[a-c", &[b"b"], &[b"d"]),
        (b"[a-]", &[b"a", b"^", b"]", b"_"], &[b"-", b"b"]),
        (b"[a-", &[b"a", b"-"], &[b"b"]),
        (b"[", &[], &[b"[", b"a"]),
        (b"[^", &[b"a", b"^"], &[b"ab"]),
        (b"[]", &[], &[b"a", b"]", b"[]"]),
        (b"[]a]", &[], &[b"a", b"]", b"a]"]),
        (b"[^]", &[b"a", b"]"], &[b"^]"]),
        (b"[\\]]", &[b"]"], &[b"\\"]),
        (b"[a\\-c]", &[b"a", b"-", b"c"], &[b"b"]),
        (b"[\\", &[b"\\"], &[b"[", b"a"]),
        (b"[!-~]*", &[b"abc"], &[b" abc"]),
        (b"\\*", &[b"*"], &[b"a", b"\\*"]),
        (b"\\a", &[b"a"], &[b"\\a"]),
        (b"\\", &[b"\\"], &[b"a"]),
        (b"a\\", &[b"a\\"], &[b"a"]),
        (b"[\x80-\xff]", &[b"\x80", b"\xa0", b"\xff"], &[b"a"]),
    ];

    #[test]
    fn table() {
        for (pattern, hits, misses) in TABLE {
            for text in *hits {
                assert!(matches(pattern, text), "{} / {}", pattern.escape_ascii(), text.escape_ascii());
            }
            for text in *misses {
                assert!(!matches(pattern, text), "{} / {}", pattern.escape_ascii(), text.escape_ascii());
            }
        }
    }

    #[test]
    fn many_stars_cost_little() {
        let pattern = b"a*".repeat(2_000);
        let text = vec![b'a'; 20_000];
        assert!(matches(&pattern, &text));
        let mut never = pattern;
        never.push(b'b');
        assert!(!matches(&never, &text));
    }

    #[test]
    fn prefixes() {
        let borrowed = |pattern: &'static [u8]| matches!(literal_prefix(pattern), Cow::Borrowed(_));
        assert_eq!(&*literal_prefix(b"user:*"), b"user:");
        assert_eq!(&*literal_prefix(b"user:[ab]x"), b"user:");
        assert_eq!(&*literal_prefix(b"u\\*s\\?e?r"), b"u*s?e");
        assert_eq!(&*literal_prefix(b"whole"), b"whole");
        assert_eq!(&*literal_prefix(b"end\\"), b"end\\");
        assert_eq!(&*literal_prefix(b""), b"");
        assert_eq!(&*literal_prefix(b"*a"), b"");
        assert!(borrowed(b"user:*") && !borrowed(b"u\\*"));
    }

    /// The definition by recursion, with none of the shortcuts.
    fn model(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', after @ ..], _) => (0..=text.len()).any(|end| model(after, &text[end..])),
            (_, []) => false,
            (_, [byte, after_text @ ..]) => {
                super::match_one(pattern, *byte).is_some_and(|after| model(after, after_text))
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_model(
            pattern in proptest::collection::vec(proptest::sample::select(b"ab*?[]^-\\".to_vec()), 0..10),
            text in proptest::collection::vec(proptest::sample::select(b"ab]^-\\".to_vec()), 1..10),
        ) {
            let found = matches(&pattern, &text);
            prop_assert_eq!(found, model(&pattern, &text));
            if found {
                prop_assert!(text.starts_with(&literal_prefix(&pattern)));
            }
        }
    }
}
