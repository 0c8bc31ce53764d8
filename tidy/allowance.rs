//! Counts that a check tolerates. A count above or below its allowance is a finding.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::{Finding, Tree};

/// The file of the allowances, below the root.
pub const ALLOWANCE_FILE: &str = "tidy/allowance.toml";

/// The most findings of one rule that are listed; more hide the others.
const LISTED_MAX: usize = 300;

/// A rule whose faults an allowance limits.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    /// The key in `tidy/allowance.toml`.
    pub(crate) key: &'static str,
    /// The faults, as a plural noun phrase.
    pub(crate) what: &'static str,
    /// The sentence that says what to do with each.
    pub(crate) advice: &'static str,
}

/// The findings of one rule.
pub(crate) struct Counted {
    pub(crate) rule: Rule,
    /// Number of faults. One fault may have several findings.
    pub(crate) count: usize,
    /// Places of the faults.
    pub(crate) findings: Vec<Finding>,
}

impl Counted {
    /// Counts each of `findings` as one fault.
    pub(crate) fn each(rule: Rule, findings: Vec<Finding>) -> Self {
        Self { rule, count: findings.len(), findings }
    }
}

/// Compares `counted` with the allowances of `tree`. A rule without an entry has an allowance of 0.
pub(crate) fn compare(tree: &Tree, counted: Vec<Counted>) -> Result<Vec<Finding>> {
    let allowed = if tree.is_strict() { BTreeMap::new() } else { read(tree)? };
    let mut findings = Vec::new();
    for Counted { rule: Rule { key, what, advice }, count, findings: places } in counted {
        let allowed = allowed.get(key).copied().unwrap_or(0);
        if count > allowed {
            findings.extend(places.into_iter().take(if tree.is_strict() { usize::MAX } else { LISTED_MAX }));
            findings.push(Finding::new(
                ALLOWANCE_FILE,
                0,
                format!("the repository has {count} {what}; `{key}` allows {allowed}. {advice}"),
            ));
        } else if count < allowed {
            findings.push(Finding::new(
                ALLOWANCE_FILE,
                0,
                format!(
                    "the repository has {count} {what}, but `{key}` allows {allowed}. \
                     Lower it: `cargo run -p netduel-tidy -- --lower`."
                ),
            ));
        }
    }
    Ok(findings)
}

fn read(tree: &Tree) -> Result<BTreeMap<String, usize>> {
    if !tree.contains(ALLOWANCE_FILE) {
        return Ok(BTreeMap::new());
    }
    toml::from_str(&tree.read(ALLOWANCE_FILE)?).with_context(|| format!("cannot parse {ALLOWANCE_FILE}"))
}

/// Writes each of `counted` that has fallen into `tidy/allowance.toml` and returns the number of
/// lowered rules.
pub(crate) fn lower(tree: &Tree, counted: Vec<Counted>) -> Result<usize> {
    let mut allowed = read(tree)?;
    let mut lowered = 0;
    for Counted { rule, count, .. } in counted {
        if let Some(allowed) = allowed.get_mut(rule.key).filter(|allowed| count < **allowed) {
            *allowed = count;
            lowered += 1;
        }
    }
    let mut text = String::from("# Counts that `netduel-tidy` tolerates. A number here may only fall.\n");
    for (rule, count) in allowed.into_iter().filter(|(_, count)| *count > 0) {
        text.push_str(&format!("{rule} = {count}\n"));
    }
    std::fs::write(tree.root().join(ALLOWANCE_FILE), text)?;
    Ok(lowered)
}
