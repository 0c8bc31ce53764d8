//! The sentences, before a comparison, about the smallest difference that it can find. Pure.

use crate::{
    analysis::foresight::{Foreseen, Pieces, foresee},
    plan::scenario::Scenario,
    render::words::{self, capital},
};

/// Returns a sentence for each network of a plan of which something can be foretold.
pub(crate) fn sentences(scenario: &Scenario) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    for foreseen in foresee(scenario) {
        let sentence = sentence(scenario, &foreseen);
        if !sentences.contains(&sentence) {
            sentences.push(sentence);
        }
    }
    sentences
}

fn sentence(scenario: &Scenario, foreseen: &Foreseen) -> String {
    let Foreseen { link, metric, pieces, share } = foreseen;
    let place = capital(&format!("on {}", words::network(scenario, link)));
    let evidence = match *pieces {
        Pieces::BadPeriods(periods, _) => format!("about {periods:.0} bad periods"),
        Pieces::Seconds(seconds) => format!("{} with single losses", words::seconds(seconds)),
        Pieces::CalmSeconds(seconds) => format!("{} without loss", words::seconds(seconds)),
        Pieces::Rounds(rounds) => format!("{rounds} rounds"),
    };
    let finds = match share {
        Some(share) => format!("differences in {} of {} or more", metric.name(), about(*share)),
        None => "no difference, since it is too short".into(),
    };
    let few = match pieces {
        Pieces::BadPeriods(_, Some(seconds)) => {
            format!(
                " These are too few for advice about loss: --duration {seconds}s is expected to meet enough."
            )
        }
        _ => String::new(),
    };
    format!("{place} ({evidence}) this run can find {finds}.{few}")
}

/// Writes a share as roughly as it is known.
fn about(share: f64) -> String {
    match share * 100.0 {
        percent if percent < 10.0 => format!("about {percent:.0} %"),
        percent if percent < 97.5 => format!("about {:.0} %", (percent / 5.0).round() * 5.0),
        percent => format!("about {:.0} times as much", 1.0 + percent / 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sampling::Sampling;

    #[test]
    fn sentences_say_about() {
        let scenario = Scenario {
            links: ["wifi-edge", "lte", "loopback"].map(|name| name.parse().expect("a network")).to_vec(),
            on_links: Sampling { duration_ms: 40_000, ..Sampling::LINK.of(&[1]) },
            ..Scenario::default()
        };
        let [edge, lte, loopback] = &sentences(&scenario)[..] else { panic!("three networks") };
        assert!(
            edge.starts_with(
                "On lossy Wi-Fi (about 83 bad periods) this run can find differences in age p99 of about "
            ),
            "{edge}"
        );
        assert!(edge.ends_with(" % or more."), "{edge}");
        assert!(lte.contains("These are too few for advice about loss: --duration "), "{lte}");
        assert!(
            loopback.starts_with(
                "On loopback (20 rounds) this run can find differences in CPU per fresh move of about "
            ),
            "{loopback}"
        );
    }

    #[test]
    fn shares_are_rough() {
        let texts = [0.021, 0.334, 0.96, 0.99, 2.6].map(about);
        let wanted =
            ["about 2 %", "about 35 %", "about 95 %", "about 2 times as much", "about 4 times as much"];
        assert_eq!(texts, wanted);
    }
}
