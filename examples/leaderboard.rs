//! A game's leaderboard: one for all time, one a day that goes by itself, top-N, around-me, and fair ties.
//!
//! Three days of matches are played under a clock that the example moves, so it runs in an instant and prints the same
//! every time. Members are `PlayerId`s, a newtype of ours: the sorted set stores their digits and gives `PlayerId`s back.
//!
//! ```text
//! cargo run --release --example leaderboard
//! ```

use std::error::Error;
use std::ops::Bound;
use std::time::Duration;

use larder::{
    Budget, Engine, ExpireCondition, ManualClock, OpError, RankRange, ScoreRange, SortedRange, SortedSet,
    UnixMillis,
};
use larder_examples::random::Rng;
use larder_examples::table::Table;
use serde::{Deserialize, Serialize};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A day's board is kept for one more day, for those who look in the morning.
const KEPT_DAYS: u64 = 2;
const PLAYERS: u64 = 50_000;
const MATCHES_A_DAY: u64 = 100_000;
/// Friday, 20 November 2026, midnight UTC.
const FIRST_DAY: UnixMillis = UnixMillis(1_795_132_800_000);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct PlayerId(u64);

/// The boards of one game.
struct Leaderboard {
    engine: Engine,
    all_time: SortedSet<PlayerId>,
}

/// A line of a board.
struct Standing {
    rank: u64,
    player: PlayerId,
    points: f64,
}

impl Leaderboard {
    fn new(clock: &ManualClock) -> Result<Self, Box<dyn Error>> {
        let engine = Engine::builder().clock(clock.clone()).seed(1).build()?;
        let all_time = engine.sorted_set("board:all").into_owned();
        Ok(Self { engine, all_time })
    }

    fn day_key(&self, days_ago: u64) -> String {
        let day_ms = u64::try_from(DAY.as_millis()).unwrap_or(u64::MAX);
        format!("board:day:{}", self.engine.now().0 / day_ms - days_ago)
    }

    /// Adds the points of a match to both boards; a day's board expires as a whole.
    fn win(&self, player: PlayerId, points: f64) -> Result<(), OpError> {
        self.all_time.increment(player, points)?;
        let today = self.day_key(0);
        self.engine.sorted_set(&today).increment(player, points)?;
        let day_ms = u64::try_from(DAY.as_millis()).unwrap_or(u64::MAX);
        let ends = UnixMillis((self.engine.now().0 / day_ms + KEPT_DAYS) * day_ms);
        // Once a day: the first match sets the expiry, all others find it there.
        self.engine.expire_at(&today, ends, ExpireCondition::IfNone)?;
        Ok(())
    }

    /// The best `count`, highest first. Players with equal points share a rank, and the next rank is skipped: 1, 2, 2, 4.
    fn top(&self, board: &str, count: i64) -> Result<Vec<Standing>, OpError> {
        let board = self.engine.sorted_set::<PlayerId>(board);
        let best = board.range(SortedRange::ranks(..count).rev())?;
        let mut standings: Vec<Standing> = Vec::new();
        for (place, (player, points)) in (1..).zip(best) {
            let tied = standings.last().filter(|above| above.points == points).map(|above| above.rank);
            standings.push(Standing { rank: tied.unwrap_or(place), player, points });
        }
        Ok(standings)
    }

    /// Those next to a player: `each_side` above and below.
    fn around(&self, player: PlayerId, each_side: u64) -> Result<Vec<Standing>, OpError> {
        let Some(place) = self.all_time.rev_rank(player)? else { return Ok(Vec::new()) };
        let index = |rank: u64| i64::try_from(rank).unwrap_or(i64::MAX);
        let range = RankRange::from(index(place.saturating_sub(each_side))..=index(place + each_side));
        let neighbours = self.all_time.range(SortedRange::ranks(range).rev())?;
        neighbours
            .into_iter()
            .map(|(player, points)| Ok(Standing { rank: self.fair_rank(points)?, player, points }))
            .collect()
    }

    /// One more than how many have more points: a count over a range of scores, not a walk.
    fn fair_rank(&self, points: f64) -> Result<u64, OpError> {
        Ok(1 + self.all_time.count(ScoreRange::new(Bound::Excluded(points), Bound::Unbounded))?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::new(FIRST_DAY);
    let game = Leaderboard::new(&clock)?;
    let mut random = Rng::new(7);
    for day in 1..=3 {
        play(&game, &mut random)?;
        println!("Day {day}: the best of today");
        print(&game.top(&game.day_key(0), 5)?);
        clock.advance(DAY);
    }
    println!("All time, {} players", game.all_time.len()?);
    print(&game.top("board:all", 10)?);

    let me = PlayerId(4_711);
    println!("Around player {}", me.0);
    print(&game.around(me, 2)?);

    let kept = |days_ago| game.engine.exists(game.day_key(days_ago));
    println!(
        "Boards still there: yesterday {}, the day before {}, three days ago {}",
        kept(1)?,
        kept(2)?,
        kept(3)?
    );
    while game.engine.maintain(Budget::default()).due {}
    let bytes = game.engine.entry_bytes("board:all")?.unwrap_or(0);
    println!(
        "{:.1} bytes a player on the board of all time; {} keys are left",
        per(bytes, game.all_time.len()?),
        game.engine.len()?
    );
    Ok(())
}

/// A day's matches; the clock moves along.
fn play(game: &Leaderboard, random: &mut Rng) -> Result<(), OpError> {
    for _ in 0..MATCHES_A_DAY {
        // Some players play much more than others.
        let player = random.below(PLAYERS).min(random.below(PLAYERS));
        let points = [3, 5, 10, 25][usize::try_from(random.below(4)).unwrap_or(0)];
        game.win(PlayerId(player), f64::from(points))?;
    }
    Ok(())
}

fn print(standings: &[Standing]) {
    let mut table = Table::new(["rank", "player", "points"]);
    for standing in standings {
        table.row([standing.rank.to_string(), standing.player.0.to_string(), standing.points.to_string()]);
    }
    println!("{table}");
}

#[expect(clippy::cast_precision_loss, reason = "a figure for the eye")]
fn per(bytes: u64, count: u64) -> f64 {
    bytes as f64 / count.max(1) as f64
}
