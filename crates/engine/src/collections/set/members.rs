//! Walks over the members of a set, in every encoding.

use super::{Ints, Set};
use crate::collections::packed::{Iter as PackedIter, Spot};
use crate::collections::string::number::{NumberText, format_i64};
use crate::collections::table::{Position, Table};

/// A member: the text of a number, or the bytes where they lie.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Member<'a> {
    Number(NumberText),
    Bytes(&'a [u8]),
}

impl Member<'_> {
    pub(super) fn number(number: i64) -> Self {
        Self::Number(format_i64(number))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Number(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The members of a set that is looked at.
#[derive(Debug)]
pub(crate) enum Members<'a> {
    Ints(&'a Ints, usize),
    Packed(PackedIter<'a>),
    Table(&'a Table, Position),
}

impl<'a> Members<'a> {
    pub(super) fn new(set: &'a Set) -> Self {
        match set {
            Set::Ints(ints) => Self::Ints(ints, 0),
            Set::Packed(packed) => Self::Packed(packed.iter()),
            Set::Table(table) => Self::Table(table, Position::default()),
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        match self {
            Self::Ints(ints, index) => {
                let number = ints.get(*index)?;
                *index += 1;
                Some(Member::number(number))
            }
            Self::Packed(members) => members.next().map(Member::Bytes),
            Self::Table(table, position) => table.next(position).map(|entry| Member::Bytes(entry.key)),
        }
    }
}

/// The members of a capture, which the walk owns.
#[derive(Debug, Clone)]
pub(crate) struct OwnedMembers {
    set: Set,
    at: At,
    left: usize,
}

#[derive(Debug, Clone, Copy)]
enum At {
    Index(usize),
    Spot(Spot),
    Position(Position),
}

impl OwnedMembers {
    pub(super) fn new(set: Set) -> Self {
        let at = match &set {
            Set::Ints(_) => At::Index(0),
            Set::Packed(packed) => At::Spot(packed.first()),
            Set::Table(_) => At::Position(Position::default()),
        };
        let left = set.len();
        Self { set, at, left }
    }

    /// How many are to come.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// The next member.
    pub(crate) fn next(&mut self) -> Option<Member<'_>> {
        let member = match (&self.set, &mut self.at) {
            (Set::Ints(ints), At::Index(index)) => {
                let number = ints.get(*index)?;
                *index += 1;
                Member::number(number)
            }
            (Set::Packed(packed), At::Spot(spot)) => {
                let (member, next) = packed.read(*spot)?;
                *spot = next;
                Member::Bytes(member)
            }
            (Set::Table(table), At::Position(position)) => Member::Bytes(table.next(position)?.key),
            _ => unreachable!("the place was made for this encoding"),
        };
        self.left -= 1;
        Some(member)
    }
}
