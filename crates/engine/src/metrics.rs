//! The engine's counters through the `metrics` facade (feature `metrics`).

use crate::engine::Engine;

/// Sets the facade's counters and gauges to the engine's present figures, under `larder_*` names with the label
/// `engine`. Call it as often as your exporter scrapes.
///
/// **Complexity** O(s), s the shards.
///
/// # Examples
/// ```
/// larder::publish_metrics(&larder::Engine::new(), "users");
/// ```
pub fn publish(engine: &Engine, name: &str) {
    let stats = engine.stats();
    let counters = [
        ("larder_hits_total", stats.hits),
        ("larder_misses_total", stats.misses),
        ("larder_loads_total", stats.loads),
        ("larder_load_failures_total", stats.load_failures),
        ("larder_load_waits_total", stats.load_waits),
        ("larder_insertions_total", stats.insertions),
        ("larder_updates_total", stats.updates),
        ("larder_deletions_total", stats.deletions),
        ("larder_expired_total", stats.expired_keys),
        ("larder_evicted_ring_total", stats.evicted_ring),
        ("larder_evicted_main_total", stats.evicted_main),
        ("larder_evicted_policy_total", stats.evicted_policy),
        ("larder_invalidated_total", stats.invalidated),
        ("larder_refused_total", stats.refused),
    ];
    for (metric, value) in counters {
        metrics::counter!(metric, "engine" => name.to_owned()).absolute(value);
    }
    let usage = engine.memory_usage();
    let gauges = [
        ("larder_keys", stats.keys),
        ("larder_volatile_keys", stats.volatile_keys),
        ("larder_bytes_total", usage.total()),
        ("larder_bytes_blobs", usage.blobs),
        ("larder_bytes_objects", usage.objects),
        ("larder_bytes_index", usage.index),
        ("larder_bytes_wheel", usage.wheel),
        ("larder_bytes_eviction", usage.eviction),
        ("larder_expiry_lag_max_milliseconds", stats.expiry_lag_max_ms),
    ];
    for (metric, value) in gauges {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float; beyond 2^53 the low bits do not matter"
        )]
        let value = value as f64;
        metrics::gauge!(metric, "engine" => name.to_owned()).set(value);
    }
}
