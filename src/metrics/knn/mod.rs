//! Leave-one-out accuracy, or R², of k nearest neighbours.
//!
//! For row i with the k nearest other rows n(i) at distances d, Euclidean or 1 − cos:
//!
//!   ŷᵢ = the commonest class among n(i);   score = (1/N) Σᵢ [ŷᵢ = yᵢ]   in [0, 1]
//!   targets y (N, K):  ŷᵢ = mean of y over n(i);   score = mean over K of 1 − Σ(y − ŷ)²/Σ(y − ȳ)²
//!
//! Higher is better. Classes that are equally common go by the smaller sum of their distances, then
//! by order; rows that are equally far by their number. Labels in 0/1 columns are voted column by
//! column and averaged.
//!
//! With the option `leave_out` = "group", n(i) are the k nearest rows of other groups.
//!
//! Source: Cover, Hart, "Nearest Neighbor Pattern Classification", IEEE Trans. Inf. Theory 1967; as a
//! score of transferability Sorkhei et al., "k-NN as a Simple and Effective Estimator of
//! Transferability", arXiv 2503.18528, 2025.
//!
//! With the option `influence`, classes also give the influence of every row j on the score:
//!
//!   `hit_j` − score + ½ Σᵢ (`hit_i` − `hit_i` with the next neighbour in place of j)
//!
//! over the rows i with j among their neighbours. The factor ½ is empirical, because the score is
//! not a sum over rows: in simulations the whole term (the jackknife) gave 1.5 to 1.9 times the
//! true standard error, without the term it was 0.7 to 0.9 times, and with half of it 1.0 to 1.3
//! times.
//!
//! Cost: `search.rs`.

mod measure;
mod panel;
mod search;

use ndarray::ArrayView2;

use crate::error::{Error, Result};
use crate::linalg::memory::{Gather, filled, reserved};
use crate::threads::Context;

use super::centred::lone_samples;
use super::left_out::{GroupScores, LeaveOut, RowGroups};
use super::{Detail, Inputs, Metric, Needs, OptionReader, Outcome};
use measure::{Measure, Others};
use search::search;

const SCORES: &str = "the scores of the targets";

pub(super) const METRIC: Metric = Metric {
    name: "knn",
    title: "k-NN",
    summary: "leave-one-out accuracy (or R²) of k nearest neighbours",
    needs: &[Needs::Samples],
    tasks: &["classification", "regression", "multilabel"],
    decomposes: false,
    cost: "N^2 D",
    source: "Cover and Hart, 1967; Sorkhei et al., 2025",
    compute: score,
};

/// The options.
struct Knn {
    /// The number of neighbours.
    k: usize,
    /// Distances 1 − cos instead of Euclidean.
    cosine: bool,
    /// Vote on 0/1 targets instead of averaging them.
    vote: bool,
    with_influence: bool,
    leave_out: LeaveOut,
}

