//! The maximum of the evidence for every target: which decomposition is searched, and over which range.

use crate::decomp::{CentredTargets, Prepared, Side, Spectrum};
use crate::error::{Error, Result};
use crate::linalg::blas::dot;
use crate::linalg::memory::{Gather, filled};
use crate::stats::Second;
use crate::threads::Context;

use super::curves::{Curve, Tridiagonal};
use super::decided::decided;
use super::evidence::Target;
use super::grid::SEARCH;
use super::search::{Location, Optimum, maximise};
use super::{LogMe, exact};

/// The result of the tridiagonal form for a target.
#[derive(Debug, Clone, Copy)]
enum Shown {
    /// Its maximum.
    Maximum(Optimum),
    /// A maximum that the spectrum has to confirm.
    Candidate(Optimum),
    /// Nothing: it was not searched.
    Nothing,
}

/// The decomposition that a maximum is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Form,
    Spectrum,
}

/// The maximum of the evidence of one target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maximum {
    pub(super) target: Target,
    pub(super) best: Optimum,
    pub(super) source: Source,
}

impl LogMe {
    /// Return the maximum for every target that is scored.
    ///
    /// The tridiagonal form is searched first. Where it cannot decide, the spectrum is searched
    /// too, and its maximum is taken, unless that lies within the range of the form: then the
    /// maximum of the form is taken, which is more exact.
    pub(super) fn find(
        self,
        prepared: &Prepared<'_>,
        context: &Context<'_>,
    ) -> Result<Vec<Maximum>> {
        let mut targets = self.targets(prepared)?;
        let (shown, lo) = self.search_form(prepared, &mut targets, context)?;
        let mut open: Vec<&mut Target> = targets
            .iter_mut()
            .zip(&shown)
            .filter(|(_, shown)| !matches!(shown, Shown::Maximum(_)))
            .map(|(target, _)| target)
            .gathered(SEARCH)?;
        let mut by_spectrum = Vec::new().into_iter();
        let mut dropped = false;
        if !open.is_empty() {
            context.check()?;
            let curve = prepared.spectrum(context)?;
            dropped = curve.dropped;
            by_spectrum = self.search_spectrum(prepared, curve, &mut open, context)?.into_iter();
        }
        let decide = |(target, shown): (Target, Shown)| {
            let (best, source) = match shown {
                Shown::Maximum(form) => (form, Source::Form),
                Shown::Candidate(form) => {
                    let best = by_spectrum.next()?;
                    // Without signal both have the same limit, and the spectrum its error.
                    let signal = best.location != Location::NoSignal;
                    if form.within() && best.t >= lo && !dropped && signal {
                        (form, Source::Form)
                    } else {
                        (best, Source::Spectrum)
                    }
                }
                Shown::Nothing => (by_spectrum.next()?, Source::Spectrum),
            };
            Some(Maximum { target, best, source })
        };
        targets.into_iter().zip(shown).filter_map(decide).gathered(SEARCH)
    }

    /// Search the tridiagonal form; return its result for each target, and the least t searched.
    ///
    /// Targets that are fitted exactly because rows repeat are searched again with those counted
    /// once.
    fn search_form(
        self,
        prepared: &Prepared<'_>,
        targets: &mut [Target],
        context: &Context<'_>,
    ) -> Result<(Vec<Shown>, f64)> {
        if prepared.from_samples {
            return Ok((filled(Shown::Nothing, targets.len(), SEARCH)?, 0.0));
        }
        let curve = Tridiagonal::new(prepared.decomp(context)?);
        let range = self.range(prepared, &curve)?;
        let mut optima = maximise(&curve, targets, range, context)?;
        let rising = optima.iter().any(|best| best.location == Location::Rising);
        if rising && curve.decomp.side == Side::Primal {
            let counts = exact::count_distinct(prepared, &curve, (targets, range.0), context)?;
            let again = count_again(targets, &counts)?;
            if !again.is_empty() {
                let found = maximise(&curve, &again, range, context)?;
                let places = counts.iter().enumerate().filter(|(_, count)| count.is_some());
                places.zip(found).for_each(|((place, _), found)| optima[place] = found);
            }
        }
        let decided = decided(prepared, &curve, (targets, &optima), range.0, context)?;
        let shown = |(best, decided)| {
            if decided { Shown::Maximum(best) } else { Shown::Candidate(best) }
        };
        Ok((optima.into_iter().zip(decided).map(shown).gathered(SEARCH)?, range.0))
    }

