//! Sweeps: groups that differ in one number alone, and the values at which an outcome changes.
//! Pure.
//!
//! A sweep varies rate, payload, number of matches, loss or distance, with everything else alike.

use std::fmt;

use netduel_link::{LinkSpec, Loss};

use crate::{
    analysis::{
        metrics::Metric,
        verdict::{Verdict, comparison::Finding},
    },
    data::results::Results,
    plan::{
        contender::Contender,
        scenario::{Group, Network, Scenario},
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

/// A part of a sweep with one finding.
struct Stretch {
    finding: Finding,
    from: f64,
    to: f64,
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: f64| format!("{:.1}", value).trim_end_matches(".0").to_owned();
        let finding = match self.finding {
            Finding::Better => "better",
            Finding::Worse => "worse",
            Finding::Same => "the same",
            Finding::CannotTell => "cannot tell",
        };
        if self.from == self.to {
            write!(f, "{finding} at {}", number(self.from))
        } else {
            write!(f, "{finding} from {} to {}", number(self.from), number(self.to))
        }
    }
}

/// Says for each sweep at which value a finding changes. Findings that stay are left out.
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
    let reference = results.scenario.reference_of(contender)?;
    let mut stretches: Vec<Stretch> = Vec::new();
    for (value, group) in &sweep.groups {
        let judged = verdict.groups.iter().find(|it| it.group == *group)?;
        let finding = judged.comparison(metric, contender, reference)?.finding;
        match stretches.last_mut() {
            Some(last) if last.finding == finding => last.to = *value,
            _ => stretches.push(Stretch { finding, from: *value, to: *value }),
        }
    }
    let told: Vec<String> = stretches.iter().map(ToString::to_string).collect();
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
    use crate::{
        analysis::{
            place::Place,
            verdict::{
                GroupVerdict, Unit,
                comparison::{Comparison, Figures},
            },
        },
        plan::presets::Preset,
    };

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

    /// Returns the sweeps of these groups, each as its axis, scope and values.
    fn sweeps_of(scenario: &Scenario) -> Vec<(SweepAxis, String, Vec<f64>)> {
        let sweeps = sweeps(scenario, &scenario.groups());
        let values = |sweep: &Sweep| sweep.groups.iter().map(|(value, _)| *value).collect();
        sweeps.iter().map(|sweep| (sweep.axis, sweep.scope.clone(), values(sweep))).collect()
    }

    fn scenario(links: &[&str]) -> Scenario {
        let mut scenario = Scenario { rates_hz: vec![60], payloads_bytes: vec![0], ..Scenario::default() };
        scenario.links = links.iter().map(|link| link.parse().expect("a network")).collect();
        (scenario.on_links.pairs, scenario.off_links.pairs) = (vec![4], vec![4]);
        scenario
    }

    #[test]
    fn sorts_rates_and_names_scope() {
        let mut scenario = scenario(&["loopback", "lte"]);
        (scenario.rates_hz, scenario.payloads_bytes) = (vec![120, 20], vec![8]);
        let scope = |link: &str| format!("{link}, 4 matches, 8 B payload");
        let rates = vec![20.0, 120.0];
        let each = |link: &str| (SweepAxis::Rate, scope(link), rates.clone());
        assert_eq!(sweeps_of(&scenario), [each("loopback"), each("lte")]);
        scenario.rates_hz = vec![60];
        assert!(sweeps_of(&scenario).is_empty(), "one value is no sweep");
    }

    #[test]
    fn sweeps_payloads_and_matches() {
        let mut scenario = scenario(&["loopback"]);
        scenario.payloads_bytes = vec![0, 100];
        let of_payload =
            |matches: &str| (SweepAxis::Payload, format!("loopback, 60 Hz, {matches}"), vec![0.0, 100.0]);
        assert_eq!(sweeps_of(&scenario), [of_payload("4 matches")]);
        scenario.off_links.pairs = vec![1, 2];
        let pairs = |payload: &str| (SweepAxis::Pairs, format!("loopback, 60 Hz{payload}"), vec![1.0, 2.0]);
        assert_eq!(
            sweeps_of(&scenario),
            [of_payload("1 match"), of_payload("2 matches"), pairs(""), pairs(", 100 B payload")]
        );
    }

    #[test]
    fn link_sweeps_need_three_values() {
        let losses = |shares: &[&str]| {
            let links: Vec<String> = shares.iter().map(|share| format!("delay=10ms,loss={share}")).collect();
            sweeps_of(&scenario(&links.iter().map(String::as_str).collect::<Vec<_>>()))
        };
        let loss = |values: &[f64]| {
            (SweepAxis::Loss, "independent losses, 60 Hz, 4 matches".to_owned(), values.to_vec())
        };
        assert!(losses(&["1%", "2%"]).is_empty());
        assert_eq!(losses(&["2%", "1%", "4%"]), [loss(&[1.0, 2.0, 4.0])]);
        // Another delay is another link.
        let mixed = scenario(&["delay=10ms,loss=1%", "delay=10ms,loss=2%", "delay=20ms,loss=4%"]);
        assert!(sweeps_of(&mixed).is_empty());
        let distances = scenario(&["delay=5ms", "delay=20ms", "delay=10ms"]);
        let rtt = (SweepAxis::Rtt, "60 Hz, 4 matches".to_owned(), vec![10.0, 20.0, 40.0]);
        assert_eq!(sweeps_of(&distances), [rtt]);
    }

    #[test]
    fn lossless_link_joins_each_kind() {
        let links = ["delay=10ms", "delay=10ms,loss=1%", "delay=10ms,loss=2%", "delay=30ms"];
        let found = sweeps_of(&scenario(&links));
        let loss: Vec<&Vec<f64>> =
            found.iter().filter(|(axis, ..)| *axis == SweepAxis::Loss).map(|(.., values)| values).collect();
        assert_eq!(loss, [&vec![0.0, 1.0, 2.0]]);
    }

    #[test]
    fn search_keeps_its_own_axis() {
        let mut scenario = scenario(&["loopback"]);
        (scenario.rates_hz, scenario.off_links.pairs) = (vec![20, 60], vec![1, 2]);
        let axes = |search: Option<crate::plan::search::Search>| -> Vec<SweepAxis> {
            let scenario = Scenario { search, ..scenario.clone() };
            let results = Results::empty(scenario, crate::data::results::Provenance::default());
            let groups = results.scenario.groups();
            let mut axes: Vec<SweepAxis> = from_results(&results, &groups).iter().map(|it| it.axis).collect();
            axes.dedup();
            axes
        };
        assert_eq!(axes(None), [SweepAxis::Rate, SweepAxis::Pairs]);
        assert_eq!(axes(Some(crate::plan::search::Search::RATE)), [SweepAxis::Rate]);
        assert_eq!(axes(Some(crate::plan::search::Search::PAIRS)), [SweepAxis::Pairs]);
    }

    #[test]
    fn crossovers_tell_changed_findings() {
        let mut scenario = scenario(&["loopback"]);
        (scenario.rates_hz, scenario.transports) =
            (vec![20, 60, 120], ["tcp", "udp"].map(|name| name.parse().expect("a kind")).to_vec());
        let [tcp, udp] = scenario.contenders()[..] else { panic!("two contenders") };
        let findings = [Finding::Same, Finding::Better, Finding::Better];
        let groups = scenario.groups().into_iter().zip(findings).map(|(group, of_age)| {
            let compared = |(metric, finding)| Comparison {
                metric,
                candidate: udp,
                against: tcp,
                effect: None,
                finding,
            };
            // The cost stays worse.
            let comparisons = [(Metric::AgeP99, of_age), (Metric::ServerCpu, Finding::Worse)].map(compared);
            GroupVerdict {
                place: Place::Loopback,
                unit: Unit::Round,
                figures: Figures { comparisons: comparisons.to_vec(), ..Figures::default() },
                met: None,
                choice: None,
                choice_of_all: None,
                group,
            }
        });
        let verdict = Verdict {
            groups: groups.collect(),
            contenders: vec![tcp, udp],
            reference: tcp,
            failed_checks: Vec::new(),
        };
        let results = Results::empty(scenario, crate::data::results::Provenance::default());
        assert_eq!(
            crossovers(&results, Some(&verdict)),
            ["udp against tcp in age p99, along the rate (Hz; loopback, 4 matches): the same at 20, better \
              from 60 to 120."]
        );
        assert!(crossovers(&results, None).is_empty());
        // A group without a verdict breaks the sweep.
        let mut few = verdict.clone();
        few.groups.pop();
        assert!(crossovers(&results, Some(&few)).is_empty());
    }

    #[test]
    fn names_axes_and_stretches() {
        let words = SweepAxis::ALL.map(|axis| (axis.title(), axis.unit(), axis.is_log()));
        assert_eq!(
            words,
            [
                ("rate", "Hz", true),
                ("payload", "B", false),
                ("number of matches", "matches", true),
                ("loss", "%", false),
                ("round trip", "ms", true)
            ]
        );
        let names: std::collections::HashSet<&str> = SweepAxis::ALL.map(SweepAxis::name).into();
        assert_eq!(names.len(), SweepAxis::ALL.len());
        assert!(names.iter().all(|name| name.len() > 10), "{names:?}");
        let stretch = |from, to| Stretch { finding: Finding::Better, from, to }.to_string();
        assert_eq!(stretch(2.0, 2.0), "better at 2");
        assert_eq!(stretch(0.5, 20.0), "better from 0.5 to 20");
    }
}
