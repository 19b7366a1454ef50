//! The statistics of a block, with separate statistics of every class.
//!
//! A class with more rows than features has a scatter of its own, and the scatter of all rows is the
//! sum of those and of the remaining rows together: no product is computed twice.

use crate::error::{Error, Result};
use crate::input::{Block, Label};
use crate::linalg::blas::axpy;
use crate::linalg::memory::{Gather, check_room, copied, filled, reserved};
use crate::threads::Context;

use super::pass::{self, Pass};
use super::response::{Labels, ResponseSums};
use super::{Held, Precision, Second, Stats};

/// Numbers of a class that are read on one thread.
const SMALL: usize = 1 << 16;

const CLASSES: &str = "the statistics of the classes";

/// As [`pass::block_stats`], with separate statistics of every class.
pub(super) fn block_stats(
    block: &Block<'_>,
    rows: &[usize],
    shift: Vec<f64>,
    mut held: Held,
    keep_rows: bool,
    precision: Precision,
    context: &Context<'_>,
) -> Result<Stats> {
    let Held::Labels(labels) = &held else {
        let stats = pass::block_stats(block, rows, shift, held, keep_rows, precision, context)?;
        return Ok(Stats { by_class: Some(Vec::new()), ..stats });
    };
    let classes = classes(block, rows, &shift, labels, precision, context)?;
    let large = |stats: &Stats| matches!(stats.second, Second::Scatter(_));
    if keep_rows || !classes.iter().any(|(_, stats)| large(stats)) {
        let stats = pass::block_stats(block, rows, shift, held, keep_rows, precision, context)?;
        return Ok(Stats { by_class: Some(classes), ..stats });
    }

    let of_small = rows.iter().zip(&labels.codes);
    let of_small = of_small.filter(|(_, code)| !large(&classes[**code as usize].1));
    let small = of_small.map(|(row, _)| *row).gathered("the numbers of the rows")?;
    let (nothing, zero) = (Held::Nothing, copied(&shift, CLASSES)?);
    let mut total = None;
    if !small.is_empty() {
        let weights = small.iter().map(|i| block.weight(*i)).gathered("the weights of the rows")?;
        let (features, rows) = (block.features, &small[..]);
        let pass = Pass { features, rows, shift: &zero, weights: &weights, held: &nothing };
        total = Some(pass.scatter(precision, context)?);
    }
    let mut cross = reserved(classes.len() * shift.len(), "the class sums")?;
    let mut squares = reserved(classes.len(), CLASSES)?;
    for (_, stats) in &classes {
        cross.extend_from_slice(&stats.sum);
        squares.push(stats.square());
        let Second::Scatter(scatter) = &stats.second else { continue };
        match &mut total {
            None => total = Some(pass::Sums::of(stats, scatter)?),
            Some(total) => {
                pass::add_upper(scatter, &mut total.scatter, shift.len(), context)?;
                axpy(1.0, &stats.sum, &mut total.sum);
                total.fourth.add(&stats.fourth);
                total.largest = total.largest.max(stats.largest);
            }
        }
    }
    let total = total.ok_or(Error::NoData)?;
    held.hold_sums(ResponseSums { cross, squares, joint: None });
    Ok(Stats {
        precision,
        n_features: shift.len(),
        n_samples: rows.iter().map(|i| block.count(*i)).sum(),
        shift,
        sum: total.sum,
        largest: total.largest,
        second: Second::Scatter(total.scatter),
        fourth: total.fourth,
        held,
        by_class: Some(classes),
    })
}

/// The statistics of each class of a block.
fn classes(
    block: &Block<'_>,
    rows: &[usize],
    shift: &[f64],
    labels: &Labels,
    precision: Precision,
    context: &Context<'_>,
) -> Result<Vec<(Label, Stats)>> {
    let mut sizes = filled(0, labels.classes.len(), CLASSES)?;
    labels.codes.iter().for_each(|code| sizes[*code as usize] += 1);
    let empty = |size: &usize| reserved(*size, "the rows of a class");
    let mut members = sizes.iter().map(empty).gathered_ok::<Vec<usize>>(CLASSES)?;
    for (row, code) in rows.iter().zip(&labels.codes) {
        members[*code as usize].push(*row);
    }
    let n_cols = shift.len();
    let held = |rows: &Vec<usize>| rows.len().min(n_cols).saturating_mul(n_cols);
    let total = members.iter().map(held).fold(0, usize::saturating_add);
    check_room::<f64>(total, "the scatters of the classes")?;
    let one = |c: usize, context: &Context<'_>| {
        let (keep, shift) = (members[c].len() <= n_cols, copied(shift, CLASSES)?);
        pass::block_stats(block, &members[c], shift, Held::Nothing, keep, precision, context)
    };
    // Small classes side by side, each on one thread; large ones one after the other, on all threads.
    let is_small = |c: &usize| members[*c].len().saturating_mul(n_cols) <= SMALL;
    let small = (0..members.len()).filter(is_small).gathered(CLASSES)?;
    let of_small = context.map(small.len(), |i| one(small[i], &Context::serial()))?;
    let mut found: Vec<Option<Stats>> = members.iter().map(|_| None).gathered(CLASSES)?;
    small.iter().zip(of_small).for_each(|(c, stats)| found[*c] = Some(stats));
    for c in (0..members.len()).filter(|c| !is_small(c)) {
        found[c] = Some(one(c, context)?);
    }
    let named = labels.classes.iter().cloned().zip(found);
    named.filter_map(|(class, stats)| Some((class, stats?))).gathered(CLASSES)
}
