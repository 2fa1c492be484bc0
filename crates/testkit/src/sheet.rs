//! The typed value of the operations: one that owns heap memory, and can say how much.

use larder::AllocatorModel;
use serde::{Deserialize, Serialize};

/// A value with a string and a list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sheet {
    /// A name, some characters long.
    pub name: String,
    /// Numbers that follow from its size.
    pub cells: Vec<u32>,
}

impl Sheet {
    /// Makes the sheet of a size: as many cells, and a name.
    #[must_use]
    pub fn new(cells: u16) -> Self {
        let count = u32::from(cells);
        Self { name: format!("sheet {cells}"), cells: (0..count).map(|cell| cell * count).collect() }
    }

    /// Returns what it owns beyond itself, by an allocator's model.
    #[must_use]
    pub fn heap_bytes(&self, model: AllocatorModel) -> u64 {
        model.charge(self.name.capacity()) + model.charge(self.cells.capacity() * size_of::<u32>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_bytes_are_those_of_both_parts() {
        let mut sheet = Sheet::new(3);
        sheet.name.shrink_to_fit();
        assert_eq!(sheet.cells, [0, 3, 6]);
        assert_eq!(sheet.heap_bytes(AllocatorModel::Requested), 7 + 12);
        assert_eq!(sheet.heap_bytes(AllocatorModel::Glibc), 32 + 32);
    }
}