    /// Search the spectrum; return its maximum for each target.
    fn search_spectrum(
        self,
        prepared: &Prepared<'_>,
        curve: &Spectrum,
        targets: &mut [&mut Target],
        context: &Context<'_>,
    ) -> Result<Vec<Optimum>> {
        let range = self.range(prepared, curve)?;
        let mut all = targets.iter().map(|target| **target).gathered(SEARCH)?;
        let lo = exact::least_shift(prepared, curve);
        let counts = exact::count_distinct(prepared, curve, (&all, lo), context)?;
        let exact = count_again(&mut all, &counts)?;
        if exact.is_empty() {
            return maximise(curve, &all, range, context);
        }
        targets.iter_mut().zip(&all).for_each(|(target, counted)| **target = *counted);
        // Directions below are those of rows that are equal to within rounding.
        let lo = if curve.extent().1 > lo { range.0 } else { lo };
        let mut found = maximise(curve, &exact, (lo, range.1), context)?.into_iter();
        let others = all
            .iter()
            .zip(&counts)
            .filter(|(_, count)| count.is_none())
            .map(|(target, _)| *target)
            .gathered(SEARCH)?;
        let mut others = maximise(curve, &others, range, context)?.into_iter();
        let one = |count: &Option<f64>| if count.is_some() { found.next() } else { others.next() };
        counts.iter().filter_map(one).gathered(SEARCH)
    }

    /// Return the targets to score.
    fn targets(self, prepared: &Prepared<'_>) -> Result<Vec<Target>> {
        let centred = CentredTargets::new(prepared.stats)?;
        let n_samples = prepared.stats.n_samples as f64;
        let n_distinct = match &prepared.stats.second {
            Second::Rows { weights, .. } => weights.len() as f64,
            Second::Scatter(_) => n_samples,
        };
        let columns = centred.mean.iter().zip(&centred.square).enumerate();
        let varies =
            |(_, (_, square)): &(usize, (&f64, &f64))| !self.skip_constant || **square > 0.0;
        let target = |(column, (mean, square)): (usize, (&f64, &f64))| {
            let (intercept, mean, square) = (self.intercept, *mean, *square);
            let target = Target { column, n_samples, n_distinct, intercept, mean, square };
            if target.whole() > 0.0 {
                Ok(target)
            } else if self.intercept {
                Err(Error::ConstantTarget { column, value: mean })
            } else {
                Err(Error::ZeroTarget { column })
            }
        };
        let targets = columns.filter(varies).map(target).gathered_ok(SEARCH)?;
        if targets.is_empty() { Err(Error::NothingVaries) } else { Ok(targets) }
    }

    /// The range of t to search: down to where noise would be a thousandth of it, or, without
    /// noise, to far below the least eigenvalue; up to where the features cannot matter any more.
    fn range(self, prepared: &Prepared<'_>, curve: &dyn Curve) -> Result<(f64, f64)> {
        const FAR_BELOW: f64 = 1e-30; // a residual may be 1e-26 of its target
        const FAR: f64 = 1e6; // what is left of the features' effect there is its square, 1e-12
        let mean = prepared.stats.mean()?;
        let of_mean =
            if self.intercept { 0.0 } else { prepared.stats.n_samples as f64 * dot(&mean, &mean) };
        let (largest, least) = curve.extent();
        let lo = match curve.noise() {
            Some(noise) if noise > 0.0 => 1e3 * noise,
            _ if least > 0.0 => FAR_BELOW * least,
            _ => FAR_BELOW * of_mean,
        };
        Ok(if lo > 0.0 { (lo, FAR * (largest + of_mean)) } else { (1.0, FAR) })
    }
}

/// Set the number of distinct rows of each target that has a count, and return those.
fn count_again(targets: &mut [Target], counts: &[Option<f64>]) -> Result<Vec<Target>> {
    let counted = targets.iter_mut().zip(counts).filter_map(|(target, count)| {
        target.n_distinct = (*count)?;
        Some(*target)
    });
    counted.gathered(SEARCH)
}
