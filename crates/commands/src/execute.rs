//! From words to a reply: row, arity, handler.

use larder::Engine;

use crate::args::Args;
use crate::blocked::Blocked;
use crate::error::CommandError;
use crate::reply::ReplySink;
use crate::session::Session;
use crate::spec::Context;
use crate::table::{self, Found};
use crate::transaction::check_allowed;

/// How much of an unknown command's name, and of its arguments, the error quotes.
const QUOTED_BYTES: usize = 128;

/// How a command ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The reply is complete.
    Done,
    /// There is nothing to reply yet: the command waits.
    Blocked(Blocked),
}

impl Outcome {
    /// Returns whether the reply is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Blocks the thread until the reply is complete, at the latest when the command's time is over.
    pub fn wait(self, sink: &mut dyn ReplySink) {
        if let Self::Blocked(blocked) = self {
            blocked.wait(sink);
        }
    }

    /// Completes the reply at once: a command that waits is told that its time is over.
    pub fn time_out(self, sink: &mut dyn ReplySink) {
        if let Self::Blocked(blocked) = self {
            blocked.time_out(sink);
        }
    }
}

/// Executes one command: `args` are its words, the first of them its name; the reply goes into `sink`.
///
/// An empty line has no reply, as in Redis; `SUBSCRIBE` and its like have one for each channel. After `MULTI` commands are queued. Messages that were published to
/// the session before come before the reply ([`Session::poll_pushes`]). `engine` may be a handle to any of its databases: the session says which one
/// the command sees.
///
/// # Examples
/// ```
/// use larder_commands::{RespSink, Session, execute};
/// let engine = larder::Engine::new();
/// let mut out = Vec::new();
/// execute(&engine, &mut Session::new(), &[b"incr", b"n"], &mut RespSink::new(&mut out));
/// assert_eq!(out, b":1\r\n");
/// ```
pub fn execute(engine: &Engine, session: &mut Session, args: &[&[u8]], sink: &mut dyn ReplySink) -> Outcome {
    if !args.is_empty() {
        sink.set_protocol(session.protocol);
        // What was published before the command is read comes before its reply.
        session.poll_pushes(sink);
        match run(engine, session, Args::new(args), sink) {
            Ok(outcome) => return outcome,
            Err(error) => sink.error_bytes(error.as_bytes()),
        }
    }
    Outcome::Done
}

fn run(
    engine: &Engine,
    session: &mut Session,
    args: Args<'_>,
    sink: &mut dyn ReplySink,
) -> Result<Outcome, CommandError> {
    let found = match admitted(session, args) {
        Ok(found) => found,
        Err(error) => return Err(session.transaction.refuse(args, error)),
    };
    session.last_command = Some((found.parent, found.spec));
    if session.transaction.enqueue(&found, args) {
        sink.simple("QUEUED");
        return Ok(Outcome::Done);
    }
    let blocked = call(engine, session, &found, args, sink, Place::Alone)?;
    Ok(blocked.map_or(Outcome::Done, Outcome::Blocked))
}

/// Finds the row of a line that may be executed, or queued.
fn admitted(session: &Session, args: Args<'_>) -> Result<Found, CommandError> {
    let found = table::resolve(args).ok_or_else(|| unknown(args))?;
    if !found.spec.accepts(args.len()) {
        return Err(CommandError::wrong_arity(&found.full_name()));
    }
    check_allowed(session, &found)?;
    session.check_subscribed(&found)?;
    Ok(found)
}

/// Where a command is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// By itself.
    Alone,
    /// As a part of EXEC, where nothing waits.
    Exec,
}

/// Runs the handler of a row on the session's database.
pub(crate) fn call(
    engine: &Engine,
    session: &mut Session,
    found: &Found,
    args: Args<'_>,
    sink: &mut dyn ReplySink,
    place: Place,
) -> Result<Option<Blocked>, CommandError> {
    let selected;
    let engine = if session.database == engine.database() {
        engine
    } else {
        selected = engine.select(session.database)?;
        &selected
    };
    let mut context = Context { engine, session, args, reply: sink, place, blocked: None };
    (found.spec.run)(&mut context)?;
    Ok(context.blocked)
}

fn unknown(args: Args<'_>) -> CommandError {
    let name = args.get(0).unwrap_or_default();
    if let Some(container) = table::lookup(name).filter(|found| !found.spec.subcommands.is_empty()) {
        let mut text = b"ERR unknown subcommand '".to_vec();
        text.extend_from_slice(quoted(args.get(1).unwrap_or_default(), QUOTED_BYTES));
        text.extend_from_slice(b"'. Try ");
        text.extend_from_slice(container.spec.name.as_bytes());
        text.extend_from_slice(b" HELP.");
        return CommandError::from_bytes(text);
    }
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(quoted(name, QUOTED_BYTES));
    text.extend_from_slice(b"', with args beginning with: ");
    let mut shown = 0;
    for arg in args.from(1) {
        if shown >= QUOTED_BYTES {
            break;
        }
        let arg = quoted(arg, QUOTED_BYTES - shown);
        shown += arg.len() + 3;
        text.push(b'\'');
        text.extend_from_slice(arg);
        text.extend_from_slice(b"' ");
    }
    CommandError::from_bytes(text)
}

/// The beginning of a word, up to a NUL: Redis prints words as C strings.
pub(crate) fn quoted(word: &[u8], bytes_max: usize) -> &[u8] {
    let end = word.iter().take(bytes_max).position(|&byte| byte == 0).unwrap_or(word.len().min(bytes_max));
    word.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::{Reply, Tree};

    fn error(words: &[&str]) -> String {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let mut tree = Tree::new();
        execute(&Engine::new(), &mut Session::new(), &words, &mut tree);
        match tree.take_one() {
            Some(Reply::Error(text)) => String::from_utf8(text).expect("text"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn refusals_are_worded_as_redis_words_them() {
        assert_eq!(
            error(&["foo", "a", "b"]),
            "ERR unknown command 'foo', with args beginning with: 'a' 'b' "
        );
        assert_eq!(error(&["fo\r\no"]), "ERR unknown command 'fo  o', with args beginning with: ");
        assert_eq!(error(&["get"]), "ERR wrong number of arguments for 'get' command");
        assert_eq!(error(&["Object"]), "ERR wrong number of arguments for 'object' command");
        assert_eq!(error(&["object", "x\0y"]), "ERR unknown subcommand 'x'. Try OBJECT HELP.");
        assert_eq!(
            error(&["object", "Encoding"]),
            "ERR wrong number of arguments for 'object|encoding' command"
        );
        let long = "x".repeat(200);
        let quoted = "x".repeat(128);
        assert_eq!(
            error(&[&long, &long, "y"]),
            format!("ERR unknown command '{quoted}', with args beginning with: '{quoted}' ")
        );
        let (short, rest) = ("x".repeat(100), "x".repeat(25));
        assert_eq!(
            error(&["f", &short, &short, "y"]),
            format!("ERR unknown command 'f', with args beginning with: '{short}' '{rest}' ")
        );
    }

    #[test]
    fn an_empty_line_has_no_reply() {
        let mut tree = Tree::new();
        assert!(execute(&Engine::new(), &mut Session::new(), &[], &mut tree).is_done());
        assert!(tree.take().is_empty());
    }
}
