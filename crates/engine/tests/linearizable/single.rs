//! Calls of one key each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use larder::{Added, End, Engine, SetOptions, SetOutcome, StreamId};
use larder_testkit::linear::{Dice, Model, STEPS, Sequential, Slot, check_by_key};

use crate::{Ret, count, element, flag, ret, text};

/// Two keys: a history's calls are spread over them and checked apart.
const KEYS: [&str; 2] = ["k", "other"];

/// A call and the key that it goes to.
#[derive(Debug, Clone)]
pub(crate) struct On<Op>(pub(crate) &'static str, pub(crate) Op);

/// The model of one key serves every key.
struct Each<M>(M);

impl<M: Model> Model for Each<M> {
    type State = M::State;
    type Op = On<M::Op>;
    type Ret = M::Ret;

    fn initial(&self) -> M::State {
        self.0.initial()
    }

    fn step(&self, state: &M::State, op: &On<M::Op>, ret: &M::Ret) -> Option<M::State> {
        self.0.step(state, &op.1, ret)
    }

    fn unseen(&self, state: &M::State, op: &On<M::Op>) -> Vec<M::State> {
        self.0.unseen(state, &op.1)
    }

    fn expected(&self, state: &M::State, op: &On<M::Op>) -> String {
        self.0.expected(state, &op.1)
    }
}

/// Records histories of one family and checks them key by key.
fn campaign<M: Model<Ret = Ret> + Send + Sync + 'static>(
    test: &'static str,
    model: M,
    draw: impl Fn(&mut Dice, Slot) -> M::Op + Send + Sync + 'static,
    run: impl Fn(&Engine, &str, &M::Op) -> Ret + Send + Sync + 'static,
) -> String
where
    M::Op: Send,
{
    crate::campaign(
        test,
        Each(model),
        move |dice, slot| On(KEYS[usize::from(dice.once_in(4))], draw(dice, slot)),
        move |engine, On(key, op)| run(engine, key, op),
        |model, history| check_by_key(model, history, |op| op.0, STEPS),
    )
}

#[derive(Debug, Clone)]
pub(crate) enum Text {
    Get,
    Set(u32),
    SetIfAbsent(u32),
    SetIfPresent(u32),
    SetIfEqual(u32, u32),
    SetIfNotEqual(u32, u32),
    GetSet(u32),
    GetDel,
    Append(u32),
    Len,
    Incr(i64),
    Update(u32),
    Remove,
    RemoveIfEqual(u32),
    Exists,
}

pub(crate) struct Strings;

impl Sequential for Strings {
    type State = Option<String>;
    type Op = Text;
    type Ret = Ret;

    fn initial(&self) -> Option<String> {
        None
    }

    fn apply(&self, state: &mut Option<String>, op: &Text) -> Ret {
        let old = state.clone();
        // SET with conditions gives back whether it stored, by the number in front, and the old value.
        let mut store = |wanted: bool, value: u32| {
            if wanted {
                *state = Some(value.to_string());
            }
            Ret::Text(Some(format!("{wanted} {old:?}")))
        };
        match *op {
            Text::Get => Ret::Text(old),
            Text::Set(value) => {
                store(true, value);
                Ret::Done
            }
            Text::SetIfAbsent(value) => store(old.is_none(), value),
            Text::SetIfPresent(value) => store(old.is_some(), value),
            Text::SetIfEqual(expected, value) => store(old == Some(expected.to_string()), value),
            Text::SetIfNotEqual(other, value) => store(old != Some(other.to_string()), value),
            Text::GetSet(value) => {
                store(true, value);
                Ret::Text(old)
            }
            Text::GetDel => Ret::Text(state.take()),
            Text::Append(value) => {
                let text = state.get_or_insert_default();
                *text += &value.to_string();
                Ret::Number(i64::try_from(text.len()).unwrap_or(i64::MAX))
            }
            Text::Len => Ret::Number(i64::try_from(old.unwrap_or_default().len()).unwrap_or(i64::MAX)),
            Text::Incr(by) => incr(state, by),
            Text::Update(value) => {
                *state = Some(old.unwrap_or_default() + &value.to_string());
                Ret::Text(state.clone())
            }
            Text::Remove => Ret::Flag(state.take().is_some()),
            Text::RemoveIfEqual(expected) => {
                let same = old == Some(expected.to_string());
                if same {
                    *state = None;
                }
                Ret::Flag(same)
            }
            Text::Exists => Ret::Flag(old.is_some()),
        }
    }
}

