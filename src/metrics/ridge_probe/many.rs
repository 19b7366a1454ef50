//! Ridge probe of many classes: neither the errors nor the predictions of all rows and classes are
//! formed.
//!
//! With W_λ (C, order) the coefficients of a ridge, f_i = W_λ x_i + ȳ the fitted values of row i of
//! class c, and ℓ_i = 1 − h_i:
//!
//! 1. **The ridge.** Σ_k e_ik² = (1 − 2 f_ic + |f_i|²)/ℓ_i², and
//!    |f_i|² = |ȳ|² + 2 x_iᵀ(W_λᵀȳ) + x_iᵀ(W_λᵀW_λ)x_i. With g = Σ_j |x_ij| √(W_λᵀW_λ)_jj, no sum on the way
//!    is above (g + |ȳ| + 1)², so that the numerator rounds by at most (C + 2 order + 8) u times that,
//!    u = 2⁻⁵³: C for WᵀW, and twice the order for its products with x. Where this leaves the least
//!    total open, the errors themselves decide.
//! 2. **The rows whose class has the largest y − e.** For k ≠ c, y − e is f_ik/ℓ_i, and for c it is
//!    (f_ic − h_i)/ℓ_i. f_ik is the product of (x_i, 1) and (w_k, ȳ_k), first in float32 (`../screen.rs`).
//!    Classes within its error of f_ic − h_i are compared in float64. A row that some class beats is not
//!    compared with further classes.
//!
//! Cost: for each ridge C·order² and N·order²; then 2 N C order operations in float32 at most. Memory:
//! 12 C·order bytes.

use crate::decomp::Shifted;
use crate::error::Result;
use crate::linalg::blas::{axpy, dot, gram_add, scale, triangular_product};
use crate::linalg::memory::{Gather, copied, filled, joined, reserved, zeros};
use crate::threads::{Context, chunks};

use super::super::leverage::transposed;
use super::super::screen::{BLOCK, Screen, largest};
use super::pass::{Found, Pass};

const COEFFICIENTS: &str = "products of the coefficients";
const HITS: &str = "the hits of the rows";
const PANEL: &str = "a panel of rows";

/// Products of the coefficients W (classes, order) of a ridge.
struct Products {
    /// An upper triangle U with xᵀUx = |Wx|², (order, order).
    squares: Vec<f64>,
    /// The roots of the diagonal of WᵀW, (order,).
    roots: Vec<f64>,
    /// Wᵀȳ, (order,).
    along_mean: Vec<f64>,
}

/// The coefficients of the chosen ridge.
struct Coefficients {
    /// (classes, order).
    double: Vec<f64>,
    /// With ȳ, in float32.
    screen: Screen,
}

/// A row in comparison with the classes.
struct Open {
    /// Its place in its panel.
    place: usize,
    /// Its class.
    class: usize,
    /// 1 − h.
    left: f64,
    /// y − e of its class.
    own: f64,
    /// The fitted value of another class with the same y − e, in units of the screen, and its rounding.
    level: f64,
    slack: f64,
}

impl Pass<'_, '_> {
    /// Whether products of the coefficients take less time than the errors.
    pub(super) fn has_many_classes(&self) -> bool {
        self.side.added.is_none() && 2 * self.mean.len() > self.side.form.order()
    }

    /// The rows whose class is predicted at the ridge of the least error.
    pub(super) fn of_many_classes(&self, codes: &[u32], context: &Context<'_>) -> Result<Found> {
        let (squares, best) = self.choose_ridge(codes, context)?;
        let mut right = zeros::<f64>(self.mean.len(), COEFFICIENTS)?;
        let hits = match &self.shifted[best] {
            Some(shifted) => self.predicted_rows(shifted, codes, context)?,
            None => filled(false, codes.len(), HITS)?,
        };
        for (i, _) in hits.iter().enumerate().filter(|(_, hit)| **hit) {
            right[codes[i] as usize] += self.rows.weights[i];
        }
        Ok(Found { squares, best, right, hits })
    }

    /// The total Σ w e² of each ridge, and the ridge of the first minimum.
    fn choose_ridge(&self, codes: &[u32], context: &Context<'_>) -> Result<(Vec<f64>, usize)> {
        let n_ridges = self.ridges.len();
        let products = context.map(n_ridges, |l| {
            self.shifted[l].as_ref().map(|shifted| self.products(shifted, context)).transpose()
        })?;
        let mut totals = self.totals(codes, &products, context)?;
        drop(products);
        let rounding = totals.split_off(n_ridges);
        let upper = totals.iter().zip(&rounding).map(|(total, error)| total + error);
        let limit = upper.fold(f64::INFINITY, f64::min);
        // Ridges of the same model: the first of them counts.
        let flat = self.side.form.largest_row() <= 0.0;
        let repeats = |l: usize| {
            let same = |k: &usize| flat || self.ridges[*k].total_cmp(&self.ridges[l]).is_eq();
            (0..l).any(|k| self.shifted[k].is_some() && same(&k))
        };
        let open = |l: &usize| totals[*l] - rounding[*l] <= limit && !repeats(*l);
        let mut open: Vec<usize> = (0..n_ridges).filter(open).collect();
        if open.len() > 1 {
            for l in &open {
                totals[*l] = self.total(*l, context)?;
            }
            open.sort_by(|a, b| totals[*a].total_cmp(&totals[*b])); // stable
        }
        Ok((totals, open.first().copied().unwrap_or(0)))
    }

