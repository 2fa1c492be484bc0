//! Several operations as one: transactions over declared keys, exclusive ones over everything, and pipelines.
//!
//! ```text
//! transaction(keys, body): lock the keys' shards, ascending -> body(&Tx) -> Ok: commit   -> unlock -> tell -> R
//!                                                                       `-> Err, panic: roll back -> unlock -> E
//! pipeline: queue of (key, closure) -> by shard: lock once -> run its closures in their order -> unlock -> next shard
//! ```
//! A [`Tx`] is the engine seen from inside: it derefs to an [`Engine`] whose handles lead to the states that the transaction
//! holds, so every operation there is works in it as it works outside.
//!
//! Invariants: I1: nobody sees a part of a transaction, and what is refused or panics leaves nothing behind. I2: a handle of a
//! transaction is refused after its end and on other threads; any other handle is refused inside (keyspace, `CoreHandle`).
//! I3: an operation on a key that was not declared changes nothing and is an error, even if its shard happens to be locked.
//! I4: a body runs unless a watched key was touched before the locks were taken.

use std::any::Any;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::place::Key;
use super::watch::Watch;
use super::{Engine, check_key};
use crate::clock::UnixMillis;
use crate::error::OpError;
use crate::keyspace::section::{Declared, Section};

/// Room is made at once for as many keys as a caller's iterator promises, up to this many.
const KEYS_EXPECTED_MAX: usize = 64;

/// The engine, seen from inside a transaction: every operation of [`Engine`] and of its handles, on the declared keys.
///
/// Time stands still in it. What it does is seen by others when it has ended, and not at all if it is given up.
///
/// # Panics
/// Any other handle of any engine panics inside the closure, and a clone of this one (`tx.clone()`, `into_owned`) panics
/// outside of it. A value's `Serialize` or `Drop` that calls an engine is such a case.
#[derive(Debug)]
pub struct Tx<'t> {
    engine: Engine,
    /// Bound to the closure that was given it, and to its thread.
    closure: PhantomData<(&'t (), *const ())>,
}

impl Tx<'_> {
    /// Returns the moment at which the transaction began, which is the present time in it.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, OpError};
    /// let engine = Engine::new();
    /// let same = engine.transaction(["k"], |tx| Ok::<_, OpError>(tx.now() == tx.now()))?;
    /// assert!(same);
    /// # Ok::<(), OpError>(())
    /// ```
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.engine.now()
    }
}