/// INCRBY: only what a number's own text reads.
fn incr(state: &mut Option<String>, by: i64) -> Ret {
    let old = state.as_deref().unwrap_or("0");
    match old.parse::<i64>().ok().filter(|number| number.to_string() == old) {
        None => Ret::Refused("NotAnInteger".to_owned()),
        Some(number) => match number.checked_add(by) {
            None => Ret::Refused("Overflow".to_owned()),
            Some(sum) => {
                *state = Some(sum.to_string());
                Ret::Number(sum)
            }
        },
    }
}

pub(crate) fn run_text(engine: &Engine, key: &str, op: &Text) -> Ret {
    let store = |value: u32, options: SetOptions| {
        ret(engine.set_with(key, value.to_string(), options.return_old()), |outcome| {
            let stored = outcome.is_stored();
            let (SetOutcome::Stored { old } | SetOutcome::Refused { old }) = outcome;
            let old = old.map(|old| String::from_utf8_lossy(&old).into_owned());
            Ret::Text(Some(format!("{stored} {old:?}")))
        })
    };
    let set = SetOptions::new;
    match *op {
        Text::Get => text(engine.get(key)),
        Text::Set(value) => ret(engine.set(key, value.to_string()), |()| Ret::Done),
        Text::SetIfAbsent(value) => store(value, set().if_absent()),
        Text::SetIfPresent(value) => store(value, set().if_present()),
        Text::SetIfEqual(expected, value) => store(value, set().if_equal(expected.to_string())),
        Text::SetIfNotEqual(other, value) => store(value, set().if_not_equal(other.to_string())),
        Text::GetSet(value) => text(engine.get_set(key, value.to_string())),
        Text::GetDel => text(engine.get_del(key)),
        Text::Append(value) => count(engine.append(key, value.to_string())),
        Text::Len => count(engine.strlen(key)),
        Text::Incr(by) => ret(engine.incr_by(key, by), Ret::Number),
        Text::Update(value) => {
            let longer =
                |old: Option<&[u8]>| Some([old.unwrap_or_default(), value.to_string().as_bytes()].concat());
            text(engine.update(key, longer))
        }
        Text::Remove => flag(engine.remove(key)),
        Text::RemoveIfEqual(expected) => flag(engine.remove_if_equal(key, expected.to_string())),
        Text::Exists => flag(engine.exists(key)),
    }
}

#[test]
fn strings_are_linearizable() {
    let draw = |dice: &mut Dice, slot: Slot| match dice.below(18) {
        0..=2 => Text::Get,
        3 => Text::Set(slot.unique()),
        4 => Text::SetIfAbsent(dice.below(3)),
        5 => Text::SetIfPresent(dice.below(3)),
        6 | 7 => Text::SetIfEqual(dice.below(3), dice.below(3)),
        8 => Text::SetIfNotEqual(dice.below(3), dice.below(3)),
        9 => Text::GetSet(dice.below(3)),
        10 => Text::GetDel,
        11 | 12 => Text::Append(1 + dice.below(9)),
        13 => Text::Len,
        14 => Text::Update(1 + dice.below(9)),
        15 => Text::Remove,
        16 => Text::RemoveIfEqual(dice.below(3)),
        _ => Text::Exists,
    };
    println!("{}", campaign("strings", Strings, draw, run_text));
}

#[test]
fn counters_are_linearizable() {
    let draw = |dice: &mut Dice, _| match dice.below(12) {
        0..=5 => Text::Incr(i64::from(dice.below(5)) - 1),
        6 => Text::Get,
        7 => Text::Set(dice.below(3)),
        8 => Text::GetSet(0),
        9 => Text::SetIfEqual(dice.below(4), dice.below(3)),
        10 => Text::Append(1 + dice.below(9)),
        _ => Text::Remove,
    };
    println!("{}", campaign("counters", Strings, draw, run_text));
}

#[derive(Debug, Clone)]
pub(crate) enum Ends {
    Push(End, u32),
    PushTwo(End, u32, u32),
    PushExisting(u32),
    Pop(End),
    PopTwo(End),
    Len,
    All,
    First,
    Rotate,
    Remove(u32),
}

pub(crate) struct Lists;

/// Takes one off an end.
pub(crate) fn take(list: &mut VecDeque<u32>, end: End) -> Option<u32> {
    match end {
        End::Head => list.pop_front(),
        End::Tail => list.pop_back(),
    }
}

