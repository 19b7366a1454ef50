//! Mutations of the content of a state file: of single numbers, of whole groups of them, of bytes.

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ bits >> 31
    }

    /// From 0 to n − 1.
    ///
    /// # Panics
    /// For n = 0.
    pub fn below(&mut self, n: usize) -> usize {
        #[allow(clippy::cast_possible_truncation)] // below n
        let number = (self.u64() % n as u64) as usize;
        number
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Some bytes.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.u64().to_le_bytes()[0]).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Byte,
    Count,
    Float,
}

/// A number in the content; numbers of one group came from one loop.
#[derive(Debug, Clone, Copy)]
struct Field {
    place: usize,
    kind: Kind,
    group: usize,
}

/// Reads the fields of a content in the order of `src/stats/fields.rs`, as far as they go.
struct Walk<'a> {
    content: &'a [u8],
    place: usize,
    group: usize,
    fields: Vec<Field>,
}

impl<'a> Walk<'a> {
    fn new(content: &'a [u8]) -> Self {
        let mut walk = Self { content, place: 0, group: 0, fields: Vec::new() };
        let _ = walk.text().and_then(|()| walk.statistics());
        walk
    }

    fn field(&mut self, kind: Kind) -> Option<u64> {
        let size = if kind == Kind::Byte { 1 } else { 8 };
        let bytes = self.content.get(self.place..self.place.checked_add(size)?)?;
        self.fields.push(Field { place: self.place, kind, group: self.group });
        self.place += size;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn byte(&mut self) -> Option<u64> {
        self.group += 1;
        self.field(Kind::Byte)
    }

    fn count(&mut self) -> Option<usize> {
        self.group += 1;
        usize::try_from(self.field(Kind::Count)?).ok()
    }

    fn many(&mut self, kind: Kind, n: usize) -> Option<()> {
        self.group += 1;
        (0..n).try_for_each(|_| self.field(kind).map(drop))
    }

    fn floats(&mut self, n: usize) -> Option<()> {
        self.many(Kind::Float, n)
    }

    fn text(&mut self) -> Option<()> {
        self.place = self.count()?.checked_add(self.place)?;
        Some(())
    }

    fn class(&mut self) -> Option<()> {
        if self.byte()? == 0 { self.count().map(drop) } else { self.text() }
    }

    fn statistics(&mut self) -> Option<()> {
        self.byte()?;
        let classes = self.byte()? == 1;
        let d = self.count()?;
        if d == 0 {
            return Some(());
        }
        self.count()?;
        for n in [d, d, 1] {
            self.floats(n)?;
        }
        let mut n_rows = 0;
        if self.byte()? == 0 {
            n_rows = self.count()?;
            self.floats(n_rows.checked_mul(d)?)?;
            self.floats(n_rows)?;
        } else {
            for n in [d.checked_mul(d.checked_add(1)?)? / 2, d, 1, 1] {
                self.floats(n)?;
            }
        }
        self.held(d, n_rows)?;
        if classes {
            for _ in 0..self.count()? {
                self.class()?;
                self.statistics()?;
            }
        }
        Some(())
    }

    fn held(&mut self, d: usize, n_rows: usize) -> Option<()> {
        match self.byte()? {
            1 => {
                let n = self.count()?;
                (0..n).try_for_each(|_| self.class())?;
                self.many(Kind::Count, n)?;
                self.many(Kind::Count, n_rows)?;
                self.floats(if n_rows == 0 { n.checked_mul(d)? } else { 0 })?;
                if self.byte()? == 1 { self.floats(n) } else { Some(()) }
            }
            2 => {
                let k = self.count()?;
                let cross = if n_rows == 0 { d.checked_mul(k)? } else { 0 };
                for n in [k, k, k, n_rows.checked_mul(k)?, cross] {
                    self.floats(n)?;
                }
                if self.byte()? == 0 {
                    return Some(());
                }
                for n in [1, d, k] {
                    self.floats(n)?;
                }
                if self.byte()? == 1 {
                    for n in [k.checked_mul(k.checked_add(1)?)? / 2, k, 1, 1] {
                        self.floats(n)?;
                    }
                }
                Some(())
            }
            _ => Some(()),
        }
    }
}

const FLOATS: [f64; 16] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e308,
    -1e308,
    1e154,
    -1e154,
    1e-154,
    1e-308,
    5e-324,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    1e110,
    1e-110,
];
const COUNTS: [u64; 12] = [
    0,
    1,
    2,
    3,
    1 << 31,
    1 << 32,
    1 << 53,
    (1 << 53) + 1,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// Changes a content in one or a few places; `other` is a content that parts may come from.
#[must_use]
pub fn mutated(content: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut forged = content.to_vec();
    for _ in 0..random.pick(&[1, 1, 1, 1, 2, 3, 5]) {
        let fields = Walk::new(&forged).fields;
        if fields.is_empty() {
            return random.bytes(200);
        }
        let field = random.pick(&fields);
        match random.below(16) {
            0..=8 => change(&mut forged, field, &fields, random),
            9 | 10 => scale_group(&mut forged, field, &fields, random),
            11 => {
                let place = random.below(forged.len());
                forged[place] = random.u64().to_le_bytes()[0];
            }
            12 => {
                let n = random.pick(&[1, 7, 8, 8, 16, 24]);
                let more = random.bytes(n);
                forged.splice(field.place..field.place, more);
            }
            13 => {
                let end = (field.place + random.pick(&[1, 8, 8, 16, 24])).min(forged.len());
                forged.drain(field.place..end);
            }
            14 => {
                // The head of this one and the rest of another, each from where a number begins.
                let others = Walk::new(other).fields;
                if !others.is_empty() {
                    forged.truncate(field.place);
                    forged.extend_from_slice(&other[random.pick(&others).place..]);
                }
            }
            _ => {
                let n = random.below(40);
                let more = random.bytes(n);
                if n.is_multiple_of(2) { forged.truncate(field.place) } else { forged.extend(more) }
            }
        }
    }
    forged
}

fn float_at(bytes: &[u8], place: usize) -> f64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[place..place + 8]);
    f64::from_le_bytes(number)
}

