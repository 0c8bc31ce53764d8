//! The secret token that proves the right to a seat. Never printed, compared in constant time.

use std::fmt;

use bincode::{Decode, Encode};
use subtle::ConstantTimeEq;

/// A secret of 128 random bits, known to the server and one player. It cannot be guessed within the
/// seconds that it is valid.
#[derive(Clone, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct SeatToken([u8; Self::BYTES]);

impl SeatToken {
    /// The token's length in bytes.
    pub const BYTES: usize = 16;

    /// Makes a token of bits that the caller drew from the system's generator.
    pub const fn new(secret: [u8; Self::BYTES]) -> Self {
        Self(secret)
    }
}

impl PartialEq for SeatToken {
    /// Takes the same time wherever the tokens differ, so that a token cannot be learned byte by
    /// byte.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SeatToken {}

impl fmt::Debug for SeatToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeatToken(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_all_bits_and_prints_none() {
        let token = SeatToken::new([0xab; SeatToken::BYTES]);
        assert_eq!(token, token.clone());
        for bit in 0..8 * SeatToken::BYTES {
            let mut other = token.clone();
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(token, other);
        }
        let printed = format!("{:?}", crate::ResumeTicket { token, grace_ms: 1 });
        assert_eq!(printed, "ResumeTicket { token: SeatToken(secret), grace_ms: 1 }");
    }
}
