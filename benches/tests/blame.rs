//! Attributes allocations to code, in a process of its own, since the counters belong to the
//! process.

use std::hint::black_box;

use netduel_benches::allocations::{Heap, blame};

#[test]
fn attributes_allocations_to_callers() {
    Heap::count();
    blame();
    let grown = |since: Heap| {
        let now = Heap::now();
        (now.allocations - since.allocations, now.ours - since.ours)
    };
    let before = Heap::now();
    drop(black_box(vec![7; 3]));
    drop(black_box("seven".to_owned()));
    let (all, ours) = grown(before);
    assert!(all >= 2 && ours == 2, "{ours} of {all}, asked for by way of the standard library");

    let before = Heap::now();
    drop(black_box(tokio::sync::mpsc::channel::<u8>(1)));
    let (all, ours) = grown(before);
    assert!(all >= 1 && ours == 0, "{ours} of {all}, asked for by a library");
}
