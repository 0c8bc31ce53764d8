//! Checks `docs/results.md` and `docs/recording.md` against real files: every field is documented
//! with its type, and nothing else is.

use std::collections::{BTreeSet, HashMap};

use netduel_client::recording;
use netduel_loadgen::{Baseline, ConnectBlock, Connects};
use netduel_reports::{
    data::{
        criterion::Bench,
        results::{Failure, LeftOut, Results, SCHEMA},
    },
    plan::{
        scenario::{Network, Remote},
        search::Search,
    },
};
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../docs/results.md");
const OF_RECORDINGS: &str = include_str!("../../docs/recording.md");

/// A section of a document: the fields with their types, and whether a value has one field or all.
#[derive(Default)]
struct Section {
    one_of: bool,
    fields: HashMap<String, String>,
}

fn sections(document: &str) -> HashMap<String, Section> {
    let mut sections: HashMap<String, Section> = HashMap::new();
    let mut current = String::new();
    for line in document.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            current = heading.split_whitespace().next().expect("a name").to_owned();
            sections.entry(current.clone()).or_default().one_of = heading.ends_with("(one of)");
        } else if let Some((field, rest)) = line.strip_prefix("| `").and_then(|row| row.split_once("` | ")) {
            let kind = rest.split(" |").next().expect("a type").to_owned();
            sections.get_mut(&current).expect("a section").fields.insert(field.to_owned(), kind);
        }
    }
    sections
}

fn check(sections: &HashMap<String, Section>, kind: &str, value: &Value, place: &str) {
    if let Some(kind) = kind.strip_suffix('?') {
        return if value.is_null() {
        } else {
            check(sections, kind, value, place)
        };
    }
    if let Some(kind) = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')) {
        let list = value.as_array().unwrap_or_else(|| panic!("{place} is no list: {value}"));
        return list.iter().for_each(|value| check(sections, kind, value, &format!("{place}[]")));
    }
    let fits = match kind {
        "any" => true,
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "text" => value.is_string(),
        "flag" => value.is_boolean(),
        "Histogram" => value.is_array(),
        _ => return check_section(sections, kind, value, place),
    };
    assert!(fits, "{place} is no {kind}: {value}");
}

fn check_section(sections: &HashMap<String, Section>, kind: &str, value: &Value, place: &str) {
    let section = sections.get(kind).unwrap_or_else(|| panic!("{place}: no section {kind}"));
    if let (true, Some(name)) = (section.one_of, value.as_str()) {
        assert_eq!(section.fields.get(name).map(String::as_str), Some("nothing"), "{place} is {name}");
        return;
    }
    let object = value.as_object().unwrap_or_else(|| panic!("{place} is no object: {value}"));
    let has: BTreeSet<&String> = object.keys().collect();
    let documented: BTreeSet<&String> = section.fields.keys().collect();
    if section.one_of {
        assert!(
            has.len() == 1 && has.is_subset(&documented),
            "{place}: {has:?} is not one of {documented:?}"
        );
    } else {
        assert_eq!(has, documented, "{place} has other fields than the section {kind} of its document");
    }
    for (field, value) in object {
        check(sections, &section.fields[field], value, &format!("{place}.{field}"));
    }
}

#[test]
fn results_fields_are_documented() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sample/results.json");
    let mut results = Results::load(sample.as_ref()).expect("the sample is of this schema");
    // These values are missing in the sample.
    results.scenario.links.push(Network::Loopback);
    results.failures.push(Failure { key: results.runs[0].key.clone(), reason: "because".into() });
    results.runs[0].link = None;
    results.runs[0].load.connects =
        Some(Connects { blocks: vec![ConnectBlock::default()], ..Connects::default() });
    results.scenario.search = Some(Search::RATE);
    let remote = Remote { server: "play.example".into(), pin: Some("5f0c".into()), ca: None };
    results.scenario.links.push(Network::Remote(remote));
    results.scenario.baselines.push(Baseline::PodSixNet);
    results.scenario.in_flight.push(8);
    results.left_out.push(LeftOut { baseline: Baseline::PodSixNet, reason: "there is no Python".into() });
    let (group, name) = ("relay".into(), "tcp".into());
    results.benches.push(Bench { group, name, mean_ns: 1.0, low_ns: 0.5, high_ns: 1.5 });
    assert!(results.runs.iter().any(|run| run.link.as_ref().is_some_and(|link| !link.drops.is_empty())));
    let value = serde_json::to_value(&results).expect("serialises");
    check(&sections(DOCUMENT), "Results", &value, "results");
    assert!(DOCUMENT.contains(&format!("This is schema **{SCHEMA}**")), "docs/results.md names the schema");
}

#[test]
fn recording_fields_are_documented() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sample/recording.json");
    // The check covers the file and the reading without the figures of a remote opponent.
    let text = std::fs::read_to_string(sample).expect("the sample");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let mut read = recording::Recording::load(sample.as_ref()).expect("the sample is of this schema");
    (read.opponent.totals, read.opponent.figures) = Default::default();
    read.server = Some("play.example".into());
    let mut both = sections(OF_RECORDINGS);
    both.extend(sections(DOCUMENT));
    check(&both, "Recording", &file, "the file");
    check(&both, "Recording", &serde_json::to_value(&read).expect("serialises"), "recording");
    let schema = recording::SCHEMA;
    assert!(OF_RECORDINGS.contains(&format!("This is schema **{schema}**")), "the document names the schema");
}