pub(crate) fn put(list: &mut VecDeque<u32>, end: End, element: u32) {
    match end {
        End::Head => list.push_front(element),
        End::Tail => list.push_back(element),
    }
}

pub(crate) fn length(len: usize) -> Ret {
    Ret::Number(i64::try_from(len).unwrap_or(i64::MAX))
}

impl Sequential for Lists {
    type State = VecDeque<u32>;
    type Op = Ends;
    type Ret = Ret;

    fn initial(&self) -> VecDeque<u32> {
        VecDeque::new()
    }

    fn apply(&self, list: &mut VecDeque<u32>, op: &Ends) -> Ret {
        match *op {
            Ends::Push(end, element) => put(list, end, element),
            Ends::PushTwo(end, a, b) => [a, b].into_iter().for_each(|element| put(list, end, element)),
            Ends::PushExisting(element) if !list.is_empty() => list.push_back(element),
            Ends::PushExisting(_) | Ends::Len => {}
            Ends::Pop(end) => return Ret::Elements(take(list, end).into_iter().collect()),
            Ends::PopTwo(end) => {
                return Ret::Elements((0..2).map_while(|_| take(list, end)).collect());
            }
            Ends::All => return Ret::Elements(list.iter().copied().collect()),
            Ends::First => return Ret::Elements(list.front().copied().into_iter().collect()),
            Ends::Rotate => {
                let moved = list.pop_back();
                list.extend(moved);
                list.rotate_right(usize::from(moved.is_some()));
                return Ret::Elements(moved.into_iter().collect());
            }
            Ends::Remove(element) => {
                let found = list.iter().position(|held| *held == element);
                found.map(|at| list.remove(at));
                return Ret::Number(i64::from(found.is_some()));
            }
        }
        length(list.len())
    }
}

pub(crate) fn run_list(engine: &Engine, key: &str, op: &Ends) -> Ret {
    let list = engine.list::<u32>(key);
    match *op {
        Ends::Push(End::Head, element) => count(list.push_front(element)),
        Ends::Push(End::Tail, element) => count(list.push_back(element)),
        Ends::PushTwo(End::Head, a, b) => count(list.extend_front([a, b])),
        Ends::PushTwo(End::Tail, a, b) => count(list.extend_back([a, b])),
        Ends::PushExisting(element_) => count(list.extend_existing(End::Tail, [element_])),
        Ends::Pop(End::Head) => element(list.pop_front()),
        Ends::Pop(End::Tail) => element(list.pop_back()),
        Ends::PopTwo(end) => ret(list.pop_many(end, 2), |popped| Ret::Elements(popped.unwrap_or_default())),
        Ends::Len => count(list.len()),
        Ends::All => ret(list.range(0, -1), Ret::Elements),
        Ends::First => element(list.get(0)),
        Ends::Rotate => element(list.move_to(key, End::Tail, End::Head)),
        Ends::Remove(element) => count(list.remove(1, element)),
    }
}

pub(crate) fn draw_end(dice: &mut Dice) -> End {
    if dice.once_in(2) { End::Head } else { End::Tail }
}

#[test]
fn lists_are_linearizable() {
    let draw = |dice: &mut Dice, slot: Slot| match dice.below(14) {
        0..=2 => Ends::Push(draw_end(dice), slot.unique()),
        3 => Ends::PushTwo(draw_end(dice), slot.unique(), slot.unique() + 1_000),
        4 => Ends::PushExisting(slot.unique()),
        5..=7 => Ends::Pop(draw_end(dice)),
        8 => Ends::PopTwo(draw_end(dice)),
        9 => Ends::Len,
        10 => Ends::All,
        11 => Ends::First,
        12 => Ends::Rotate,
        _ => Ends::Remove(101 + dice.below(6)),
    };
    println!("{}", campaign("lists", Lists, draw, run_list));
}

#[derive(Debug, Clone)]
enum Field {
    Get(u32),
    Set(u32, i64),
    SetIfAbsent(u32, i64),
    SetBoth(i64),
    Incr(u32, i64),
    Remove(u32),
    Take(u32),
    Len,
    All,
}

struct Hashes;

impl Sequential for Hashes {
    type State = BTreeMap<u32, i64>;
    type Op = Field;
    type Ret = Ret;

    fn initial(&self) -> BTreeMap<u32, i64> {
        BTreeMap::new()
    }