fn score(inputs: &Inputs<'_>, options: OptionReader<'_>, context: &Context<'_>) -> Result<Outcome> {
    let Knn { k, cosine, vote, with_influence, leave_out } = options.read(|given| {
        Ok(Knn {
            k: given.count("k", 1..)?.unwrap_or(5),
            cosine: given.flag("cosine")?,
            vote: given.flag("vote")?,
            with_influence: given.flag("influence")?,
            leave_out: LeaveOut::read(given)?,
        })
    })?;
    let features = inputs.samples_counted_once("knn")?.features;
    let n_rows = features.n_rows();
    let all = (0..n_rows).gathered("the numbers of the rows")?;
    let groups = leave_out.groups("knn", inputs, &all)?;
    let n_others = n_rows.saturating_sub(groups.as_ref().map_or(1, RowGroups::largest));
    if k > n_others {
        let who = match &groups {
            None => format!("each row has {n_others} other rows"),
            Some(_) => format!("the rows of the largest group have {n_others} in other groups"),
        };
        let problem = format!("k is {k}, and {who}; give k of at most {n_others}");
        return Err(Error::metric("knn", problem));
    }
    let measure = Measure::new(features, cosine, context)?;
    let others = Others { groups: groups.as_ref().map(|groups| &*groups.codes) };
    let near = search(features, (k, others), &measure, context)?;
    let mut warnings = Vec::new();
    if near.iter().all(|(distance, _)| *distance <= 0.0) {
        warnings.push(
            "every row coincides with its neighbours, which are then chosen by their number: the \
             score says nothing about the features"
                .to_owned(),
        );
    }
    let mut details = Vec::new();
    let summed = leave_out.scored(groups.as_ref());
    let ((value, per_target), parts) = match inputs.targets() {
        Ok(targets) if vote => {
            let mut parts = GroupScores::new(summed, targets.ncols(), false)?;
            let columns = targets.columns().into_iter().enumerate().map(|(at, column)| {
                let codes = column.iter().map(|y| u32::from(*y > 0.5));
                let codes = codes.gathered("the classes of the rows")?;
                let right = right(&near, &codes, k)?;
                for (row, right) in right.iter().enumerate() {
                    parts.add_vote(row, at, 1.0, *right);
                }
                Ok(right.iter().filter(|right| **right).count() as f64 / n_rows as f64)
            });
            (mean_of(columns.gathered_ok(SCORES)?), parts)
        }
        Ok(targets) => {
            let mut parts = GroupScores::new(summed, targets.ncols(), true)?;
            (mean_of(explained(&near, targets, k, &mut parts)?), parts)
        }
        Err(_) => {
            let (codes, n_classes) = inputs.labels()?;
            let right = right(&near, &codes, k)?;
            if with_influence && k < n_others {
                let wide = search(features, (k + 1, others), &measure, context)?;
                let moved = influence(&wide, &codes, &right, k)?;
                details.push(("influence", Detail::Numbers(moved)));
            }
            let mut counts = filled((0.0, 0.0), n_classes, SCORES)?;
            for (code, right) in codes.iter().zip(&right) {
                counts[*code as usize].0 += f64::from(u8::from(*right));
                counts[*code as usize].1 += 1.0;
            }
            if n_classes == 1 {
                let text = "the labels hold a single class, so that every vote is right";
                warnings.push(text.to_owned());
            }
            let effect = "for which no vote can be right";
            warnings.extend(match &groups {
                None => {
                    let sizes = counts.iter().map(|count| count.1).gathered(SCORES)?;
                    lone_samples(&sizes, effect)
                }
                Some(groups) => groups.lone_classes(&codes, n_classes, effect)?,
            });
            let mut parts = GroupScores::new(summed, n_classes, false)?;
            for (row, (code, right)) in codes.iter().zip(&right).enumerate() {
                parts.add_vote(row, *code as usize, 1.0, *right);
            }
            let all: f64 = counts.iter().map(|count| count.0).sum();
            let shares = counts.iter().map(|(right, all)| right / all).gathered(SCORES)?;
            ((all / n_rows as f64, shares), parts)
        }
    };
    details.extend(parts.into_detail()?);
    Ok(Outcome { details, warnings, ..Outcome::new(value, per_target) })
}

fn mean_of(parts: Vec<f64>) -> (f64, Vec<f64>) {
    (parts.iter().sum::<f64>() / parts.len() as f64, parts)
}

/// Whether each row's neighbours vote for its own class.
fn right(near: &[(f64, u32)], codes: &[u32], k: usize) -> Result<Vec<bool>> {
    let mut votes = reserved(k, "the votes of the rows")?;
    near.chunks_exact(k)
        .zip(codes)
        .map(|(near, code)| elected(near, codes, &mut votes) == Some(*code))
        .gathered("the votes of the rows")
}