impl Deref for Tx<'_> {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Engine {
    /// Runs a closure that sees and changes several keys as one step: nobody sees it half done, and an error or a panic leaves
    /// nothing of it behind.
    ///
    /// **Command** `MULTI`, `EXEC`; `EVAL`. **Complexity** that of the operations, and O(k log k), k the keys. The shards of the keys
    /// are locked while `body` runs: keep it short, without input or output. At the first change of a key its entry is
    /// saved: O(n) for a string or a small collection of n bytes, O(1) for a large one, which then copies the nodes that change.
    ///
    /// Keys that are past their deadline go on the way, and other keys may be evicted to make room; both stay so. Blocked
    /// callers, subscribers and listeners hear of the changes after the end.
    ///
    /// # Errors
    /// What `body` returns. Its operations are refused with [`OpError::UndeclaredKey`] for other keys,
    /// [`OpError::NeedsExclusive`] for what concerns the whole engine (see [`exclusive`](Self::exclusive)),
    /// [`OpError::InsideTransaction`] for loads and another transaction.
    ///
    /// # Panics
    /// If `body` panics, after its changes were taken back.
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, OpError};
    /// let engine = Engine::new();
    /// engine.set("ann", "50")?;
    /// engine.transaction(["ann", "bob"], |tx| {
    ///     if tx.decr_by("ann", 20)? < 0 {
    ///         return Err(OpError::Overflow); // and Ann keeps her 50
    ///     }
    ///     tx.incr_by("bob", 20)
    /// })?;
    /// assert_eq!(engine.get("bob")?.unwrap(), "20");
    /// # Ok::<(), OpError>(())
    /// ```
    pub fn transaction<'k, R, E: From<OpError>>(
        &self,
        keys: impl IntoIterator<Item: Into<Key<'k>>>,
        body: impl FnOnce(&Tx<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let (shards, declared) = self.declare(keys)?;
        self.in_section((shards, declared, true), &[], body).map(ran)
    }

    /// As [`transaction`](Self::transaction), but only if no key of `watches` was touched since its watch began: `None` if one
    /// was, and then `body` did not run. This is optimistic work: read, compute for as long as it takes, then check and write.
    ///
    /// **Command** `WATCH`, `MULTI`, `EXEC`. **Complexity** as [`transaction`](Self::transaction); the watched keys are locked too.
    ///
    /// # Errors
    /// As [`transaction`](Self::transaction). A watched key is not declared by being watched.
    ///
    /// # Panics
    /// If `body` panics; if a watch is of another engine.
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, OpError};
    /// let engine = Engine::new();
    /// engine.set("stock", "3")?;
    /// let watch = engine.watch(&["stock"])?;
    /// let stock: i64 = engine.get("stock")?.unwrap().as_str()?.parse()?;
    /// let sold = engine.transaction_unless_changed(&[watch], ["stock"], |tx| tx.set("stock", (stock - 1).to_string()))?;
    /// assert!(sold.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn transaction_unless_changed<'k, R, E: From<OpError>>(
        &self,
        watches: &[Watch],
        keys: impl IntoIterator<Item: Into<Key<'k>>>,
        body: impl FnOnce(&Tx<'_>) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        let (shards, declared) = self.declare(keys)?;
        self.in_section((shards, declared, true), watches, body)
    }

    /// Runs a closure that may see and change everything as one step; every shard is locked meanwhile.
    ///
    /// **Command** `MULTI`, `EXEC` around `FLUSHALL`, `SCAN`, `SWAPDB` and the like. **Complexity** O(s) more than the operations,
    /// s the shards. All other callers of the engine wait: this is for what has no keys to declare.
    ///
    /// # Errors
    /// What `body` returns; then nothing has changed.
    ///
    /// # Panics
    /// If `body` panics, after its changes were taken back.
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, OpError};
    /// let engine = Engine::new();
    /// engine.set("a", "1")?;
    /// let moved = engine.exclusive(|tx| {
    ///     let keys = tx.keys("*")?;
    ///     tx.flush()?;
    ///     tx.set("count", keys.len().to_string())?;
    ///     Ok::<_, OpError>(keys.len())
    /// })?;
    /// assert_eq!((moved, engine.len()?), (1, 1));
    /// # Ok::<(), OpError>(())
    /// ```
    pub fn exclusive<R, E: From<OpError>>(&self, body: impl FnOnce(&Tx<'_>) -> Result<R, E>) -> Result<R, E> {
        let shards = (0..self.core.shards.len()).collect();
        self.in_section((shards, Declared::Shards, true), &[], body).map(ran)
    }

    /// Runs a closure over the shards that hold `keys` (of any database; all shards if `None`), as one step, but without a way
    /// back: what it did before an error stands. This is what `EXEC` needs, where a failed command does not undo the others.
    /// As with [`transaction_unless_changed`](Self::transaction_unless_changed) it does not run, and gives `None`, if a watched
    /// key was touched.
    ///
    /// **Command** `EXEC`. **Complexity** as [`transaction`](Self::transaction), without the saving of entries.
    ///
    /// # Errors
    /// What `body` returns. Operations on shards of other keys are refused with [`OpError::NeedsExclusive`].
    ///
    /// # Panics
    /// If `body` panics; what it did before stands. If a watch is of another engine.
    ///
    /// # Examples
    /// ```
    /// use larder::{Engine, OpError};
    /// let engine = Engine::new();
    /// let failed = engine.batch(&[], Some(&["n"]), |tx| {
    ///     tx.incr("n")?;
    ///     Err::<(), _>(OpError::NoSuchKey)
    /// });
    /// assert_eq!((failed, engine.get("n")?.unwrap() == "1"), (Err(OpError::NoSuchKey), true));
    /// # Ok::<(), OpError>(())
    /// ```
    pub fn batch<K: AsRef<[u8]>, R, E: From<OpError>>(
        &self,
        watches: &[Watch],
        keys: Option<&[K]>,
        body: impl FnOnce(&Tx<'_>) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        let core = &*self.core;
        let shards = match keys {
            None => (0..core.shards.len()).collect(),
            Some(keys) => {
                let hashes: Vec<_> = keys.iter().map(|key| core.hash(key.as_ref())).collect();
                self.shards_of(&hashes)
            }
        };
        self.in_section((shards, Declared::Shards, false), watches, body)
    }

    /// Starts a queue of operations that will lock every shard once.
    ///
    /// A lock that nobody fights for costs less than the closure that is boxed for each operation: then single calls are
    /// faster, [`batch`](Self::batch) over the keys too, and for strings [`get_many`](Self::get_many) and
    /// [`set_many`](Self::set_many).
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let mut pipeline = engine.pipeline();
    /// let visits = pipeline.add("visits", |tx| tx.incr("visits"));
    /// let name = pipeline.add("user:1", |tx| tx.hash::<String, String>("user:1").set("name", "Ann"));
    /// let mut results = pipeline.run()?;
    /// assert_eq!(results.take(visits)?, 1);
    /// assert!(results.take(name)?);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn pipeline(&self) -> Pipeline<'_> {
        Pipeline { engine: self, steps: Vec::new() }
    }

    /// The shards of these keys, and the keys.
    fn declare<'k>(
        &self,
        keys: impl IntoIterator<Item: Into<Key<'k>>>,
    ) -> Result<(Vec<usize>, Declared), OpError> {
        let core = &*self.core;
        let keys = keys.into_iter();
        let expected = keys.size_hint().0.min(KEYS_EXPECTED_MAX);
        let mut declared = Vec::with_capacity(expected);
        let mut hashes = Vec::with_capacity(expected);
        for key in keys {
            let key: Key<'_> = key.into();
            let key = key.as_bytes();
            check_key(key)?;
            hashes.push(core.hash(key));
            declared.push((self.db, Box::from(key)));
        }
        declared.sort_unstable();
        Ok((self.shards_of(&hashes), Declared::Keys(declared)))
    }

    fn in_section<R, E: From<OpError>>(
        &self,
        (mut shards, declared, saves): (Vec<usize>, Declared, bool),
        watches: &[Watch],
        body: impl FnOnce(&Tx<'_>) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        if self.core.is_within() {
            return Err(OpError::InsideTransaction.into());
        }
        let core = &*self.core;
        if !watches.is_empty() {
            for watch in watches {
                assert!(watch.engine().core.is_same(&self.core), "the watch is of another engine");
                shards.extend(watch.keys().map(|key| core.shard_of(core.hash(key))));
            }
            shards.sort_unstable();
            shards.dedup();
        }
        let mut section = Section::lock(core, shards, declared, saves)?;
        if watches.iter().any(|watch| watch.is_changed_in(&section)) {
            section.commit();
            return Ok(None);
        }
        let engine = Self { core: self.core.within(section.id()), db: self.db };
        let tx = Tx { engine, closure: PhantomData };
        let outcome = section.run(|| catch_unwind(AssertUnwindSafe(|| body(&tx))));
        match &outcome {
            Ok(Err(_)) | Err(_) if saves => section.roll_back(),
            _ => section.commit(),
        }
        outcome.unwrap_or_else(|panic| resume_unwind(panic)).map(Some)
    }
}

