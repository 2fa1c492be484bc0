//! The row of a command: all that is known of it besides its code.
//!
//! Rows are constants, so that sets of flags are built by chained `const` methods: `Flags::WRITE.denyoom().fast()`.

use std::time::Duration;

use larder::{Engine, Waiter};

use crate::args::Args;
use crate::blocked::Blocked;
use crate::error::CommandError;
use crate::execute::Place;
use crate::keyspec::KeySpec;
use crate::reply::ReplySink;
use crate::session::Session;

/// Makes a small set of named bits, with `const` methods that add to it.
macro_rules! bits {
    ($(#[$doc:meta])* $set:ident { $($constant:ident $method:ident $bit:literal $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $set(u32);

        impl $set {
            /// The empty set.
            pub const NONE: Self = Self(0);
            $(
                #[doc = concat!("`", $name, "`.")]
                pub const $constant: Self = Self(1 << $bit);
            )*

            /// Every member with its name, in the order in which Redis tells them.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$constant, $name),)*];

            $(
                #[doc = concat!("This set with `", $name, "`.")]
                #[must_use]
                pub const fn $method(self) -> Self {
                    self.with(Self::$constant)
                }
            )*

            /// Both sets together.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Whether every member of `other` is in this set.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether there is no member.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// The names of the members, in Redis's order.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                Self::ALL.iter().filter(move |(member, _)| self.contains(*member)).map(|(_, name)| *name)
            }
        }
    };
}
pub(crate) use bits;

bits! {
    /// What a command does and where it is allowed, by Redis's names.
    Flags {
        WRITE write 0 "write",
        READONLY readonly 1 "readonly",
        DENYOOM denyoom 2 "denyoom",
        ADMIN admin 3 "admin",
        PUBSUB pubsub 4 "pubsub",
        NOSCRIPT noscript 5 "noscript",
        BLOCKING blocking 6 "blocking",
        LOADING loading 7 "loading",
        STALE stale 8 "stale",
        SKIP_MONITOR skip_monitor 9 "skip_monitor",
        SKIP_SLOWLOG skip_slowlog 10 "skip_slowlog",
        ASKING asking 11 "asking",
        FAST fast 12 "fast",
        NO_AUTH no_auth 13 "no_auth",
        MAY_REPLICATE may_replicate 14 "may_replicate",
        NO_MANDATORY_KEYS no_mandatory_keys 15 "no_mandatory_keys",
        NO_ASYNC_LOADING no_async_loading 16 "no_async_loading",
        NO_MULTI no_multi 17 "no_multi",
        MOVABLE_KEYS movable_keys 18 "movablekeys",
        ALLOW_BUSY allow_busy 19 "allow_busy",
    }
}

bits! {
    /// ACL categories. A row names those that its flags do not imply: the data type, `keyspace`, `dangerous` ..;
    /// [`CommandSpec::acl_categories`] adds the others.
    Categories {
        KEYSPACE keyspace 0 "keyspace",
        READ read 1 "read",
        WRITE write 2 "write",
        SET set 3 "set",
        SORTED_SET sorted_set 4 "sortedset",
        LIST list 5 "list",
        HASH hash 6 "hash",
        STRING string 7 "string",
        BITMAP bitmap 8 "bitmap",
        HYPERLOGLOG hyperloglog 9 "hyperloglog",
        GEO geo 10 "geo",
        STREAM stream 11 "stream",
        PUBSUB pubsub 12 "pubsub",
        ADMIN admin 13 "admin",
        FAST fast 14 "fast",
        SLOW slow 15 "slow",
        BLOCKING blocking 16 "blocking",
        DANGEROUS dangerous 17 "dangerous",
        CONNECTION connection 18 "connection",
        TRANSACTION transaction 19 "transaction",
        SCRIPTING scripting 20 "scripting",
    }
}

