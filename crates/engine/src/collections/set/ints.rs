//! A sorted array of integers, each of the narrowest width that holds all of them: 2, 4 or 8 bytes.
//!
//! Invariants: I1: it ascends, without duplicates. I2: the width is enough for every number there is; it is not narrowed again
//! when the numbers that needed it go.
//!
//! Cost: search O(log n); insert and remove move what is behind, a few hundred bytes, because its owner keeps it short.

/// The array.
#[derive(Debug, Clone)]
pub(crate) enum Ints {
    Two(Vec<i16>),
    Four(Vec<i32>),
    Eight(Vec<i64>),
}

macro_rules! each {
    ($ints:expr, $numbers:ident => $result:expr) => {
        match $ints {
            Ints::Two($numbers) => $result,
            Ints::Four($numbers) => $result,
            Ints::Eight($numbers) => $result,
        }
    };
}

/// Where a number is, or would be. A number that the width cannot hold is beyond an end.
fn search<N: Copy + Into<i64>>(numbers: &[N], wanted: i64) -> Result<usize, usize> {
    numbers.binary_search_by(|&number| number.into().cmp(&wanted))
}

fn insert_at<N>(numbers: &mut Vec<N>, at: usize, number: N) {
    if numbers.len() == numbers.capacity() {
        numbers.reserve_exact(numbers.len() / 8 + 1);
    }
    numbers.insert(at, number);
}

fn remove_at<N>(numbers: &mut Vec<N>, at: usize) {
    numbers.remove(at);
    if numbers.capacity() > 2 * numbers.len() + 8 {
        numbers.shrink_to_fit();
    }
}

/// The same numbers in another width, with room for one more.
fn widened<N: Copy, W: From<N>>(numbers: &[N]) -> Vec<W> {
    let mut wide = Vec::with_capacity(numbers.len() + numbers.len() / 8 + 1);
    wide.extend(numbers.iter().map(|&number| W::from(number)));
    wide
}

impl Ints {
    pub(super) const fn new() -> Self {
        Self::Two(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        each!(self, numbers => numbers.len())
    }

    pub(super) fn heap_bytes(&self) -> usize {
        fn bytes<N>(numbers: &Vec<N>) -> usize {
            numbers.capacity() * size_of::<N>()
        }
        each!(self, numbers => bytes(numbers))
    }

    pub(super) fn get(&self, index: usize) -> Option<i64> {
        fn at<N: Copy + Into<i64>>(numbers: &[N], index: usize) -> Option<i64> {
            numbers.get(index).map(|&number| number.into())
        }
        each!(self, numbers => at(numbers, index))
    }

    pub(super) fn contains(&self, number: i64) -> bool {
        each!(self, numbers => search(numbers, number).is_ok())
    }

    /// `false` if it was there.
    pub(super) fn insert(&mut self, number: i64) -> bool {
        let Err(at) = each!(self, numbers => search(numbers, number)) else { return false };
        self.widen_for(number);
        match self {
            Self::Two(numbers) => insert_at(numbers, at, i16::try_from(number).expect("I2: it was widened")),
            Self::Four(numbers) => insert_at(numbers, at, i32::try_from(number).expect("I2: it was widened")),
            Self::Eight(numbers) => insert_at(numbers, at, number),
        }
        true
    }

    fn widen_for(&mut self, number: i64) {
        let (two, four) = (i16::try_from(number).is_ok(), i32::try_from(number).is_ok());
        *self = match self {
            Self::Two(numbers) if !two && four => Self::Four(widened(numbers)),
            Self::Two(numbers) if !four => Self::Eight(widened(numbers)),
            Self::Four(numbers) if !four => Self::Eight(widened(numbers)),
            _ => return,
        };
    }

    /// `false` if it was not there.
    pub(super) fn remove(&mut self, number: i64) -> bool {
        each!(self, numbers => match search(numbers, number) {
            Ok(at) => {
                remove_at(numbers, at);
                true
            }
            Err(_) => false,
        })
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self) {
        assert!(each!(self, numbers => numbers.is_sorted_by(|one, next| one < next)), "I1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_follow_the_numbers() {
        let mut ints = Ints::new();
        for (number, width) in [
            (5, 2),
            (-32_768, 2),
            (32_767, 2),
            (32_768, 4),
            (-32_769, 4),
            (i64::from(i32::MIN), 4),
            (i64::from(i32::MAX) + 1, 8),
            (i64::MIN, 8),
            (i64::MAX, 8),
        ] {
            assert!(!ints.contains(number) && ints.insert(number) && !ints.insert(number));
            let found = match ints {
                Ints::Two(_) => 2,
                Ints::Four(_) => 4,
                Ints::Eight(_) => 8,
            };
            assert_eq!(found, width, "{number}");
            ints.validate();
        }
        let all: Vec<i64> = (0..ints.len()).filter_map(|at| ints.get(at)).collect();
        assert_eq!(
            all,
            [
                i64::MIN,
                i64::from(i32::MIN),
                -32_769,
                -32_768,
                5,
                32_767,
                32_768,
                i64::from(i32::MAX) + 1,
                i64::MAX
            ]
        );
        assert!(ints.remove(5) && !ints.remove(5) && !ints.contains(5));
    }

    #[test]
    fn a_number_jumps_two_widths() {
        let mut ints = Ints::new();
        ints.insert(1);
        ints.insert(i64::MAX);
        assert_eq!((ints.get(0), ints.get(1), ints.get(2)), (Some(1), Some(i64::MAX), None));
    }
}
