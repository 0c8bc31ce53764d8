//! Conversion of figures to text.

/// Returns a time given in µs as text in ms.
pub(crate) fn milliseconds(us: f64) -> String {
    format!("{:.*}", if us < 10_000.0 { 2 } else { 1 }, us / 1_000.0)
}
