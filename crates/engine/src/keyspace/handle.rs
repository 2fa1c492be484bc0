//! How an engine's handle reaches the core: through a check of where it is used.

use std::sync::Arc;

use super::Core;
use crate::local;

/// The core, seen from one handle: from outside, or from inside a section. Every use is checked, so that no handle enters
/// from where it has no business.
#[derive(Debug, Clone)]
pub(crate) struct CoreHandle {
    core: Arc<Core>,
    section: u64,
}

impl CoreHandle {
    pub(crate) fn new(core: Core) -> Self {
        Self::of(Arc::new(core))
    }

    pub(crate) fn of(core: Arc<Core>) -> Self {
        Self { core, section: local::OUTSIDE }
    }

    /// The same core, for handles of this section.
    pub(crate) fn within(&self, section: u64) -> Self {
        Self { core: Arc::clone(&self.core), section }
    }

    /// The core itself, for a thread that serves it.
    pub(crate) fn share(&self) -> Arc<Core> {
        Arc::clone(&self.core)
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }

    /// Whether the handle may be used here and now.
    pub(crate) fn is_current(&self) -> bool {
        local::is_at(self.section)
    }

    /// Whether the handle belongs to a transaction.
    pub(crate) fn is_within(&self) -> bool {
        self.section != local::OUTSIDE
    }
}

impl std::ops::Deref for CoreHandle {
    type Target = Core;

    #[inline]
    fn deref(&self) -> &Core {
        local::check_entry(self.section);
        &self.core
    }
}
