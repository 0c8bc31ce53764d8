//! Every check finds a planted fault in a small repository, and nothing once the fault is mended.

use std::fs;
use std::process::Command;

use netduel_tidy::{Check, Finding, Tree, diagram, lower};
use tempfile::TempDir;

/// A repository in a temporary folder, with two packages: `app` needs `base`.
struct Repository(TempDir);

impl Repository {
    fn new() -> Self {
        let new = Self(tempfile::tempdir().expect("a folder"));
        new.write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"app\", \"base\"]\n");
        for (name, dependencies) in [("app", "[dependencies]\nbase = { path = \"../base\" }\n"), ("base", "")]
        {
            let package = format!(
                "[package]\nname = \"{name}\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n{dependencies}"
            );
            new.write(&format!("{name}/Cargo.toml"), &package);
            new.write(&format!("{name}/lib.rs"), "//! A crate.\n");
        }
        new
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn find(&self, check: Check) -> Vec<Finding> {
        check.run(&self.tree()).expect("a check")
    }

    fn tree(&self) -> Tree {
        Tree::open(self.0.path()).expect("a tree")
    }

    fn git(&self, arguments: &[&str]) {
        let identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"];
        let status = Command::new("git")
            .args(identity)
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .expect("git");
        assert!(status.status.success(), "{status:?}");
    }

    /// Writes a library of several files and returns the files of its cycles.
    fn cycle(&self, files: &[(&str, &str)]) -> Vec<String> {
        for (path, text) in files {
            self.write(&format!("app/{path}"), &format!("//! A file.\n{text}\n"));
        }
        let findings = self.find(Check::Layout);
        let mut files: Vec<_> =
            findings.into_iter().filter(|it| it.text.contains("cycle of")).map(|it| it.file).collect();
        files.dedup();
        files
    }
}

#[track_caller]
fn places(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|it| format!("{}:{}", it.file, it.line)).collect()
}

#[test]
fn finds_question_words() {
    let repository = Repository::new();
    let full = "/// A thing.\npub struct A;\n\n".repeat(120);
    repository.write("app/lib.rs", &format!("//! A crate.\n\n{full}"));
    assert_eq!(repository.find(Check::Prose), []);
    repository.write("app/lib.rs", &format!("//! How it goes.\n\n{full}// Who calls it.\n"));
    repository.write("README.md", "# A\n\nWhat is interrupted goes on.\n");
    let found = places(&repository.find(Check::Prose));
    assert!(
        ["app/lib.rs:1", "app/lib.rs:363", "README.md:3"]
            .iter()
            .all(|place| found.contains(&(*place).to_owned())),
        "{found:?}"
    );
}

#[test]
fn limits_question_words_to_one_percent() {
    let repository = Repository::new();
    repository.write("tidy/allowance.toml", "question_word_docs = 1\n");
    repository.write("app/lib.rs", "//! How it goes.\n");
    let found = repository.find(Check::Prose);
    assert_eq!(found.len(), 1);
    assert!(found[0].text.contains("1 of 2 doc comments"), "{found:?}");
}

#[test]
fn finds_long_lines() {
    let repository = Repository::new();
    let (words, string) = ("word ".repeat(21), "x".repeat(121));
    repository.write("app/lib.rs", &format!("//! A crate.\n\n// {words}\nconst A: &str = \"{string}\";\n"));
    repository
        .write("README.md", &format!("# A\n\n{words}\n\n```text\n{words}\n```\n\n|a|\n|-|\n|{words}|\n"));
    let found = repository.find(Check::Prose);
    let found: Vec<_> = places(&found).into_iter().filter(|place| !place.ends_with(":0")).collect();
    assert_eq!(found, ["app/lib.rs:3", "app/lib.rs:4", "README.md:3"]);
}

#[test]
fn finds_long_test_names() {
    let repository = Repository::new();
    let long = "#[test]\n#[ignore]\nfn one_two_three_four_five_six_seven() {}\n";
    let short = "#[tokio::test]\nasync fn one_two_three_four_five_six() {}\n";
    repository.write("app/lib.rs", &format!("//! A crate.\n\n{long}\n{short}"));
    assert_eq!(places(&repository.find(Check::Prose))[0], "app/lib.rs:5");
}

