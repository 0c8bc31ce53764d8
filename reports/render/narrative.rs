//! The verdict in sentences: findings, their scope and their evidence. Pure.

use netduel_loadgen::Workload;

use crate::{
    analysis::{
        old_metrics::Metric,
        old_verdict::{
            Comparison, Effect, Evidence, GroupVerdict, INDICATION_FLOORS, Outcome, REPEATS_MIN, Verdict,
        },
        statistics::repeats_for_a_test,
    },
    data::results::Results,
    plan::scenario::{Contender, Group},
};

/// Returns a paragraph on the evidence, followed by one paragraph for each group.
pub fn paragraphs(results: &Results, verdict: &Verdict) -> Vec<String> {
    let metrics = Metric::deciding(results.scenario.workload);
    let groups = verdict.groups.iter().map(|group| of_group(group, verdict.reference, metrics));
    std::iter::once(evidence_paragraph(results, verdict)).chain(groups).collect()
}

/// Describes the conclusions that the number of repeats and controls allows.
fn evidence_paragraph(results: &Results, verdict: &Verdict) -> String {
    let repeats = results.scenario.main_sampling().repeats;
    let others = verdict.contenders.len().saturating_sub(1);
    let needed = repeats_for_a_test(others);
    let mut text = if (repeats as usize) < REPEATS_MIN {
        format!("A comparison needs {REPEATS_MIN} repeats and this one has {repeats}: raise --repeat. ")
    } else if repeats < needed {
        format!(
            "{repeats} repeats cannot carry a test, so a difference is only an indication. An \
             indication needs one of two things: every repeat lies clear of the reference and of \
             its A/A control, or the difference exceeds {INDICATION_FLOORS} times the floor. \
             --repeat {needed} allows a test. "
        )
    } else {
        format!(
            "A difference is either tested (sign flips over {repeats} repeats, corrected for the \
             comparisons of each link and metric) or marked as an indication. "
        )
    };
    text += match results.scenario.controls {
        0 => {
            "No transport ran against itself, so the noise of this machine is unknown. The floor \
             is the smallest difference that matters. "
        }
        _ => {
            "The floor is the smallest difference that matters, or the distance of the reference \
             from itself (A/A), whichever is larger. "
        }
    };
    text += "Verdicts hold for these links, rates and matches on this machine";
    if !verdict.reference.transport.encrypted() {
        text += &format!(
            ". {} is the reference and not encrypted: do not choose it if others may read or change the traffic",
            verdict.reference
        );
    }
    text + "."
}

fn of_group(group: &GroupVerdict, reference: Contender, [felt, paid]: [Metric; 2]) -> String {
    let mut text = format!("{}, ", scope(&group.group, felt));
    if group.to_reference.is_empty() {
        return text + &format!("only {reference} ran: there is nothing to compare.");
    }
    if group
        .to_reference
        .iter()
        .any(|it| it.against == reference && it.candidate.transport != reference.transport)
    {
        text += &freshness(group, reference, felt);
        text += &cost(group, reference, paid);
        text += &choice(group, felt);
    }
    text + &settings(group, &[felt, paid, Metric::Bytes])
}

fn scope(group: &Group, felt: Metric) -> String {
    let Group { link, rate_hz, in_flight, payload_bytes, pairs } = group;
    let payload =
        if *payload_bytes > 0 { format!(" and {payload_bytes} B of payload") } else { String::new() };
    if Metric::all_for(Workload::Connects).contains(&felt) {
        let each = if *pairs == 1 {
            "one pair that connects".into()
        } else {
            format!("{pairs} pairs that each connect")
        };
        return format!("On {link} with {each} {rate_hz} times a second");
    }
    let matches = if *pairs == 1 { "match" } else { "matches" };
    let pace =
        if *in_flight > 0 { format!("with {in_flight} in flight") } else { format!("at {rate_hz} Hz") };
    format!("On {link} {pace} with {pairs} {matches}{payload}")
}

/// Returns the comparisons of transports in their first settings with the reference.
fn to_reference(
    group: &GroupVerdict,
    reference: Contender,
    metric: Metric,
) -> impl Iterator<Item = &Comparison> {
    let of_transports =
        move |it: &&Comparison| it.against == reference && it.candidate.transport != reference.transport;
    group.to_reference.iter().filter(move |it| it.metric == metric).filter(of_transports)
}

/// Describes the effect of other settings on each transport.
fn settings(group: &GroupVerdict, metrics: &[Metric]) -> String {
    let mut told: Vec<String> = Vec::new();
    let (mut alike, mut judged) = (0, 0);
    for &metric in metrics {
        let of_settings =
            |it: &&Comparison| it.metric == metric && it.candidate.transport == it.against.transport;
        for it in group.to_reference.iter().filter(of_settings) {
            judged += 1;
            match (it.outcome, &it.effect) {
                (Outcome::Better(_) | Outcome::Worse(_), Some(effect)) => told.push(format!(
                    "{} {} {} against {}'s {} ({})",
                    it.candidate,
                    metric.name(),
                    metric.number(effect.candidate) + " " + metric.unit(),
                    it.against,
                    metric.number(effect.against) + " " + metric.unit(),
                    in_brackets(metric, effect, it.outcome),
                )),
                _ => alike += 1,
            }
        }
    }
    match (judged, told.is_empty()) {
        (0, _) => String::new(),
        (_, true) => "The settings make no detectable difference to any transport.".into(),
        (_, false) if alike == 0 => format!("Settings: {}.", told.join("; ")),
        (_, false) => format!("Settings: {}; otherwise no detectable difference.", told.join("; ")),
    }
}

