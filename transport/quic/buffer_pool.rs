//! A pool of buffers for the packets that were read.
//!
//! quinn-proto takes each packet as its own. It keeps a packet while a stream fragment in it waits
//! for earlier ones. So a packet shares its buffer with no other packet; otherwise the fragment
//! would keep those, too. Small packets, as moves are, get a buffer that is reused once no packet
//! holds it. Reading them allocates nothing.

use bytes::BytesMut;

/// The longest packet that is put into a reused buffer: a move without a payload takes 60 to 90
/// bytes. A kept fragment holds this much, but quinn-proto, which bounds the bytes of fragments,
/// counts its packet's size. The smallest packet has 21 bytes, so the bound is exceeded sixfold at
/// most.
const SMALL_BYTES: usize = 128;
/// The number of buffers, more than the small packets that one batch read returns in practice. When
/// the pool is exhausted, a new buffer is allocated.
const COUNT: usize = 64;

/// A pool of buffers for small packets, used in turn.
pub(super) struct BufferPool {
    buffers: [BytesMut; COUNT],
    next: usize,
}

impl BufferPool {
    pub(super) fn new() -> Self {
        Self { buffers: std::array::from_fn(|_| BytesMut::new()), next: 0 }
    }

    /// Copies `packet` into a buffer that its owner may keep.
    pub(super) fn copy(&mut self, packet: &[u8]) -> BytesMut {
        if packet.len() > SMALL_BYTES {
            return BytesMut::from(packet);
        }
        let buffer = &mut self.buffers[self.next];
        self.next = (self.next + 1) % COUNT;
        if !buffer.try_reclaim(SMALL_BYTES) {
            *buffer = BytesMut::with_capacity(SMALL_BYTES); // The last one is still in use.
        }
        buffer.extend_from_slice(packet);
        buffer.split()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_packets_reuse_free_buffers() {
        let mut packets = BufferPool::new();
        let mut turn = |held: &mut Vec<BytesMut>| {
            let copies: Vec<_> = (0..COUNT as u8).map(|n| packets.copy(&[n; 60])).collect();
            assert!(copies.iter().zip(0..).all(|(copy, n)| copy[..] == [n; 60]));
            let places: Vec<_> = copies.iter().map(|copy| copy.as_ptr() as usize).collect();
            held.extend(copies.into_iter().take(1));
            places
        };
        let (mut held, mut none) = (Vec::new(), Vec::new());
        let first = turn(&mut held);
        let second = turn(&mut none);
        none.clear();
        assert_ne!(first[0], second[0], "held");
        assert_eq!(first[1..], second[1..]);
        assert_eq!(turn(&mut none), second);
        assert_eq!(held[0][..], [0; 60], "untouched by the next one");
    }

    #[test]
    fn large_packets_get_their_own_buffer() {
        assert_eq!(BufferPool::new().copy(&[7; 1_200])[..], [7; 1_200]);
    }
}
