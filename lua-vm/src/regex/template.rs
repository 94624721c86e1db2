//! Replacement templates: `$0`, `$1`, `${12}`, `$$`.

enum Piece<'a> {
    Text(&'a [u8]),
    Group(usize),
}

/// A replacement, taken apart.
pub(super) struct Template<'a>(Vec<Piece<'a>>);

impl<'a> Template<'a> {
    /// `None` for a `$` that nothing valid follows.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(dollar) = memchr::memchr(b'$', rest) {
            if dollar > 0 {
                pieces.push(Piece::Text(&rest[..dollar]));
            }
            rest = &rest[dollar + 1..];
            rest = match rest {
                [b'$', after @ ..] => {
                    pieces.push(Piece::Text(&rest[..1]));
                    after
                }
                [b'{', inner @ ..] => {
                    let (group, after) = number(inner)?;
                    pieces.push(Piece::Group(group));
                    after.strip_prefix(b"}")?
                }
                _ => {
                    let (group, after) = number(rest)?;
                    pieces.push(Piece::Group(group));
                    after
                }
            };
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest));
        }
        Some(Self(pieces))
    }

    /// Appends the replacement of a match; groups that are not set or do not exist are empty.
    pub(super) fn expand(&self, subject: &[u8], offsets: &[i32], out: &mut Vec<u8>) {
        for piece in &self.0 {
            match *piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Group(group) => {
                    let range = offsets.get(group.saturating_mul(2)..).and_then(|rest| rest.first_chunk::<2>());
                    let range = range.filter(|[from, _]| *from >= 0).map(|&[from, to]| from as usize..to as usize);
                    out.extend_from_slice(range.and_then(|range| subject.get(range)).unwrap_or_default());
                }
            }
        }
    }
}

fn number(text: &[u8]) -> Option<(usize, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, after) = text.split_at(digits);
    let fold = |sum: usize, digit: &u8| sum.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
    (digits > 0).then(|| (number.iter().fold(0, fold), after))
}
