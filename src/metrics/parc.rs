//! PARC: Spearman's rank correlation of distances between features with distances between labels.
//!
//! On n rows drawn without repetition, X (n, D) their centred features with thin SVD X = U S Vᵀ,
//! and r = min(components, rank X):
//!
//!   z = U[:, ..r]                          principal components, each of variance 1/n
//!   d(i, j) = 1 − corr(zᵢ, zⱼ)             over the r entries of two rows
//!   l(i, j) = 0 where classes agree, else more
//!   score = 100 · Spearman's ρ of d and l over pairs i < j, ties at the mean of their ranks
//!
//! in [−100, 100]; higher is better. Correlations subtract the mean of a row's components, so their
//! signs matter: as in scikit-learn, the largest loading of each is positive.
//!
//! Source: Bolya, Mittapalli, Hoffman, "Scalable Diverse Model Selection for Accessible Transfer
//! Learning", NeurIPS 2021, section 4; 32 components and 500 rows as there.
//!
//! Departures from the authors' code: an exact SVD instead of one random iteration; components
//! without variance are left out, not scaled up to noise of unit variance; 1 − corr of one-hot rows
//! takes two values exactly, where rounding can order equal ones.
//!
//! Cost: n²D + n² ln n for n rows; n² numbers.

use ndarray::{Array2, s};

use crate::error::{Error, Result};
use crate::input::{Rows, check_finite};
use crate::linalg::blas::{dot, row_gram_add};
use crate::linalg::lapack::thin_svd;
use crate::linalg::memory::{Gather, copied, copied_matrix, reserved, zero_matrix, zeros};
use crate::threads::Context;

use super::{Detail, Inputs, Metric, Needs, OptionReader, Outcome};

pub(super) const METRIC: Metric = Metric {
    name: "parc",
    title: "PARC",
    summary: "rank correlation of distances between features with distances between labels",
    needs: &[Needs::Samples],
    tasks: &["classification"],
    decomposes: false,
    cost: "n^2 D for n = min(N, 500) rows",
    source: "Bolya et al., NeurIPS 2021",
    compute: score,
};

fn score(inputs: &Inputs<'_>, options: OptionReader<'_>, context: &Context<'_>) -> Result<Outcome> {
    let (n_components, max_samples, seed) = options.read(|given| {
        let n_components = given.count("n_components", 2..)?.unwrap_or(32);
        let max_samples = given.count("max_samples", 3..)?.unwrap_or(500);
        Ok((n_components, max_samples, given.count("seed", 0..)?.unwrap_or(0) as u64))
    })?;
    let features = inputs.samples_counted_once("parc")?.features;
    let (codes, _) = inputs.labels()?;
    let rows = drawn(codes.len(), max_samples, seed)?;
    let codes = rows.iter().map(|row| codes[*row]).gathered("the classes of the rows")?;
    check_pairs(&codes)?;
    context.check()?;
    let (mut z, flat) = components(features, &rows, n_components)?;
    let (n, r) = z.dim();
    let z = z.as_slice_mut().ok_or(Error::NoData)?;
    let mut correlations = zeros::<f64>(n * n, "the correlations of rows")?;
    row_gram_add(z, r, 0..r, &mut correlations, context)?;
    context.check()?;
    let value = 100.0 * spearman(&correlations, &codes)?;
    let warnings = if flat == 0 {
        Vec::new()
    } else {
        vec![format!("{flat} row(s) do not vary across components and correlate with none")]
    };
    let details = vec![("n_components", Detail::Number(r as f64)), ("rows", Detail::Counts(rows))];
    Ok(Outcome { details, warnings, ..Outcome::new(value, Vec::new()) })
}

/// `count` of 0..n without repetition, ascending: the head of a Fisher–Yates shuffle by `SplitMix64`
/// (Steele, Lea, Flood, OOPSLA 2014).
fn drawn(n: usize, count: usize, seed: u64) -> Result<Vec<usize>> {
    let mut order = (0..n).gathered("the numbers of the rows")?;
    if count >= n {
        return Ok(order);
    }
    let mut state = seed;
    for i in 0..count {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        let below = (u128::from(word) * (n - i) as u128) >> 64; // the high half of the product
        order.swap(i, i + usize::try_from(below).unwrap_or(0));
    }
    order.truncate(count);
    order.sort_unstable();
    Ok(order)
}

/// Refuses labels of which all pairs agree, or none.
fn check_pairs(codes: &[u32]) -> Result<()> {
    let n = codes.len();
    let mut sorted = copied(codes, "the classes of the rows")?;
    sorted.sort_unstable();
    sorted.dedup();
    let problem = match sorted.len() {
        1 => format!("the {n} rows compared have a single class; give rows of two classes or more"),
        all if all == n => {
            format!("the {n} rows compared have {n} classes; give some class two rows or more")
        }
        _ => return Ok(()),
    };
    Err(Error::metric("parc", problem))
}

