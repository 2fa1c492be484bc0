//! Key specs: which words of a command are keys, and what the command does to them.
//!
//! ```text
//! ZUNIONSTORE dest 2 a b     [index 1, range of one] [index 2, counted: 2 keys follow the number]
//! XREAD COUNT 1 STREAMS s 0  [keyword STREAMS from 1, range to the end, the first half of it]
//! ```
//! A spec says where to begin and how to go on. Where specs cannot tell (SORT .. STORE), or where the use of a key
//! depends on options (SET .. GET), one of a command's specs carries a [`KeyFinder`] that looks at the words.

use crate::args::{Args, parse_integer};
use crate::spec::bits;

bits! {
    /// What a command does to a key, by Redis's names.
    KeyFlags {
        RO ro 0 "RO",
        RW rw 1 "RW",
        OW ow 2 "OW",
        RM rm 3 "RM",
        ACCESS access 4 "access",
        UPDATE update 5 "update",
        INSERT insert 6 "insert",
        DELETE delete 7 "delete",
        NOT_KEY not_key 8 "not_key",
        INCOMPLETE incomplete 9 "incomplete",
        VARIABLE_FLAGS variable_flags 10 "variable_flags",
    }
}

/// Where the search for keys begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeginSearch {
    /// At this word; the command's name is word 0.
    Index(i32),
    /// After a literal word.
    Keyword {
        /// The word, in any case.
        keyword: &'static str,
        /// From which word on it is looked for; negative: backward from the end, -1 being the last word.
        start_from: i32,
    },
    /// A spec cannot say it.
    Unknown,
}

/// Which words are keys, seen from where the search begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindKeys {
    /// A run of words.
    Range {
        /// The last one, from the first on; negative: from the end of the line, -1 being its last word.
        last: i32,
        /// Distance between two keys.
        step: i32,
        /// With `last` -1: only one in so many of the remaining words is part of the run; 0 and 1: all.
        limit: i32,
    },
    /// As many as a number among the words says.
    KeyNum {
        /// Where the number is.
        index: i32,
        /// Where the first key is.
        first: i32,
        /// Distance between two keys.
        step: i32,
    },
    /// A spec cannot say it.
    Unknown,
}

/// Finds the keys of a command by looking at its words; `None` if they make no sense.
pub type KeyFinder = fn(Args<'_>) -> Option<Vec<KeyUse>>;

/// A word that is a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUse {
    /// Which word.
    pub index: usize,
    /// What is done to it.
    pub flags: KeyFlags,
}

/// Where keys are among the words of a command.
#[derive(Debug, Clone, Copy)]
pub struct KeySpec {
    /// What is done to these keys.
    pub flags: KeyFlags,
    /// Where to begin.
    pub begin: BeginSearch,
    /// How to go on.
    pub find: FindKeys,
    /// What finds all of the command's keys where specs alone do not.
    pub finder: Option<KeyFinder>,
}

impl KeySpec {
    const ONE: FindKeys = FindKeys::Range { last: 0, step: 1, limit: 0 };

    const fn new(begin: BeginSearch, find: FindKeys, flags: KeyFlags) -> Self {
        Self { flags, begin, find, finder: None }
    }

    /// The first word after the name.
    #[must_use]
    pub const fn first(flags: KeyFlags) -> Self {
        Self::at(1, flags)
    }

    /// One word.
    #[must_use]
    pub const fn at(index: i32, flags: KeyFlags) -> Self {
        Self::new(BeginSearch::Index(index), Self::ONE, flags)
    }

    /// The words from `index` to `last` (as in [`FindKeys::Range`]), every `step`-th of them.
    #[must_use]
    pub const fn range(index: i32, last: i32, step: i32, flags: KeyFlags) -> Self {
        Self::new(BeginSearch::Index(index), FindKeys::Range { last, step, limit: 0 }, flags)
    }

