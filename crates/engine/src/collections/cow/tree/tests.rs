use proptest::prelude::*;

use super::{Leaf, Tree};
use crate::memory::AllocatorModel;

#[derive(Debug, Clone, PartialEq)]
struct Block<const MARKED: bool>(Vec<u64>);

impl<const MARKED: bool> Leaf for Block<MARKED> {
    type Mark = u64;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn mark(&self) -> u64 {
        if MARKED { self.0[0] } else { 0 }
    }

    fn heap_bytes(&self, charge: &mut dyn FnMut(usize)) {
        charge(self.0.capacity() * 8);
    }
}

type Model = Vec<Vec<u64>>;

fn check<const M: bool>(tree: &Tree<Block<M>>, model: &Model) {
    tree.validate();
    assert_eq!(tree.leaf_count(), model.len());
    assert_eq!(tree.len(), model.iter().map(Vec::len).sum::<usize>());
    assert!(tree.leaves(0..usize::MAX).map(|leaf| &leaf.0).eq(model.iter()), "the same leaves, in order");
    assert!(tree.leaves(0..model.len()).rev().map(|leaf| &leaf.0).eq(model.iter().rev()), "backwards");
    assert_eq!(tree.first().map(|leaf| &leaf.0), model.first());
    assert_eq!(tree.last().map(|leaf| &leaf.0), model.last());
    assert_eq!(tree.leaf(model.len()), None);
    assert_eq!(tree.locate(tree.len()), None);
    assert_eq!(tree.is_empty(), model.is_empty());
    if model.is_empty() {
        assert_eq!(tree.charged(), 0, "an empty tree owns nothing");
    }
}

/// Positions, through every way of asking; sampled, because the tree may be large.
fn check_positions<const M: bool>(tree: &Tree<Block<M>>, model: &Model) {
    let step = model.len() / 40 + 1;
    let mut start = 0;
    for (number, leaf) in model.iter().enumerate() {
        if number % step == 0 {
            assert_eq!(tree.start(number), start);
            assert_eq!(tree.locate(start), Some((number, 0)));
            assert_eq!(tree.locate(start + leaf.len() - 1), Some((number, leaf.len() - 1)));
            assert_eq!(tree.leaf(number).map(|leaf| &leaf.0), Some(leaf));
        }
        start += leaf.len();
    }
    assert_eq!(tree.start(model.len()), start);
    let (from, to) = (model.len() / 3, model.len() * 2 / 3);
    let mut both = tree.leaves(from..to);
    let mut met = Vec::new();
    while let Some(front) = both.next() {
        met.push(front.0.clone());
        if let Some(back) = both.next_back() {
            met.push(back.0.clone());
        }
    }
    met.sort();
    let mut expected = model[from..to].to_vec();
    expected.sort();
    assert_eq!(met, expected, "from both ends at once, each leaf once");
}

#[derive(Debug, Clone)]
enum Step {
    /// Many leaves at one place (of 256ths of the tree), before or behind what was put there last.
    Insert {
        at: u8,
        count: u16,
        backwards: bool,
    },
    Front(u16),
    Back(u16),
    Remove {
        at: u8,
        count: u16,
    },
    Edit {
        at: u8,
        len: u8,
    },
    CutAndJoin {
        at: u8,
    },
    Swap {
        at: u8,
    },
    CutFront {
        at: u8,
    },
    CutBack {
        at: u8,
    },
    Double,
    Capture,
    DropCaptures,
}

fn step() -> impl Strategy<Value = Step> {
    let count = prop_oneof![4 => 1..4u16, 3 => 1..60u16, 1 => 300..900u16];
    prop_oneof![
        3 => (any::<u8>(), count.clone(), any::<bool>())
            .prop_map(|(at, count, backwards)| Step::Insert { at, count, backwards }),
        1 => count.clone().prop_map(Step::Front),
        1 => count.clone().prop_map(Step::Back),
        4 => (any::<u8>(), count).prop_map(|(at, count)| Step::Remove { at, count }),
        3 => (any::<u8>(), 0..5u8).prop_map(|(at, len)| Step::Edit { at, len }),
        2 => any::<u8>().prop_map(|at| Step::CutAndJoin { at }),
        2 => any::<u8>().prop_map(|at| Step::Swap { at }),
        1 => any::<u8>().prop_map(|at| Step::CutFront { at: at / 4 }),
        1 => any::<u8>().prop_map(|at| Step::CutBack { at: 255 - at / 4 }),
        1 => Just(Step::Double),
        2 => Just(Step::Capture),
        1 => Just(Step::DropCaptures),
    ]
}

struct World {
    tree: Tree<Block<false>>,
    model: Model,
    captures: Vec<(Tree<Block<false>>, Model)>,
    next: u64,
}

impl World {
    fn block(&mut self) -> Vec<u64> {
        self.next += 1;
        vec![self.next; usize::try_from(self.next % 3 + 1).expect("small")]
    }

    fn place(&self, at: u8) -> usize {
        self.model.len() * usize::from(at) / 255
    }