fn change(forged: &mut [u8], field: Field, fields: &[Field], random: &mut Random) {
    let place = field.place;
    match field.kind {
        Kind::Byte => forged[place] = random.pick(&[0, 0, 1, 1, 2, 3, 255]),
        Kind::Count => {
            let old = float_at(forged, place).to_bits();
            let near = [old.wrapping_add(1), old.wrapping_sub(1), old.wrapping_mul(2)];
            let count =
                if random.below(2) == 0 { random.pick(&COUNTS) } else { random.pick(&near) };
            forged[place..place + 8].copy_from_slice(&count.to_le_bytes());
        }
        Kind::Float => {
            let old = float_at(forged, place);
            let floats: Vec<Field> =
                fields.iter().copied().filter(|field| field.kind == Kind::Float).collect();
            let new = match random.below(8) {
                0 => random.pick(&FLOATS),
                1 => -old,
                2 | 3 => old * 10_f64.powf(8.0 * random.unit() - 4.0),
                4 | 5 => old * (1.0 + 10_f64.powf(-1.0 - 14.0 * random.unit())),
                6 => f64::from_bits(old.to_bits() ^ 1 << random.below(64)),
                _ => float_at(forged, random.pick(&floats).place),
            };
            forged[place..place + 8].copy_from_slice(&new.to_le_bytes());
        }
    }
}

/// Multiplies all numbers of a group, which keeps their relations to one another.
fn scale_group(forged: &mut [u8], field: Field, fields: &[Field], random: &mut Random) {
    let factor = match random.below(4) {
        0 => 0.0,
        1 => -1.0,
        2 => 10_f64.powf(300.0 * random.unit() - 150.0),
        _ => 10_f64.powf(2.0 * random.unit() - 1.0),
    };
    for Field { place, .. } in
        fields.iter().filter(|other| other.group == field.group && other.kind == Kind::Float)
    {
        let scaled = float_at(forged, *place) * factor;
        forged[*place..*place + 8].copy_from_slice(&scaled.to_le_bytes());
    }
}
