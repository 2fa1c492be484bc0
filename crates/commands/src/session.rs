//! What a connection remembers between two commands. No socket; pushes.rs has what others send it, transaction.rs what it queues.

use crate::pushes::Pushes;
use crate::reply::Protocol;
use crate::spec::CommandSpec;
use crate::transaction::Transaction;

/// The state of one connection, or of one caller in-process. It belongs to one engine: that of its first command.
#[derive(Debug)]
pub struct Session {
    pub(crate) id: u64,
    pub(crate) database: u16,
    pub(crate) protocol: Protocol,
    pub(crate) name: Box<[u8]>,
    pub(crate) no_evict: bool,
    pub(crate) quitting: bool,
    pub(crate) last_command: Option<(Option<&'static CommandSpec>, &'static CommandSpec)>,
    pub(crate) pushes: Pushes,
    pub(crate) transaction: Transaction,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// Makes a session with the number 1, in database 0, speaking RESP2.
    #[must_use]
    pub fn new() -> Self {
        Self::with_id(1)
    }

    /// Makes a session with a number of its own, which `CLIENT ID` and `HELLO` tell.
    #[must_use]
    pub fn with_id(id: u64) -> Self {
        Self {
            id,
            database: 0,
            protocol: Protocol::Resp2,
            name: Box::default(),
            no_evict: false,
            quitting: false,
            last_command: None,
            pushes: Pushes::default(),
            transaction: Transaction::default(),
        }
    }

    /// Returns the selected database's number.
    #[must_use]
    pub fn database(&self) -> u16 {
        self.database
    }

    /// Returns the protocol that replies are written in.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Returns whether that is RESP3.
    #[must_use]
    pub fn resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// Returns the name that `CLIENT SETNAME` or `HELLO .. SETNAME` gave; empty if none did.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Returns the session's number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns whether the connection closes once what was written is sent: `QUIT` was said, or messages came faster than
    /// they were taken.
    #[must_use]
    pub fn is_quitting(&self) -> bool {
        self.quitting
    }

    /// Forgets everything but the number, as `RESET` does.
    pub(crate) fn reset(&mut self) {
        let pushes = self.pushes.renewed();
        *self = Self { pushes, ..Self::with_id(self.id) };
    }
}
