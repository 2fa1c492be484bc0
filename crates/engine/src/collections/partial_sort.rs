//! Puts in order only the part of a slice that somebody will look at, and leaves equals in the order in which Redis leaves them.
//!
//! Redis answers "the nearest ten" with a quicksort that skips what lies outside; which of several equals come first then
//! depends on the way that sort takes. This one takes the same way: that of Bentley and McIlroy, "Engineering a sort function"
//! (1993), with the partitions outside of the wanted part left alone.
//!
//! Cost: O(n + k log n) compares as a rule, n items and k wanted; where that is far exceeded, a stable sort of O(n log n) ends
//! it.

use std::cmp::Ordering;
use std::ops::Range;

/// Below this many items it is insertion sort.
const SMALL: usize = 7;
/// From this many items on the pivot is a median of medians.
const LARGE: usize = 40;
/// Rounds over all items after which the input is taken for a hostile one.
const ROUNDS_MAX: usize = 64;

/// Orders the items so that those at `wanted` are what a full sort would put there.
pub(crate) fn sort_part<T>(items: &mut [T], wanted: Range<usize>, compare: impl Fn(&T, &T) -> Ordering) {
    let mut budget = items.len().saturating_mul(ROUNDS_MAX);
    let mut open: Vec<Range<usize>> = Vec::new();
    open.push(0..items.len());
    while let Some(part) = open.pop() {
        if part.len() < SMALL {
            insertion(&mut items[part], &compare);
            continue;
        }
        let Some(left) = budget.checked_sub(part.len()) else {
            items.sort_by(&compare);
            return;
        };
        budget = left;
        let (less, greater) = partition(&mut items[part.clone()], &compare);
        for side in [part.start..part.start + less, part.end - greater..part.end] {
            if side.len() > 1 && side.start < wanted.end && wanted.start < side.end {
                open.push(side);
            }
        }
    }
}

fn insertion<T>(items: &mut [T], compare: &impl Fn(&T, &T) -> Ordering) {
    for end in 1..items.len() {
        let mut at = end;
        while at > 0 && compare(&items[at - 1], &items[at]) == Ordering::Greater {
            items.swap(at - 1, at);
            at -= 1;
        }
    }
}

/// The place of the middle one of three.
fn median<T>(items: &[T], [a, b, c]: [usize; 3], compare: &impl Fn(&T, &T) -> Ordering) -> usize {
    let order = |one: usize, other: usize| compare(&items[one], &items[other]);
    let a_below_c = || order(a, c) == Ordering::Less;
    match order(a, b) {
        Ordering::Less if order(b, c) == Ordering::Less => b,
        Ordering::Less if a_below_c() => c,
        Ordering::Less => a,
        _ if order(b, c) == Ordering::Greater => b,
        _ if a_below_c() => a,
        _ => c,
    }
}

fn pivot<T>(items: &[T], compare: &impl Fn(&T, &T) -> Ordering) -> usize {
    let (count, middle) = (items.len(), items.len() / 2);
    if count == SMALL {
        return middle;
    }
    let (mut low, mut mid, mut high) = (0, middle, count - 1);
    if count > LARGE {
        let step = count / 8;
        low = median(items, [low, low + step, low + 2 * step], compare);
        mid = median(items, [mid - step, mid, mid + step], compare);
        high = median(items, [high - 2 * step, high - step, high], compare);
    }
    median(items, [low, mid, high], compare)
}

/// Moves what is less than a pivot to the front and what is greater to the back; returns how many these are.
fn partition<T>(items: &mut [T], compare: &impl Fn(&T, &T) -> Ordering) -> (usize, usize) {
    let count = items.len();
    let at = pivot(items, compare);
    items.swap(0, at);
    // Equals gather at both ends: [equal | less | open | greater | equal]. `high` and `high_equal` lie one behind.
    let (mut low_equal, mut low, mut high, mut high_equal) = (1, 1, count, count);
    loop {
        while low < high {
            match compare(&items[low], &items[0]) {
                Ordering::Greater => break,
                Ordering::Equal => {
                    items.swap(low_equal, low);
                    low_equal += 1;
                }
                Ordering::Less => {}
            }
            low += 1;
        }
        while low < high {
            match compare(&items[high - 1], &items[0]) {
                Ordering::Less => break,
                Ordering::Equal => {
                    high_equal -= 1;
                    items.swap(high - 1, high_equal);
                }
                Ordering::Greater => {}
            }
            high -= 1;
        }
        if low >= high {
            break;
        }
        items.swap(low, high - 1);
        low += 1;
        high -= 1;
    }
    let (less, greater) = (low - low_equal, high_equal - high);
    swap_ranges(items, 0, low, low_equal.min(less));
    swap_ranges(items, low, count, greater.min(count - high_equal));
    (less, greater)
}

/// Exchanges the `count` items from `from` on with those before `end`.
fn swap_ranges<T>(items: &mut [T], from: usize, end: usize, count: usize) {
    for step in 0..count {
        items.swap(from + step, end - count + step);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_wanted_part_is_as_if_all_were_sorted(
            items in proptest::collection::vec((0_u8..40, any::<u16>()), 0..300), from in 0_usize..300, len in 1_usize..50,
        ) {
            let (mut part, mut whole) = (items.clone(), items);
            sort_part(&mut part, from..from + len, |a, b| a.0.cmp(&b.0));
            whole.sort_by_key(|item| item.0);
            let end = (from + len).min(whole.len());
            for at in from.min(end)..end {
                prop_assert_eq!(part[at].0, whole[at].0);
            }
            part.sort_unstable();
            whole.sort_unstable();
            prop_assert_eq!(part, whole, "nothing is lost");
        }
    }

    #[test]
    fn many_equals_and_sorted_inputs_are_no_trouble() {
        for mut items in [vec![5_u32; 10_000], (0..10_000).collect(), (0..10_000).rev().collect()] {
            let mut whole = items.clone();
            whole.sort_unstable();
            sort_part(&mut items, 0..10, u32::cmp);
            assert_eq!(items[..10], whole[..10]);
        }
    }
}
