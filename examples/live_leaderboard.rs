//! A leaderboard whose viewers see every change as it happens, by the engine's change feed.
//!
//! ```text
//! play -> transaction: winner +3, loser -1 -> change feed -> viewer's queue -> its copy of the top
//! ```
//! A viewer keeps the best few lines. Changes come in the order of their commit, both of a match together, and with the new
//! score: most of them change a line or concern nobody among the best. It reads the board again only when its copy cannot know
//! the answer: somebody on it falls or goes, so that a stranger may come up, or it was too slow and is told that it lagged.
//!
//! Promise: when a viewer has taken what waits for it, its copy is the top of the board as of the last change that it took. It never
//! makes players wait, however slow it is.
//!
//! ```text
//! cargo run --release --example live_leaderboard
//! cargo test --example live_leaderboard
//! ```

use std::error::Error;
use std::time::Duration;

use larder::{ChangeFilter, Changes, Delivery, Delta, Engine, OpError, SortedRange, ValueType};
use larder_examples::random::Rng;

const WIN: f64 = 3.0;
const LOSS: f64 = -1.0;

#[derive(Debug, Clone)]
struct Board {
    engine: Engine,
    key: String,
}

/// A player and his points.
type Line = (String, f64);

impl Board {
    fn new(engine: &Engine, name: &str) -> Self {
        Self { engine: engine.clone(), key: format!("board:{name}") }
    }

    /// Enters the result of a match: both lines change, or none.
    fn play(&self, winner: &str, loser: &str) -> Result<(), OpError> {
        self.engine.transaction([&self.key], |tx| {
            let board = tx.sorted_set::<String>(&self.key);
            board.increment(winner, WIN)?;
            board.increment(loser, LOSS)?;
            Ok(())
        })
    }

    fn retire(&self, player: &str) -> Result<bool, OpError> {
        self.engine.sorted_set::<String>(&self.key).remove(player)
    }

    fn top(&self, count: usize) -> Result<Vec<Line>, OpError> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.engine.sorted_set::<String>(&self.key).range(SortedRange::ranks(..).rev().limit(0, count))
    }

    /// Starts to watch the best `size`; at most `waiting_max` changes wait for the viewer.
    fn watch(&self, size: usize, waiting_max: usize) -> Result<Viewer, OpError> {
        let filter =
            ChangeFilter::new().prefix(&self.key).value_type(ValueType::SortedSet).capacity(waiting_max);
        // First listen, then read: what changes in between is heard.
        let changes = self.engine.changes(filter);
        let mut viewer =
            Viewer { board: self.clone(), changes, size, top: Vec::new(), taken: 0, missed: 0, reads: 0 };
        viewer.read()?;
        Ok(viewer)
    }
}

/// Somebody who looks at the top of a board.
#[derive(Debug)]
struct Viewer {
    board: Board,
    changes: Changes,
    size: usize,
    top: Vec<Line>,
    /// What it took, what it was told that it missed, and how often it read the board.
    taken: u64,
    missed: u64,
    reads: u64,
}

impl Viewer {
    /// Waits for a change and takes all that wait; returns whether the top is another now.
    fn follow(&mut self, timeout: Duration) -> Result<bool, OpError> {
        let before = self.top.clone();
        let mut next = self.changes.recv_timeout(timeout);
        while let Some(delivery) = next {
            self.take(&delivery)?;
            next = self.changes.try_recv();
        }
        Ok(self.top != before)
    }

    fn take(&mut self, delivery: &Delivery) -> Result<(), OpError> {
        match delivery {
            Delivery::Change(change) if *change.key == *self.board.key.as_bytes() => {
                self.taken += 1;
                match change.delta() {
                    Delta::SortedSetPut { member, score } => {
                        self.put(&String::from_utf8_lossy(member), *score)
                    }
                    Delta::SortedSetRemove { member } => self.remove(&String::from_utf8_lossy(member)),
                    Delta::Create { .. } | Delta::Deadline(_) => Ok(()),
                    _ => self.read(),
                }
            }
            // Another board, whose name begins like this one's.
            Delivery::Change(_) => Ok(()),
            Delivery::Lagged { missed } => {
                self.missed += missed;
                self.read()
            }
            _ => self.read(),
        }
    }

    fn put(&mut self, player: &str, points: f64) -> Result<(), OpError> {
        match self.top.iter_mut().find(|(known, _)| known == player) {
            Some((_, old)) if points < *old => return self.read(),
            Some((_, old)) => *old = points,
            None => self.top.push((player.to_owned(), points)),
        }
        // As the engine orders it, seen from above: by points, and equals by name.
        self.top.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
        self.top.truncate(self.size);
        Ok(())
    }

    fn remove(&mut self, player: &str) -> Result<(), OpError> {
        if self.top.iter().any(|(known, _)| known == player) { self.read() } else { Ok(()) }
    }

