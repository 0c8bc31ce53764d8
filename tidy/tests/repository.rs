//! The map in ARCHITECTURE.md is that of this repository's crates.

use netduel_tidy::{Check, Tree};

#[test]
fn map_shows_the_crates() {
    let tree = Tree::open(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).expect("the repository");
    let findings = Check::Map.run(&tree).expect("a check");
    assert!(findings.is_empty(), "{findings:#?}");
}
