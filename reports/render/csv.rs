//! Results as CSV: a line for each run with every figure of a [`Row`], whose names, units in them, are the header. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    analysis::{repeats::Repeats, summary::Row},
    data::results::Results,
};

/// One line for each run, in the order in which they ran.
pub fn csv(results: &Results) -> String {
    let lines: Vec<Vec<(String, String)>> = results
        .runs
        .iter()
        .map(|run| {
            let row = Row { key: run.key.clone(), ..Row::from_repeats(Repeats::new(&[run])) };
            let mut cells = Vec::new();
            flatten(&mut cells, "", serde_json::to_value(row).unwrap_or_default());
            cells
        })
        .collect();
    // What one run does not know another may: the header is that of all.
    let mut header: Vec<&str> = Vec::new();
    for (name, _) in lines.iter().flatten() {
        if !header.contains(&name.as_str()) {
            header.push(name);
        }
    }
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    // Writing to memory does not fail, and every line has as many cells as the header.
    let _ = writer.write_record(&header);
    for line in &lines {
        let cells: BTreeMap<&str, &str> =
            line.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let _ = writer.write_record(header.iter().map(|name| cells.get(name).copied().unwrap_or_default()));
    }
    String::from_utf8_lossy(&writer.into_inner().unwrap_or_default()).into_owned()
}

/// An object's fields by their names; a figure is its value, since a single run has no spread.
fn flatten(cells: &mut Vec<(String, String)>, name: &str, value: Value) {
    match value {
        Value::Object(mut fields) => {
            if let Some(figure) = fields.remove("value") {
                return flatten(cells, name, figure);
            }
            for (field, value) in fields {
                flatten(cells, &field, value);
            }
        }
        Value::Null => cells.push((name.into(), String::new())),
        Value::String(text) => cells.push((name.into(), text)),
        other => cells.push((name.into(), other.to_string())),
    }
}
