//! The one table of commands: every row of every family, and the look-up by name.

use std::sync::LazyLock;

use crate::args::Args;
use crate::families::FAMILIES;
use crate::keyspec::{KeyUse, keys_of};
use crate::spec::CommandSpec;

/// Slots of the look-up table: a power of two, several times the number of commands.
const SLOTS: usize = 1024;
/// No command has a longer name.
const NAME_BYTES_MAX: usize = 32;

/// A row, and where it belongs.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The row.
    pub spec: &'static CommandSpec,
    /// The container, if it is a subcommand.
    pub parent: Option<&'static CommandSpec>,
    /// The group in which Redis documents it: `string`, `sorted-set`.
    pub group: &'static str,
}

impl Found {
    /// Returns the name in lower case, a subcommand's as `container|subcommand`.
    #[must_use]
    pub fn full_name(&self) -> String {
        full_name(self.parent, self.spec)
    }

    /// Returns the subcommands of a container.
    pub fn subcommands(&self) -> impl Iterator<Item = Self> + use<> {
        let (parent, group) = (self.spec, self.group);
        parent.subcommands.iter().map(move |spec| Self { spec, parent: Some(parent), group })
    }
}

pub(crate) fn full_name(parent: Option<&CommandSpec>, spec: &CommandSpec) -> String {
    let name = match parent {
        Some(parent) => format!("{}|{}", parent.name, spec.name),
        None => spec.name.to_owned(),
    };
    name.to_ascii_lowercase()
}

/// Returns every command; subcommands are found in their containers.
pub fn commands() -> impl Iterator<Item = Found> {
    FAMILIES.iter().flat_map(|family| {
        family.commands.iter().map(|spec| Found { spec, parent: None, group: family.group })
    })
}

/// Finds a command by its name, in any case.
///
/// **Complexity** O(n), n the bytes of the name.
///
/// # Examples
/// ```
/// use larder_commands::table;
/// assert_eq!(table::lookup(b"getset").unwrap().spec.arity, 3);
/// assert!(table::lookup(b"nonsense").is_none());
/// ```
#[must_use]
pub fn lookup(name: &[u8]) -> Option<Found> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut slot = slot_of(name);
    loop {
        let found = (*SLOT.get(slot)?)?;
        if found.spec.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(found);
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// Finds the row of a line of words: the command, or the subcommand that the second word names.
#[must_use]
pub fn resolve(args: Args<'_>) -> Option<Found> {
    let found = lookup(args.get(0)?)?;
    match args.get(1) {
        Some(word) if !found.spec.subcommands.is_empty() => {
            found.subcommands().find(|sub| sub.spec.name.as_bytes().eq_ignore_ascii_case(word))
        }
        _ => Some(found),
    }
}

/// Finds the keys among the words of a command, and what is done to them.
///
/// # Errors
/// With `Err(())` if the words make no sense for this command, so that its keys cannot be told.
#[expect(clippy::result_unit_err, reason = "there is nothing more to say than that they cannot be told")]
pub fn keys(found: &Found, args: Args<'_>) -> Result<Vec<KeyUse>, ()> {
    keys_of(found.spec.keys, args)
}

static SLOT: LazyLock<Box<[Option<Found>]>> = LazyLock::new(|| {
    let mut slots = vec![None; SLOTS].into_boxed_slice();
    for found in commands() {
        let mut slot = slot_of(found.spec.name.as_bytes());
        while let Some(place) = slots.get_mut(slot) {
            if place.is_none() {
                *place = Some(found);
                break;
            }
            slot = (slot + 1) % SLOTS;
        }
    }
    slots
});

/// FNV-1a over the name in upper case.
fn slot_of(name: &[u8]) -> usize {
    let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_uppercase())).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from((hash ^ (hash >> 32)) % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_and_makes_sense() {
        let mut names = std::collections::BTreeSet::new();
        for found in commands() {
            let name = found.spec.name;
            assert!(names.insert(name), "{name} comes twice");
            assert!(name.len() <= NAME_BYTES_MAX, "{name}");
            let lower = name.to_ascii_lowercase();
            assert_eq!(lookup(lower.as_bytes()).map(|found| found.spec.name), Some(name));
            for found in found.subcommands().chain([found]) {
                let (name, spec) = (found.full_name(), found.spec);
                assert_eq!(spec.name, spec.name.to_ascii_uppercase());
                assert!(spec.arity != 0, "{name}");
                assert!(
                    !spec.summary.is_empty() && !spec.since.is_empty() && !spec.complexity.is_empty(),
                    "{name}"
                );
                assert!(!spec.summary.ends_with('.'), "{name}");
            }
        }
        assert!(names.len() * 3 < SLOTS, "the table of {SLOTS} slots gets full");
        assert!(lookup(&[b'x'; 100]).is_none() && lookup(b"").is_none());
    }
}
