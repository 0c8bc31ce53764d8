//! Sweeps: groups that differ in one number alone, and the values at which an outcome changes.
//! Pure.
//!
//! A sweep varies rate, payload, number of matches, loss or distance, with everything else alike.

use std::fmt;

use netduel_link::{LinkSpec, Loss};

use crate::{
    analysis::{
        old_metrics::Metric,
        old_verdict::{Outcome, Verdict},
    },
    data::results::Results,
    plan::{
        scenario::{Contender, Group, Network, Scenario},
        search::Searched,
    },
};

/// A number that a sweep varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SweepAxis {
    /// Moves per second and player.
    Rate,
    /// Bytes carried with each move.
    Payload,
    /// Matches at once.
    Pairs,
    /// Loss of the link, each way, in percent.
    Loss,
    /// Round trip of the link, in ms.
    Rtt,
}

impl SweepAxis {
    const ALL: [Self; 5] = [Self::Rate, Self::Payload, Self::Pairs, Self::Loss, Self::Rtt];

    /// Returns the name with its unit, for a plot.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rate => "moves per second and player",
            Self::Payload => "bytes of payload with each move",
            Self::Pairs => "matches at once",
            Self::Loss => "loss each way, %",
            Self::Rtt => "round trip, ms",
        }
    }

    /// Returns the name for a title: "over the rate".
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Payload => "payload",
            Self::Pairs => "number of matches",
            Self::Loss => "loss",
            Self::Rtt => "round trip",
        }
    }

    /// Returns the unit that is written behind a value.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Rate => "Hz",
            Self::Payload => "B",
            Self::Pairs => "matches",
            Self::Loss => "%",
            Self::Rtt => "ms",
        }
    }

    /// Whether values lie by ratio and not by difference. Loss and payload begin at 0.
    pub(crate) fn is_log(self) -> bool {
        matches!(self, Self::Rate | Self::Pairs | Self::Rtt)
    }

    fn value(self, scenario: &Scenario, group: &Group) -> Option<f64> {
        let spec = || scenario.links.iter().find(|link| link.name() == group.link)?.spec();
        match self {
            Self::Rate => Some(group.rate_hz.into()),
            Self::Payload => Some(group.payload_bytes.into()),
            Self::Pairs => Some(group.pairs.into()),
            Self::Loss => Some(spec()?.up.loss.mean_share()? * 100.0),
            Self::Rtt => Some(spec()?.up.delay_ms + spec()?.down.delay_ms),
        }
    }

    /// Returns the part that all groups of a sweep have in common: the group without this number.
    fn common(self, scenario: &Scenario, group: &Group) -> Option<Common> {
        let spec = scenario.links.iter().find(|link| link.name() == group.link).and_then(Network::spec);
        let nameless = |spec: LinkSpec| LinkSpec { name: String::new(), ..spec };
        let mut common = group.clone();
        match self {
            Self::Rate => common.rate_hz = 0,
            Self::Payload => common.payload_bytes = 0,
            Self::Pairs => common.pairs = 0,
            Self::Loss => {
                common.link.clear();
                let mut spec = nameless(spec?.clone());
                let loss_kind = kind_of(&spec.up.loss)?;
                (spec.up.loss, spec.down.loss) = (Loss::None, Loss::None);
                return Some(Common { group: common, spec: Some(spec), loss_kind });
            }
            Self::Rtt => {
                common.link.clear();
                let mut spec = nameless(spec?.clone());
                (spec.up.delay_ms, spec.down.delay_ms) = (0.0, 0.0);
                return Some(Common { group: common, spec: Some(spec), loss_kind: "" });
            }
        }
        Some(Common { group: common, spec: None, loss_kind: "" })
    }
}

/// The part that all groups of a sweep have in common.
#[derive(Clone, Debug, PartialEq)]
struct Common {
    /// The group, with 0 or an empty name in place of the varied number.
    group: Group,
    /// The link without its name, if the sweep varies a number of the link.
    spec: Option<LinkSpec>,
    /// The kind of loss in words, if the sweep varies the loss.
    loss_kind: &'static str,
}

/// Names the kind of a loss. Losses of one kind differ only in their frequency.
fn kind_of(loss: &Loss) -> Option<&'static str> {
    match loss {
        Loss::None => Some(""),
        Loss::Iid { .. } => Some("independent losses"),
        Loss::GilbertElliottTime { .. } => Some("bursts"),
        Loss::GilbertElliott { .. } | Loss::Outages { .. } => None,
    }
}

/// A sweep: groups that differ in one number alone, sorted by that number.
#[derive(Clone, Debug)]
pub(crate) struct Sweep {
    pub(crate) axis: SweepAxis,
    /// The common part of all groups, in words.
    pub(crate) scope: String,
    pub(crate) groups: Vec<(f64, Group)>,
}

/// Returns every sweep among these groups. A sweep of a link needs three values, any other two.
pub(crate) fn sweeps(scenario: &Scenario, groups: &[Group]) -> Vec<Sweep> {
    let mut sweeps = Vec::new();
    for axis in SweepAxis::ALL {
        let mut sets: Vec<(Common, Sweep)> = Vec::new();
        for group in groups {
            let (Some(common), Some(value)) = (axis.common(scenario, group), axis.value(scenario, group))
            else {
                continue;
            };
            match sets.iter_mut().find(|(other, _)| *other == common) {
                Some((_, sweep)) => sweep.groups.push((value, group.clone())),
                None => {
                    let scope = scope(axis, group, common.loss_kind);
                    sets.push((common, Sweep { axis, scope, groups: vec![(value, group.clone())] }));
                }
            }
        }
        // The value without loss belongs to every kind of loss.
        let none = sets.iter().find(|(it, _)| axis == SweepAxis::Loss && it.loss_kind.is_empty()).cloned();
        for (common, mut sweep) in sets {
            if let Some((none_common, none)) = &none
                && !common.loss_kind.is_empty()
                && (&common.group, &common.spec) == (&none_common.group, &none_common.spec)
            {
                sweep.groups.extend(none.groups.iter().cloned());
            }
            sweep.groups.sort_by(|a, b| a.0.total_cmp(&b.0));
            let least = if matches!(axis, SweepAxis::Loss | SweepAxis::Rtt) { 3 } else { 2 };
            if sweep.groups.len() >= least {
                sweeps.push(sweep);
            }
        }
    }
    sweeps
}