    fn insert(&mut self, place: usize) {
        let block = self.block();
        self.tree.insert(place, Block(block.clone()));
        self.model.insert(place, block);
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Insert { at, count, backwards } => {
                let mut place = self.place(at);
                for _ in 0..count {
                    self.insert(place);
                    place += usize::from(!backwards);
                }
            }
            Step::Front(count) => (0..count).for_each(|_| self.insert(0)),
            Step::Back(count) => (0..count).for_each(|_| self.insert(self.model.len())),
            Step::Remove { at, count } => {
                let place = self.place(at);
                for _ in 0..count {
                    if self.model.is_empty() {
                        break;
                    }
                    let place = place.min(self.model.len() - 1);
                    assert_eq!(self.tree.remove(place).0, self.model.remove(place));
                }
            }
            Step::Edit { at, len } => {
                let place = self.place(at);
                if place == self.model.len() {
                    return;
                }
                let block = vec![u64::from(len); usize::from(len)];
                let was = self.tree.edit(place, |leaf| std::mem::replace(&mut leaf.0, block.clone()));
                assert_eq!(was, self.model[place]);
                if block.is_empty() {
                    self.model.remove(place);
                } else {
                    self.model[place] = block;
                }
            }
            _ => self.reshape(step),
        }
    }

    fn reshape(&mut self, step: &Step) {
        match *step {
            Step::CutAndJoin { at } => {
                let right = self.tree.split_off(self.place(at));
                self.tree.validate();
                right.validate();
                self.tree.append(right);
            }
            Step::Swap { at } => {
                let place = self.place(at);
                let mut right = self.tree.split_off(place);
                right.append(std::mem::replace(&mut self.tree, Tree::new(AllocatorModel::Glibc)));
                self.tree = right;
                self.model.rotate_left(place);
            }
            Step::CutFront { at } => {
                let place = self.place(at);
                self.tree = self.tree.split_off(place);
                self.model.drain(..place);
            }
            Step::CutBack { at } => {
                let place = self.place(at);
                let mut cut = self.tree.split_off(place);
                self.model.truncate(place);
                let mut before = cut.charged();
                while !cut.free_some(7) {
                    assert!(cut.charged() < before, "every slice frees something");
                    before = cut.charged();
                }
                assert_eq!(cut.charged(), 0);
            }
            Step::Double if self.model.len() < 1_000 => {
                self.tree.append(self.tree.clone());
                self.model.extend_from_within(..);
            }
            Step::Capture => self.captures.push((self.tree.clone(), self.model.clone())),
            Step::DropCaptures => self.captures.clear(),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn it_is_a_vector_of_leaves(steps in prop::collection::vec(step(), 1..40)) {
        let tree = Tree::new(AllocatorModel::Glibc);
        let mut world = World { tree, model: Vec::new(), captures: Vec::new(), next: 0 };
        for step in &steps {
            world.run(step);
            check(&world.tree, &world.model);
            check_positions(&world.tree, &world.model);
        }
        for (tree, model) in &world.captures {
            check(tree, model);
        }
        // Freed while captures live, they stay whole.
        while !world.tree.free_some(50) {}
        for (tree, model) in &world.captures {
            check(tree, model);
            check_positions(tree, model);
        }
    }

    #[test]
    fn a_mark_finds_its_leaf(
        marks in prop::collection::hash_set(1..4_000u64, 1..1_500),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..800),
    ) {
        let (mut tree, mut model) = (Tree::<Block<true>>::new(AllocatorModel::Glibc), Model::new());
        for mark in marks {
            let place = model.partition_point(|leaf| leaf[0] < mark);
            tree.insert(place, Block(vec![mark]));
            model.insert(place, vec![mark]);
        }
        for index in gone {
            if !model.is_empty() {
                let place = index.index(model.len());
                tree.remove(place);
                model.remove(place);
            }
        }
        check(&tree, &model);
        for mark in 0..4_001 {
            prop_assert_eq!(tree.seek(mark), model.partition_point(|leaf| leaf[0] <= mark).checked_sub(1));
        }
    }
}

#[test]
fn pushing_at_an_end_leaves_full_nodes() {
    for front in [false, true] {
        let mut tree = Tree::new(AllocatorModel::Requested);
        for i in 0..20_000 {
            let leaf = Block::<false>(vec![i]);
            if front {
                tree.push_front(leaf);
            } else {
                tree.push_back(leaf);
            }
        }
        tree.validate();
        let leaf = (16 + size_of::<Block<false>>() + 8) as u64;
        let above = (tree.charged() - 20_000 * leaf) / 20_000;
        let child = size_of::<super::Child<Block<false>>>() as u64;
        assert!(above <= child + 6, "{above} bytes a leaf above the leaves");
    }
}

#[test]
fn a_change_after_a_capture_copies_one_path() {
    let mut tree = Tree::new(AllocatorModel::Glibc);
    for i in 0..5_000u64 {
        tree.push_back(Block::<false>(vec![i; 4]));
    }
    let capture = tree.clone();
    tree.edit(2_500, |leaf| leaf.0[0] = 7);
    let shared = (0..5_000).filter(|&at| {
        let (ours, theirs) = (tree.shared(at).expect("a leaf"), capture.shared(at).expect("a leaf"));
        std::sync::Arc::ptr_eq(ours, theirs)
    });
    assert_eq!(shared.count(), 4_999);
    assert_eq!(capture.leaf(2_500).expect("a leaf").0[0], 2_500);
}

#[test]
fn a_shared_tree_is_let_go_at_once() {
    let mut tree = Tree::new(AllocatorModel::Glibc);
    for i in 0..5_000u64 {
        tree.push_back(Block::<false>(vec![i]));
    }
    let capture = tree.clone();
    assert!(tree.free_some(1));
    assert_eq!(capture.len(), 5_000);
    capture.validate();
    let mut capture = capture;
    assert!(!capture.free_some(1));
    let mut slices = 1;
    while !capture.free_some(100) {
        slices += 1;
    }
    assert!((50..60).contains(&slices), "{slices} slices of a hundred nodes");
}
