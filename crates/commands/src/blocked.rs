//! A command that waits: what `BLPOP` and its like leave behind when there is nothing yet.
//!
//! ```text
//! execute -> Outcome::Blocked(blocked) --wait(sink)--------------------> reply, or a null when the time is over
//!                                      --poll_ready(context)--> poll_reply(sink)     a driver's task
//!                                      --time_out(sink) | unblock_with_error(sink)   a driver's timer, CLIENT UNBLOCK
//!                                      --dropped------------> out of the queues, what had come goes back
//! ```
//! Invariants: I1: one reply is written, whole, however it ends; none if it is dropped. I2: the reply is in the protocol that
//! the session had when the command was given.

use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use larder::{OpError, Waiter};

use crate::error::CommandError;
use crate::reply::{Protocol, ReplySink};

/// Writes the reply to what a waiter got.
pub(crate) type Write<R> = Box<dyn FnOnce(R, &mut dyn ReplySink) + Send>;

/// A waiter whose result has lost its type.
trait Wait: Send {
    fn sleep(&mut self, timeout: Option<Duration>) -> bool;
    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<()>;
    fn reply(&mut self, sink: &mut dyn ReplySink) -> bool;
    fn retire(&mut self);
}

struct Waiting<R> {
    waiter: Option<Waiter<R>>,
    result: Option<Result<R, OpError>>,
    write: Option<Write<R>>,
}

impl<R: Send> Wait for Waiting<R> {
    fn sleep(&mut self, timeout: Option<Duration>) -> bool {
        self.result.is_some() || self.waiter.as_mut().is_none_or(|waiter| waiter.sleep(timeout))
    }

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<()> {
        let Some(waiter) = self.waiter.as_mut().filter(|_| self.result.is_none()) else {
            return Poll::Ready(());
        };
        Pin::new(waiter).poll(context).map(|result| self.result = Some(result))
    }

    fn reply(&mut self, sink: &mut dyn ReplySink) -> bool {
        let result = self.result.take().or_else(|| self.waiter.as_mut()?.poll_result());
        match result {
            None => return false,
            Some(Err(error)) => sink.error_bytes(while_blocked(error).as_bytes()),
            Some(Ok(result)) => {
                if let Some(write) = self.write.take() {
                    write(result, sink);
                }
            }
        }
        true
    }

    fn retire(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            let late = waiter.cancel();
            self.result = self.result.take().or_else(|| late.transpose());
        }
    }
}

/// Words an error that reaches a caller who waits already.
fn while_blocked(error: OpError) -> CommandError {
    match error {
        OpError::NoSuchGroup { .. } => {
            CommandError::new("NOGROUP the consumer group this client was blocked on no longer exists")
        }
        other => other.into(),
    }
}

/// A command that waits, and has replied nothing so far.
///
/// # Examples
/// ```
/// use larder_commands::{Outcome, RespSink, Session, execute};
/// let engine = larder::Engine::new();
/// let (mut ann, mut bob) = (Session::new(), Session::with_id(2));
/// let (mut to_ann, mut to_bob) = (Vec::new(), Vec::new());
/// let outcome = execute(&engine, &mut ann, &[b"BLPOP", b"jobs", b"0"], &mut RespSink::new(&mut to_ann));
/// let Outcome::Blocked(mut blocked) = outcome else { panic!("there are no jobs") };
/// assert!(!blocked.poll_reply(&mut RespSink::new(&mut to_ann)));
/// execute(&engine, &mut bob, &[b"RPUSH", b"jobs", b"wash"], &mut RespSink::new(&mut to_bob));
/// assert!(blocked.poll_reply(&mut RespSink::new(&mut to_ann)));
/// assert_eq!(to_ann, b"*2\r\n$4\r\njobs\r\n$4\r\nwash\r\n");
/// ```
#[must_use = "dropping it takes the command back, without a reply"]
pub struct Blocked {
    waiting: Box<dyn Wait>,
    timeout: Option<Duration>,
    protocol: Protocol,
}

impl fmt::Debug for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocked").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Blocked {
    pub(crate) fn new<R: Send + 'static>(
        waiter: Waiter<R>,
        timeout: Option<Duration>,
        protocol: Protocol,
        write: Write<R>,
    ) -> Self {
        let waiting = Waiting { waiter: Some(waiter), result: None, write: Some(write) };
        Self { waiting: Box::new(waiting), timeout, protocol }
    }

    /// Returns how long the command waits, `None` for ever.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Writes the reply, if it is there; tells whether it was.
    pub fn poll_reply(&mut self, sink: &mut dyn ReplySink) -> bool {
        sink.set_protocol(self.protocol);
        self.waiting.reply(sink)
    }

    /// For tasks: ready when [`poll_reply`](Self::poll_reply) has something to write. It knows no time: the driver's timer
    /// calls [`time_out`](Self::time_out).
    pub fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<()> {
        self.waiting.poll_ready(context)
    }

    /// Blocks the thread until the reply is there, but no longer than so; tells whether it is.
    pub fn sleep(&mut self, at_most: Option<Duration>) -> bool {
        self.waiting.sleep(at_most)
    }

    /// Blocks the thread until the reply is there or the command's time is over, and writes what it came to.
    pub fn wait(mut self, sink: &mut dyn ReplySink) {
        self.waiting.sleep(self.timeout);
        self.time_out(sink);
    }

    /// Ends the waiting, as if the command's time were over: writes a null, or the reply that had come.
    pub fn time_out(mut self, sink: &mut dyn ReplySink) {
        self.waiting.retire();
        if !self.poll_reply(sink) {
            sink.null_array();
        }
    }

    /// Ends the waiting with an error (`CLIENT UNBLOCK id ERROR`), or with the reply that had come.
    pub fn unblock_with_error(mut self, sink: &mut dyn ReplySink) {
        self.waiting.retire();
        if !self.poll_reply(sink) {
            sink.error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
        }
    }
}