fn scope(axis: SweepAxis, group: &Group, kind: &str) -> String {
    let Group { link, rate_hz, payload_bytes, pairs, .. } = group;
    let of_link = !matches!(axis, SweepAxis::Loss | SweepAxis::Rtt);
    let parts = [
        of_link.then(|| link.clone()),
        (!kind.is_empty()).then(|| kind.to_owned()),
        (axis != SweepAxis::Rate).then(|| format!("{rate_hz} Hz")),
        (axis != SweepAxis::Pairs)
            .then(|| format!("{pairs} {}", if *pairs == 1 { "match" } else { "matches" })),
        (axis != SweepAxis::Payload && *payload_bytes > 0).then(|| format!("{payload_bytes} B payload")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Returns the sweeps of a comparison. A search has only the sweep over the searched number.
pub(crate) fn from_results(results: &Results, groups: &[Group]) -> Vec<Sweep> {
    let searched = results.scenario.search.map(|search| match search.of {
        Searched::RateHz => SweepAxis::Rate,
        Searched::Pairs => SweepAxis::Pairs,
    });
    let mut all = sweeps(&results.scenario, groups);
    all.retain(|sweep| searched.is_none_or(|axis| axis == sweep.axis));
    all
}

/// A part of a sweep with one outcome.
struct Stretch {
    outcome: &'static str,
    from: f64,
    to: f64,
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: f64| format!("{:.1}", value).trim_end_matches(".0").to_owned();
        if self.from == self.to {
            write!(f, "{} at {}", self.outcome, number(self.from))
        } else {
            write!(f, "{} from {} to {}", self.outcome, number(self.from), number(self.to))
        }
    }
}

/// Says for each sweep at which value an outcome changes. Outcomes that stay the same are left out.
pub(crate) fn crossovers(results: &Results, verdict: Option<&Verdict>) -> Vec<String> {
    let Some(verdict) = verdict else { return Vec::new() };
    let mut texts = Vec::new();
    for sweep in sweeps(&results.scenario, &results.scenario.groups()) {
        for metric in Metric::deciding(results.scenario.workload) {
            for &contender in verdict.contenders.iter().filter(|it| **it != verdict.reference) {
                texts.extend(crossover(results, verdict, &sweep, metric, contender));
            }
        }
    }
    texts
}

fn crossover(
    results: &Results,
    verdict: &Verdict,
    sweep: &Sweep,
    metric: Metric,
    contender: Contender,
) -> Option<String> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for (value, group) in &sweep.groups {
        let judged = verdict.groups.iter().find(|it| it.group == *group)?;
        let outcome = match judged.against_reference(metric, contender)?.outcome {
            Outcome::Better(_) => "better",
            Outcome::Worse(_) => "worse",
            Outcome::NoDetectableDifference => "no detectable difference",
            Outcome::NotEnoughData => "not enough data",
        };
        match stretches.last_mut() {
            Some(last) if last.outcome == outcome => last.to = *value,
            _ => stretches.push(Stretch { outcome, from: *value, to: *value }),
        }
    }
    let told: Vec<String> = stretches.iter().map(ToString::to_string).collect();
    let reference = results.scenario.reference_of(contender)?;
    (told.len() > 1).then(|| {
        format!(
            "{contender} against {reference} in {}, along the {} ({}; {}): {}.",
            metric.name(),
            sweep.axis.title(),
            sweep.axis.unit(),
            sweep.scope,
            told.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::presets::Preset;

    fn found(preset: &str) -> Vec<(SweepAxis, String, Vec<f64>)> {
        let scenario = Preset::named(preset).expect("a preset").scenario();
        let sweeps = sweeps(&scenario, &scenario.groups());
        let values =
            |sweep: &Sweep| sweep.groups.iter().map(|(value, _)| (value * 10.0).round() / 10.0).collect();
        sweeps.iter().map(|sweep| (sweep.axis, sweep.scope.clone(), values(sweep))).collect()
    }

    #[test]
    fn presets_vary_one_number() {
        let loss = found("loss");
        let (scopes, values): (Vec<&str>, Vec<&Vec<f64>>) =
            loss.iter().map(|(_, scope, values)| (scope.as_str(), values)).unzip();
        assert_eq!(scopes, ["independent losses, 60 Hz, 1 match", "bursts, 60 Hz, 1 match"]);
        assert_eq!(*values[0], [0.0, 0.5, 1.0, 2.0, 5.0]);
        assert_eq!(*values[1], [0.0, 1.0, 2.0, 5.0]);
        let rtt = found("rtt");
        assert_eq!(rtt.len(), 1);
        assert_eq!((rtt[0].0, &rtt[0].2), (SweepAxis::Rtt, &vec![1.0, 10.0, 20.0, 50.0, 100.0, 200.0]));
        let payload = found("payload");
        assert_eq!(payload.len(), 2, "one for each link");
        assert!(payload.iter().all(|(axis, ..)| *axis == SweepAxis::Payload));
        assert!(found("quick").is_empty() && found("relay").is_empty());
    }
}
