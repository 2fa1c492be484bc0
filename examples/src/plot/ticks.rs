//! Where an axis has its ticks, and how a tick is written.

/// Returns round numbers within `low..=high`, about `wanted` of them, and the distance between them.
pub(super) fn linear(low: f64, high: f64, wanted: u32) -> (Vec<f64>, f64) {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return (vec![low], 1.0);
    }
    let raw = span / f64::from(wanted.max(1));
    let decade = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * decade).find(|&step| step >= raw * 0.999);
    let step = step.unwrap_or(decade * 10.0);
    let mut ticks = Vec::new();
    // Multiples of the step, not a running sum: a sum would drift away from round numbers.
    let mut multiple = (low / step - 1e-9).ceil();
    while multiple * step <= high + step * 1e-9 {
        ticks.push(multiple * step);
        multiple += 1.0;
    }
    (ticks, step)
}

/// Returns the powers of ten within `low..=high`.
pub(super) fn decades(low: f64, high: f64) -> Vec<f64> {
    let mut ticks = Vec::new();
    let mut exponent = (low.log10() - 1e-9).ceil();
    while exponent <= high.log10() + 1e-9 {
        ticks.push(10_f64.powf(exponent));
        exponent += 1.0;
    }
    ticks
}

/// Writes a tick with as many decimals as the distance to its neighbour needs.
pub(super) fn label(tick: f64, step: f64) -> String {
    let mut decimals = 0_usize;
    let mut rest = step.abs();
    while rest > 0.0 && (rest - rest.round()).abs() > 1e-6 && decimals < 9 {
        rest *= 10.0;
        decimals += 1;
    }
    // `-0` is not a label.
    let tick = if tick.abs() < step * 1e-6 { 0.0 } else { tick };
    format!("{tick:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::{decades, label, linear};

    #[test]
    fn linear_ticks_are_round_and_inside() {
        assert_eq!(linear(0.0, 1.0, 5).0, [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(linear(0.0, 13.4, 7).0, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
        assert_eq!(linear(-3.0, 3.0, 3).0, [-2.0, 0.0, 2.0]);
        assert_eq!(linear(5.0, 5.0, 3).0, [5.0]);
    }

    #[test]
    fn decades_are_the_powers_of_ten_inside() {
        assert_eq!(decades(1.0, 1_000.0), [1.0, 10.0, 100.0, 1_000.0]);
        assert_eq!(decades(2.0, 99.0), [10.0]);
    }

    #[test]
    fn labels_have_the_decimals_they_need() {
        assert_eq!(
            [label(0.6000000000000001, 0.2), label(10.0, 5.0), label(0.25, 0.05)],
            ["0.6", "10", "0.25"]
        );
        assert_eq!(label(-0.0, 0.5), "0.0");
    }
}
