//! The command that runs a comparison again with other settings. Pure.

use crate::{data::results::Results, plan::scenario::Network};

/// The flags that belong to one run alone.
const OF_ONE_RUN: [&str; 2] = ["--out", "--resume"];
/// The program as a checkout starts it.
const IN_CHECKOUT: &str = "cargo compare";
/// The program as it is installed.
const INSTALLED: &str = "netduel-reports run";

/// Returns the command of these results with other values of some flags.
pub(crate) fn command(results: &Results, changes: &[(&str, String)]) -> String {
    let of_run = results.provenance.command.iter().skip_while(|word| *word == "run");
    let mut words = vec![program(results).to_owned()];
    let mut of_dropped_flag = false;
    for word in of_run {
        let flag = word.split('=').next().unwrap_or(word);
        if flag.starts_with("--") {
            let dropped = OF_ONE_RUN.contains(&flag) || changes.iter().any(|(other, _)| *other == flag);
            of_dropped_flag = dropped && flag == word;
            if dropped {
                continue;
            }
        } else if std::mem::take(&mut of_dropped_flag) {
            continue;
        }
        // A suite names all presets, and these results are of one.
        words.push(if word == "full" { results.scenario.preset.clone() } else { quoted(word) });
    }
    for (flag, value) in changes {
        words.extend([(*flag).to_owned(), quoted(value)]);
    }
    words.join(" ")
}

/// Returns the program that ran a comparison: a checkout knows its commit.
pub(crate) fn program(results: &Results) -> &'static str {
    if results.provenance.commit.is_empty() { INSTALLED } else { IN_CHECKOUT }
}

/// Returns the flag that selects the link of this name alone; `None` if no flag can name it.
pub(crate) fn of_link(results: &Results, name: &str) -> Option<(&'static str, String)> {
    let network = results.scenario.links.iter().find(|link| link.name() == name)?;
    let said = name.parse::<Network>().ok()?;
    (said == *network).then(|| ("--link", name.to_owned()))
}

/// Returns a word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |it: char| it.is_alphanumeric() || "-_=,./:+%".contains(it);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::results::Provenance, plan::scenario::Scenario};

    fn results(command: &[&str], commit: &str) -> Results {
        let command = command.iter().map(|it| (*it).to_owned()).collect();
        let scenario = Scenario {
            preset: "loss".into(),
            links: vec!["lte".parse().expect("a link"), "delay=20ms".parse().expect("a link")],
            ..Scenario::default()
        };
        Results::empty(scenario, Provenance { command, commit: commit.into(), ..Provenance::default() })
    }

    #[test]
    fn changes_flags_and_drops_folders() {
        let made = results(
            &["run", "--transport", "tcp,udp", "--duration", "1s", "--out=x", "--link", "a b"],
            "0e21",
        );
        assert_eq!(
            command(&made, &[("--duration", "60s".into())]),
            "cargo compare --transport tcp,udp --link 'a b' --duration 60s"
        );
        let suite = results(&["run", "--preset", "full", "--out", "all"], "");
        assert_eq!(command(&suite, &[]), "netduel-reports run --preset loss");
    }

    #[test]
    fn names_links_that_flags_know() {
        let made = results(&["run"], "");
        assert_eq!(of_link(&made, "lte"), Some(("--link", "lte".into())));
        assert_eq!(of_link(&made, "2 % loss"), None);
    }
}