#[test]
fn allowances_only_fall() {
    let repository = Repository::new();
    let full = "/// A thing.\npub struct A;\n\n".repeat(120);
    repository.write("app/lib.rs", &format!("//! How it goes.\n\n{full}"));
    repository.write("tidy/allowance.toml", "question_word_docs = 1\n");
    assert_eq!(repository.find(Check::Prose), []);
    repository.write("tidy/allowance.toml", "question_word_docs = 3\n");
    assert!(
        repository.find(Check::Prose)[0]
            .text
            .contains("has 1 doc comments that begin with a question word, but")
    );
    assert_eq!(lower(&repository.tree()).unwrap(), 1);
    assert_eq!(repository.find(Check::Prose), []);
    assert_eq!(lower(&repository.tree()).unwrap(), 0);
    assert_eq!(places(&Check::Prose.run(&repository.tree().strict()).unwrap())[0], "app/lib.rs:1");
}

#[test]
fn finds_faults_of_layout() {
    let repository = Repository::new();
    assert_eq!(repository.find(Check::Layout), []);
    for number in 0..20 {
        repository.write(&format!("app/file{number}.rs"), "//! A file.\n");
        repository.write(&format!("app/tests/more/file{number}.rs"), "//! A file.\n");
    }
    repository.write("base/lib.rs", "#![allow(missing_docs)]\n#[path = \"other.rs\"]\nmod inner;\n");
    let found = places(&repository.find(Check::Layout));
    assert!(
        ["app:0", "base/lib.rs:1", "base/lib.rs:2"].iter().all(|place| found.contains(&(*place).to_owned())),
        "{found:?}"
    );
}

#[test]
fn finds_cycle_of_siblings() {
    let cycle = Repository::new().cycle(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::{b::B, c};\npub(crate) struct A(B);\nfn f() { c::f() }"),
        ("b.rs", "pub(crate) struct B;\nfn g() { vec![super::a::A::new()]; }"),
        ("c.rs", "pub(crate) fn f() {}"),
    ]);
    assert_eq!(cycle, ["app/a.rs", "app/b.rs"]);
}

#[test]
fn follows_reexports_to_the_defining_file() {
    let cycle = Repository::new().cycle(&[
        ("lib.rs", "mod face; mod user;\npub use face::Thing;\npub use user::make;"),
        ("face.rs", "mod inner;\npub use inner::*;"),
        ("face/inner.rs", "pub struct Thing;\nimpl Thing { fn f() { crate::make(); } }"),
        ("user.rs", "use crate::Thing;\npub fn make() -> Thing { Thing }"),
    ]);
    assert_eq!(cycle, ["app/face/inner.rs", "app/user.rs"]);
}

#[test]
fn finds_cycle_of_parent_and_child() {
    let parent = "mod child;\npub(crate) struct P;\nfn f(it: child::C) {}";
    let cycle = Repository::new().cycle(&[
        ("lib.rs", "mod parent;"),
        ("parent.rs", parent),
        ("parent/child.rs", "use super::*;\npub(crate) struct C(P);"),
    ]);
    assert_eq!(cycle, ["app/parent.rs", "app/parent/child.rs"]);
}

#[test]
fn accepts_faces_tests_and_other_crates() {
    let cycle = Repository::new().cycle(&[
        (
            "lib.rs",
            "mod parent; mod user; mod base;\npub use parent::{P, C};\nmacro_rules! m { () => { 1 } }",
        ),
        (
            "parent.rs",
            "mod child;\npub use self::child::C;\npub struct P;\nfn f(helper: fn()) { helper() }\n\
             #[cfg(test)] mod tests { use super::C; }",
        ),
        ("user.rs", "use crate::parent::P;\nmacro_rules! helper { () => { P } }"),
        ("parent/child.rs", "use super::P;\nuse ::base as other;\npub struct C(P);"),
        (
            "base.rs",
            "#[cfg(test)]\nfn f() { crate::parent::g(); }\npub fn base() { let parent = 1; parent.base() }",
        ),
    ]);
    assert!(cycle.is_empty(), "{cycle:?}");
}

#[test]
fn follows_macros_and_macro_made_items() {
    let cycle = Repository::new().cycle(&[
        ("lib.rs", "#[macro_use]\nmod a;\nmod b; mod c;"),
        ("a.rs", "macro_rules! make { ($name:ident) => { pub struct $name(crate::b::Made); } }"),
        ("b.rs", "make!(Made);"),
        ("c.rs", "fn f(it: crate::b::Made) {}"),
    ]);
    assert_eq!(cycle, ["app/a.rs", "app/b.rs"]);
}