    fn apply(&self, hash: &mut BTreeMap<u32, i64>, op: &Field) -> Ret {
        let one = |field: u32, value: Option<i64>| {
            Ret::Pairs(value.map(|value| (field, value)).into_iter().collect())
        };
        match *op {
            Field::Get(field) => one(field, hash.get(&field).copied()),
            Field::Set(field, value) => Ret::Flag(hash.insert(field, value).is_none()),
            Field::SetIfAbsent(field, value) => {
                let absent = !hash.contains_key(&field);
                hash.entry(field).or_insert(value);
                Ret::Flag(absent)
            }
            Field::SetBoth(value) => {
                length([0, 1].into_iter().filter(|&field| hash.insert(field, value).is_none()).count())
            }
            Field::Incr(field, by) => {
                let value = hash.entry(field).or_insert(0);
                *value += by;
                Ret::Number(*value)
            }
            Field::Remove(field) => Ret::Flag(hash.remove(&field).is_some()),
            Field::Take(field) => one(field, hash.remove(&field)),
            Field::Len => length(hash.len()),
            Field::All => Ret::Pairs(hash.iter().map(|(field, value)| (*field, *value)).collect()),
        }
    }
}

fn run_hash(engine: &Engine, key: &str, op: &Field) -> Ret {
    let hash = engine.hash::<u32, i64>(key);
    let one = |field: u32, result: Result<Option<i64>, _>| {
        ret(result, |value| Ret::Pairs(value.map(|value| (field, value)).into_iter().collect()))
    };
    match *op {
        Field::Get(field) => one(field, hash.get(field)),
        Field::Set(field, value) => flag(hash.set(field, value)),
        Field::SetIfAbsent(field, value) => flag(hash.set_if_absent(field, value)),
        Field::SetBoth(value) => count(hash.set_many([(0, value), (1, value)])),
        Field::Incr(field, by) => ret(hash.incr_by(field, by), Ret::Number),
        Field::Remove(field) => flag(hash.remove(field)),
        Field::Take(field) => one(field, hash.take(field)),
        Field::Len => count(hash.len()),
        Field::All => {
            ret(hash.iter().and_then(|entries| entries.collect::<Result<Vec<_>, _>>()), |mut pairs| {
                pairs.sort_unstable();
                Ret::Pairs(pairs)
            })
        }
    }
}

#[test]
fn hashes_are_linearizable() {
    let draw = |dice: &mut Dice, slot: Slot| {
        let (field, value) = (dice.below(4), i64::from(slot.unique()));
        match dice.below(13) {
            0 | 1 => Field::Get(field),
            2 => Field::Set(field, value),
            3 => Field::SetIfAbsent(field, value),
            4 => Field::SetBoth(value),
            5..=7 => Field::Incr(field, i64::from(dice.below(3))),
            8 | 9 => Field::Remove(field),
            10 => Field::Take(field),
            11 => Field::Len,
            _ => Field::All,
        }
    };
    println!("{}", campaign("hashes", Hashes, draw, run_hash));
}

#[derive(Debug, Clone)]
enum Member {
    Add(u32),
    AddMany([u32; 3]),
    Remove(u32),
    Contains(u32),
    Pop,
    PopTwo,
    Random,
    Len,
    All,
}

/// SPOP and SRANDMEMBER choose: what they return is checked, not foreseen.
struct Sets;

impl Model for Sets {
    type State = BTreeSet<u32>;
    type Op = Member;
    type Ret = Ret;

    fn initial(&self) -> BTreeSet<u32> {
        BTreeSet::new()
    }

    fn step(&self, state: &BTreeSet<u32>, op: &Member, ret: &Ret) -> Option<BTreeSet<u32>> {
        let mut set = state.clone();
        let expected = match (op, ret) {
            (Member::Add(member), _) => Ret::Flag(set.insert(*member)),
            (Member::AddMany(members), _) => {
                length(members.iter().filter(|&&member| set.insert(member)).count())
            }
            (Member::Remove(member), _) => Ret::Flag(set.remove(member)),
            (Member::Contains(member), _) => Ret::Flag(set.contains(member)),
            (Member::Pop | Member::PopTwo | Member::Random, Ret::Elements(members)) => {
                let most = if matches!(op, Member::PopTwo) { 2 } else { 1 };
                let all_there = members.iter().all(|member| set.remove(member));
                if !all_there || members.len() != state.len().min(most) {
                    return None;
                }
                if matches!(op, Member::Random) {
                    set.clone_from(state);
                }
                return Some(set);
            }
            (Member::Len, _) => length(set.len()),
            (Member::All, _) => Ret::Elements(set.iter().copied().collect()),
            _ => return None,
        };
        (expected == *ret).then_some(set)
    }

