//! Libraries that only certain files may name, as `tidy/names.toml` lists them.

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{Finding, Tree};

/// The file of the rules, below the root.
const NAMES_FILE: &str = "tidy/names.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    rule: Vec<Rule>,
}

/// A word and the files that may contain it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// The word that is looked for in Rust files, as a part of any text.
    name: String,
    /// Files, and folders with a `/` at the end.
    only: Vec<String>,
    /// The sentence that says why.
    reason: String,
}

/// Checks every Rust file against the rules, and the rules against the files.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    if !tree.contains(NAMES_FILE) {
        return Ok(Vec::new());
    }
    let rules: Rules =
        toml::from_str(&tree.read(NAMES_FILE)?).with_context(|| format!("cannot parse {NAMES_FILE}"))?;
    let mut findings = Vec::new();
    for Rule { name, only, reason } in rules.rule {
        let mut named = vec![false; only.len()];
        for file in tree.with_extension("rs") {
            let allowed = only.iter().position(|place| match place.strip_suffix('/') {
                Some(_) => file.starts_with(place.as_str()),
                None => file == place,
            });
            for (index, _) in tree.read(file)?.lines().enumerate().filter(|(_, line)| line.contains(&name)) {
                match allowed {
                    Some(place) => named[place] = true,
                    None => findings.push(Finding::new(
                        file,
                        index + 1,
                        format!("`{name}` may not be named here. {reason}"),
                    )),
                }
            }
        }
        for (place, _) in only.iter().zip(&named).filter(|(_, named)| !**named) {
            findings.push(Finding::new(
                NAMES_FILE,
                0,
                format!("{place} does not name `{name}`: remove it from the list"),
            ));
        }
    }
    Ok(findings)
}
