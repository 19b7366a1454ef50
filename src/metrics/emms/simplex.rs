//! Quadratic programming on the simplex: minimise f(w) = wᵀMw over {w ≥ 0, Σ wₖ = 1}, for a positive
//! semidefinite M (K, K).
//!
//! An active-set method. On a face, the weights that may be positive, the minimum without the signs
//! is one solve. Where it leaves the simplex, go towards it as far as signs allow and drop the
//! weights that became 0; where it does not, it is the minimum of the face, and of the simplex if
//! every derivative is at least f (the conditions of Karush, Kuhn and Tucker: with g = Mw, gₖ = f
//! where wₖ > 0 and gₖ ≥ f elsewhere); else the weight of the least derivative may become positive.
//! Each face's minimum is lower than the last one's, so no face comes twice.
//!
//! Among several minima on a face, the one nearest to equal weights is returned, so that two
//! identical label views get the same weight. Time K³ a face, and about K faces.

use ndarray::{Array1, Array2, Axis};

use crate::error::Result;
use crate::linalg::lapack::thin_svd;

/// Rounding in the entries of M, relative to the squares that they are differences of.
const NOISE: f64 = 1e-12;

/// The minimum of f.
pub(super) struct Least {
    /// w, (K,).
    pub(super) weights: Array1<f64>,
    /// f(w).
    pub(super) value: f64,
}

/// Minimises f; entries of M are right to rounding of `scale`.
pub(super) fn least_on_simplex(matrix: &Array2<f64>, scale: f64) -> Result<Least> {
    let n_views = matrix.nrows();
    let matrix = matrix / scale;
    let mut weights = Array1::from_elem(n_views, 1.0 / n_views as f64);
    let mut face: Vec<usize> = (0..n_views).collect();
    // Ends long before; the bound is for rounding alone, and any weights on the way are feasible.
    for _ in 0..20 * (n_views + 1) {
        let target = face_minimum(&matrix, &face)?;
        let reach = |(k, t): (&usize, &f64)| {
            if *t < 0.0 { weights[*k] / (weights[*k] - t) } else { f64::INFINITY }
        };
        let step = face.iter().zip(&target).map(reach).fold(f64::INFINITY, f64::min);
        if step < 1.0 {
            for (k, t) in face.iter().zip(&target) {
                let moved = weights[*k] + step * (t - weights[*k]);
                weights[*k] = if moved > f64::EPSILON { moved } else { 0.0 };
            }
            face.retain(|k| weights[*k] > 0.0);
            continue;
        }
        for (k, t) in face.iter().zip(&target) {
            weights[*k] = *t;
        }
        let derivatives = matrix.dot(&weights);
        let value = derivatives.dot(&weights);
        let outside = (0..n_views).filter(|k| !face.contains(k));
        match outside.min_by(|a, b| derivatives[*a].total_cmp(&derivatives[*b])) {
            Some(k) if derivatives[k] < value - NOISE => face.push(k),
            _ => break,
        }
    }
    weights /= weights.sum();
    let value = weights.dot(&matrix.dot(&weights)).max(0.0) * scale;
    Ok(Least { weights, value })
}

/// The minimiser of f over weights on a face that sum to 1, of any sign; (face,).
fn face_minimum(matrix: &Array2<f64>, face: &[usize]) -> Result<Array1<f64>> {
    let equal = 1.0 / face.len() as f64;
    let part = matrix.select(Axis(0), face).select(Axis(1), face);
    // w = equal + y with Σ yₖ = 0, so M and the derivative count without their means.
    let rows = part.sum_axis(Axis(1)) * equal;
    let mean = rows.sum() * equal;
    let derivative = &rows - mean;
    let centred =
        Array2::from_shape_fn(part.dim(), |(i, j)| part[[i, j]] - rows[i] - rows[j] + mean);
    let (_, curvatures, directions) = thin_svd(centred)?;
    let mut y = Array1::<f64>::zeros(face.len());
    for (curvature, direction) in curvatures.iter().zip(directions.rows()) {
        let slope = direction.dot(&derivative);
        // Without curvature and slope, f is constant along it, and y = 0 is nearest to equal
        // weights.
        if *curvature > NOISE || slope.abs() > NOISE {
            // Curvature zero but a slope: a step long enough to reach the boundary.
            y.scaled_add(-slope / curvature.max(NOISE * NOISE), &direction);
        }
    }
    y -= y.sum() * equal;
    Ok(y + equal)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn check(matrix: &Array2<f64>) -> Least {
        let scale = matrix.diag().iter().fold(1e-300_f64, |a, b| a.max(*b));
        let least = least_on_simplex(matrix, scale).unwrap();
        assert!((least.weights.sum() - 1.0).abs() < 1e-14);
        let derivatives = matrix.dot(&least.weights);
        for (w, g) in least.weights.iter().zip(&derivatives) {
            assert!(*w >= 0.0);
            assert!(*g >= least.value - 1e-11 * scale, "{matrix} {derivatives}");
            assert!(*w == 0.0 || *g <= least.value + 1e-9 * scale, "{matrix} {derivatives}");
        }
        least
    }

    #[test]
    fn small_problems_have_their_known_minimum() {
        assert_eq!(check(&array![[3.0]]).weights, array![1.0]);
        let least = check(&array![[1.0, 0.0], [0.0, 3.0]]);
        assert!((&least.weights - &array![0.75, 0.25]).iter().all(|d| d.abs() < 1e-15));
        assert!((least.value - 0.75).abs() < 1e-15);
        // The second view only adds to the first.
        assert_eq!(check(&array![[1.0, 2.0], [2.0, 9.0]]).weights, array![1.0, 0.0]);
    }

    #[test]
    fn equally_good_weights_are_equal() {
        let same = check(&Array2::from_elem((4, 4), 0.3));
        assert!(same.weights.iter().all(|w| (w - 0.25).abs() < 1e-14));
        assert!(
            check(&Array2::zeros((3, 3))).weights.iter().all(|w| (w - 1.0 / 3.0).abs() < 1e-15)
        );
        let one = array![[2.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 1.0]];
        let least = check(&one);
        assert!((least.weights[0] - least.weights[1]).abs() < 1e-14);
    }

    #[test]
    fn many_views_meet_the_conditions() {
        let mut state = 1_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        };
        for n_views in [2, 3, 5, 13, 40] {
            for rank in [1, 2, n_views, n_views + 3] {
                for common in [0.0, 1.0] {
                    let mut root = Array2::zeros((n_views, rank));
                    root.mapv_inplace(|_: f64| uniform() + common);
                    if n_views > 4 {
                        let first = root.row(0).to_owned();
                        root.row_mut(3).assign(&first); // a view given twice
                    }
                    check(&root.dot(&root.t()));
                }
            }
        }
    }
}
