//! A verdict in plain words: what was found, of what it is true, and how sure it is. Pure.

use netduel_transport::TransportKind;

use crate::{
    metrics::Metric,
    results::Results,
    scenario::Group,
    statistics::repeats_for_a_test,
    verdict::{Comparison, Effect, Evidence, GroupVerdict, INDICATION_FLOORS, Outcome, REPEATS_MIN, Verdict},
};

/// One paragraph for each group, and before them how to read all of them.
pub fn paragraphs(results: &Results, verdict: &Verdict) -> Vec<String> {
    let groups = verdict.groups.iter().map(|group| of_group(group, verdict.reference));
    std::iter::once(how_sure(results, verdict)).chain(groups).collect()
}

/// What the number of repeats and controls allows to say.
fn how_sure(results: &Results, verdict: &Verdict) -> String {
    let repeats = results.scenario.repeats;
    let others = verdict.transports.len().saturating_sub(1);
    let needed = repeats_for_a_test(others);
    let mut text = if (repeats as usize) < REPEATS_MIN {
        format!(
            "With {repeats} of at least {REPEATS_MIN} repeats nothing can be told apart: raise --repeat. "
        )
    } else if repeats < needed {
        format!(
            "{repeats} repeats cannot carry a test, so a difference is an indication here: every repeat lies clear of the \
             reference's run and its control's, or it is more than {INDICATION_FLOORS} times the floor. --repeat \
             {needed} tests it. "
        )
    } else {
        format!(
            "A difference is tested (sign flips over {repeats} repeats, corrected for the comparisons of each link and \
             metric), or marked as an indication. "
        )
    };
    text += match results.scenario.controls {
        0 => {
            "No transport ran against itself, so the noise of this machine is unknown: floors are only what matters. "
        }
        _ => {
            "The floor is what matters to anybody, or what the reference differs from itself (A/A), whichever is larger. "
        }
    };
    text += "Verdicts hold for these links, rates and matches, on this machine";
    if !verdict.reference.capabilities().encrypted {
        text += &format!(
            "; {} is the reference and not encrypted: no choice where others may read or change the traffic",
            verdict.reference
        );
    }
    text + "."
}

fn of_group(group: &GroupVerdict, reference: TransportKind) -> String {
    let mut text = format!("{}, ", scope(&group.group));
    if group.to_reference.is_empty() {
        return text + &format!("only {reference} ran: there is nothing to compare.");
    }
    text += &freshness(group, reference);
    text += &cost(group, reference);
    text + &choice(group)
}

fn scope(Group { link, rate_hz, pairs, relay }: &Group) -> String {
    let matches = if *pairs == 1 { "match" } else { "matches" };
    let relay = match relay {
        netduel_server::RelayPolicy::Other => String::new(),
        _ => format!(", moves relayed to {relay}"),
    };
    format!("On {link} at {rate_hz} Hz with {pairs} {matches}{relay}")
}

fn to_reference(group: &GroupVerdict, metric: Metric) -> impl Iterator<Item = &Comparison> {
    group.to_reference.iter().filter(move |it| it.metric == metric)
}

fn with_effect(comparison: &Comparison) -> Option<(&Comparison, &Effect)> {
    Some((comparison, comparison.effect.as_ref()?))
}

/// Who keeps the opponent's position freshest.
fn freshness(group: &GroupVerdict, reference: TransportKind) -> String {
    let metric = Metric::AgeP99;
    let all: Vec<(&Comparison, &Effect)> = to_reference(group, metric).filter_map(with_effect).collect();
    let Some((_, first)) = all.first() else {
        return "there is not enough data to compare ages. ".into();
    };
    let age = format!("{} {}", metric.number(first.against), metric.unit());
    let better = all.iter().filter(|(it, _)| matches!(it.outcome, Outcome::Better(_)));
    let mut text = match better.min_by(|a, b| a.1.subject.total_cmp(&b.1.subject)) {
        Some((leader, effect)) => {
            let mut text = format!(
                "{} keeps the opponent's position freshest: age p99 {} ms against {reference}'s {} ms ({}). ",
                leader.subject,
                metric.number(effect.subject),
                metric.number(effect.against),
                in_brackets(metric, effect, leader.outcome),
            );
            let like = |it: &&(&Comparison, &Effect)| {
                let outcome = group.outcome(metric, it.0.subject, leader.subject);
                it.0.subject != leader.subject && outcome == Outcome::NoDetectableDifference
            };
            let alike: Vec<TransportKind> = all.iter().filter(like).map(|(it, _)| it.subject).collect();
            if !alike.is_empty() {
                text += &format!("No detectable difference from it: {}. ", list(&alike, "and"));
            }
            text
        }
        None if all.iter().all(|(it, _)| it.outcome == Outcome::NoDetectableDifference) => {
            format!("there is no detectable difference in age p99 from {reference} ({age}). ")
        }
        None => format!("nothing is detectably fresher than {reference} (age p99 {age}). "),
    };
    let worse = all.iter().filter(|(it, _)| matches!(it.outcome, Outcome::Worse(_)));
    for (it, effect) in worse {
        text += &format!("{} is staler ({}). ", it.subject, in_brackets(metric, effect, it.outcome));
    }
    let unknown: Vec<TransportKind> = to_reference(group, metric)
        .filter(|it| it.outcome == Outcome::NotEnoughData)
        .map(|it| it.subject)
        .collect();
    if !unknown.is_empty() {
        text += &format!("Not enough data of {}. ", list(&unknown, "and"));
    }
    text
}

