//! NCTI: closeness of the features to neural collapse, in three parts.
//!
//! On the first q = min(components, rank) principal components Z (N, q) of the features, with linear
//! discriminants (`discriminant.rs`) of shrinkage s = exp(−Σ of the first 32 variances, divided by
//! N − 1), or by whitening where s ≤ 1e-10:
//!
//!   a = ‖Z A‖_*             A (q, C − 1) the discriminants: how far the features spread
//!   b = (1/N) Σ p(yᵢ | zᵢ)  the classifier's mean posterior
//!   c = ln Σ_c ‖P_c‖_*      P_c the posteriors of the rows of class c: the variation within classes
//!
//! The score is m(a) + m(b) − m(c), where m scales to [0, 1] over the models that are compared; so
//! one model has parts and no value, which is NaN here. ‖·‖_* sums singular values.
//!
//! Source: Wang et al., "How Far Pre-trained Models Are from Neural Collapse on the Target Dataset
//! Informs their Transferability", ICCV 2023; shrinkage and its two cases from the authors' code.
//!
//! Cost beside the decomposition: N·D·q for the components, N·C·min(n_c, C) for c; N q + n_c C numbers.

mod discriminant;

use ndarray::Array2;

use crate::decomp::{Prepared, Side, rounding_noise};
use crate::error::{Error, Result};
use crate::input::Rows;
use crate::linalg::blas::{axpy, dot, matrix_product, product_into, row_gram_add};
use crate::linalg::lapack::{TridiagonalForm, row_coordinates, singular_values};
use crate::linalg::memory::{Gather, append, copied, reserved, zeros};
use crate::stats::Second;
use crate::threads::Context;

use super::{Detail, Inputs, Metric, Needs, OptionReader, Outcome};
use discriminant::Discriminant;

pub(super) const METRIC: Metric = Metric {
    name: "ncti",
    title: "NCTI",
    summary: "closeness to neural collapse, scaled over the models of a ranking",
    needs: &[Needs::Stats, Needs::Samples],
    tasks: &["classification"],
    decomposes: true,
    cost: "N D min(N, D) + min(N, D)^3 + N C^2",
    source: "Wang et al., ICCV 2023",
    compute: score,
};

/// Rows of one parallel task of the second pass.
const RUN: usize = 512;

const ORDER: &str = "the rows by class";
const POSTERIORS: &str = "the posteriors of a class";

fn score(inputs: &Inputs<'_>, options: OptionReader<'_>, context: &Context<'_>) -> Result<Outcome> {
    const LEAST: f64 = 1e-10;
    const SHRINKING: usize = 32;
    let most = options.read(|given| given.count("n_components", 1..))?.unwrap_or(64);
    let (codes, n_classes) = inputs.labels()?;
    if n_classes < 2 {
        return Err(failed("labels hold a single class; give rows of two classes or more"));
    }
    let (prepared, samples) = (inputs.prepared()?, inputs.samples_counted_once("ncti")?);
    prepared.stats.check_samples(samples)?;
    let (z, values) = components(prepared, samples.features, most, context)?;
    let n = z.nrows();
    let variance = values.iter().take(SHRINKING).sum::<f64>() / (n - 1) as f64;
    let shrinkage = Some((-variance).exp()).filter(|s| *s > LEAST);
    let lda = Discriminant::new(&z, &codes, n_classes, shrinkage, context)?;
    context.check()?;
    let along = matrix_product(z.view(), lda.directions.view(), "the directions of a classifier")?;
    let spread = nuclear_norm(along)?;
    let (right, within) = of_classes(&z, &codes, n_classes, &lda, context)?;
    let details = vec![
        ("spread", Detail::Number(spread)),
        ("posterior", Detail::Number(right / n as f64)),
        ("within", Detail::Number(within.ln())),
        ("shrinkage", Detail::Number(shrinkage.unwrap_or(0.0))),
    ];
    Ok(Outcome::of_parts(details))
}

fn failed(problem: &str) -> Error {
    Error::metric("ncti", problem)
}

/// The sum of the posteriors of the rows' own classes, and Σ_c ‖P_c‖_*, for Z (N, q): some classes at a
/// time, so that P (N, C) is never held.
fn of_classes(
    z: &Array2<f64>,
    codes: &[u32],
    n_classes: usize,
    lda: &Discriminant,
    context: &Context<'_>,
) -> Result<(f64, f64)> {
    let q = z.ncols();
    let z = z.as_slice().ok_or(Error::NoData)?;
    let columns = lda.columns()?;
    let mut rows = (0..codes.len()).gathered(ORDER)?;
    rows.sort_unstable_by_key(|i| (codes[*i], *i));
    let same = rows.chunk_by(|a, b| codes[*a] == codes[*b]).gathered(ORDER)?;
    let runs = runs_of(&same)?;
    let sums = context.map(runs.len(), |run| {
        let classes = &same[runs[run].clone()];
        let n_rows = classes.iter().map(|rows| rows.len()).sum::<usize>();
        let mut own = reserved(n_rows * q, "the rows of a class")?;
        for i in classes.iter().flat_map(|rows| *rows) {
            own.extend_from_slice(&z[i * q..(i + 1) * q]);
        }
        let mut p = zeros::<f64>(n_rows * n_classes, POSTERIORS)?;
        lda.posterior(&own, &columns, &mut p);
        let (mut right, mut norm) = (0.0, 0.0);
        for rows in classes.iter().rev() {
            context.check()?;
            let rest = p.len() - rows.len() * n_classes;
            let own =
                if rest == 0 { std::mem::take(&mut p) } else { copied(&p[rest..], POSTERIORS)? };
            p.truncate(rest);
            let class = codes[rows[0]] as usize;
            right += own.iter().skip(class).step_by(n_classes).sum::<f64>();
            norm += nuclear_norm_of_rows(own, n_classes, context)?;
        }
        Ok((right, norm))
    })?;
    Ok(sums.iter().fold((0.0, 0.0), |total, sum| (total.0 + sum.0, total.1 + sum.1)))
}

