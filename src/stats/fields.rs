//! The fields of statistics, one after the other, as `file.rs` wraps them.
//!
//! A scatter goes as its upper triangle. Each class that is held on its own follows as statistics
//! of its own, without a response.

use crate::error::Result;
use crate::input::Label;
use crate::linalg::memory::{Gather, append, reserved, shared, zeros};

use super::bytes::{Reader, Writer, refused};
use super::fourth::Fourth;
use super::joint::{Joint, Own};
use super::response::{Labels, Targets};
use super::{Held, Precision, Second, Stats};

/// The fewest bytes of a class on its own: its kind and name, precision, flag and number of features.
const LEAST_CLASS: usize = 1 + 8 + 1 + 1 + 8;

pub(super) fn write(stats: &Stats, out: &mut Writer<'_>) {
    out.byte(match stats.precision {
        Precision::Double => 0,
        Precision::Single => 1,
    });
    out.byte(u8::from(stats.by_class.is_some()));
    out.u64(stats.n_features as u64);
    if stats.is_empty() {
        return;
    }
    out.u64(stats.n_samples);
    out.f64s(&stats.shift);
    out.f64s(&stats.sum);
    out.f64s(&[stats.largest]);
    match &stats.second {
        Second::Rows { values, weights } => {
            out.byte(0);
            out.u64(weights.len() as u64);
            out.f64s(values);
            out.f64s(weights);
        }
        Second::Scatter(scatter) => {
            out.byte(1);
            write_triangle(scatter, stats.n_features, out);
            write_fourth(&stats.fourth, out);
        }
    }
    write_held(&stats.held, out);
    if let Some(classes) = &stats.by_class {
        out.u64(classes.len() as u64);
        for (class, stats) in classes {
            write_class(class, out);
            write(stats, out);
        }
    }
}

fn write_held(held: &Held, out: &mut Writer<'_>) {
    match held {
        Held::Nothing => out.byte(0),
        Held::Labels(labels) => {
            out.byte(1);
            out.u64(labels.classes.len() as u64);
            labels.classes.iter().for_each(|class| write_class(class, out));
            labels.counts.iter().for_each(|count| out.u64(*count));
            labels.codes.iter().for_each(|code| out.u64(u64::from(*code)));
            out.f64s(&labels.sums);
            out.byte(u8::from(labels.squares.is_some()));
            labels.squares.iter().for_each(|squares| out.f64s(squares));
        }
        Held::Targets(targets) => {
            out.byte(2);
            out.u64(targets.shift.len() as u64);
            for numbers in [&targets.shift, &targets.sum, &targets.square] {
                out.f64s(numbers);
            }
            out.f64s(&targets.rows);
            out.f64s(&targets.cross);
            out.byte(u8::from(targets.joint.is_some()));
            targets.joint.iter().for_each(|joint| write_joint(joint, out));
        }
    }
}

fn write_joint(joint: &Joint, out: &mut Writer<'_>) {
    out.f64s(&[joint.quartic]);
    out.f64s(&joint.features);
    out.f64s(&joint.targets);
    out.byte(u8::from(joint.own.is_some()));
    if let Some(own) = &joint.own {
        write_triangle(&own.products, joint.targets.len(), out);
        write_fourth(&own.fourth, out);
    }
}

fn write_fourth(fourth: &Fourth, out: &mut Writer<'_>) {
    out.f64s(&fourth.cubic);
    out.f64s(&[fourth.quartic, fourth.unit]);
}

/// The upper triangle of a symmetric matrix.
fn write_triangle(matrix: &[f64], order: usize, out: &mut Writer<'_>) {
    for (i, row) in matrix.chunks_exact(order).enumerate() {
        out.f64s(&row[i..]);
    }
}

fn write_class(class: &Label, out: &mut Writer<'_>) {
    match class {
        Label::Int(id) => {
            out.byte(0);
            out.u64(id.cast_unsigned());
        }
        Label::Text(name) => {
            out.byte(1);
            out.text(name);
        }
    }
}

pub(super) fn read(from: &mut Reader<'_>) -> Result<Stats> {
    read_one(from, false)
}

