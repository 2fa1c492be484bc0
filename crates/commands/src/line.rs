//! Command lines as people type them: words, quotes, escapes.
//!
//! ```text
//! set k "two words\n\x00"   'it\'s'       double quotes know \n \r \t \a \b \xHH, single ones only \'
//! ```
//! Invariant: I1: [`split`] reads what [`quote`] writes, whatever the bytes.

/// Splits a line into words; `None` if a quote does not close, or something sticks to a closed one.
///
/// # Examples
/// ```
/// use larder_commands::line;
/// assert_eq!(line::split(br#"set k "a b""#).unwrap(), [&b"set"[..], b"k", b"a b"]);
/// assert!(line::split(b"get \"k").is_none());
/// ```
#[must_use]
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        // What the C library calls space besides.
        if let [0x0b, after @ ..] = rest {
            rest = after;
            continue;
        }
        if rest.is_empty() || rest.starts_with(b"\0") {
            return Some(words);
        }
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after;
    }
}

/// Reads one word; gives what follows it.
fn word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        rest = match rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t' | 0, ..] => return Some((word, rest)),
            [b'"', inside @ ..] => return quoted(word, inside, b'"'),
            [b'\'', inside @ ..] => return quoted(word, inside, b'\''),
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        };
    }
}

/// Reads until the quote closes, which ends the word.
fn quoted(mut word: Vec<u8>, mut rest: &[u8], quote: u8) -> Option<(Vec<u8>, &[u8])> {
    loop {
        rest = match rest {
            [] => return None,
            [b'\\', b'x', high, low, after @ ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(digit(*high) << 4 | digit(*low));
                after
            }
            [b'\\', byte, after @ ..] if quote == b'"' => {
                word.push(match byte {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                after
            }
            [b'\\', b'\'', after @ ..] if quote == b'\'' => {
                word.push(b'\'');
                after
            }
            [byte, after @ ..] if *byte == quote => {
                let ends = after.first().is_none_or(|byte| byte.is_ascii_whitespace() || *byte == 0x0b);
                return ends.then_some((word, after));
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        };
    }
}

fn digit(byte: u8) -> u8 {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0)
}

/// Writes bytes in double quotes, with escapes for what cannot be shown.
///
/// # Examples
/// ```
/// assert_eq!(larder_commands::line::quote(b"a\n\xff"), r#""a\n\xff""#);
/// ```
#[must_use]
pub fn quote(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x07 => text.push_str("\\a"),
            0x08 => text.push_str("\\b"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
    text
}

/// Writes a command as a line that [`split`] reads back; words are quoted where they must be.
///
/// # Examples
/// ```
/// assert_eq!(larder_commands::line::join(&[&b"SET"[..], b"k", b"a b"]), r#"SET k "a b""#);
/// ```
#[must_use]
pub fn join<W: AsRef<[u8]>>(words: &[W]) -> String {
    let words: Vec<String> = words
        .iter()
        .map(|word| {
            let word = word.as_ref();
            let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"'\\".contains(byte);
            match std::str::from_utf8(word) {
                Ok(text) if !word.is_empty() && word.iter().all(plain) => text.to_owned(),
                _ => quote(word),
            }
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_redis_cli_splits_them() {
        let rows: [(&str, &[&[u8]]); 10] = [
            ("", &[]),
            ("  get\t k \r\n", &[b"get", b"k"]),
            (r#"a "" ''"#, &[b"a", b"", b""]),
            (r#""a\n\x01\xFf\q\"""#, &[b"a\n\x01\xffq\""]),
            (r#""\x4" "\x4g""#, &[b"x4", b"x4g"]),
            (r"'it\'s' '\n'", &[b"it's", b"\\n"]),
            (r#"a"b c""#, &[b"ab c"]),
            ("get k\0hidden", &[b"get", b"k"]),
            ("'a'\u{b}b", &[b"a", b"b"]),
            (r"a\n", &[b"a\\n"]),
        ];
        for (line, words) in rows {
            assert_eq!(split(line.as_bytes()).expect(line), words, "{line}");
        }
        for line in [r#""a"#, "'a", r#""a"b"#, r"'a\'", r#"a\"b"c""#, r#"a"b c"d"#] {
            assert_eq!(split(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn what_is_joined_is_split_into_the_same() {
        let all: Vec<u8> = (0..=255).collect();
        let words = [&b"SET"[..], b"", b"a b", b"'", b"\"", b"\\", &all, "\u{e9}".as_bytes()];
        assert_eq!(split(join(&words).as_bytes()).expect("quotes close"), words);
    }
}
