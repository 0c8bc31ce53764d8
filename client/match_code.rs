//! Match codes that nobody guesses.

use std::hash::{BuildHasher, RandomState};

/// The word that asks for a fresh code in place of one that two friends agree on.
pub const NEW: &str = "new";

/// The characters of a fresh code: none is mistaken for another when read out.
const CHARACTERS: [u8; 32] = *b"0123456789abcdefghjkmnpqrstvwxyz";
/// The characters of a half: two halves carry 50 bits. At one guess a second that is for ever.
const HALF: u32 = 5;

/// Returns a code of 50 random bits, such as `k7qmx-39hfp`. It is good for as long as its player
/// waits.
///
/// ```
/// use netduel_client::match_code::fresh;
///
/// assert_eq!(fresh().len(), 11);
/// assert_ne!(fresh(), fresh());
/// ```
pub fn fresh() -> String {
    // The keys of a `RandomState` are the system's random numbers, and the hash hides them.
    let bits = RandomState::new().hash_one(NEW);
    let character = |place: u32| char::from(CHARACTERS[(bits >> (5 * place) & 31) as usize]);
    let half = |number: u32| (0..HALF).map(|place| character(number * HALF + place)).collect::<String>();
    format!("{}-{}", half(0), half(1))
}

/// Returns a fresh code for [`NEW`], and any other code as it is.
pub fn chosen(code: &str) -> String {
    if code == NEW { fresh() } else { code.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use netduel_protocol::MAX_CODE_BYTES;

    use super::*;

    #[test]
    fn fresh_codes_use_every_character() {
        let codes: HashSet<String> = (0..1_000).map(|_| fresh()).collect();
        assert_eq!(codes.len(), 1_000);
        for place in (0..11).filter(|place| *place != 5) {
            let seen: HashSet<u8> = codes.iter().map(|code| code.as_bytes()[place]).collect();
            assert_eq!(seen.len(), CHARACTERS.len(), "place {place}");
        }
        assert!(codes.iter().all(|code| code.len() <= MAX_CODE_BYTES));
    }

    #[test]
    fn other_codes_stay() {
        assert_eq!(chosen("friends"), "friends");
        assert_ne!(chosen(NEW), NEW);
    }
}