    fn unseen(&self, _: &BTreeSet<u32>, _: &Member) -> Vec<BTreeSet<u32>> {
        unreachable!("every call on a set returns")
    }

    fn expected(&self, state: &BTreeSet<u32>, _: &Member) -> String {
        format!("what {state:?} gives")
    }
}

fn run_set(engine: &Engine, key: &str, op: &Member) -> Ret {
    let set = engine.set_of::<u32>(key);
    match *op {
        Member::Add(member) => flag(set.add(member)),
        Member::AddMany(members) => count(set.add_many(members)),
        Member::Remove(member) => flag(set.remove(member)),
        Member::Contains(member) => flag(set.contains(member)),
        Member::Pop => element(set.pop()),
        Member::PopTwo => all(set.pop_many(2).and_then(Iterator::collect)),
        Member::Random => element(set.random()),
        Member::Len => count(set.len()),
        Member::All => all(set.iter().and_then(Iterator::collect)),
    }
}

/// Members in their order.
pub(crate) fn all(result: Result<Vec<u32>, larder::OpError>) -> Ret {
    ret(result, |mut members| {
        members.sort_unstable();
        Ret::Elements(members)
    })
}

#[test]
fn sets_are_linearizable() {
    let draw = |dice: &mut Dice, _| {
        let member = dice.below(6);
        match dice.below(15) {
            0..=3 => Member::Add(member),
            4 => Member::AddMany([member, dice.below(6), dice.below(6)]),
            5 | 6 => Member::Remove(member),
            7 | 8 => Member::Contains(member),
            9 | 10 => Member::Pop,
            11 => Member::PopTwo,
            12 => Member::Random,
            13 => Member::Len,
            _ => Member::All,
        }
    };
    println!("{}", campaign("sets", Sets, draw, run_set));
}

#[derive(Debug, Clone)]
enum Scored {
    Add(u32, i64),
    Incr(u32, i64),
    Score(u32),
    Rank(u32),
    Remove(u32),
    PopMin,
    PopMax,
    Len,
    All,
}

/// Scores are small whole numbers; members are of one digit, so that their order as text is that as numbers.
struct SortedSets;

impl Sequential for SortedSets {
    type State = BTreeMap<u32, i64>;
    type Op = Scored;
    type Ret = Ret;

    fn initial(&self) -> BTreeMap<u32, i64> {
        BTreeMap::new()
    }

