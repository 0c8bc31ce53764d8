//! Golden test: every format of a small fixed result equals the committed file.
//!
//! After an intended change of a report, run `cargo run -p netduel-reports -- render
//! reports/tests/sample/results.json`, inspect the page and commit it. After a change of the
//! schema, run the command at the foot of the page again.

use std::path::PathBuf;

use netduel_reports::{
    analysis::conclusions::Conclusions,
    data::results::Results,
    render::{answer::sentences::answer, csv::csv, html::html, text::markdown},
};
use scraper::{Html, Selector};

fn sample(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "sample", name].iter().collect()
}

fn results() -> Results {
    Results::load(&sample("results.json")).expect("the sample")
}

fn page() -> (String, Html) {
    let text = html(&Conclusions::of(&results()));
    let parsed = Html::parse_document(&text);
    (text, parsed)
}

fn texts(page: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).expect("a selector");
    page.select(&selector).map(|element| element.text().collect::<String>().trim().to_owned()).collect()
}

#[test]
fn formats_equal_committed_files() {
    let results = results();
    let conclusions = Conclusions::of(&results);
    let formats = [
        ("report.html", html(&conclusions)),
        ("report.md", markdown(&conclusions)),
        ("report.csv", csv(&results)),
    ];
    for (name, text) in formats {
        let committed = std::fs::read_to_string(sample(name)).expect("committed");
        // `assert_eq` would print two pages of HTML.
        assert!(text == committed, "{name} has changed: see the head of this file");
    }
}

#[test]
fn page_is_self_contained() {
    let (text, page) = page();
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    assert!(!text.contains("http"), "nothing from elsewhere");
    for element in ["link", "img", "iframe", "[src]", "[href^='//']"] {
        assert!(texts(&page, element).is_empty(), "{element}");
    }
    assert!(!text.contains("url(") && !text.contains("@import"));
    let rows = texts(&page, "#link-0 table tbody th");
    for kind in &results().scenario.transports {
        assert!(rows.contains(&kind.to_string()), "{kind} has a row");
    }
    // The page has three curves over the rate, and two tails and a time series for each of two
    // rates.
    assert_eq!(texts(&page, "figure.chart svg.plot").len(), 3 + 2 * 3);
    assert!(texts(&page, ".shade rect").len() > 1, "bad periods are shaded");
    assert!(texts(&page, "#trust td").iter().any(|text| text.contains("passed")));
    let command = texts(&page, "#provenance pre").join("");
    assert!(command.starts_with("netduel-reports run --transport tcp,quic-datagram"), "{command}");
}

#[test]
fn anchors_exist_and_names_are_escaped() {
    let mut results = results();
    for run in &mut results.runs {
        run.key.group.link = "<script>alert(1)</script>".into();
    }
    results.no_links = Some("<b>because</b>".into());
    let text = html(&Conclusions::of(&results));
    assert!(!text.contains("<script>alert") && !text.contains("<b>because"));
    let (_, page) = page();
    let anchors = Selector::parse("a[href]").expect("a selector");
    for anchor in page.select(&anchors) {
        let target = anchor.attr("href").expect("an address");
        assert_eq!(texts(&page, target).len(), 1, "{target}");
    }
}

#[test]
fn answer_and_charts_come_first() {
    let (text, page) = page();
    let results = results();
    let conclusions = Conclusions::of(&results);
    let told = answer(&results, conclusions.verdict.as_ref().expect("transports"));
    assert_eq!(texts(&page, "main > section:first-child > h1").concat(), told.headline);
    let advice: Vec<String> = told.places.iter().map(|place| place.advice.clone()).collect();
    assert_eq!(texts(&page, "#answer .advice"), advice);
    let bars = texts(&page, "#answer figure.bars li");
    assert_eq!(bars.len(), 2 * results.scenario.transports.len(), "an age at each of two rates");
    assert!(
        bars[0].contains("quic-datagram") && bars[0].contains("encrypted"),
        "the shortest first: {bars:?}"
    );
    assert!(text.contains("you notice this (100 ms)"));
    let findings = texts(&page, "td.win, td.lose, td.tie, td.unknown");
    assert!(!findings.is_empty());
    let words = ["better", "worse", "same", "cannot tell"];
    assert!(findings.iter().all(|it| words.iter().any(|word| it.starts_with(word))), "{findings:?}");
    let markdown = markdown(&conclusions);
    assert!(markdown.starts_with(&format!("# {}\n", told.headline)));
    assert!(advice.iter().all(|advice| markdown.contains(advice.as_str())));
}

#[test]
fn csv_has_runs_and_units() {
    let results = results();
    let text = csv(&results);
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    for name in ["transport", "link", "rate_hz", "repeat", "age_p99_us", "bytes_in", "server_cpu_us"] {
        assert!(header.contains(&name), "{name}");
    }
    assert_eq!(lines.clone().count(), results.runs.len());
    assert!(lines.all(|line| line.contains("wifi-edge")));
}
