//! What proves whose seat in a match it is. Printed nowhere, compared in constant time.

use std::fmt;

use bincode::{Decode, Encode};
use subtle::ConstantTimeEq;

/// 128 random bits that server and player know: nobody guesses them within the seconds that they are good for.
#[derive(Clone, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct SeatToken([u8; Self::BYTES]);

impl SeatToken {
    /// Its length.
    pub const BYTES: usize = 16;

    /// Of bits that the caller drew from the system's generator.
    pub const fn new(secret: [u8; Self::BYTES]) -> Self {
        Self(secret)
    }
}

impl PartialEq for SeatToken {
    /// Takes the same time wherever they differ, so that nobody learns a token byte by byte.
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
    fn a_token_is_equal_to_itself_alone_and_is_not_printed() {
        let token = SeatToken::new([0xab; SeatToken::BYTES]);
        assert_eq!(token, token.clone());
        for bit in 0..8 * SeatToken::BYTES {
            let mut other = token.clone();
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(token, other);
        }
        let printed = format!("{token:?} {:?}", crate::ResumeTicket { token: token.clone(), grace_ms: 1 });
        assert!(!printed.contains("ab") && !printed.contains("171"), "{printed}");
    }
}
