//! Loops over a row of features, with lanes side by side: one step need not wait for the last.
//!
//! Nothing is fused, and sums are added in one order, so that every machine computes the same bits.

use multiversion::multiversion;

const LANES: usize = 16;

/// `x −= shift`. Returns the largest magnitude, or NaN if a value is not finite.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn centre(x: &mut [f64], shift: &[f64]) -> f64 {
    let (mut largest, mut probe) = ([0.0_f64; LANES], [0.0_f64; LANES]);
    let (whole, rest) = x.split_at_mut(x.len() - x.len() % LANES);
    for (x, s) in whole.chunks_exact_mut(LANES).zip(shift.chunks_exact(LANES)) {
        for i in 0..LANES {
            x[i] -= s[i];
            probe[i] += x[i] * 0.0; // NaN for infinities too
            let size = x[i].abs();
            largest[i] = if size > largest[i] { size } else { largest[i] };
        }
    }
    for (i, (x, s)) in rest.iter_mut().zip(&shift[whole.len()..]).enumerate() {
        *x -= s;
        probe[i] += *x * 0.0;
        largest[i] = largest[i].max(x.abs());
    }
    if probe.iter().sum::<f64>().is_nan() {
        return f64::NAN;
    }
    largest.iter().fold(0.0, |a: f64, b| a.max(*b))
}

/// Σ x².
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn sum_of_squares(x: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().map(|x| x * x).sum();
    for x in chunks {
        for i in 0..LANES {
            sums[i] += x[i] * x[i];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// `y += factor · x`.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn add_scaled(factor: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

/// `y = factors · x` in float32; whether no magnitude of x is above its limit.
#[multiversion(targets("x86_64+avx2"))]
#[allow(clippy::cast_possible_truncation)] // the point of single precision
pub(super) fn narrow(x: &[f64], (factors, limits): (&[f64], &[f64]), y: &mut [f32]) -> bool {
    let mut fits = true;
    for (((y, x), factor), limit) in y.iter_mut().zip(x).zip(factors).zip(limits) {
        *y = (factor * x) as f32;
        fits &= x.abs() <= *limit;
    }
    fits
}

/// `y += f₀ f · x` for factors f and x in float32.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn add_widened(factors: &[f64], x: &[f32], y: &mut [f64]) {
    let Some(first) = factors.first() else { return };
    for ((y, x), factor) in y.iter_mut().zip(x).zip(factors) {
        *y += first * factor * f64::from(*x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp)] // small whole numbers are exact
    fn rows_of_every_length() {
        for n in 0..70 {
            let mut x: Vec<f64> = (0..n).map(|i| f64::from(i % 7 - 3)).collect();
            let expected: Vec<f64> = x.iter().map(|x| x - 2.0).collect();
            let largest = expected.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
            let shift = vec![2.0; x.len()];
            assert_eq!(centre(&mut x, &shift), largest);
            assert_eq!(x, expected);
            assert_eq!(sum_of_squares(&x), expected.iter().map(|x| x * x).sum::<f64>());
            let mut y = expected.clone();
            add_scaled(3.0, &x, &mut y);
            assert!(y.iter().zip(&expected).all(|(y, x)| *y == 4.0 * x));
            let mut half = vec![0.0_f32; x.len()];
            let (halves, limits) = (vec![0.5; x.len()], vec![4.0; x.len()]);
            assert!(narrow(&x, (&halves, &limits), &mut half) == (largest <= 4.0));
            add_widened(&vec![2.0; x.len()], &half, &mut y);
            assert!(y.iter().zip(&expected).all(|(y, x)| *y == 6.0 * x));
            for (i, bad) in (0..x.len()).zip([f64::NAN, f64::INFINITY].into_iter().cycle()) {
                let (mut x, shift) = (expected.clone(), vec![1.0; expected.len()]);
                x[i] = bad;
                assert!(centre(&mut x, &shift).is_nan());
            }
        }
    }
}
