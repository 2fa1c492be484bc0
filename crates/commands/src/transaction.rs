//! MULTI: the commands that a session has queued, the keys that it watches, and how EXEC runs them as one.
//!
//! ```text
//! MULTI -> open --a command--> queued, +QUEUED           EXEC: reach of every line -> engine.batch(watches, keys, ..)
//!            |  `-a refused one--> refused: EXEC aborts          known words of known keys   their shards
//!            `--DISCARD, RESET, the end of the session           anything else               all shards
//! ```
//! Invariants: T1: what EXEC replies has one item for each queued command, and nobody sees a part of what they did. T2: a
//! command runs with no more shards than its row's key specs and flags call for, and never with fewer than it touches. T3: EXEC
//! in any of its outcomes, DISCARD and RESET end the queue and the watches.
//!
//! Costs: a copy of the words a queued command. Messages that EXEC publishes go out after its reply, as in Valkey;
//! 7.0 puts those to the session itself in the midst of the reply. So who subscribes behind a PUBLISH of the same EXEC gets its
//! message too, and who unsubscribes behind it does not.
//!
//! Not done: refusing to queue when memory is short. A write for which there is no room is refused when it runs, and the
//! others are not.

use std::collections::BTreeSet;

use larder::{OpError, Watch};

use crate::args::Args;
use crate::error::CommandError;
use crate::execute::{Place, call};
use crate::keyspec::{BeginSearch, keys_of};
use crate::session::Session;
use crate::spec::{Categories, CommandSpec, Context, Flags};
use crate::table::Found;

/// What an open transaction does not queue.
const NEVER_QUEUED: [&str; 6] = ["EXEC", "DISCARD", "MULTI", "WATCH", "QUIT", "RESET"];

/// What a session has queued and watches.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    queue: Option<Queue>,
    watches: Vec<Watch>,
    /// The keys under watch, with their databases: one that is watched again costs nothing.
    watched: BTreeSet<(u16, Box<[u8]>)>,
}

#[derive(Debug, Default)]
struct Queue {
    commands: Vec<Queued>,
    /// Whether a command was refused, so that EXEC will be.
    refused: bool,
}

#[derive(Debug)]
struct Queued {
    found: Found,
    words: Box<[Box<[u8]>]>,
}

impl Transaction {
    /// Returns whether MULTI was said, and how many commands are queued.
    pub(crate) fn queued(&self) -> Option<usize> {
        self.queue.as_ref().map(|queue| queue.commands.len())
    }

    /// Takes a command into the queue, if it belongs there.
    pub(crate) fn enqueue(&mut self, found: &Found, args: Args<'_>) -> bool {
        let Some(queue) = &mut self.queue else { return false };
        if found.parent.is_none() && NEVER_QUEUED.contains(&found.spec.name) {
            return false;
        }
        // What will be aborted need not be kept.
        if !queue.refused {
            let words = args.from(0).iter().map(|&word| word.into()).collect();
            queue.commands.push(Queued { found: *found, words });
        }
        true
    }

    /// Notes that a command was refused before it could run, and words the error: a refused EXEC ends the transaction.
    pub(crate) fn refuse(&mut self, args: Args<'_>, error: CommandError) -> CommandError {
        if let Some(queue) = &mut self.queue {
            queue.refused = true;
        }
        if !args.is(0, "EXEC") {
            return error;
        }
        self.end();
        let text = error.as_bytes();
        let why = text.strip_prefix(b"ERR ").unwrap_or(text);
        CommandError::from_bytes([b"EXECABORT Transaction discarded because of: ", why].concat())
    }

    /// Forgets everything.
    fn end(&mut self) {
        *self = Self::default();
    }
}

impl Session {
    /// Returns whether `MULTI` was said: commands are queued until `EXEC` or `DISCARD`.
    #[must_use]
    pub fn is_queueing(&self) -> bool {
        self.transaction.queued().is_some()
    }
}

pub(crate) fn multi(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    if ctx.session.is_queueing() {
        return Err(CommandError::new("ERR MULTI calls can not be nested"));
    }
    ctx.session.transaction.queue = Some(Queue::default());
    ctx.ok();
    Ok(())
}