/// Reads the statistics of one class, or of all rows.
fn read_one(from: &mut Reader<'_>, of_class: bool) -> Result<Stats> {
    let precision = match from.byte("the precision", 2)? {
        0 => Precision::Double,
        _ => Precision::Single,
    };
    let classes = from.byte("whether classes are on their own", 2)? == 1;
    let mut stats = Stats::empty(precision);
    if classes {
        stats = stats.with_class_scatters();
    }
    let d = from.length("the features", 0)?;
    if d == 0 {
        return Ok(stats);
    }
    stats.n_features = d;
    stats.n_samples = from.u64("the number of samples")?;
    stats.shift = from.f64s(1, d, "the shift", false)?;
    stats.sum = from.f64s(1, d, "the sums", false)?;
    stats.largest = from.f64("the largest magnitude", false)?;
    let n_rows = if from.byte("what is held", 2)? == 0 {
        let n_rows = from.length("the rows", 8)?;
        let values = from.f64s(n_rows, d, "the rows", false)?;
        let weights = from.f64s(n_rows, 1, "the weights", false)?;
        stats.second = Second::Rows { values, weights };
        n_rows
    } else {
        stats.second = Second::Scatter(read_triangle(from, d, "the scatter")?);
        stats.fourth = read_fourth(from, d)?;
        0
    };
    stats.held = read_held(from, d, n_rows)?;
    if classes && of_class {
        return refused("a class holds classes of its own".into());
    }
    if classes {
        let n = from.length("the classes on their own", LEAST_CLASS)?;
        let mut found = Vec::new(); // grows with what is read: a class is larger here than its bytes
        for _ in 0..n {
            let class = (read_class(from)?, read_one(from, true)?);
            append(&mut found, class, "the statistics of the classes")?;
        }
        stats.by_class = Some(found);
    }
    Ok(stats)
}

fn read_triangle(from: &mut Reader<'_>, order: usize, what: &'static str) -> Result<Vec<f64>> {
    // Nothing is allocated before its upper half is known to be there.
    from.expect(order.saturating_mul(order.saturating_add(1)) / 2, what)?;
    let mut matrix = zeros(order * order, what)?;
    for (i, row) in matrix.chunks_exact_mut(order.max(1)).enumerate() {
        row[i..].copy_from_slice(&from.f64s(1, order - i, what, false)?);
    }
    Ok(matrix)
}

fn read_fourth(from: &mut Reader<'_>, d: usize) -> Result<Fourth> {
    // Sums given as moments may be beyond float64 where squares are not.
    let cubic = from.f64s(1, d, "the third moments", true)?;
    let quartic = from.f64("the fourth moment", true)?;
    Ok(Fourth { cubic, quartic, unit: from.f64("the unit of the fourth moment", false)? })
}

fn read_joint(from: &mut Reader<'_>, d: usize, k: usize) -> Result<Joint> {
    let quartic = from.f64("the joint moment", true)?;
    let features = from.f64s(1, d, "the joint moments of the features", true)?;
    let targets = from.f64s(1, k, "the joint moments of the targets", true)?;
    let few = if k <= d { 2 } else { 1 };
    let own = if from.byte("whether products of the targets are held", few)? == 1 {
        let products = read_triangle(from, k, "the products of the targets")?;
        Some(Own { products, fourth: read_fourth(from, k)? })
    } else {
        None
    };
    Ok(Joint { quartic, features, targets, own })
}

/// The response of `n_rows` held rows, or of a scatter where that is 0.
fn read_held(from: &mut Reader<'_>, d: usize, n_rows: usize) -> Result<Held> {
    let by_sum = |n: usize| if n_rows == 0 { n } else { 0 };
    let of_sums = if n_rows == 0 { 2 } else { 1 };
    Ok(match from.byte("the response", 3)? {
        0 => Held::Nothing,
        1 => {
            let n = from.length("the classes", 16)?;
            let classes = (0..n).map(|_| read_class(from)).gathered_ok("the classes")?;
            let counts = (0..n).map(|_| from.u64("a class's count")).gathered_ok("the classes")?;
            let mut codes = reserved(n_rows, "the classes of the rows")?;
            for _ in 0..n_rows {
                match u32::try_from(from.u64("a row's class")?) {
                    Ok(code) if (code as usize) < n => codes.push(code),
                    _ => return refused(format!("a row is of none of the {n} classes")),
                }
            }
            let sums = from.f64s(by_sum(n), d, "the class sums", false)?;
            let squares = match from.byte("whether class squares are held", of_sums)? {
                0 => None,
                _ => Some(from.f64s(1, n, "the class squares", false)?),
            };
            Held::Labels(Labels { classes, counts, codes, sums, squares })
        }
        _ => {
            let k = from.length("the targets", 24)?;
            let mut numbers = |what| from.f64s(1, k, what, false);
            let shift = numbers("the targets' shift")?;
            let (sum, square) = (numbers("the targets' sums")?, numbers("the targets' squares")?);
            let rows = from.f64s(n_rows, k, "the targets' rows", false)?;
            let cross = from.f64s(by_sum(d), k, "the products with the targets", false)?;
            let joint = match from.byte("whether joint moments are held", of_sums)? {
                0 => None,
                _ => Some(read_joint(from, d, k)?),
            };
            Held::Targets(Targets { shift, sum, square, rows, cross, joint })
        }
    })
}

fn read_class(from: &mut Reader<'_>) -> Result<Label> {
    Ok(match from.byte("the kind of a class", 2)? {
        0 => Label::Int(from.u64("a class")?.cast_signed()),
        _ => Label::Text(shared(from.text("the name of a class")?, "the classes")?),
    })
}
