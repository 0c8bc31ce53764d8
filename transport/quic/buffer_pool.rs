//! Memory for packets that were read.
//!
//! quinn-proto takes each packet as its own, and keeps it while a fragment of a stream in it waits for the others. So a
//! packet shares its memory with no other one, or the fragment would keep those, too. Small ones, as moves are, have
//! memory that is used again once nobody holds it: reading them allocates nothing.

use bytes::BytesMut;

/// Longest packet that is put into memory used again: a move without a payload takes 60 to 90 bytes. A fragment that is
/// kept holds this much, and quinn-proto, which bounds what fragments hold, counts it as its packet's size: the smallest
/// has 21 bytes, so the bound is passed sixfold at most.
const SMALL_BYTES: usize = 128;
/// More than one read brings of small packets in practice; those beyond wait for nobody and get memory of their own.
const COUNT: usize = 64;

/// Memory for small packets, used in turns.
pub(super) struct BufferPool {
    buffers: [BytesMut; COUNT],
    next: usize,
}

impl BufferPool {
    pub(super) fn new() -> Self {
        Self { buffers: std::array::from_fn(|_| BytesMut::new()), next: 0 }
    }

    /// A copy of `packet` that its owner may keep.
    pub(super) fn copy(&mut self, packet: &[u8]) -> BytesMut {
        if packet.len() > SMALL_BYTES {
            return BytesMut::from(packet);
        }
        let buffer = &mut self.buffers[self.next];
        self.next = (self.next + 1) % COUNT;
        if !buffer.try_reclaim(SMALL_BYTES) {
            *buffer = BytesMut::with_capacity(SMALL_BYTES); // Somebody still holds the last one.
        }
        buffer.extend_from_slice(packet);
        buffer.split()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_packets_use_the_same_memory_in_turns_unless_somebody_holds_it() {
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
    fn large_packets_have_memory_of_their_own() {
        assert_eq!(BufferPool::new().copy(&[7; 1_200])[..], [7; 1_200]);
    }
}