/// The class that neighbours vote for.
fn elected(near: &[(f64, u32)], codes: &[u32], votes: &mut Vec<(u32, usize, f64)>) -> Option<u32> {
    votes.clear();
    for (far, row) in near {
        let code = codes[*row as usize];
        match votes.iter_mut().find(|vote| vote.0 == code) {
            Some(vote) => {
                vote.1 += 1;
                vote.2 += far;
            }
            None => votes.push((code, 1, *far)),
        }
    }
    let best =
        votes.iter().min_by(|a, b| b.1.cmp(&a.1).then(a.2.total_cmp(&b.2)).then(a.0.cmp(&b.0)));
    best.map(|vote| vote.0)
}

/// The influence of each row: its own hit less the mean, and half of the hits that it decides as a
/// neighbour; from the k + 1 nearest of each row.
fn influence(wide: &[(f64, u32)], codes: &[u32], right: &[bool], k: usize) -> Result<Vec<f64>> {
    let hit = |right: bool| f64::from(u8::from(right));
    let mean = right.iter().map(|right| hit(*right)).sum::<f64>() / right.len() as f64;
    let moved = right.iter().map(|right| hit(*right) - mean);
    let mut moved = moved.gathered("the influences of the rows")?;
    let mut near = reserved(k, "the votes of the rows")?;
    let mut votes = reserved(k, "the votes of the rows")?;
    for (i, wide) in wide.chunks_exact(k + 1).enumerate() {
        for (place, (_, left_out)) in wide[..k].iter().enumerate() {
            near.clear();
            near.extend(wide.iter().enumerate().filter(|(j, _)| *j != place).map(|(_, n)| *n));
            let still = elected(&near, codes, &mut votes) == Some(codes[i]);
            moved[*left_out as usize] += (hit(right[i]) - hit(still)) / 2.0;
        }
    }
    Ok(moved)
}

/// R² of the neighbours' mean, for each target; adds the rows to the scores of their groups.
fn explained(
    near: &[(f64, u32)],
    targets: ArrayView2<'_, f64>,
    k: usize,
    parts: &mut GroupScores<'_>,
) -> Result<Vec<f64>> {
    let one = |(column, y): (usize, ndarray::ArrayView1<'_, f64>)| {
        let first = y[0];
        if y.iter().all(|y| (y - first).abs() <= 0.0) {
            return Err(Error::metric(
                "knn",
                format!(
                    "target column {column} is constant ({first:?}), so it has no variance to explain; \
                 drop the column"
                ),
            ));
        }
        let mean = y.iter().map(|y| y - first).sum::<f64>() / y.len() as f64;
        let total: f64 = y.iter().map(|y| (y - first - mean).powi(2)).sum();
        let residual = near.chunks_exact(k).zip(&y).enumerate().map(|(i, (near, own))| {
            let others = near.iter().map(|(_, row)| y[*row as usize] - first).sum::<f64>();
            let square = (own - first - others / k as f64).powi(2);
            parts.add_target(i, column, 1.0, *own);
            parts.add_square(i, column, square);
            square
        });
        Ok(1.0 - residual.sum::<f64>() / total)
    };
    targets.columns().into_iter().enumerate().map(one).gathered_ok(SCORES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_votes_go_to_the_nearer_class_then_the_first() {
        let codes = [0, 1, 1, 0];
        let elected = |near: &[(f64, u32)]| elected(near, &codes, &mut Vec::new());
        assert_eq!(elected(&[(1.0, 0), (2.0, 1), (3.0, 2)]), Some(1));
        assert_eq!(elected(&[(2.0, 1), (1.5, 0)]), Some(0));
        assert_eq!(elected(&[(1.0, 1), (1.0, 3)]), Some(0));
    }

    #[test]
    fn a_row_that_decides_a_vote_has_half_of_it() {
        // One neighbour a row, and the next one; row 0 is right by row 1 alone.
        let codes = [0, 0, 1];
        let wide = [(1.0, 1), (2.0, 2), (1.0, 0), (3.0, 2), (2.0, 0), (3.0, 1)];
        let right = [true, true, false];
        let found = influence(&wide, &codes, &right, 1).unwrap();
        let mean = 2.0 / 3.0;
        let expected = [1.0 - mean + 0.5, 1.0 - mean + 0.5, -mean];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
    }
}