    /// The products of the coefficients of a ridge.
    fn products(&self, shifted: &Shifted, context: &Context<'_>) -> Result<Products> {
        let order = self.side.form.order();
        let mut squares = zeros::<f64>(order * order, "products of the coefficients")?;
        let mut along_mean = zeros(order, COEFFICIENTS)?;
        let mut panel = zeros::<f64>(BLOCK * order, "a panel of coefficients")?;
        for classes in chunks(self.mean.len(), BLOCK)? {
            context.check()?;
            let panel = &mut panel[..classes.len() * order];
            for (k, w) in classes.zip(panel.chunks_exact_mut(order)) {
                self.side.solve(shifted, k, w);
                axpy(self.mean[k], w, &mut along_mean);
            }
            gram_add(panel, order, &mut squares);
        }
        let roots = squares.iter().step_by(order + 1).map(|square| square.sqrt());
        let roots = roots.gathered(COEFFICIENTS)?;
        for (j, row) in squares.chunks_exact_mut(order).enumerate() {
            scale(2.0, &mut row[j + 1..]);
        }
        Ok(Products { squares, roots, along_mean })
    }

    /// The total of each ridge and a bound on its rounding, (2 ridges,).
    fn totals(
        &self,
        codes: &[u32],
        products: &[Option<Products>],
        context: &Context<'_>,
    ) -> Result<Vec<f64>> {
        let (order, n_ridges) = (self.side.form.order(), self.ridges.len());
        let mut rows = (0..codes.len()).gathered("the order of the rows")?;
        rows.sort_unstable_by_key(|i| (codes[*i], *i)); // the coefficients of a class are solved for once
        let parts = rows.chunks(self.together()).gathered("the order of the rows")?;
        let unit = (self.mean.len() + 2 * order + 8) as f64 * (f64::EPSILON / 2.0);
        let mean_square = dot(self.mean, self.mean);
        let mut totals = context.sum(
            parts.len(),
            || Ok(vec![0.0; 2 * n_ridges]),
            |part, sums| {
                let panel = self.vectors(parts[part].iter().copied(), context)?;
                let across = transposed(&panel, order)?;
                let n = parts[part].len();
                let (mut forward, mut reach) = (zeros(n, PANEL)?, zeros(n, PANEL)?);
                let mut w = zeros(order, COEFFICIENTS)?;
                for (l, products) in products.iter().enumerate() {
                    let (Some(shifted), Some(products)) = (&self.shifted[l], products) else {
                        sums[l] = f64::INFINITY;
                        continue;
                    };
                    shifted.squares(&across, &mut forward, &mut reach);
                    let mut along = copied(&panel, "a panel of products")?;
                    triangular_product(&mut along, &products.squares, order);
                    let mut solved = None;
                    for (j, i) in parts[part].iter().enumerate() {
                        let (class, weight) = (codes[*i] as usize, self.rows.weights[*i]);
                        if solved != Some(class) {
                            self.side.solve(shifted, class, &mut w);
                            solved = Some(class);
                        }
                        let x = &panel[j * order..(j + 1) * order];
                        let own = self.mean[class] + dot(x, &w);
                        let all = mean_square
                            + 2.0 * dot(x, &products.along_mean)
                            + dot(x, &along[j * order..(j + 1) * order]);
                        let size = x.iter().zip(&products.roots).map(|(x, root)| x.abs() * root);
                        let size = size.sum::<f64>() + mean_square.sqrt() + 1.0;
                        let left = self.left(reach[j]);
                        sums[l] += weight * (1.0 - 2.0 * own + all) / (left * left);
                        sums[n_ridges + l] += weight * unit * size * size / (left * left);
                    }
                }
                Ok(())
            },
        )?;
        let (sums, rounding) = totals.split_at_mut(n_ridges);
        let of_sums = codes.len() as f64 * f64::EPSILON;
        let finite = rounding.iter_mut().zip(sums).filter(|(_, sum)| sum.is_finite());
        finite.for_each(|(error, sum)| *error += of_sums * sum.abs());
        Ok(totals)
    }

    /// The total of a ridge from the errors themselves.
    fn total(&self, ridge: usize, context: &Context<'_>) -> Result<f64> {
        let weights = self.side.weights(self.shifted[ridge].as_ref())?;
        let chunks = self.chunks()?;
        let sum = context.sum(
            chunks.len(),
            || Ok(vec![0.0]),
            |chunk, sum| {
                let models = [(ridge, &*weights)];
                self.visit(chunks[chunk].clone(), &models, context, |_, i, _, errors| {
                    sum[0] += self.rows.weights[i] * dot(errors, errors);
                })
            },
        )?;
        Ok(sum[0])
    }

