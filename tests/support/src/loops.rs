//! How often a loop goes round.
//!
//! Rule: a loop that looks for rare events is short by default, so that everybody runs it, and long where
//! `NIGARI_LOOPS` says so.

use crate::child::variable;

/// `usual` times the factor in `NIGARI_LOOPS` (a positive number, 1 when unset), at least once.
pub fn times(usual: u32) -> u32 {
    scaled(usual, variable("NIGARI_LOOPS").as_deref())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the type's range first")]
fn scaled(usual: u32, factor: Option<&str>) -> u32 {
    let factor = factor.and_then(|text| text.parse::<f64>().ok()).filter(|factor| *factor > 0.0).unwrap_or(1.0);
    (f64::from(usual) * factor).clamp(1.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::scaled;

    #[test]
    fn loops_scale_and_never_vanish() {
        for (factor, rounds) in
            [(None, 20), (Some("10"), 200), (Some("0.5"), 10), (Some("0.001"), 1), (Some("x"), 20), (Some("-1"), 20)]
        {
            assert_eq!(scaled(20, factor), rounds, "{factor:?}");
        }
    }
}