pub(crate) fn discard(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    if !ctx.session.is_queueing() {
        return Err(CommandError::new("ERR DISCARD without MULTI"));
    }
    ctx.session.transaction.end();
    ctx.ok();
    Ok(())
}

pub(crate) fn watch(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    if ctx.session.is_queueing() {
        return Err(CommandError::new("ERR WATCH inside MULTI is not allowed"));
    }
    let transaction = &mut ctx.session.transaction;
    let database = ctx.engine.database();
    let mut fresh: Vec<&[u8]> = ctx.args.from(1).to_vec();
    fresh.retain(|&key| !transaction.watched.contains(&(database, key.into())));
    fresh.sort_unstable();
    fresh.dedup();
    if !fresh.is_empty() {
        transaction.watches.push(ctx.engine.watch(&fresh)?);
        transaction.watched.extend(fresh.into_iter().map(|key| (database, key.into())));
    }
    ctx.ok();
    Ok(())
}

pub(crate) fn unwatch(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    ctx.session.transaction.watches.clear();
    ctx.session.transaction.watched.clear();
    ctx.ok();
    Ok(())
}

pub(crate) fn exec(ctx: &mut Context<'_>) -> Result<(), CommandError> {
    let Transaction { queue, watches, .. } = match ctx.session.is_queueing() {
        true => std::mem::take(&mut ctx.session.transaction),
        false => return Err(CommandError::new("ERR EXEC without MULTI")),
    };
    let Queue { commands, refused } = queue.unwrap_or_default();
    if refused {
        return Err(CommandError::new("EXECABORT Transaction discarded because of previous errors."));
    }
    let lines: Vec<Line<'_>> = commands.iter().map(Line::new).collect();
    let keys = reach(&lines);
    let (session, reply) = (&mut *ctx.session, &mut *ctx.reply);
    let ran = ctx.engine.batch(&watches, keys.as_deref(), |tx| {
        reply.array(lines.len());
        for line in &lines {
            let outcome = call(tx, session, &line.found, Args::new(&line.words), reply, Place::Exec);
            if let Err(error) = outcome {
                reply.error_bytes(error.as_bytes());
            }
        }
        Ok::<_, OpError>(())
    })?;
    if ran.is_none() {
        reply.null_array();
    }
    Ok(())
}

/// A queued command, its words as handlers read them.
struct Line<'q> {
    found: Found,
    words: Vec<&'q [u8]>,
}

impl<'q> Line<'q> {
    fn new(queued: &'q Queued) -> Self {
        Self { found: queued.found, words: queued.words.iter().map(|word| &**word).collect() }
    }
}

/// All keys that these lines may touch; `None` if they may touch any (T2).
fn reach<'q>(lines: &[Line<'q>]) -> Option<Vec<&'q [u8]>> {
    let mut keys = Vec::new();
    for line in lines {
        let spec = line.found.spec;
        if concerns_everything(spec) {
            return None;
        }
        // Words that make no sense are refused, but where that happens is up to the handler.
        let uses = keys_of(spec.keys, Args::new(&line.words)).ok()?;
        keys.extend(uses.iter().filter_map(|key| line.words.get(key.index).copied()));
    }
    Some(keys)
}

/// Whether a command works on data that no word of it names.
fn concerns_everything(spec: &CommandSpec) -> bool {
    const ON_DATA: [Flags; 3] = [Flags::WRITE, Flags::READONLY, Flags::ADMIN];
    if spec.keys.is_empty() {
        return ON_DATA.iter().any(|&flag| spec.flags.contains(flag))
            || spec.categories.contains(Categories::DANGEROUS);
    }
    // The keys that SORT's patterns make are read out of the data.
    spec.keys.iter().any(|spec| spec.begin == BeginSearch::Unknown && spec.finder.is_none())
}

/// Refuses what never is part of a transaction.
pub(crate) fn check_allowed(session: &Session, found: &Found) -> Result<(), CommandError> {
    if session.is_queueing() && found.spec.flags.contains(Flags::NO_MULTI) {
        return Err(CommandError::new("ERR Command not allowed inside a transaction"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