/// What each costs the server, as a multiple of the reference.
fn cost(group: &GroupVerdict, reference: TransportKind) -> String {
    let metric = Metric::ServerCpu;
    let all: Vec<(&Comparison, &Effect)> = to_reference(group, metric).filter_map(with_effect).collect();
    if all.is_empty() {
        return String::new();
    }
    let is = |outcome: Outcome| matches!(outcome, Outcome::Better(_) | Outcome::Worse(_));
    let told: Vec<String> = all
        .iter()
        .filter(|(it, _)| is(it.outcome))
        .map(|(it, effect)| {
            let doubt = match it.outcome {
                Outcome::Better(Evidence::Indicated) | Outcome::Worse(Evidence::Indicated) => " (indication)",
                _ => "",
            };
            format!("{} {:.1} ×{doubt}", it.subject, effect.subject / effect.against)
        })
        .collect();
    let alike: Vec<TransportKind> =
        all.iter().filter(|(it, _)| !is(it.outcome)).map(|(it, _)| it.subject).collect();
    match (told.is_empty(), alike.is_empty()) {
        (true, _) => format!("Server CPU per fresh move: no detectable difference from {reference}. "),
        (false, true) => format!("Server CPU per fresh move, against {reference}: {}. ", told.join(", ")),
        (false, false) => format!(
            "Server CPU per fresh move, against {reference}: {}; no detectable difference: {}. ",
            told.join(", "),
            list(&alike, "and")
        ),
    }
}

fn choice(group: &GroupVerdict) -> String {
    if group.choices.is_empty() {
        return "None of those that encrypt has enough data to recommend it.".into();
    }
    format!(
        "Where encryption matters: {}; nothing encrypted is detectably fresher, and none as fresh detectably cheaper.",
        list(&group.choices, "or")
    )
}

/// "−22.7 ms, 95 % interval −34.0 to −0.1; indication: 2 of 3 repeats, 3.2 × the floor".
fn in_brackets(metric: Metric, effect: &Effect, outcome: Outcome) -> String {
    format!(
        "{} {}, {} {} to {}; {}",
        metric.signed(effect.difference),
        metric.unit(),
        if effect.repeats > REPEATS_MIN { "95 % interval" } else { "range of the repeats" },
        metric.signed(effect.interval.low),
        metric.signed(effect.interval.high),
        why(effect, outcome)
    )
}

/// On what an outcome rests.
pub(crate) fn why(effect: &Effect, outcome: Outcome) -> String {
    let Effect { agreeing, repeats, p, .. } = effect;
    match outcome {
        Outcome::Better(Evidence::Indicated) | Outcome::Worse(Evidence::Indicated) if effect.apart => {
            format!("indication: clear of its run and its control's in each of {repeats} repeats")
        }
        Outcome::Better(Evidence::Tested) | Outcome::Worse(Evidence::Tested) => format!("tested, p = {p:.3}"),
        Outcome::Better(Evidence::Indicated) | Outcome::Worse(Evidence::Indicated) => format!(
            "indication: {agreeing} of {repeats} repeats agree, none opposes, {:.1} × the floor",
            effect.difference.abs() / effect.floor
        ),
        Outcome::NoDetectableDifference => "no detectable difference".into(),
        Outcome::NotEnoughData => "not enough data".into(),
    }
}

/// "a, b and c".
fn list(kinds: &[TransportKind], last: &str) -> String {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    match names.split_last() {
        Some((end, [])) => (*end).to_owned(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
        None => String::new(),
    }
}
