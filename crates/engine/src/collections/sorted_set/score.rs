//! What an addition to a sorted set may do: the conditions of ZADD, once for every encoding. A score is never NaN.

use crate::error::OpError;

/// Under which conditions [`SortedSet::add_with`](crate::SortedSet::add_with) changes something.
///
/// # Examples
/// ```
/// use larder::{Engine, ZAddOptions};
/// let engine = Engine::new();
/// let best = engine.sorted_set::<String>("best");
/// best.add("ann", 90.0)?;
/// best.add_with("ann", 70.0, ZAddOptions::new().if_greater())?;
/// assert_eq!(best.score("ann")?, Some(90.0));
/// # Ok::<(), larder::OpError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct ZAddOptions {
    presence: Option<bool>,
    comparison: Option<Comparison>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Greater,
    Less,
}

impl ZAddOptions {
    /// Adds members and changes scores whatever was there.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only adds members that are not there (Redis: `NX`). It leaves no scores to compare, so it undoes
    /// [`if_greater`](Self::if_greater) and [`if_less`](Self::if_less).
    pub fn if_absent(mut self) -> Self {
        self.presence = Some(false);
        self.comparison = None;
        self
    }

    /// Only changes scores of members that are there (Redis: `XX`).
    pub fn if_present(mut self) -> Self {
        self.presence = Some(true);
        self
    }

    /// Only raises scores; members that are not there are added (Redis: `GT`).
    pub fn if_greater(mut self) -> Self {
        self.comparison = Some(Comparison::Greater);
        self.presence = self.presence.filter(|&present| present);
        self
    }

    /// Only lowers scores; members that are not there are added (Redis: `LT`).
    pub fn if_less(mut self) -> Self {
        self.comparison = Some(Comparison::Less);
        self.presence = self.presence.filter(|&present| present);
        self
    }

    /// What becomes of a member's score. `increment` adds to the score that is there.
    pub(crate) fn decide(
        self,
        current: Option<f64>,
        score: f64,
        increment: bool,
    ) -> Result<Decision, OpError> {
        if score.is_nan() {
            return Err(OpError::ScoreNotANumber);
        }
        let Some(current) = current else {
            return Ok(if self.presence == Some(true) { Decision::Refuse } else { Decision::Insert(score) });
        };
        if self.presence == Some(false) {
            return Ok(Decision::Refuse);
        }
        let score = if increment { current + score } else { score };
        if score.is_nan() {
            return Err(OpError::ScoreNotANumber);
        }
        let refused = match self.comparison {
            Some(Comparison::Greater) => score <= current,
            Some(Comparison::Less) => score >= current,
            None => false,
        };
        Ok(match score {
            _ if refused => Decision::Refuse,
            score if score == current => Decision::Keep(score),
            score => Decision::Update(score),
        })
    }
}

/// What [`ZAddOptions::decide`] says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Decision {
    /// A new member.
    Insert(f64),
    /// Another score.
    Update(f64),
    /// The score that it has; zero and minus zero are one score.
    Keep(f64),
    /// A condition does not hold.
    Refuse,
}

/// What an addition did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// The member is new.
    Inserted,
    /// The member has another score.
    Updated,
    /// The member had this score.
    Unchanged,
    /// A condition does not hold; nothing has changed.
    Refused,
}
