//! The fair queue: tenants take turns, so one that orders a thousand things at once delays the others by one at a time.
//!
//! ```text
//! q:ring        list of the tenants that have orders; the one whose turn it is stands at its head
//! q:of:tenant   list of a tenant's orders, oldest first
//! ```
//! A worker moves the tenant at the head of the ring to its tail, sleeping while the ring is empty, and takes one of that tenant's
//! orders. A tenant is in the ring exactly while it has orders: it enters with its first one and leaves with its last one.
//!
//! Promise: with t tenants that have orders, each gets every t-th turn. At least once, `finish` says `true` exactly once (see
//! crew.rs). An order that is put back is its tenant's next one.

use std::time::Duration;

use larder::{End, Engine, OpError, Tx};
use serde::{Deserialize, Serialize};

use crate::crew::Crew;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) tenant: String,
    pub(crate) what: String,
}

#[derive(Debug, Clone)]
pub(crate) struct FairQueue {
    engine: Engine,
    name: String,
    ring: String,
    crew: Crew,
}

impl FairQueue {
    pub(crate) fn new(engine: &Engine, name: &str, ttl: Duration) -> Self {
        Self {
            engine: engine.clone(),
            name: name.to_owned(),
            ring: format!("{name}:ring"),
            crew: Crew::new(engine, name, ttl),
        }
    }

    fn orders_of(&self, tenant: &str) -> String {
        format!("{}:of:{tenant}", self.name)
    }

    pub(crate) fn push(&self, tenant: &str, what: &str) -> Result<(), OpError> {
        let order = Order { tenant: tenant.to_owned(), what: what.to_owned() };
        self.engine.transaction([self.ring.clone(), self.orders_of(tenant)], |tx| {
            let orders = tx.list::<Order>(self.orders_of(tenant));
            self.enter(tx, &order, orders.push_back(&order)?)
        })
    }

    /// Puts the tenant of a new order into the ring, if that is its only one.
    fn enter(&self, tx: &Tx<'_>, order: &Order, orders: u64) -> Result<(), OpError> {
        if orders == 1 {
            tx.list::<String>(&self.ring).push_back(&order.tenant)?;
        }
        Ok(())
    }

    /// Takes an order of the tenant whose turn it is, waiting for one if there is none.
    pub(crate) fn take(&self, worker: &str, timeout: Duration) -> Result<Option<Order>, OpError> {
        let ring = self.engine.list::<String>(&self.ring);
        self.crew.until(worker, timeout, |span| {
            while let Some(tenant) = ring.move_blocking(&self.ring, End::Head, End::Tail, Some(span))? {
                // Its last order may have gone to another worker meanwhile; then it is the next one's turn.
                if let Some(order) = self.take_of(worker, &tenant)? {
                    return Ok(Some(order));
                }
            }
            Ok(None)
        })
    }

    fn take_of(&self, worker: &str, tenant: &str) -> Result<Option<Order>, OpError> {
        let keys = [self.ring.clone(), self.orders_of(tenant), self.crew.hand(worker)];
        self.engine.transaction(keys, |tx| {
            let orders = tx.list::<Order>(self.orders_of(tenant));
            let Some(order) = orders.pop_front()? else { return Ok(None) };
            self.crew.give(tx, worker, &order)?;
            if orders.is_empty()? {
                tx.list::<String>(&self.ring).remove(0, tenant)?;
            }
            Ok(Some(order))
        })
    }

    /// Ends an order; `false` if this worker was taken for dead and the order is another's by now.
    pub(crate) fn finish(&self, worker: &str, order: &Order) -> Result<bool, OpError> {
        self.engine.transaction([self.crew.hand(worker)], |tx| self.crew.finish(tx, worker, order))
    }

