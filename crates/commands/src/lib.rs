//! Redis's command language over a [`larder::Engine`], without any I/O.
//!
//! [`execute`] takes the words of one command and writes one reply into a [`ReplySink`]. There is one table of commands
//! ([`table`]): `COMMAND`, the arity check, the key positions and the help all read the same row.
//!
//! ```
//! use larder_commands::{Reply, Session, Tree, execute};
//!
//! let engine = larder::Engine::new();
//! let mut session = Session::new();
//! let mut reply = Tree::new();
//! execute(&engine, &mut session, &[b"SET", b"greeting", b"hello"], &mut reply);
//! execute(&engine, &mut session, &[b"STRLEN", b"greeting"], &mut reply);
//! assert_eq!(reply.take(), [Reply::Simple("OK".into()), Reply::Integer(5)]);
//! ```
//!
//! # Map of the code
//! ```text
//! spec.rs    the row of a command        keyspec.rs  where its keys are        table.rs  all rows, look-up
//! syntax.rs  the syntax of a row as a tree
//! args.rs    reading arguments           error.rs    what a handler refuses    reply.rs  sinks: bytes, trees; error texts
//! line.rs    lines that people type            print.rs    replies as redis-cli shows them
//! blocked.rs commands that wait
//! transaction.rs what MULTI queues, what EXEC runs
//! session.rs what a connection remembers execute.rs  words -> row -> handler
//! pushes.rs  messages on their way to a session
//! families/  rows and handlers, one file a family
//! generate/  random command lines, for tests (features `arbitrary` and `proptest`)
//! ```

#![deny(clippy::indexing_slicing)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod args;
mod blocked;
mod error;
mod execute;
mod families;
#[cfg(any(feature = "arbitrary", feature = "proptest"))]
pub mod generate;
mod keyspec;
pub mod line;
pub mod print;
mod pushes;
mod reply;
mod session;
mod spec;
pub mod syntax;
pub mod table;
mod tips;
mod transaction;

pub use args::{Args, parse_float, parse_integer};
pub use blocked::Blocked;
pub use error::CommandError;
pub use execute::{Outcome, execute};
pub use keyspec::{BeginSearch, FindKeys, KeyFinder, KeyFlags, KeySpec, KeyUse};
pub use pushes::PushesReady;
pub use reply::{Item, Protocol, Reply, ReplySink, RespSink, Tree, format_double};
pub use session::Session;
pub use spec::{Categories, CommandSpec, Context, Flags, Handler};
