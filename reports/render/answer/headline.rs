//! The headline of an answer, and the sentence about what ran. Pure.

use netduel_loadgen::Workload;

use crate::{
    analysis::{
        place::Place,
        verdict::{
            GroupVerdict, Verdict,
            choice::{Certainty, Choice},
        },
    },
    data::results::Results,
    plan::{contender::Contender, keep::Keep, presets::Preset, scenario::Scenario},
    render::words::{self, capital, list, place, windows},
};

/// Returns what to use where, in one line.
pub(crate) fn headline(results: &Results, groups: &[&GroupVerdict]) -> String {
    let on_networks = groups.iter().filter(|group| group.place != Place::Loopback);
    let advised = on_networks.clone().filter_map(|group| {
        let choice = advice(group)?;
        (choice.certainty != Certainty::None)
            .then(|| (choice.contender, place(&results.scenario, &group.group)))
    });
    let mut by_contender: Vec<(Contender, Vec<String>)> = Vec::new();
    for (contender, place) in advised {
        match by_contender.iter_mut().find(|(it, _)| *it == contender) {
            Some((_, places)) => places.push(place),
            None => by_contender.push((contender, vec![place])),
        }
    }
    let networks = on_networks.count();
    match &by_contender[..] {
        [] if networks == 0 => "What each transport costs.".into(),
        [] => "This run does not say what to use.".into(),
        [(contender, places)] if places.len() == networks => format!("Use {contender}."),
        all => {
            let each: Vec<String> = all
                .iter()
                .map(|(contender, places)| format!("{contender} on {}", list(places, "and")))
                .collect();
            format!("Use {}.", each.join(", "))
        }
    }
}

/// Returns the choice that a group's sentence recommends: one that encrypts, if one ran.
pub(crate) fn advice(group: &GroupVerdict) -> Option<&Choice> {
    let met_enough = group.met.is_none_or(|met| met.enough());
    group.choice.as_ref().or(group.choice_of_all.as_ref()).filter(|_| met_enough)
}

/// Whether a choice is open, and a player notices no difference between what is open.
pub(crate) fn nobody_notices(choice: &Choice) -> bool {
    choice.certainty == Certainty::None && choice.unnoticed.is_some_and(|it| it != Certainty::None)
}

/// Says what ran: the preset's question, or the settings if a flag changed it.
pub(crate) fn run(results: &Results, verdict: &Verdict) -> String {
    let scenario = &results.scenario;
    let without =
        results.no_links.as_ref().map_or_else(String::new, |why| format!(" No emulated links: {why}."));
    let preset = Preset::named(&scenario.preset);
    // The evidence that is kept changes no question.
    let asked = Scenario { keep: Keep::default(), ..scenario.clone() };
    let question = preset.filter(|preset| preset.scenario() == asked).map(|preset| preset.question);
    if let Some(question) = question {
        return format!("{}: {question}.{without}", capital(&scenario.preset));
    }
    let places: Vec<String> = scenario.links.iter().map(|link| words::link(&link.name())).collect();
    let numbers = |all: &[u32]| list(all, "and");
    let pace = match scenario.workload {
        Workload::Moves => format!("{} moves a second", numbers(&scenario.rates_hz)),
        Workload::Connects => format!("{} connections a second", numbers(&scenario.rates_hz)),
    };
    format!(
        "Your own comparison: {} on {}, {pace}, {}.{without}",
        list(&verdict.contenders, "and"),
        list(&places, "and"),
        windows(scenario),
    )
}
