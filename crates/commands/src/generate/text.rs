//! Lines as one types them: words with odd bytes in quotes, as `redis-cli` and the repl read them.

use std::fmt;

/// Writes the words of a line.
pub(super) fn write_line(args: &[Vec<u8>], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, word) in args.iter().enumerate() {
        if index > 0 {
            f.write_str(" ")?;
        }
        let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
        if !word.is_empty() && word.iter().all(plain) {
            f.write_str(&String::from_utf8_lossy(word))?;
        } else {
            quote(word, f)?;
        }
    }
    Ok(())
}

fn quote(word: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("\"")?;
    for &byte in word {
        match byte {
            b'"' | b'\\' => write!(f, "\\{}", char::from(byte))?,
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            b' '..=b'~' => write!(f, "{}", char::from(byte))?,
            _ => write!(f, "\\x{byte:02x}")?,
        }
    }
    f.write_str("\"")
}

/// Reads a printed line back into its words; `None` if a quote is not closed.
///
/// Quotes begin and end a word: `"a\x00b"` with escapes, `'a b'` without but for `\'`.
///
/// # Examples
/// ```
/// use larder_commands::generate::split_line;
/// assert_eq!(split_line(br#"SET k "a\r\n" ''"#).unwrap(), [&b"SET"[..], b"k", b"a\r\n", b""]);
/// assert!(split_line(b"GET \"k").is_none());
/// ```
#[must_use]
pub fn split_line(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = line.iter().copied();
    let mut words = Vec::new();
    while let Some(first) = rest.find(|byte| !byte.is_ascii_whitespace()) {
        words.push(match first {
            b'"' | b'\'' => quoted(&mut rest, first)?,
            _ => {
                let word = rest.by_ref().take_while(|byte| !byte.is_ascii_whitespace());
                [first].into_iter().chain(word).collect()
            }
        });
    }
    Some(words)
}

fn quoted(rest: &mut impl Iterator<Item = u8>, close: u8) -> Option<Vec<u8>> {
    let mut word = Vec::new();
    loop {
        match rest.next()? {
            byte if byte == close => return Some(word),
            b'\\' if close == b'"' => word.push(escaped(rest)?),
            b'\\' => match rest.next()? {
                b'\'' => word.push(b'\''),
                other => word.extend([b'\\', other]),
            },
            byte => word.push(byte),
        }
    }
}

fn escaped(rest: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(match rest.next()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        b'x' => {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            u8::try_from(digit()? * 16 + digit()?).ok()?
        }
        other => other,
    })
}