fn with_effect(comparison: &Comparison) -> Option<(&Comparison, &Effect)> {
    Some((comparison, comparison.effect.as_ref()?))
}

/// Describes which contenders keep the opponent's position freshest.
fn freshness(group: &GroupVerdict, reference: Contender, metric: Metric) -> String {
    let all: Vec<(&Comparison, &Effect)> =
        to_reference(group, reference, metric).filter_map(with_effect).collect();
    let Some((_, first)) = all.first() else {
        return format!("there is not enough data to compare {}. ", metric.name());
    };
    let (leads, nothing_leads, trails) = match metric {
        Metric::AgeP99 => ("keeps the opponent's position freshest", "fresher", "staler"),
        _ => ("is quickest", "quicker", "slower"),
    };
    let age = format!("{} {}", metric.number(first.against), metric.unit());
    let better = all.iter().filter(|(it, _)| matches!(it.outcome, Outcome::Better(_)));
    let mut text = match better.min_by(|a, b| a.1.candidate.total_cmp(&b.1.candidate)) {
        Some((leader, effect)) => {
            let mut text = format!(
                "{}{} {leads}: {} {} {unit} against {reference}'s {} {unit} ({}). ",
                leader.candidate,
                if leader.candidate.transport.encrypted() { "" } else { " (not encrypted)" },
                metric.name(),
                metric.number(effect.candidate),
                metric.number(effect.against),
                in_brackets(metric, effect, leader.outcome),
                unit = metric.unit(),
            );
            let like = |it: &&(&Comparison, &Effect)| {
                let outcome = group.outcome(metric, it.0.candidate, leader.candidate);
                it.0.candidate != leader.candidate && outcome == Outcome::NoDetectableDifference
            };
            let alike: Vec<Contender> = all.iter().filter(like).map(|(it, _)| it.candidate).collect();
            if !alike.is_empty() {
                text +=
                    &format!("No detectable difference from {}: {}. ", leader.candidate, list(&alike, "and"));
            }
            text
        }
        None if all.iter().all(|(it, _)| it.outcome == Outcome::NoDetectableDifference) => {
            format!("there is no detectable difference in {} from {reference} ({age}). ", metric.name())
        }
        None => {
            format!("no transport is detectably {nothing_leads} than {reference} ({} {age}). ", metric.name())
        }
    };
    let worse = all.iter().filter(|(it, _)| matches!(it.outcome, Outcome::Worse(_)));
    for (it, effect) in worse {
        text += &format!("{} is {trails} ({}). ", it.candidate, in_brackets(metric, effect, it.outcome));
    }
    let unknown: Vec<Contender> = to_reference(group, reference, metric)
        .filter(|it| it.outcome == Outcome::NotEnoughData)
        .map(|it| it.candidate)
        .collect();
    if !unknown.is_empty() {
        text += &format!("Not enough data for {}. ", list(&unknown, "and"));
    }
    text
}

/// Describes the server's cost of each contender as a multiple of the reference.
fn cost(group: &GroupVerdict, reference: Contender, metric: Metric) -> String {
    let all: Vec<(&Comparison, &Effect)> =
        to_reference(group, reference, metric).filter_map(with_effect).collect();
    let what = format!("Server {}", metric.name());
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
            format!("{} {:.1} ×{doubt}", it.candidate, effect.candidate / effect.against)
        })
        .collect();
    let alike: Vec<Contender> =
        all.iter().filter(|(it, _)| !is(it.outcome)).map(|(it, _)| it.candidate).collect();
    match (told.is_empty(), alike.is_empty()) {
        (true, _) => format!("{what}: no detectable difference from {reference}. "),
        (false, true) => format!("{what}, against {reference}: {}. ", told.join(", ")),
        (false, false) => format!(
            "{what}, against {reference}: {}; no detectable difference: {}. ",
            told.join(", "),
            list(&alike, "and")
        ),
    }
}

fn choice(group: &GroupVerdict, felt: Metric) -> String {
    if group.choices.is_empty() {
        return "No encrypted transport has enough data for a recommendation. ".into();
    }
    let good = if felt == Metric::AgeP99 { ["fresher", "fresh"] } else { ["quicker", "quick"] };
    format!(
        "If encryption matters: {}. No other encrypted transport is detectably {}, and no \
         equally {} one is detectably cheaper. ",
        list(&group.choices, "or"),
        good[0],
        good[1]
    )
}

/// Returns for example "−22.7 ms, 95 % interval −34.0 to −0.1; indication: 2 of 3 repeats agree,
/// none opposes, 3.2 × the floor".
fn in_brackets(metric: Metric, effect: &Effect, outcome: Outcome) -> String {
    format!(
        "{} {}, {} {} to {}; {}",
        metric.signed(effect.difference),
        metric.unit(),
        if effect.repeats > REPEATS_MIN { "95 % interval" } else { "range of the repeats" },
        metric.signed(effect.interval.low),
        metric.signed(effect.interval.high),
        evidence(effect, outcome)
    )
}

/// Describes the evidence of an outcome.
pub(crate) fn evidence(effect: &Effect, outcome: Outcome) -> String {
    let Effect { agreeing, repeats, p, .. } = effect;
    match outcome {
        Outcome::Better(Evidence::Indicated) | Outcome::Worse(Evidence::Indicated) if effect.apart => {
            format!("indication: clear of the reference and its control in each of {repeats} repeats")
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

/// Joins names: "a, b and c".
fn list(contenders: &[Contender], last: &str) -> String {
    let names: Vec<String> = contenders.iter().map(ToString::to_string).collect();
    match names.split_last() {
        Some((end, [])) => end.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
        None => String::new(),
    }
}
