//! Figures as text.

/// µs as ms.
pub(crate) fn milliseconds(us: f64) -> String {
    format!("{:.*}", if us < 10_000.0 { 2 } else { 1 }, us / 1_000.0)
}
