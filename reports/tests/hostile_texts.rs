//! Results and recordings of strangers: whatever their texts say, no output takes over a terminal,
//! forges a line or a table, or calls somebody.

use std::{collections::BTreeSet, path::Path};

use netduel_client::recording::Recording;
use netduel_reports::{
    analysis::conclusions::Conclusions,
    data::results::Results,
    recording::text as recording_text,
    render::{csv::csv, text},
};
use serde_json::Value;

/// Clears a screen, sets a title, forges a heading and a row, and reverses what follows.
const HOSTILE: &str =
    "a\u{1b}[2J\u{1b}]0;t\u{7}\r\n## forged\n| a row |\u{202e}\u{2028}<img src=x>![i](x)@you`c`";

fn sample(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sample").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).expect("the sample")).expect("JSON")
}

/// Calls `visit` with each text below `value`, and the names on the way to it.
fn texts(value: &mut Value, path: &str, visit: &mut impl FnMut(&str, &mut String)) {
    match value {
        Value::String(text) => visit(path, text),
        Value::Array(all) => all.iter_mut().for_each(|it| texts(it, path, visit)),
        Value::Object(fields) => {
            fields.iter_mut().for_each(|(name, it)| texts(it, &format!("{path}.{name}"), visit));
        }
        _ => {}
    }
}

/// Replaces every text of the sample that may be any text, and loads it. Returns the number of
/// fields replaced, too.
fn poisoned<T>(name: &str, load: impl Fn(&Path) -> Option<T>) -> (T, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(name);
    let mut value = sample(name);
    let mut fields = BTreeSet::new();
    texts(&mut value, "", &mut |path, _| {
        fields.insert(path.to_owned());
    });
    let mut replaced = 0;
    for field in fields {
        let mut tried = value.clone();
        texts(&mut tried, "", &mut |path, text| {
            if path == field {
                *text = HOSTILE.to_owned();
            }
        });
        std::fs::write(&file, tried.to_string()).expect("written");
        if load(&file).is_some() {
            (value, replaced) = (tried, replaced + 1);
        }
    }
    std::fs::write(&file, value.to_string()).expect("written");
    (load(&file).expect("as before"), replaced)
}

fn assert_harmless(what: &str, output: &str) {
    assert!(output.contains("forged"), "{what}: the texts are shown at all");
    let unseen = |char: char| char.is_control() && char != '\n' || "\u{202e}\u{2028}".contains(char);
    let at = output.find(unseen);
    assert_eq!(at, None, "{what}: {:?}", at.map(|at| &output[at.saturating_sub(40)..]));
    let forged = |line: &str| line.starts_with("## forged") || line.starts_with("| a row");
    assert!(!output.lines().any(forged), "{what} has a forged line");
}

#[test]
fn results_of_strangers_are_harmless() {
    let (results, replaced) = poisoned("results.json", |path| Results::load(path).ok());
    assert!(replaced > 5, "{replaced} fields may hold any text");
    let conclusions = Conclusions::of(&results);
    assert_harmless("the terminal", &text::terminal(&conclusions));
    assert_harmless("the CSV", &csv(&results));
    let markdown = text::markdown(&conclusions);
    assert_harmless("the Markdown", &markdown);
    for markup in ["<img", "![i]", "@you"] {
        let raw = markdown.match_indices(markup).filter(|(at, _)| !markdown[..*at].ends_with('\\'));
        // Within code all of it is text.
        let raw = raw.filter(|(at, _)| markdown[..*at].matches('`').count().is_multiple_of(2));
        let lines: Vec<&str> =
            raw.map(|(at, _)| &markdown[markdown.floor_char_boundary(at.saturating_sub(200))..at]).collect();
        assert!(lines.is_empty(), "{markup} in the Markdown: {lines:#?}");
    }
}

#[test]
fn recordings_of_strangers_are_harmless() {
    let (recording, replaced) = poisoned("recording.json", |path| Recording::load(path).ok());
    assert!(replaced > 2, "{replaced} fields may hold any text");
    assert_harmless("the summary", &recording_text::terminal(&recording, 100));
}