/// The result of a body that nothing kept from running.
fn ran<R>(result: Option<R>) -> R {
    result.expect("I4: without a watch the body runs")
}

type Step<'p> = Box<dyn FnOnce(&Tx<'_>) -> Box<dyn Any + Send> + 'p>;

/// A queue of operations, each on one key; [`run`](Self::run) locks every shard once. Each stands by itself: others may come
/// between two of them, and one that fails leaves the others as they are.
#[must_use = "nothing is done before run()"]
pub struct Pipeline<'p> {
    engine: &'p Engine,
    steps: Vec<(usize, Box<[u8]>, Step<'p>)>,
}

impl std::fmt::Debug for Pipeline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}

/// Which result of a pipeline is meant.
#[derive(Debug)]
pub struct Ticket<R> {
    step: usize,
    result: PhantomData<fn() -> R>,
}

/// What the operations of a pipeline returned.
pub struct PipelineResults {
    results: Vec<Option<Box<dyn Any + Send>>>,
}

impl std::fmt::Debug for PipelineResults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PipelineResults").field("steps", &self.results.len()).finish_non_exhaustive()
    }
}

impl<'p> Pipeline<'p> {
    /// Queues an operation on `key`; the ticket names its result. Operations of one key run in their order.
    ///
    /// **Complexity** O(1).
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let mut pipeline = engine.pipeline();
    /// let ticket = pipeline.add("jobs", |tx| tx.list::<String>("jobs").push_back("mail"));
    /// assert_eq!(pipeline.run()?.take(ticket)?, 1);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn add<'k, R: Send + 'static>(
        &mut self,
        key: impl Into<Key<'k>>,
        step: impl FnOnce(&Tx<'_>) -> Result<R, OpError> + 'p,
    ) -> Ticket<Result<R, OpError>> {
        let key: Key<'_> = key.into();
        let core = &*self.engine.core;
        let shard = core.shard_of(core.hash(key.as_bytes()));
        let ticket = Ticket { step: self.steps.len(), result: PhantomData };
        let step: Step<'p> = Box::new(move |tx| Box::new(step(tx)));
        self.steps.push((shard, key.as_bytes().into(), step));
        ticket
    }

