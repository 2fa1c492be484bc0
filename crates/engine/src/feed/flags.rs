//! `notify-keyspace-events`: which classes of events are published, and on which channels.

use super::event::Class;

const KEYSPACE: u32 = 1 << 16;
const KEYEVENT: u32 = 1 << 17;
/// `d`, events of modules' types: accepted and told back; there are no modules.
const MODULE: u32 = 1 << 18;

/// The letters in the order in which Redis tells them.
const LETTERS: [(char, u32); 11] = [
    ('g', Class::Generic as u32),
    ('$', Class::String as u32),
    ('l', Class::List as u32),
    ('s', Class::Set as u32),
    ('h', Class::Hash as u32),
    ('z', Class::SortedSet as u32),
    ('x', Class::Expired as u32),
    ('e', Class::Evicted as u32),
    ('t', Class::Stream as u32),
    ('d', MODULE),
    ('n', Class::New as u32),
];
/// All of them but `n`.
const ALL: u32 = Class::Generic as u32
    | Class::String as u32
    | Class::List as u32
    | Class::Set as u32
    | Class::Hash as u32
    | Class::SortedSet as u32
    | Class::Expired as u32
    | Class::Evicted as u32
    | Class::Stream as u32
    | MODULE;
const CHANNELS: [(char, u32); 3] = [('K', KEYSPACE), ('E', KEYEVENT), ('m', Class::Miss as u32)];

/// A set of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags(u32);

impl Flags {
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// Reads letters; `None` for one that there is not.
    pub(crate) fn parse(letters: &str) -> Option<Self> {
        let bit = |letter| match letter {
            'A' => Some(ALL),
            _ => LETTERS.iter().chain(&CHANNELS).find(|(known, _)| *known == letter).map(|(_, bit)| *bit),
        };
        letters.chars().try_fold(0, |bits, letter| Some(bits | bit(letter)?)).map(Self)
    }

    /// The letters as Redis tells them: `A` for those that it stands for.
    pub(crate) fn letters(self) -> String {
        let mut text = String::new();
        if self.0 & ALL == ALL {
            text.push('A');
        } else {
            text.extend(LETTERS.iter().filter(|(_, bit)| self.0 & bit != 0).map(|(letter, _)| letter));
        }
        text.extend(CHANNELS.iter().filter(|(_, bit)| self.0 & bit != 0).map(|(letter, _)| letter));
        text
    }

    /// Whether anything can be published.
    pub(crate) fn are_on(self) -> bool {
        self.0 & (KEYSPACE | KEYEVENT) != 0
    }

    pub(crate) fn admit(self, class: Class) -> bool {
        self.are_on() && self.0 & class as u32 != 0
    }

    pub(crate) fn keyspace(self) -> bool {
        self.0 & KEYSPACE != 0
    }

    pub(crate) fn keyevent(self) -> bool {
        self.0 & KEYEVENT != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_back_in_redis_order() {
        for (given, back) in
            [("", ""), ("KEA", "AKE"), ("EKx", "xKE"), ("g$lshzxetdK", "AK"), ("mEnl", "lnEm"), ("K", "K")]
        {
            assert_eq!(Flags::parse(given).unwrap().letters(), back, "{given}");
        }
        for wrong in ["q", "KEa", "K E", "ä"] {
            assert!(Flags::parse(wrong).is_none(), "{wrong}");
        }
    }
}
