//! The reflectors of bulge chasing, applied to vectors.
//!
//! Vectors are taken a few at a time, side by side, so that one reflector acts on all of them at once
//! and their rows stay in the second cache. Reflectors of the same block in neighbouring sweeps act on
//! almost the same rows. They are applied together, while these rows are in the first cache: blocks
//! from the last to the first, because block k of a sweep overlaps with block k + 1 of earlier sweeps
//! only.
#![allow(clippy::inline_always)] // into functions that are compiled for several machines

use multiversion::multiversion;

use crate::error::Result;
use crate::threads::Context;

use super::super::memory::zeros;
use super::lanes::{add_scaled, is_fused, opaque};

/// Sweeps whose reflectors are applied together.
const TOGETHER: usize = 32;

/// Replaces every vector v (one after the other in `vectors`) by Q₂ᵀv, or by Q₂v where `back`, with
/// the reflectors of blocks of b rows that bulge chasing left in the strictly upper part of the
/// column-major matrix.
pub(super) fn rotate(
    matrix: &[f64],
    (order, b): (usize, usize),
    vectors: &mut [f64],
    back: bool,
    context: &Context<'_>,
) -> Result<()> {
    match vectors.len() / order {
        ..=8 => rotate_tiles::<8>(matrix, (order, b), vectors, back, context),
        count if count % 32 > 0 && count % 32 <= 16 => {
            rotate_tiles::<16>(matrix, (order, b), vectors, back, context)
        }
        _ => rotate_tiles::<32>(matrix, (order, b), vectors, back, context),
    }
}

/// The same, with W vectors side by side in a tile.
fn rotate_tiles<const W: usize>(
    matrix: &[f64],
    sizes: (usize, usize),
    vectors: &mut [f64],
    back: bool,
    context: &Context<'_>,
) -> Result<()> {
    let order = sizes.0;
    let n_tiles = (vectors.len() / order).div_ceil(W);
    let mut buffer = zeros::<f64>(n_tiles * order * W, "the workspace of a basis change")?;
    let (tiles, _) = buffer.as_chunks_mut::<W>();
    for (tile, vectors) in tiles.chunks_exact_mut(order).zip(vectors.chunks(W * order)) {
        for (first, rows) in tile.chunks_mut(W).enumerate() {
            for (column, vector) in vectors.chunks_exact(order).enumerate() {
                let part = &vector[first * W..first * W + rows.len()];
                rows.iter_mut().zip(part).for_each(|(row, v)| row[column] = *v);
            }
        }
    }
    let n_groups = order.saturating_sub(2).div_ceil(TOGETHER);
    for group in 0..n_groups {
        context.check()?;
        let group = if back { n_groups - 1 - group } else { group };
        apply::<W>(matrix, sizes, tiles, (group, back));
    }
    for (tile, vectors) in tiles.chunks_exact(order).zip(vectors.chunks_mut(W * order)) {
        for (first, rows) in tile.chunks(W).enumerate() {
            for (column, vector) in vectors.chunks_exact_mut(order).enumerate() {
                let part = &mut vector[first * W..first * W + rows.len()];
                rows.iter().zip(part).for_each(|(row, v)| *v = row[column]);
            }
        }
    }
    Ok(())
}

/// Applies the reflectors of one group of sweeps.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn apply<const W: usize>(
    matrix: &[f64],
    sizes: (usize, usize),
    tiles: &mut [[f64; W]],
    (group, back): (usize, bool),
) {
    if is_fused!() {
        apply_with::<W, true>(matrix, sizes, tiles, (group, back));
    } else {
        apply_with::<W, false>(matrix, sizes, tiles, (group, back));
    }
}

#[inline(always)]
fn apply_with<const W: usize, const FUSED: bool>(
    matrix: &[f64],
    (n, b): (usize, usize),
    tiles: &mut [[f64; W]],
    (group, back): (usize, bool),
) {
    let n_sweeps = n.saturating_sub(2);
    let (first, end) = (group * TOGETHER, n_sweeps.min((group + 1) * TOGETHER));
    let n_blocks = (n - 1 - first).div_ceil(b);
    for block in 0..n_blocks {
        let block = if back { block } else { n_blocks - 1 - block };
        for rows in tiles.chunks_exact_mut(n) {
            for sweep in first..end {
                let sweep = if back { end - 1 - (sweep - first) } else { sweep };
                let len = n - 1 - sweep;
                if block * b < len {
                    let kept = &matrix[len * n..len * n + len];
                    let v = &kept[block * b..len.min((block + 1) * b)];
                    let at = sweep + 1 + block * b;
                    reflect::<W, FUSED>(v, &mut rows[at..at + v.len()]);
                }
            }
        }
    }
}

/// Applies H = I − τ v vᵀ, with τ in the place of v₀ = 1, to columns side by side.
#[inline(always)]
fn reflect<const W: usize, const FUSED: bool>(v: &[f64], rows: &mut [[f64; W]]) {
    let (Some((tau, v)), Some((first, rest))) = (v.split_first(), rows.split_first_mut()) else {
        return;
    };
    if *tau == 0.0 {
        return;
    }
    let mut sums = *first;
    for (v, row) in v.iter().zip(&*rest) {
        add_scaled::<W, FUSED>(opaque(*v), row, &mut sums);
    }
    for i in 0..W {
        sums[i] *= -tau;
        first[i] += sums[i];
    }
    for (v, row) in v.iter().zip(rest) {
        add_scaled::<W, FUSED>(opaque(*v), &sums, row);
    }
}
