//! The rate limit on the TLS records of a remote.
//!
//! A record may carry no message: a key update, an empty record, one byte of a frame. Each costs
//! this side a decryption, and a key update new keys, so a limit on messages does not bound them.

use crate::{FrameError, RateLimit};

/// The bytes of a record beside its plaintext: header, content type and tag (RFC 8446, 5.2). Each
/// record has as many at least.
const OVERHEAD_BYTES: usize = 5 + 1 + 16;
/// The longest record in bytes (RFC 8446, 5.2). A part of one may wait for the rest, and is no
/// overhead then.
const RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 256;

/// A limit that counts records by their overhead, since rustls tells only the bytes that went in
/// and the plaintext that came out.
pub(super) struct RecordLimit {
    limit: RateLimit,
    /// The bytes that were read and brought no plaintext, but for the records that were counted.
    uncounted_bytes: usize,
}

impl RecordLimit {
    pub(super) fn new(per_s: u32) -> Self {
        Self { limit: RateLimit::new(per_s), uncounted_bytes: 0 }
    }

    /// Counts what a read brought.
    pub(super) fn count(&mut self, read_bytes: usize, plaintext_bytes: usize) -> Result<(), FrameError> {
        self.uncounted_bytes = (self.uncounted_bytes + read_bytes).saturating_sub(plaintext_bytes);
        let records = self.uncounted_bytes.saturating_sub(RECORD_BYTES_MAX) / OVERHEAD_BYTES;
        if records == 0 {
            return Ok(());
        }
        self.uncounted_bytes -= records * OVERHEAD_BYTES;
        self.limit.count(u32::try_from(records).unwrap_or(u32::MAX), "TLS records")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY_UPDATE_BYTES: usize = OVERHEAD_BYTES + 5;

    #[test]
    fn limits_records_without_plaintext() {
        let mut limit = RecordLimit::new(100);
        let passed = (0..100_000).take_while(|_| limit.count(KEY_UPDATE_BYTES, 0).is_ok()).count();
        // The part of a record that may wait is free once, and the clock may grant a few more.
        let free = RECORD_BYTES_MAX / KEY_UPDATE_BYTES;
        assert!((free..free + 200).contains(&passed), "{passed}");
        let error = limit.count(10_000, 0).expect_err("too many");
        assert!(error.to_string().contains("more than 100 TLS records"), "{error}");
    }

    #[test]
    fn permits_long_records_in_parts() {
        let mut limit = RecordLimit::new(1_000);
        let plaintext = 16 * 1024;
        // A thousand times a second's allowance, if parts counted as overhead.
        for _ in 0..1_000 {
            for _ in 0..4 {
                limit.count(plaintext / 4, 0).expect("a part");
            }
            limit.count(OVERHEAD_BYTES, plaintext).expect("its end");
        }
    }

    #[test]
    fn counts_one_per_record() {
        let mut limit = RecordLimit::new(50);
        let mut passed =
            |count: usize| (0..count).take_while(|_| limit.count(OVERHEAD_BYTES + 40, 40).is_ok()).count();
        let free = RECORD_BYTES_MAX / OVERHEAD_BYTES;
        assert_eq!(passed(free), free);
        assert!((45..200).contains(&passed(10_000)), "each record counts once");
    }
}