/// The code of a command: parses all of its arguments, makes one engine call, replies.
///
/// An error is returned only before anything was written to the reply.
pub type Handler = fn(&mut Context<'_>) -> Result<(), CommandError>;

/// A command, or a subcommand, as the table has it.
#[derive(Debug, Clone, Copy)]
pub struct CommandSpec {
    /// In upper case; a subcommand's without its container's.
    pub name: &'static str,
    /// How many words the command has, its name (and its container's) included; negative: at least so many.
    pub arity: i32,
    /// What it does and where it is allowed.
    pub flags: Flags,
    /// The ACL categories that the flags do not imply.
    pub categories: Categories,
    /// Which of its words are keys.
    pub keys: &'static [KeySpec],
    /// The Redis version that brought it.
    pub since: &'static str,
    /// In words: `O(log(N)) where N is ..`.
    pub complexity: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// What follows the name, as Redis's documentation writes it: `key [NX | XX] score member [score member ...]`.
    pub syntax: &'static str,
    /// For containers: what the second word may be.
    pub subcommands: &'static [CommandSpec],
    /// Its code.
    pub run: Handler,
}

impl CommandSpec {
    /// Returns whether a line of `words` words is long enough, and not too long.
    #[must_use]
    pub fn accepts(&self, words: usize) -> bool {
        let wanted = usize::try_from(self.arity.unsigned_abs()).unwrap_or(usize::MAX);
        if self.arity < 0 { words >= wanted } else { words == wanted }
    }

    /// Returns the flags, with `movablekeys` where the key specs call for it.
    #[must_use]
    pub fn all_flags(&self) -> Flags {
        if crate::keyspec::movable(self.keys) { self.flags.movable_keys() } else { self.flags }
    }

    /// Returns the ACL categories, those that the flags imply included.
    #[must_use]
    pub fn acl_categories(&self) -> Categories {
        let mut all = self.categories;
        if self.flags.contains(Flags::WRITE) {
            all = all.write();
        }
        if self.flags.contains(Flags::READONLY) && !all.contains(Categories::SCRIPTING) {
            all = all.read();
        }
        if self.flags.contains(Flags::ADMIN) {
            all = all.admin().dangerous();
        }
        if self.flags.contains(Flags::PUBSUB) {
            all = all.pubsub();
        }
        if self.flags.contains(Flags::BLOCKING) {
            all = all.blocking();
        }
        if self.flags.contains(Flags::FAST) { all.fast() } else { all.slow() }
    }
}

/// The code of a container, which is never reached: a line of one word is too short for it, and a longer one is a
/// subcommand's or nobody's.
pub(crate) fn container(_: &mut Context<'_>) -> Result<(), CommandError> {
    Err(CommandError::syntax())
}

/// What a handler works with.
pub struct Context<'a> {
    /// The selected database.
    pub engine: &'a Engine,
    /// What the connection remembers.
    pub session: &'a mut Session,
    /// The words; the first is the name.
    pub args: Args<'a>,
    /// Where the reply goes.
    pub reply: &'a mut dyn ReplySink,
    /// Whether it is a part of EXEC.
    pub(crate) place: Place,
    /// What is left of a command that waits.
    pub(crate) blocked: Option<Blocked>,
}

impl Context<'_> {
    /// Returns whether the reply is in RESP3, for commands whose replies differ in more than their form.
    #[must_use]
    pub fn resp3(&self) -> bool {
        self.session.resp3()
    }

    /// Replies what a waiter has got, or leaves it to the driver to wait for that. In EXEC nothing waits, and the reply is a null.
    pub(crate) fn block<R: Send + 'static>(
        &mut self,
        waiter: Waiter<R>,
        timeout: Option<Duration>,
        write: impl FnOnce(R, &mut dyn ReplySink) + Send + 'static,
    ) -> Result<(), CommandError> {
        self.block_or(waiter, timeout, |reply| reply.null_array(), write)
    }

    /// The same, with a null of its own for EXEC.
    pub(crate) fn block_or<R: Send + 'static>(
        &mut self,
        mut waiter: Waiter<R>,
        timeout: Option<Duration>,
        nothing: fn(&mut dyn ReplySink),
        write: impl FnOnce(R, &mut dyn ReplySink) + Send + 'static,
    ) -> Result<(), CommandError> {
        match waiter.poll_result() {
            Some(result) => write(result?, self.reply),
            None if self.place == Place::Exec => nothing(self.reply),
            None => {
                let blocked = Blocked::new(waiter, timeout, self.session.protocol, Box::new(write));
                self.blocked = Some(blocked);
            }
        }
        Ok(())
    }

    /// Writes the messages that wait for the session, so that they come before what is replied next. In EXEC that would be in the
    /// midst of its reply: there they come after it.
    pub(crate) fn poll_pushes(&mut self) {
        if self.place == Place::Alone {
            self.session.poll_pushes(self.reply);
        }
    }

    /// Replies `OK`.
    pub fn ok(&mut self) {
        self.reply.simple("OK");
    }
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("session", &self.session)
            .field("args", &self.args)
            .finish_non_exhaustive()
    }
}