/// Runs of classes of some tens of rows together: products of more rows read the weights less often.
fn runs_of(classes: &[&[usize]]) -> Result<Vec<std::ops::Range<usize>>> {
    const ROWS: usize = 32;
    let (mut runs, mut start, mut n_rows) = (Vec::new(), 0, 0);
    for (class, rows) in classes.iter().enumerate() {
        n_rows += rows.len();
        if n_rows >= ROWS || class + 1 == classes.len() {
            append(&mut runs, start..class + 1, ORDER)?;
            (start, n_rows) = (class + 1, 0);
        }
    }
    Ok(runs)
}

/// ‖P‖_* of row-major rows: that of their coordinates along a basis, where they are fewer than the
/// columns.
fn nuclear_norm_of_rows(rows: Vec<f64>, n_cols: usize, context: &Context<'_>) -> Result<f64> {
    let n_rows = rows.len() / n_cols;
    if n_rows == 1 {
        return Ok(dot(&rows, &rows).sqrt());
    }
    let (rows, width) = if n_rows < n_cols {
        (row_coordinates(rows, n_cols, context)?, n_rows)
    } else {
        (rows, n_cols)
    };
    nuclear_norm(Array2::from_shape_vec((n_rows, width), rows).map_err(|_| Error::NoData)?)
}

fn nuclear_norm(a: Array2<f64>) -> Result<f64> {
    Ok(singular_values(a)?.iter().sum())
}

/// Principal components (N, q) of the centred features, and their sums of squares, descending.
fn components(
    prepared: &Prepared<'_>,
    features: &dyn Rows,
    most: usize,
    context: &Context<'_>,
) -> Result<(Array2<f64>, Vec<f64>)> {
    let stats = prepared.stats;
    let offset = stats.mean_about_shift()?;
    let (n, d) = (features.n_rows(), features.n_cols());
    let (values, z) = if let Second::Rows { values, .. } = &stats.second {
        let mut x = copied(values, "the centred rows")?;
        for row in x.chunks_exact_mut(d) {
            axpy(-1.0, &offset, row);
        }
        let mut gram = zeros::<f64>(n * n, "the products of rows")?;
        row_gram_add(&x, d, 0..d, &mut gram, context)?;
        // Centred rows vary along n − 1 directions at most; rounding may show one more.
        let (values, vectors) =
            TridiagonalForm::reduce(gram, n, context)?.largest(most.min(n - 1), context)?;
        let relative = (n as f64 * f64::EPSILON).max(4.0 * rounding_noise(stats, d));
        let noise = relative * values.first().copied().unwrap_or(0.0);
        let values = above(values, noise)?;
        let root = |i: usize, k: usize| vectors[k * n + i] * values[k].sqrt();
        let mut z = reserved(n * values.len(), "the principal components")?;
        (0..n).for_each(|i| z.extend((0..values.len()).map(|k| root(i, k))));
        (values, z)
    } else {
        let decomp = prepared.decomp(context)?;
        if decomp.side != Side::Primal {
            return Err(Error::NoData);
        }
        let (values, vectors) = decomp.form.largest(most.min(d), context)?;
        let values = above(values, decomp.noise)?;
        let q = values.len();
        let mut directions = reserved(d * q, "the principal directions")?;
        (0..d).for_each(|j| directions.extend((0..q).map(|k| vectors[k * d + j])));
        let mut z = zeros::<f64>(n * q, "the principal components")?;
        context.for_each_chunk(&mut z, RUN * q, |run, z| {
            let mut x = zeros::<f64>(z.len() / q * d, "rows of features")?;
            for (i, row) in x.chunks_exact_mut(d).enumerate() {
                features.read_row(run * RUN + i, row);
                axpy(-1.0, &stats.shift, row);
                axpy(-1.0, &offset, row);
            }
            product_into(&x, &directions, z, z.len() / q, q);
            Ok(())
        })?;
        (values, z)
    };
    let z = Array2::from_shape_vec((n, values.len()), z).map_err(|_| Error::NoData)?;
    Ok((z, values))
}

/// The values above rounding noise.
fn above(mut values: Vec<f64>, noise: f64) -> Result<Vec<f64>> {
    values.retain(|value| *value > noise);
    if values.is_empty() {
        return Err(failed("the features do not vary"));
    }
    Ok(values)
}