    /// A number at `index`, and so many keys after it.
    #[must_use]
    pub const fn counted(index: i32, flags: KeyFlags) -> Self {
        Self::new(BeginSearch::Index(index), FindKeys::KeyNum { index: 0, first: 1, step: 1 }, flags)
    }

    /// One word after a literal word that is looked for from `start_from` on.
    #[must_use]
    pub const fn after(keyword: &'static str, start_from: i32, flags: KeyFlags) -> Self {
        Self::new(BeginSearch::Keyword { keyword, start_from }, Self::ONE, flags)
    }

    /// Keys of which a spec cannot say where they are.
    #[must_use]
    pub const fn unknown(flags: KeyFlags) -> Self {
        Self::new(BeginSearch::Unknown, FindKeys::Unknown, flags)
    }

    /// The same beginning with another way to go on.
    #[must_use]
    pub const fn find(mut self, find: FindKeys) -> Self {
        self.find = find;
        self
    }

    /// Names what finds the keys where the specs do not.
    #[must_use]
    pub const fn resolved_by(mut self, finder: KeyFinder) -> Self {
        self.finder = Some(finder);
        self
    }

    /// The first word of the search; `None` if the keyword is not there.
    fn first_word(&self, args: Args<'_>) -> Result<Option<i64>, Unresolved> {
        match self.begin {
            BeginSearch::Index(index) => Ok(Some(i64::from(index))),
            BeginSearch::Keyword { keyword, start_from } => Ok(keyword_place(args, keyword, start_from)),
            BeginSearch::Unknown => Err(Unresolved),
        }
    }

    fn collect(&self, args: Args<'_>, found: &mut Vec<KeyUse>) -> Result<(), Unresolved> {
        let words = signed(args.len());
        let Some(begin) = self.first_word(args)? else { return Ok(()) };
        let (first, last, step) = match self.find {
            FindKeys::Range { last, step, limit } => {
                let last = match (i64::from(last), i64::from(limit)) {
                    (last, _) if last >= 0 => begin.saturating_add(last),
                    (last, 0) => words.saturating_add(last),
                    (last, limit) => begin + (words - begin) / limit.max(1) + last,
                };
                (begin, last, step)
            }
            FindKeys::KeyNum { index, first, step } => {
                let number = args.at(begin + i64::from(index)).and_then(parse_integer);
                let count = number.filter(|&count| count > 0).ok_or(Unresolved)?;
                let first = begin + i64::from(first);
                (first, (count - 1).saturating_mul(i64::from(step)).saturating_add(first), step)
            }
            FindKeys::Unknown => return Err(Unresolved),
        };
        if last >= words || last < first || first < 0 {
            return Err(Unresolved);
        }
        let step = usize::try_from(step.max(1)).unwrap_or(1);
        for index in (first..=last).step_by(step) {
            found.push(KeyUse { index: usize::try_from(index).map_err(|_| Unresolved)?, flags: self.flags });
        }
        if self.flags.contains(KeyFlags::INCOMPLETE) { Err(Unresolved) } else { Ok(()) }
    }
}

/// The specs do not tell where the keys of this line are.
struct Unresolved;

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn keyword_place(args: Args<'_>, keyword: &str, start_from: i32) -> Option<i64> {
    let words = signed(args.len());
    let start = i64::from(start_from);
    let hit = |at: &i64| args.at(*at).is_some_and(|word| word.eq_ignore_ascii_case(keyword.as_bytes()));
    let place = if start > 0 {
        // The last word cannot be followed by a key.
        (start..words - 1).find(hit)
    } else {
        (2..=words + start).rev().find(hit)
    };
    place.map(|at| at + 1)
}

/// Finds the keys of a line. `Err` where they cannot be told, or the line makes no sense.
pub(crate) fn keys_of(specs: &[KeySpec], args: Args<'_>) -> Result<Vec<KeyUse>, ()> {
    let finder = specs.iter().find_map(|spec| spec.finder);
    let variable = specs.iter().any(|spec| spec.flags.contains(KeyFlags::VARIABLE_FLAGS));
    let mut found = Vec::new();
    let told = !variable
        && specs
            .iter()
            .filter(|spec| !spec.flags.contains(KeyFlags::NOT_KEY))
            .all(|spec| spec.collect(args, &mut found).is_ok());
    match (told, finder) {
        (true, _) => Ok(found),
        (false, Some(finder)) => finder(args).ok_or(()),
        (false, None) => Err(()),
    }
}