    /// Puts the orders of dead workers back; returns how many.
    pub(crate) fn reclaim(&self) -> Result<usize, OpError> {
        let tenants = |orders: &[Order]| orders.iter().map(|order| self.orders_of(&order.tenant)).collect();
        let keys = |orders: &[Order]| [tenants(orders), vec![self.ring.clone()]].concat();
        self.crew.reclaim(keys, |tx, order: Order| {
            let orders = tx.list::<Order>(self.orders_of(&order.tenant));
            self.enter(tx, &order, orders.push_front(&order)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use larder_examples::random::Rng;

    use super::*;
    use crate::tests::{TTL, world};

    fn next(queue: &FairQueue) -> Option<String> {
        let order = queue.take("ann", Duration::ZERO).unwrap()?;
        assert_eq!(queue.finish("ann", &order), Ok(true));
        Some(order.what)
    }

    #[test]
    fn a_busy_tenant_delays_others_by_one_order_at_a_time() {
        let (_clock, engine) = world();
        let queue = FairQueue::new(&engine, "q", TTL);
        for number in 0..1_000 {
            queue.push("busy", &format!("busy {number}")).unwrap();
        }
        queue.push("calm", "calm 0").unwrap();
        queue.push("rare", "rare 0").unwrap();
        queue.push("calm", "calm 1").unwrap();
        let first: Vec<_> = (0..6).map_while(|_| next(&queue)).collect();
        assert_eq!(first, ["busy 0", "calm 0", "rare 0", "busy 1", "calm 1", "busy 2"]);
        let rest = std::iter::from_fn(|| next(&queue)).count();
        assert_eq!(rest, 997);
        assert_eq!(engine.exists(&queue.ring), Ok(false));
    }

    #[test]
    fn the_order_of_a_killed_worker_is_its_tenants_next_one() {
        let (clock, engine) = world();
        let queue = FairQueue::new(&engine, "q", TTL);
        queue.push("a", "a 0").unwrap();
        let killed = thread::spawn({
            let queue = queue.clone();
            move || {
                let _order = queue.take("zoe", TTL).unwrap().unwrap();
                panic!("killed in the middle of its job (this panic is part of the test)");
            }
        });
        assert!(killed.join().is_err());
        // Its tenant had left the ring with its last order; it enters again.
        assert_eq!(next(&queue), None);
        clock.advance(TTL);
        assert_eq!(queue.reclaim(), Ok(1));
        queue.push("a", "a 1").unwrap();
        queue.push("b", "b 0").unwrap();
        let order: Vec<_> = std::iter::from_fn(|| next(&queue)).collect();
        assert_eq!(order, ["a 0", "b 0", "a 1"]);
    }

    #[test]
    fn no_order_is_lost_or_doubled_between_workers_and_the_ring_is_exact() {
        const ORDERS: usize = 400;
        let engine = Engine::new();
        let queue = FairQueue::new(&engine, "q", Duration::from_secs(300));
        let mut done: Vec<String> = thread::scope(|scope| {
            let workers: Vec<_> = (0..3)
                .map(|number| {
                    let queue = &queue;
                    scope.spawn(move || {
                        let worker = number.to_string();
                        let mut done = Vec::new();
                        while let Some(order) = queue.take(&worker, Duration::from_secs(60)).unwrap() {
                            assert_eq!(queue.finish(&worker, &order), Ok(true));
                            if order.tenant == "stop" {
                                return done;
                            }
                            done.push(order.what);
                        }
                        panic!("slept for a minute beside work");
                    })
                })
                .collect();
            let mut random = Rng::new(1);
            for number in 0..ORDERS {
                queue.push(&random.below(5).to_string(), &format!("{number:03}")).unwrap();
            }
            // Fair as it is, the stop orders would overtake: wait for the others.
            while !engine.keys("q:of:*").unwrap().is_empty() {
                thread::yield_now();
            }
            (0..3).for_each(|_| queue.push("stop", "stop").unwrap());
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        done.sort_unstable();
        assert!(done.iter().cloned().eq((0..ORDERS).map(|number| format!("{number:03}"))));
        assert_eq!(engine.exists(&queue.ring), Ok(false));
    }
}