    /// Does all that is queued, shard by shard.
    ///
    /// **Complexity** that of the operations, and one lock a shard. A shard is locked for all of its operations together.
    ///
    /// # Errors
    /// [`OpError::Poisoned`]; the operations' own errors are in their results, [`OpError::UndeclaredKey`] for one that touches
    /// another key among them.
    ///
    /// # Panics
    /// If an operation panics; those before it stand.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let mut pipeline = engine.pipeline();
    /// let tickets: Vec<_> = (0..3).map(|_| pipeline.add("n", |tx| tx.incr("n"))).collect();
    /// let mut results = pipeline.run()?;
    /// let counts: Result<Vec<i64>, _> = tickets.into_iter().map(|ticket| results.take(ticket)).collect();
    /// assert_eq!(counts?, [1, 2, 3]);
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn run(self) -> Result<PipelineResults, OpError> {
        let Self { engine, steps } = self;
        let mut results: Vec<Option<Box<dyn Any + Send>>> = Vec::new();
        results.resize_with(steps.len(), || None);
        let mut order: Vec<_> = steps.into_iter().enumerate().collect();
        order.sort_by_key(|(_, (shard, ..))| *shard);
        let mut order = order.into_iter().peekable();
        while let Some((_, (shard, ..))) = order.peek() {
            let shard = *shard;
            let mut together = Vec::new();
            while let Some(next) = order.next_if(|(_, (own, ..))| *own == shard) {
                together.push(next);
            }
            let own = together.iter_mut().map(|(_, (_, key, _))| (engine.db, std::mem::take(key)));
            let mut keys: Vec<(u16, Box<[u8]>)> = own.collect();
            keys.sort_unstable();
            keys.dedup();
            engine.in_section((vec![shard], Declared::Keys(keys), false), &[], |tx| {
                for (place, (_, _, step)) in together {
                    results[place] = Some(step(tx));
                }
                Ok::<_, OpError>(())
            })?;
        }
        Ok(PipelineResults { results })
    }
}

impl PipelineResults {
    /// Takes the result that a ticket names.
    ///
    /// **Complexity** O(1).
    ///
    /// # Errors
    /// What the operation returned.
    ///
    /// # Panics
    /// If the ticket is of another pipeline.
    ///
    /// # Examples
    /// ```
    /// let engine = larder::Engine::new();
    /// let mut pipeline = engine.pipeline();
    /// let ticket = pipeline.add("k", |tx| tx.get("other"));
    /// assert!(matches!(pipeline.run()?.take(ticket), Err(larder::OpError::UndeclaredKey { .. })));
    /// # Ok::<(), larder::OpError>(())
    /// ```
    pub fn take<R: 'static>(&mut self, ticket: Ticket<Result<R, OpError>>) -> Result<R, OpError> {
        let result = self.results.get_mut(ticket.step).and_then(Option::take);
        let result = result.and_then(|result| result.downcast::<Result<R, OpError>>().ok());
        *result.expect("the ticket is of this pipeline")
    }
}
