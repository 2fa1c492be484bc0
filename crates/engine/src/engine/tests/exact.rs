//! An engine without limits does exactly what the model does.

use proptest::prelude::*;

use super::steps::step;
use super::world::World;
use crate::Engine;

fn run(shards: usize, ordered: bool, steps: &[super::steps::Step]) {
    let mut world = World::new(Engine::builder().shards(shards), ordered, false);
    for step in steps {
        world.run(step);
    }
    world.engine().flush_all().unwrap();
    let left = world.engine().memory_usage();
    assert_eq!((left.blobs, left.objects, left.ordered_index), (0, 0, 0));
    assert_eq!(world.engine().core.freshness.live_tag_sets(), 0, "every set of tags is given back");
}

proptest! {
    #[test]
    fn one_shard_behaves_as_the_model(steps in prop::collection::vec(step(9_000), 1..200)) {
        run(1, true, &steps);
    }

    #[test]
    fn many_shards_behave_as_the_model(steps in prop::collection::vec(step(9_000), 1..200)) {
        run(8, false, &steps);
    }
}