#[test]
fn finds_forbidden_names() {
    let repository = Repository::new();
    let rule = "[[rule]]\nname = \"quux\"\nonly = [\"base/\"]\nreason = \"Only base speaks it.\"\n";
    repository.write("tidy/names.toml", rule);
    repository.write("base/lib.rs", "//! A crate that uses quux.\n");
    assert_eq!(repository.find(Check::Names), []);
    repository.write("app/lib.rs", "//! A crate.\nuse quux::Q;\n");
    assert_eq!(places(&repository.find(Check::Names)), ["app/lib.rs:2"]);
    repository.write("app/lib.rs", "//! A crate.\n");
    repository.write("base/lib.rs", "//! A crate.\n");
    assert_eq!(places(&repository.find(Check::Names)), ["tidy/names.toml:0"]);
}

#[test]
fn finds_dead_links() {
    let repository = Repository::new();
    repository.write(
        "docs/a.md",
        "# A page\n\n[b](../README.md#the-top), [c](../app/lib.rs#L1), [d](https://example.org/e)\n",
    );
    repository
        .write("README.md", "# The top\n\n[a](docs/a.md#a-page), `docs/a.md`, `app/`, [folder](docs)\n");
    repository.write("app/lib.rs", "//! A crate; see docs/a.md.\n");
    assert_eq!(repository.find(Check::Links), []);
    repository.write(
        "docs/a.md",
        "# A page\n\n[b](../README.md#top)\n\n[c](../app/lib.rs#L9)\n\n[d](d.md) [e](../../e.md)\n",
    );
    repository.write("README.md", "# The top\n\nSee `docs/gone.md`.\n");
    repository.write("app/lib.rs", "//! A crate; see gone.rs.\n");
    let found = places(&repository.find(Check::Links));
    assert_eq!(
        found,
        ["README.md:3", "docs/a.md:3", "docs/a.md:5", "docs/a.md:7", "docs/a.md:7", "app/lib.rs:1"]
    );
}

#[test]
fn compares_the_map_with_the_crates() {
    let repository = Repository::new();
    let right = diagram(&repository.tree()).unwrap();
    assert_eq!(right, "```mermaid\nflowchart TD\n    app --> base\n```\n");
    assert_eq!(places(&repository.find(Check::Map)), ["ARCHITECTURE.md:0"]);
    repository.write("ARCHITECTURE.md", &format!("# A\n\n{right}"));
    assert_eq!(repository.find(Check::Map), []);
    repository.write("ARCHITECTURE.md", &format!("# A\n\n{}", right.replace("app --> base", "base --> app")));
    assert_eq!(places(&repository.find(Check::Map)), ["ARCHITECTURE.md:3", "ARCHITECTURE.md:3"]);
}

#[test]
fn draws_direct_dependencies_only() {
    let repository = Repository::new();
    repository.write(
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"app\", \"base\", \"top\", \"alone\"]\n",
    );
    let normal = "[dependencies]\napp = { path = \"../app\" }\nbase = { path = \"../base\" }\n";
    let needs = format!("{normal}[dev-dependencies]\nalone = {{ path = \"../alone\" }}\n");
    for (name, needs) in [("top", needs.as_str()), ("alone", "")] {
        let package =
            format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n{needs}");
        repository.write(&format!("{name}/Cargo.toml"), &package);
        repository.write(&format!("{name}/lib.rs"), "//! A crate.\n");
    }
    let right = diagram(&repository.tree()).unwrap();
    assert_eq!(right, "```mermaid\nflowchart TD\n    app --> base\n    top --> app\n    alone\n```\n");
}

#[test]
fn checks_subjects_since_the_base() {
    let repository = Repository::new();
    repository.git(&["init", "-q"]);
    for subject in ["Old aphorism", "app: add a file", "Correct a count"] {
        repository.git(&["commit", "-q", "--allow-empty", "-m", subject]);
        if subject.starts_with("Old") {
            repository.git(&["tag", "base"]);
        }
    }
    repository.write("tidy/commits.toml", "since = \"base\"\n");
    let found = repository.find(Check::Commits);
    assert_eq!(found.len(), 1);
    assert!(found[0].text.contains("Correct a count"), "{found:?}");
    repository.write("tidy/commits.toml", "since = \"cafe\"\n");
    assert_eq!(repository.find(Check::Commits), [], "a shallow clone is not checked");
}