    fn coefficients(&self, shifted: &Shifted, context: &Context<'_>) -> Result<Coefficients> {
        let order = self.side.form.order();
        let mut double = zeros::<f64>(self.mean.len() * order, "the coefficients of a ridge")?;
        context.for_each_chunk(&mut double, BLOCK * order, |block, part| {
            for (k, w) in (block * BLOCK..).zip(part.chunks_exact_mut(order)) {
                self.side.solve(shifted, k, w);
            }
            Ok(())
        })?;
        let screen = Screen::new(&double, self.mean, 1.0, context)?; // rows have columns of size 1
        Ok(Coefficients { double, screen })
    }

    /// Whether the class of each row is predicted.
    fn predicted_rows(
        &self,
        shifted: &Shifted,
        codes: &[u32],
        context: &Context<'_>,
    ) -> Result<Vec<bool>> {
        let coefficients = self.coefficients(shifted, context)?;
        let chunks = chunks(codes.len(), BLOCK)?;
        let parts = context.map(chunks.len(), |chunk| {
            self.predicted_of(chunks[chunk].clone(), shifted, codes, &coefficients, context)
        })?;
        joined(parts, HITS)
    }

    /// The same of a panel of rows.
    fn predicted_of(
        &self,
        range: std::ops::Range<usize>,
        shifted: &Shifted,
        codes: &[u32],
        coefficients: &Coefficients,
        context: &Context<'_>,
    ) -> Result<Vec<bool>> {
        let (order, n, screen) = (self.side.form.order(), range.len(), &coefficients.screen);
        let panel = self.vectors(range.clone(), context)?;
        let (mut forward, mut reach) = (zeros(n, PANEL)?, zeros(n, PANEL)?);
        shifted.squares(&transposed(&panel, order)?, &mut forward, &mut reach);
        let (mut single, lengths) = screen.rows(&panel)?;
        let mut open = reserved(n, PANEL)?;
        for (place, i) in range.enumerate() {
            let x = &panel[place * order..(place + 1) * order];
            open.push(self.open(place, codes[i] as usize, x, reach[place], coefficients));
        }
        let mut found = zeros::<f32>(n * BLOCK.min(self.mean.len()), "a block of fitted values")?;
        for (block, classes) in screen.blocks.iter().enumerate() {
            if open.is_empty() {
                break;
            }
            context.check()?;
            let found = &mut found[..open.len() * classes.len()];
            screen.products(&single, block, found);
            let mut stays = reserved(open.len(), PANEL)?;
            for (row, found) in open.iter().zip(found.chunks_exact_mut(classes.len())) {
                let margin = screen.margin(lengths[row.place], block) + row.slack;
                let x = &panel[row.place * order..(row.place + 1) * order];
                let beaten = |c| self.beats(c, row, x, &coefficients.double);
                stays.push(row.stays(classes.start, found, margin, beaten));
            }
            let stay = stays.iter().enumerate().filter(|(_, stays)| **stays);
            stay.enumerate().for_each(|(to, (from, _))| screen.move_row(&mut single, from, to));
            let mut stays = stays.into_iter();
            open.retain(|_| stays.next().unwrap_or(false));
        }
        let mut predicted = filled(false, n, HITS)?;
        for row in &open {
            predicted[row.place] = true;
        }
        Ok(predicted)
    }

    fn open(
        &self,
        place: usize,
        class: usize,
        x: &[f64],
        reach: f64,
        coefficients: &Coefficients,
    ) -> Open {
        let order = x.len();
        let fitted = dot(x, &coefficients.double[class * order..(class + 1) * order]);
        let (left, mean) = (self.left(reach), self.mean[class]);
        let own = 1.0 - (1.0 - mean - fitted) / left;
        let value = mean + fitted;
        let level = (left - 1.0 + value) / coefficients.screen.unit;
        // Of the level, and of y − e in units of the level.
        let slack = 8.0 * f64::EPSILON * (2.0 + value.abs()) / coefficients.screen.unit;
        Open { place, class, left, own, level, slack }
    }

    /// Whether a class has a larger y − e than the class of a row: with equal ones, an earlier class.
    fn beats(&self, c: usize, row: &Open, x: &[f64], coefficients: &[f64]) -> bool {
        let fitted = dot(x, &coefficients[c * x.len()..(c + 1) * x.len()]);
        let predicted = -((-self.mean[c] - fitted) / row.left);
        if c < row.class { predicted >= row.own } else { predicted > row.own }
    }
}

impl Open {
    /// Whether none of the classes from `first` on, of these fitted values, beats the class of the row.
    fn stays(
        &self,
        first: usize,
        found: &mut [f32],
        margin: f64,
        beats: impl Fn(usize) -> bool,
    ) -> bool {
        if let Some(own) = self.class.checked_sub(first).and_then(|own| found.get_mut(own)) {
            *own = f32::NEG_INFINITY;
        }
        let (largest, least) = (f64::from(largest(found)), self.level - margin);
        if largest > self.level + margin {
            return false;
        }
        let near = |(_, value): &(usize, &f32)| f64::from(**value) >= least;
        largest < least || !found.iter().enumerate().filter(near).any(|(c, _)| beats(first + c))
    }
}
