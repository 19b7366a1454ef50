//! exp of many numbers at a time, in vector registers.
//!
//! With x = 2(n ln 2 + r), |r| ≤ ln 2 / 2, exp(x) is the square of 2ⁿ exp(r). The square reaches
//! subnormal results with one rounding. exp(r) is its Taylor polynomial of degree 13, whose remainder is
//! below 5e-18. The relative error is at most 4 ε, and nothing is fused, so that every machine computes
//! the same bits.

use multiversion::multiversion;

/// Below, exp is 0 in float64.
const LEAST: f64 = -760.0;

/// 1/2!, 1/3!, … 1/13!
const COEFFICIENTS: [f64; 12] = [
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5_040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
];

/// Replace every x ≤ 0 by exp(x).
#[multiversion(targets("x86_64+avx2"))]
pub(crate) fn exp_in_place(values: &mut [f64]) {
    for value in values {
        *value = exp(*value);
    }
}

/// Replace every x by exp(x − largest), where no x is larger, and return the sum.
#[multiversion(targets("x86_64+avx2"))]
pub(crate) fn exp_below(largest: f64, values: &mut [f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let mut eights = values.chunks_exact_mut(LANES);
    for eight in &mut eights {
        for lane in 0..LANES {
            eight[lane] = exp(eight[lane] - largest);
            sums[lane] += eight[lane];
        }
    }
    let mut sum: f64 = sums.iter().sum();
    for value in eights.into_remainder() {
        *value = exp(*value - largest);
        sum += *value;
    }
    sum
}

/// The largest of some numbers; −∞ of none.
#[multiversion(targets("x86_64+avx2"))]
pub(crate) fn largest(values: &[f64]) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [f64::NEG_INFINITY; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for values in whole {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f64::NEG_INFINITY, |a, b| a.max(*b))
}

/// exp(x) for x ≤ 0.
#[inline(always)]
#[allow(clippy::inline_always)] // into loops of each instruction set
fn exp(x: f64) -> f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 · 2⁵²: a sum with it has no fraction
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8; // 32 bits: products with n are exact
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const BIAS: u64 = 1023;
    let half = 0.5 * if x < LEAST { LEAST } else { x };
    let rounded = half * std::f64::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (half - n * LN_2_HIGH) - n * LN_2_LOW;
    let tail = COEFFICIENTS.iter().rev().fold(0.0, |sum, c| sum * r + c);
    let scale = f64::from_bits(rounded.to_bits().wrapping_add(BIAS) << 52);
    let root = (1.0 + (r + r * r * tail)) * scale;
    root * root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_standard_library() {
        let mut values: Vec<f64> = (0..30_000).map(|i| -f64::from(i) * 0.023_7).collect();
        values.extend([0.0, -1e-300, -1e-17, -1e-9, -707.9, -708.4]);
        let expected: Vec<f64> = values.iter().map(|x| x.exp()).collect();
        exp_in_place(&mut values);
        for (found, expected) in values.iter().zip(&expected) {
            let subnormal = f64::from_bits(1);
            let error = (found - expected).abs();
            assert!(
                error <= 4.0 * f64::EPSILON * expected + subnormal,
                "{found} is not {expected}"
            );
        }
    }

    #[test]
    #[allow(clippy::float_cmp)] // exact values
    fn its_ends_are_exact() {
        let mut values = [0.0, -0.0, -760.0, -1e5, f64::NEG_INFINITY, f64::NAN];
        exp_in_place(&mut values);
        assert_eq!(values[..5], [1.0, 1.0, 0.0, 0.0, 0.0]);
        assert!(values[5].is_nan());
    }

    #[test]
    #[allow(clippy::float_cmp)] // exact values
    fn sums_and_largest_are_of_all_lengths() {
        assert_eq!(largest(&[]), f64::NEG_INFINITY);
        for n in 1..40 {
            let mut values: Vec<f64> = (0..n).map(|i| 3.0 - f64::from(i) * 0.5).collect();
            let half = values.len() / 2;
            values.rotate_left(half);
            assert_eq!(largest(&values), 3.0);
            let expected: Vec<f64> = values.iter().map(|x| (x - 3.0).exp()).collect();
            let sum = exp_below(3.0, &mut values);
            assert!((sum - expected.iter().sum::<f64>()).abs() < 1e-14);
            values.iter().zip(&expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-15));
        }
    }
}