/// Principal components of the rows (n, r), each row centred and of length 1, and the number of rows
/// that are zero because they do not vary.
fn components(features: &dyn Rows, rows: &[usize], most: usize) -> Result<(Array2<f64>, usize)> {
    const FLAT: f64 = 1e-12; // of a row's length; components have length 1 over all rows
    let (n, n_cols) = (rows.len(), features.n_cols());
    let mut x = zeros::<f64>(n * n_cols, "the rows compared")?;
    for (x, row) in x.chunks_exact_mut(n_cols).zip(rows) {
        features.read_row(*row, x);
        check_finite("features", *row, x)?;
    }
    let largest = x.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    if largest > 0.0 {
        // Or squares might leave the range of float64, as 1/`largest` does of a subnormal number.
        for x in &mut x {
            *x /= largest;
        }
    }
    let mut x = Array2::from_shape_vec((n, n_cols), x).map_err(|_| Error::NoData)?;
    let first = copied_matrix(x.slice(s![..1, ..]), "a row of features")?;
    x -= &first; // a constant column is exactly zero
    let mut mean = zero_matrix((1, n_cols), "a row of features")?;
    x.rows().into_iter().for_each(|row| mean += &row);
    mean /= n as f64;
    x -= &mean;
    let (u, s, vt) = thin_svd(x)?;
    let tolerance = n.max(n_cols) as f64 * f64::EPSILON * s.first().copied().unwrap_or(0.0);
    let r = s.iter().take_while(|s| **s > tolerance).count().min(most);
    if r < 2 {
        return Err(Error::metric(
            "parc",
            format!(
                "the features vary along {r} direction(s) of {n_cols} (n_components is {most}); \
             correlations between rows need two"
            ),
        ));
    }
    let mut z = copied_matrix(u.slice(s![.., ..r]), "the components of the rows")?;
    for (mut column, loadings) in z.columns_mut().into_iter().zip(vt.rows()) {
        let largest =
            loadings.iter().fold(0.0, |most: f64, v| if v.abs() > most.abs() { *v } else { most });
        if largest < 0.0 {
            column.mapv_inplace(|v| -v);
        }
    }
    let mut flat = 0;
    for mut row in z.rows_mut() {
        let mean = row.sum() / r as f64;
        row -= mean;
        let length = row.dot(&row).sqrt();
        flat += usize::from(length <= FLAT);
        row.mapv_inplace(|v| if length <= FLAT { 0.0 } else { v / length });
    }
    Ok((z, flat))
}

/// Spearman's ρ between 1 − correlation and whether classes differ, over pairs of rows.
fn spearman(correlations: &[f64], codes: &[u32]) -> Result<f64> {
    const TIE: f64 = 1e-12; // smaller differences of neighbours in order are rounding
    let n = codes.len();
    let n_pairs = n * (n - 1) / 2;
    let mut pairs: Vec<(f64, bool)> = reserved(n_pairs, "the pairs of rows")?;
    for i in 0..n {
        for j in i + 1..n {
            pairs.push((1.0 - correlations[i * n + j], codes[i] != codes[j]));
        }
    }
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    // Ranks about their mean; those of the labels have two values.
    let middle = (n_pairs + 1) as f64 / 2.0;
    let differ = pairs.iter().filter(|pair| pair.1).count() as f64;
    let agree = n_pairs as f64 - differ;
    let ranks = [0.5 * (agree + 1.0) - middle, agree + 0.5 * (differ + 1.0) - middle];
    let mut own = reserved(n_pairs, "the ranks of pairs")?;
    let mut labels = reserved(n_pairs, "the ranks of pairs")?;
    let mut start = 0;
    for group in pairs.chunk_by(|a, b| b.0 - a.0 <= TIE) {
        let rank = start as f64 + (group.len() + 1) as f64 / 2.0 - middle;
        start += group.len();
        for (_, differs) in group {
            own.push(rank);
            labels.push(ranks[usize::from(*differs)]);
        }
    }
    let spread = dot(&own, &own) * dot(&labels, &labels);
    if spread == 0.0 {
        let problem = "all pairs of rows correlate equally, so there is no order";
        return Err(Error::metric("parc", problem));
    }
    Ok(dot(&own, &labels) / spread.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_has_distinct_rows_in_order() {
        let drawn = |n, count, seed| drawn(n, count, seed).unwrap();
        let rows = drawn(1000, 100, 7);
        assert!(rows.len() == 100 && rows.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(rows[99] < 1000 && rows != drawn(1000, 100, 8));
        assert_eq!(drawn(5, 9, 0), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn ties_share_the_mean_of_their_ranks() {
        // Rows 0 and 1 agree. Distances of the pairs 01, 02, 12: ranks 1, 2.5, 2.5 and of the
        // labels 1, 2.5, 2.5.
        let correlations = [1.0, 0.9, 0.2, 0.9, 1.0, 0.2, 0.2, 0.2, 1.0];
        assert!((spearman(&correlations, &[0, 0, 1]).unwrap() - 1.0).abs() < 1e-15);
        // Distances 01, 02, 12 ranked 2, 1, 3, labels 1, 2.5, 2.5: ρ = 0.
        let correlations = [1.0, 0.5, 0.9, 0.5, 1.0, 0.1, 0.9, 0.1, 1.0];
        assert!(spearman(&correlations, &[0, 0, 1]).unwrap().abs() < 1e-15);
    }
}
