//! The classic sorted set that larder's is held against: a skip list whose links carry spans, beside a map from member to
//! score, as Redis's `t_zset.c` describes it (Pugh, "A skip list cookbook", 1990, section 3.4).
//!
//! ```text
//! node: score, member, levels: [(next, span)]       span = how many nodes the link passes, so ranks add up on the way
//! ```
//! Nodes lie in one vector and are named by index, so the list owes nothing to an allocator's mood.

use std::collections::HashMap;

const LEVELS_MAX: usize = 32;
const END: u32 = u32::MAX;

#[derive(Debug, Clone)]
struct Node {
    score: f64,
    member: Box<[u8]>,
    links: Vec<Link>,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    next: u32,
    span: u32,
}

/// A sorted set on a skip list with spans.
#[derive(Debug)]
pub struct SpanSkipList {
    nodes: Vec<Node>,
    head: Vec<Link>,
    levels: usize,
    scores: HashMap<Box<[u8]>, f64, foldhash::fast::FixedState>,
    random: u64,
}

impl Default for SpanSkipList {
    fn default() -> Self {
        Self::new()
    }
}

impl SpanSkipList {
    /// Makes an empty one.
    pub fn new() -> Self {
        Self {
            nodes: Vec::new(),
            head: vec![Link { next: END, span: 0 }; LEVELS_MAX],
            levels: 1,
            scores: HashMap::default(),
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The score of a member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Adds a member that is not there yet.
    pub fn insert(&mut self, member: &[u8], score: f64) {
        if self.scores.insert(member.into(), score).is_some() {
            return;
        }
        let mut before = [END; LEVELS_MAX];
        let mut ranks = [0u32; LEVELS_MAX];
        let mut at = END;
        for level in (0..self.levels).rev() {
            ranks[level] = if level + 1 == self.levels { 0 } else { ranks[level + 1] };
            loop {
                let link = self.link(at, level);
                if link.next == END || !self.is_below(link.next, score, member) {
                    break;
                }
                ranks[level] += link.span;
                at = link.next;
            }
            before[level] = at;
        }
        let height = self.height();
        let len = u32::try_from(self.nodes.len()).expect("fewer than 2^32 members");
        for level in self.levels..height {
            ranks[level] = 0;
            before[level] = END;
            self.head[level] = Link { next: END, span: len };
        }
        self.levels = self.levels.max(height);
        let mut links = Vec::with_capacity(height);
        for level in 0..height {
            let old = self.link(before[level], level);
            let passed = ranks[0] - ranks[level];
            links.push(Link { next: old.next, span: old.span.saturating_sub(passed) });
            *self.link_mut(before[level], level) = Link { next: len, span: passed + 1 };
        }
        for (level, &node) in before.iter().enumerate().take(self.levels).skip(height) {
            self.link_mut(node, level).span += 1;
        }
        self.nodes.push(Node { score, member: member.into(), links });
    }

    /// How many members come before this one.
    pub fn rank(&self, member: &[u8]) -> Option<u32> {
        let score = self.score(member)?;
        let (mut at, mut rank) = (END, 0);
        for level in (0..self.levels).rev() {
            loop {
                let link = self.link(at, level);
                if link.next == END || !self.is_below(link.next, score, member) {
                    break;
                }
                rank += link.span;
                at = link.next;
            }
        }
        Some(rank)
    }

    /// The member that `rank` others come before.
    pub fn nth(&self, rank: u32) -> Option<&[u8]> {
        let (mut at, mut left) = (END, rank + 1);
        for level in (0..self.levels).rev() {
            loop {
                let link = self.link(at, level);
                if link.next == END || link.span > left {
                    break;
                }
                left -= link.span;
                at = link.next;
            }
            if left == 0 {
                break;
            }
        }
        (at != END && left == 0).then(|| &*self.nodes[at as usize].member)
    }

    fn link(&self, node: u32, level: usize) -> Link {
        if node == END { self.head[level] } else { self.nodes[node as usize].links[level] }
    }

    fn link_mut(&mut self, node: u32, level: usize) -> &mut Link {
        if node == END { &mut self.head[level] } else { &mut self.nodes[node as usize].links[level] }
    }

    fn is_below(&self, node: u32, score: f64, member: &[u8]) -> bool {
        let node = &self.nodes[node as usize];
        node.score < score || (node.score == score && *node.member < *member)
    }

    /// A height with one in four nodes on the next level.
    fn height(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        1 + (self.random.trailing_zeros() as usize / 2).min(LEVELS_MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_agree_with_a_sorted_vector() {
        let mut list = SpanSkipList::new();
        let mut model = Vec::new();
        for i in 0..2_000u64 {
            let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let member = format!("m{mixed:08x}");
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let score = (mixed % 97) as f64;
            list.insert(member.as_bytes(), score);
            model.push((score, member));
        }
        model.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
        model.dedup();
        assert_eq!(list.len(), model.len());
        for (rank, (score, member)) in model.iter().enumerate() {
            let rank = u32::try_from(rank).expect("small");
            assert_eq!(list.score(member.as_bytes()), Some(*score));
            assert_eq!(list.rank(member.as_bytes()), Some(rank));
            assert_eq!(list.nth(rank), Some(member.as_bytes()));
        }
        assert_eq!(list.nth(list.len() as u32), None);
    }
}