    fn apply(&self, set: &mut BTreeMap<u32, i64>, op: &Scored) -> Ret {
        let mut order: Vec<(i64, u32)> = set.iter().map(|(member, score)| (*score, *member)).collect();
        order.sort_unstable();
        let pop = |set: &mut BTreeMap<u32, i64>, popped: Option<&(i64, u32)>| {
            Ret::Pairs(
                popped
                    .map(|(score, member)| {
                        set.remove(member);
                        (*member, *score)
                    })
                    .into_iter()
                    .collect(),
            )
        };
        match *op {
            Scored::Add(member, score) => Ret::Text(Some(
                match set.insert(member, score) {
                    None => "Inserted",
                    Some(old) if old == score => "Unchanged",
                    Some(_) => "Updated",
                }
                .to_owned(),
            )),
            Scored::Incr(member, by) => {
                let score = set.entry(member).or_insert(0);
                *score += by;
                Ret::Number(*score)
            }
            Scored::Score(member) => {
                Ret::Pairs(set.get(&member).map(|score| (member, *score)).into_iter().collect())
            }
            Scored::Rank(member) => {
                let rank = order.iter().position(|(_, held)| *held == member);
                rank.map_or(Ret::Number(-1), length)
            }
            Scored::Remove(member) => Ret::Flag(set.remove(&member).is_some()),
            Scored::PopMin => pop(set, order.first()),
            Scored::PopMax => pop(set, order.last()),
            Scored::Len => length(set.len()),
            Scored::All => Ret::Pairs(order.into_iter().map(|(score, member)| (member, score)).collect()),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "scores are small whole numbers"
)]
fn run_scored(engine: &Engine, key: &str, op: &Scored) -> Ret {
    let set = engine.sorted_set::<u32>(key);
    let pairs = |pairs: Vec<(u32, f64)>| {
        Ret::Pairs(pairs.into_iter().map(|(member, score)| (member, score as i64)).collect())
    };
    match *op {
        Scored::Add(member, score) => {
            ret(set.add(member, score as f64), |added: Added| Ret::Text(Some(format!("{added:?}"))))
        }
        Scored::Incr(member, by) => ret(set.increment(member, by as f64), |score| Ret::Number(score as i64)),
        Scored::Score(member) => {
            ret(set.score(member), |score| pairs(score.map(|score| (member, score)).into_iter().collect()))
        }
        Scored::Rank(member) => ret(set.rank(member), |rank| {
            Ret::Number(rank.map_or(-1, |rank| i64::try_from(rank).unwrap_or(-2)))
        }),
        Scored::Remove(member) => flag(set.remove(member)),
        Scored::PopMin => ret(set.pop_min(), |popped| pairs(popped.into_iter().collect())),
        Scored::PopMax => ret(set.pop_max(), |popped| pairs(popped.into_iter().collect())),
        Scored::Len => count(set.len()),
        Scored::All => ret(set.iter().and_then(|members| members.collect::<Result<Vec<_>, _>>()), pairs),
    }
}

#[test]
fn sorted_sets_are_linearizable() {
    let draw = |dice: &mut Dice, _| {
        let (member, score) = (dice.below(6), i64::from(dice.below(5)));
        match dice.below(14) {
            0 | 1 => Scored::Add(member, score),
            2..=4 => Scored::Incr(member, score - 1),
            5 | 6 => Scored::Score(member),
            7 => Scored::Rank(member),
            8 => Scored::Remove(member),
            9 | 10 => Scored::PopMin,
            11 => Scored::PopMax,
            12 => Scored::Len,
            _ => Scored::All,
        }
    };
    println!("{}", campaign("sorted_sets", SortedSets, draw, run_scored));
}

#[derive(Debug, Clone)]
enum Logged {
    Add(u32),
    Len,
    All,
    Last,
    Remove(u64),
}

/// The clock stands still, so ids count up behind one time. State: the next number, and the entries.
struct Streams;

impl Sequential for Streams {
    type State = (u64, BTreeMap<u64, u32>);
    type Op = Logged;
    type Ret = Ret;

    fn initial(&self) -> Self::State {
        (0, BTreeMap::new())
    }

    fn apply(&self, (next, entries): &mut Self::State, op: &Logged) -> Ret {
        let number = |id: u64| i64::try_from(id).unwrap_or(i64::MAX);
        let pair = |(id, value): (&u64, &u32)| (*value, number(*id));
        match *op {
            Logged::Add(value) => {
                let id = *next;
                entries.insert(id, value);
                *next += 1;
                Ret::Number(number(id))
            }
            Logged::Len => length(entries.len()),
            Logged::All => Ret::Pairs(entries.iter().map(pair).collect()),
            Logged::Last => Ret::Pairs(entries.iter().next_back().map(pair).into_iter().collect()),
            Logged::Remove(id) => Ret::Number(i64::from(entries.remove(&id).is_some())),
        }
    }
}

fn run_stream(engine: &Engine, key: &str, op: &Logged) -> Ret {
    let stream = engine.stream(key);
    let number = |id: StreamId| i64::try_from(id.seq).unwrap_or(i64::MAX);
    let pairs = |entries: larder::StreamEntries, most: usize| {
        let pair = |entry: larder::StreamEntry| {
            let value = entry.fields.get("v").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
            (value.unwrap_or(u32::MAX), number(entry.id))
        };
        Ret::Pairs(entries.take(most).map(pair).collect())
    };
    match *op {
        Logged::Add(value) => ret(stream.add([("v", value.to_string())]), |id| Ret::Number(number(id))),
        Logged::Len => count(stream.len()),
        Logged::All => ret(stream.range(..), |entries| pairs(entries, usize::MAX)),
        Logged::Last => ret(stream.range_reversed(..), |entries| pairs(entries, 1)),
        Logged::Remove(seq) => count(stream.remove([StreamId::new(STOOD_STILL_MS, seq)])),
    }
}

/// The time of a manual clock that nobody moves.
const STOOD_STILL_MS: u64 = 1_704_067_200_000;

#[test]
fn streams_are_linearizable() {
    let draw = |dice: &mut Dice, slot: Slot| match dice.below(8) {
        0..=3 => Logged::Add(slot.unique()),
        4 => Logged::Len,
        5 => Logged::All,
        6 => Logged::Last,
        _ => Logged::Remove(u64::from(dice.below(8))),
    };
    println!("{}", campaign("streams", Streams, draw, run_stream));
}
