//! Tests of the report on a recording, with a trimmed real one: a self-contained page, a summary,
//! and errors for other files.

use std::{path::Path, process::Command};

use netduel_client::recording::Recording;
use netduel_reports::recording::{page, text::terminal};
use scraper::{Html, Selector};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sample/recording.json");

fn recording() -> Recording {
    Recording::load(SAMPLE.as_ref()).expect("the sample is of this schema")
}

fn texts(page: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).expect("a selector");
    page.select(&selector).map(|found| found.text().collect()).collect()
}

#[test]
fn page_shows_both_links() {
    let recording = recording();
    let text = page::page(&recording);
    assert_eq!(text, page::page(&recording), "the same bytes each time");
    let page = Html::parse_document(&text);
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    assert!(!text.contains("http") && !text.contains("url(") && !text.contains("@import"));
    for heading in ["Summary", "Over time", "Tails", "Provenance"] {
        assert!(texts(&page, "h2").iter().any(|text| text == heading), "{heading}");
    }
    let heads = texts(&page, "tbody th");
    assert_eq!(heads.len(), 2 * 4, "both players in each of four tables");
    assert!(
        heads.iter().all(|head| [&recording.me.name, &recording.opponent.name].contains(&head)),
        "{heads:?}"
    );
    assert_eq!(texts(&page, "figure.chart svg.plot").len(), 5);
    let sent = recording.me.figures.back().expect("some").sent.to_string();
    assert!(texts(&page, "td.number").contains(&sent), "the moves sent");
    for anchor in page.select(&Selector::parse("a[href]").expect("a selector")) {
        let target = anchor.attr("href").expect("an address");
        assert_eq!(texts(&page, target).len(), 1, "{target}");
    }
}

#[test]
fn names_missing_figures_and_escapes() {
    let mut recording = recording();
    (recording.opponent.totals, recording.opponent.figures) = Default::default();
    recording.opponent.name = "<script>alert(1)</script>".into();
    recording.server = Some("<b>play.example</b>".into());
    let text = page::page(&recording);
    assert!(!text.contains("<script>alert") && !text.contains("<b>play"));
    let page = Html::parse_document(&text);
    assert_eq!(texts(&page, "tbody th").len(), 4, "one player in each table");
    assert!(texts(&page, "#summary p").iter().any(|text| text.contains("does not report them")));
    assert!(terminal(&recording, 100).contains("does not report them"));
}

#[test]
fn renders_match_without_moves() {
    let mut recording = recording();
    for side in [&mut recording.me, &mut recording.opponent] {
        side.totals = side.totals.take().map(|_| Default::default());
        side.figures.truncate(1);
        side.figures.iter_mut().for_each(|it| *it = Default::default());
    }
    let page = Html::parse_document(&page::page(&recording));
    assert_eq!(texts(&page, "figure.chart").len(), 5);
    assert!(texts(&page, "figure.chart svg.plot").is_empty());
    // Any values in a file give a page.
    (recording.started_unix_s, recording.saved_unix_s) = (u64::MAX, u64::MAX);
    for figures in &mut recording.me.figures {
        figures.at_us = u64::MAX;
        figures.round_trip.current_us = Some(u64::MAX);
        (figures.received, figures.late, figures.missing) = (u64::MAX, u64::MAX, u64::MAX);
    }
    assert!(page::page(&recording).len() > 1_000);
}

fn program(file: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_netduel-reports"))
        .arg("recording")
        .arg(file)
        .output()
        .expect("started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn writes_page_beside_recording() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("play-1.json");
    std::fs::copy(SAMPLE, &file).expect("copied");
    let (code, said, errors) = program(&file);
    assert_eq!(code, Some(0), "{errors}");
    let page = folder.path().join("play-1.html");
    assert!(said.contains(&page.display().to_string()) && said.contains("age p95"), "{said}");
    assert_eq!(std::fs::read_to_string(&page).expect("written"), page::page(&recording()));
}

#[test]
fn wrong_files_give_advice() {
    let folder = tempfile::tempdir().expect("a folder");
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sample/results.json");
    let named = folder.path().join("play.html");
    std::fs::copy(SAMPLE, &named).expect("copied");
    let old = folder.path().join("old.json");
    std::fs::write(&old, r#"{"format":"netduel recording 1","figures":[]}"#).expect("written");
    for (file, wanted) in [
        (folder.path().join("none.json"), "cannot read"),
        (results, "netduel-reports render"),
        (old, "has schema 1"),
        (named.clone(), "end in .json"),
    ] {
        let (code, _, errors) = program(&file);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains(wanted) && errors.contains(&file.display().to_string()), "{errors}");
    }
    assert!(Recording::load(&named).is_ok(), "the file is unchanged");
}