/// Whether the old description by first, last and step misses keys.
pub(crate) fn movable(specs: &[KeySpec]) -> bool {
    legacy(specs).1
}

/// First and last key and their distance, as clients before key specs knew them; and whether that misses keys.
pub(crate) fn legacy(specs: &[KeySpec]) -> ((i32, i32, i32), bool) {
    let mut movable = false;
    let mut whole: Option<(i32, i32, i32)> = None;
    for spec in specs {
        movable |= spec.flags.contains(KeyFlags::INCOMPLETE);
        let (BeginSearch::Index(first), FindKeys::Range { last, step, .. }) = (spec.begin, spec.find) else {
            movable = true;
            continue;
        };
        let last = if last >= 0 { first + last } else { last };
        whole = match whole {
            None if step == 1 || specs.len() == 1 => Some((first, last, step)),
            Some((start, end, _)) if step == 1 && first == end + 1 => Some((start, last, 1)),
            other => {
                movable = true;
                other
            }
        };
    }
    (whole.unwrap_or((0, 0, 0)), movable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: KeyFlags = KeyFlags::RO.access();

    fn indexes(specs: &[KeySpec], line: &str) -> Option<Vec<usize>> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let found = keys_of(specs, Args::new(&words)).ok()?;
        Some(found.iter().map(|key| key.index).collect())
    }

    #[test]
    fn specs_find_their_words() {
        let all = KeySpec::range(1, -1, 1, READ);
        assert_eq!(indexes(&[all], "DEL a b c"), Some(vec![1, 2, 3]));
        assert_eq!(indexes(&[KeySpec::range(1, -1, 2, READ)], "MSET a 1 b 2"), Some(vec![1, 3]));
        assert_eq!(indexes(&[KeySpec::range(1, -2, 1, READ)], "BLPOP a b 0"), Some(vec![1, 2]));
        let store = [KeySpec::first(READ), KeySpec::counted(2, READ)];
        assert_eq!(indexes(&store, "ZUNIONSTORE d 2 a b AGGREGATE MIN"), Some(vec![1, 3, 4]));
        assert_eq!(indexes(&store, "ZUNIONSTORE d 3 a b"), None, "more keys than words");
        assert_eq!(indexes(&store, "ZUNIONSTORE d 0 a b"), None);
        assert_eq!(indexes(&store, "ZUNIONSTORE d 9223372036854775807 a b"), None);
    }

    #[test]
    fn keywords_are_looked_for_forward_and_backward() {
        let half = FindKeys::Range { last: -1, step: 1, limit: 2 };
        let streams = [KeySpec::after("STREAMS", 1, READ).find(half)];
        assert_eq!(indexes(&streams, "XREAD COUNT 1 streams a b 0 0"), Some(vec![4, 5]));
        assert_eq!(indexes(&streams, "XREAD COUNT 1"), Some(vec![]));
        let back = [KeySpec::after("KEYS", -2, READ)];
        assert_eq!(indexes(&back, "X y keys a"), Some(vec![3]));
    }

    #[test]
    fn old_positions() {
        assert_eq!(legacy(&[KeySpec::range(1, -1, 2, READ)]), ((1, -1, 2), false));
        assert_eq!(legacy(&[KeySpec::first(READ), KeySpec::at(2, READ)]), ((1, 2, 1), false));
        assert_eq!(legacy(&[KeySpec::first(READ), KeySpec::counted(2, READ)]), ((1, 1, 1), true));
        assert_eq!(legacy(&[KeySpec::counted(1, READ)]), ((0, 0, 0), true));
        assert_eq!(legacy(&[]), ((0, 0, 0), false));
    }
}