    fn read(&mut self) -> Result<(), OpError> {
        self.reads += 1;
        self.top = self.board.top(self.size)?;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    const PLAYERS: [&str; 8] = ["ann", "bob", "dan", "eve", "ida", "max", "pia", "tom"];
    let engine = Engine::new();
    let board = Board::new(&engine, "chess");
    let mut viewer = board.watch(3, 1_024)?;
    let mut sleeper = board.watch(3, 16)?;
    let mut random = Rng::new(3);
    let mut player = || PLAYERS[usize::try_from(random.below(8)).unwrap_or(0)];
    for number in 1..=500 {
        board.play(player(), player())?;
        // The viewer's screen is drawn after each match, if there is something to draw.
        if viewer.follow(Duration::ZERO)? && (number <= 5 || number % 100 == 0) {
            println!("match {number:3}: {}", shown(&viewer.top));
        }
    }
    println!("{} changes came to the viewer, who read the board {} times.", viewer.taken, viewer.reads);
    let leader = viewer.top.first().ok_or("somebody leads")?.0.clone();
    board.retire(&leader)?;
    viewer.follow(Duration::ZERO)?;
    println!("{leader} retires: {}", shown(&viewer.top));

    println!("A second viewer slept all the time; its queue holds 16 changes.");
    sleeper.follow(Duration::ZERO)?;
    println!(
        "It missed {} and read the board {} times: {}",
        sleeper.missed,
        sleeper.reads,
        shown(&sleeper.top)
    );
    Ok(())
}

fn shown(top: &[Line]) -> String {
    let lines: Vec<_> = top.iter().map(|(player, points)| format!("{player} {points}")).collect();
    lines.join(", ")
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    use super::*;

    fn board() -> Board {
        Board::new(&Engine::new(), "b")
    }

    fn some_player(random: &mut Rng) -> String {
        format!("player {}", random.below(30))
    }

    #[test]
    fn a_viewer_that_looks_now_and_then_has_the_top_of_the_board() {
        for waiting_max in [3, 20, 10_000] {
            let board = board();
            let mut random = Rng::new(9);
            let mut viewer = board.watch(5, waiting_max).unwrap();
            for _ in 0..2_000 {
                match random.below(40) {
                    0 => drop(board.retire(&some_player(&mut random)).unwrap()),
                    1 => drop(board.engine.remove(&board.key).unwrap()),
                    2..10 => {
                        viewer.follow(Duration::ZERO).unwrap();
                        assert_eq!(viewer.top, board.top(5).unwrap());
                    }
                    _ => board.play(&some_player(&mut random), &some_player(&mut random)).unwrap(),
                }
            }
            assert_eq!(viewer.missed > 0, waiting_max < 100, "{} missed", viewer.missed);
            assert!(viewer.reads < viewer.taken + viewer.missed);
        }
    }

    #[test]
    fn viewers_that_run_beside_the_players_end_with_the_same_top() {
        let board = board();
        thread::scope(|scope| {
            let viewers: Vec<_> = [4, 1_000_000]
                .map(|waiting_max| {
                    let mut viewer = board.watch(5, waiting_max).unwrap();
                    scope.spawn(move || {
                        // The last match of all puts this one on top.
                        while viewer.top.first().is_none_or(|(leader, _)| leader != "the end") {
                            viewer.follow(Duration::from_secs(60)).unwrap();
                        }
                        viewer.top
                    })
                })
                .into();
            let players: Vec<_> = (0..3)
                .map(|seed| {
                    let (board, mut random) = (&board, Rng::new(seed));
                    scope.spawn(move || {
                        for _ in 0..500 {
                            board.play(&some_player(&mut random), &some_player(&mut random)).unwrap();
                        }
                    })
                })
                .collect();
            players.into_iter().for_each(|player| player.join().unwrap());
            board.engine.sorted_set::<String>(&board.key).add("the end", 1e9).unwrap();
            let top = board.top(5).unwrap();
            viewers.into_iter().for_each(|viewer| assert_eq!(viewer.join().unwrap(), top));
        });
    }

    #[test]
    fn a_viewer_that_stalls_delays_nobody_and_is_told_what_it_missed() {
        let board = board();
        let mut viewer = board.watch(2, 10).unwrap();
        for _ in 0..100 {
            board.play("ann", "bob").unwrap();
        }
        assert!(viewer.follow(Duration::ZERO).unwrap());
        // Two changes a match, and one for the board itself.
        assert_eq!((viewer.taken, viewer.missed), (10, 191));
        assert_eq!(viewer.top, [("ann".to_owned(), 300.0), ("bob".to_owned(), -100.0)]);
    }

    #[test]
    fn a_worker_killed_in_the_middle_of_a_match_shows_viewers_nothing_of_it() {
        let board = board();
        board.play("ann", "bob").unwrap();
        let mut viewer = board.watch(2, 10).unwrap();
        let killed = catch_unwind(AssertUnwindSafe(|| {
            board.engine.transaction([&board.key], |tx| -> Result<(), OpError> {
                tx.sorted_set::<String>(&board.key).increment("bob", WIN)?;
                panic!("killed in the middle of a match (this panic is part of the test)");
            })
        }));
        assert!(killed.is_err());
        assert!(!viewer.follow(Duration::ZERO).unwrap());
        assert_eq!((viewer.taken, viewer.top), (0, board.top(2).unwrap()));
        assert_eq!(board.top(1).unwrap(), [("ann".to_owned(), WIN)]);
    }
}
