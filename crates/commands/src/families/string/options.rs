//! The options of SET, GETEX and MSETEX: one parser.
//!
//! An expiry is read in two steps, because Redis answers some other questions between finding its word and reading its
//! number.

use std::time::Duration;

use larder::{SetOptions, UnixMillis};

use crate::args::{Args, parse_integer};
use crate::error::CommandError;
use crate::spec::Context;

/// An expiry as it was given: `EX 10`, `PXAT 1700000000000`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expiry<'a> {
    word: &'static str,
    number: &'a [u8],
    seconds: bool,
    absolute: bool,
}

const EXPIRY_WORDS: [(&str, bool, bool); 4] =
    [("EX", true, false), ("PX", false, false), ("EXAT", true, true), ("PXAT", false, true)];

impl<'a> Expiry<'a> {
    /// A span, as SETEX and PSETEX take it.
    pub(super) fn span(number: &'a [u8], seconds: bool) -> Self {
        Self { word: "", number, seconds, absolute: false }
    }

    /// Reads the number; it must be positive and lead to a point that can be represented.
    pub(super) fn apply(
        self,
        ctx: &Context<'_>,
        name: &str,
        options: SetOptions,
    ) -> Result<SetOptions, CommandError> {
        let number = parse_integer(self.number).ok_or_else(CommandError::not_an_integer)?;
        let unit = if self.seconds { 1_000 } else { 1 };
        let milliseconds = number.checked_mul(unit).and_then(|number| u64::try_from(number).ok());
        let milliseconds = milliseconds
            .filter(|&number| number > 0)
            .filter(|number| {
                let end = if self.absolute { Some(*number) } else { number.checked_add(ctx.engine.now().0) };
                end.is_some_and(|end| end <= UnixMillis::MAX.0)
            })
            .ok_or_else(|| CommandError::invalid_expire(name))?;
        Ok(if self.absolute {
            options.expire_at(UnixMillis(milliseconds))
        } else {
            options.ttl(Duration::from_millis(milliseconds))
        })
    }
}

/// Which options a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Set,
    GetEx,
    MSetEx,
}

/// A condition by its word, and the value that it compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition<'a> {
    Absent,
    Present,
    Equal(&'a [u8]),
    NotEqual(&'a [u8]),
}

/// The options of SET and its kin.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    condition: Option<Condition<'a>>,
    pub(super) get: bool,
    keep_ttl: bool,
    persist: bool,
    expiry: Option<Expiry<'a>>,
}

impl<'a> Options<'a> {
    pub(super) fn parse(args: Args<'a>, from: usize, form: Form) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut at = from;
        while at < args.len() {
            at += options.option(args, at, form).ok_or_else(CommandError::syntax)?;
        }
        Ok(options)
    }

    /// Reads one option; gives how many words it takes.
    fn option(&mut self, args: Args<'a>, at: usize, form: Form) -> Option<usize> {
        let next = args.get(at + 1);
        if form != Form::GetEx && args.is(at, "NX") {
            return self.condition(Condition::Absent, 1);
        }
        if form != Form::GetEx && args.is(at, "XX") {
            return self.condition(Condition::Present, 1);
        }
        if form == Form::Set && args.is(at, "IFEQ") {
            return self.condition(Condition::Equal(next?), 2);
        }
        if form == Form::Set && args.is(at, "IFNE") {
            return self.condition(Condition::NotEqual(next?), 2);
        }
        if form == Form::Set && args.is(at, "GET") {
            self.get = true;
            return Some(1);
        }
        if form != Form::GetEx && args.is(at, "KEEPTTL") && self.expiry.is_none() {
            self.keep_ttl = true;
            return Some(1);
        }
        if form == Form::GetEx && args.is(at, "PERSIST") && self.expiry.is_none() {
            self.persist = true;
            return Some(1);
        }
        let (word, seconds, absolute) = EXPIRY_WORDS.into_iter().find(|(word, ..)| args.is(at, word))?;
        let same = self.expiry.is_none_or(|earlier| earlier.word == word);
        if self.keep_ttl || self.persist || !same {
            return None;
        }
        self.expiry = Some(Expiry { word, number: next?, seconds, absolute });
        Some(2)
    }

    /// NX and XX may come again, any other second condition may not.
    fn condition(&mut self, condition: Condition<'a>, words: usize) -> Option<usize> {
        let again = words == 1 && self.condition == Some(condition);
        if self.condition.is_some() && !again {
            return None;
        }
        self.condition = Some(condition);
        Some(words)
    }

    /// What the engine is asked for; an expiry is checked against the clock here.
    pub(super) fn build(&self, ctx: &Context<'_>, name: &str) -> Result<SetOptions, CommandError> {
        let mut options = SetOptions::new();
        options = match self.condition {
            None => options,
            Some(Condition::Absent) => options.if_absent(),
            Some(Condition::Present) => options.if_present(),
            Some(Condition::Equal(value)) => options.if_equal(value),
            Some(Condition::NotEqual(value)) => options.if_not_equal(value),
        };
        if self.get {
            options = options.return_old();
        }
        if self.keep_ttl {
            options = options.keep_ttl();
        }
        if self.persist {
            options = options.no_expiry();
        }
        match self.expiry {
            Some(expiry) => expiry.apply(ctx, name, options),
            None => Ok(options),
        }
    }
}
