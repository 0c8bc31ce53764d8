//! Tests of the answer's sentences: a golden text for each kind of outcome, from invented verdicts.

use netduel_reports::{
    analysis::{
        metrics::Metric,
        place::Place,
        statistics::Interval,
        verdict::{
            GroupVerdict, Unit, Verdict,
            choice::{Certainty, Choice, Cost, DecidedBy, Doubt, Settle},
            comparison::{Comparison, Effect, Estimate, Figures, Finding},
            link_met::LinkMet,
        },
    },
    data::results::{Provenance, Results},
    plan::{
        contender::Contender,
        sampling::Sampling,
        scenario::{Group, Scenario},
    },
    render::answer::sentences::{Answer, answer},
};
use netduel_transport::TransportKind;

fn contender(name: &str) -> Contender {
    let (kind, tuned) = name.strip_suffix("-tuned").map_or((name, false), |kind| (kind, true));
    Contender { tuned, ..Contender::plain(kind.parse::<TransportKind>().expect("a kind")) }
}

fn all(names: &[&str]) -> Vec<Contender> {
    names.iter().map(|name| contender(name)).collect()
}

fn results(links: &[&str]) -> Results {
    let scenario = Scenario {
        links: links.iter().map(|name| name.parse().expect("a link")).collect(),
        on_links: Sampling { duration_ms: 40_000, ..Sampling::LINK.of(&[2]) },
        ..Scenario::default()
    };
    let command = ["run", "--link", &links.join(","), "--out", "x"].map(str::to_owned).to_vec();
    Results::empty(scenario, Provenance { command, commit: "0e21".into(), ..Provenance::default() })
}

const NO_INTERVAL: Interval = Interval { low: 0.0, high: 0.0 };

/// The numbers of quic-datagram against tcp.
const EFFECT: Effect = Effect {
    units: 40,
    candidate: 86_000.0,
    against: 512_000.0,
    difference: -426_000.0,
    alone: NO_INTERVAL,
    simultaneous: NO_INTERVAL,
    floor: 5_000.0,
    margin: 10_000.0,
    detectable: 20_000.0,
};

fn age(contender: Contender, value: f64) -> Estimate {
    Estimate { metric: Metric::AgeP99, contender, arm: 0, value, interval: None, units: 40 }
}

/// Returns a choice of a contender whose age is 86 ms, against 512 ms of the reference.
fn choice(name: &str, by: DecidedBy, certainty: Certainty) -> Choice {
    let contender = contender(name);
    Choice {
        contender,
        encrypted_only: contender.transport.encrypted(),
        alike: Vec::new(),
        worse: Vec::new(),
        open: Vec::new(),
        unnoticed: None,
        by,
        certainty,
        doubts: Vec::new(),
        felt: age(contender, 86_000.0),
        felt_reference: Some(age(Contender::plain(TransportKind::Tcp), 512_000.0)),
        cpu: Some(Cost { ratio: 2.04, interval: NO_INTERVAL, value: 17.3, reference: 8.5 }),
        bytes: None,
        settle: None,
    }
}

fn met(seconds: f64, lost_packets: u64, bad_periods: u64) -> LinkMet {
    LinkMet {
        seconds,
        asked_loss: true,
        lost_packets,
        bad_periods,
        bad_periods_wanted: 10,
        seconds_wanted: (bad_periods < 10).then_some(400),
    }
}

/// Returns a group of a link with a finding of the choice against tcp.
fn on_link(
    results: &Results,
    chosen: Option<Choice>,
    of_all: Option<Choice>,
    finding: Finding,
) -> GroupVerdict {
    let group: Group = results.scenario.groups().swap_remove(0);
    let compared = chosen.iter().chain(&of_all).map(|it| Comparison {
        metric: Metric::AgeP99,
        candidate: it.contender,
        against: contender("tcp"),
        effect: Some(EFFECT),
        finding,
    });
    let estimate = |name: &str, value| age(contender(name), value);
    GroupVerdict {
        place: Place::Link,
        unit: Unit::Second,
        figures: Figures {
            estimates: vec![
                estimate("tcp", 512_000.0),
                estimate("tls", 530_000.0),
                estimate("quic-stream", 168_000.0),
                estimate("quic-datagram", 86_000.0),
            ],
            comparisons: compared.collect(),
            control: Vec::new(),
        },
        met: Some(met(40.0, 900, 41)),
        choice: chosen,
        choice_of_all: of_all,
        group,
    }
}

/// Returns a group on loopback with findings about the CPU time of contenders against that of tls.
fn costs(results: &Results, findings: &[(&str, Finding)]) -> GroupVerdict {
    let mut group = on_link(results, None, None, Finding::Same);
    (group.place, group.unit, group.met) = (Place::Loopback, Unit::Round, None);
    let compared = |&(name, finding): &(&str, Finding)| Comparison {
        metric: Metric::ServerCpu,
        candidate: contender(name),
        against: contender("tls"),
        effect: Some(EFFECT),
        finding,
    };
    group.figures.comparisons = findings.iter().map(compared).collect();
    group
}

fn verdict(groups: Vec<GroupVerdict>) -> Verdict {
    Verdict {
        groups,
        contenders: all(&["tcp", "tls", "quic-stream", "quic-datagram", "enet"]),
        reference: contender("tcp"),
        failed_checks: Vec::new(),
    }
}

/// Returns all sentences of an answer, one a line.
fn text(answer: &Answer) -> String {
    let mut lines = vec![answer.headline.clone()];
    for place in &answer.places {
        lines.push(place.advice.clone());
        lines.extend(place.more.clone());
        lines.extend(place.sure.iter().map(|(_, sure)| sure.clone()));
        lines.extend(place.settle.iter().map(|(words, command)| format!("{words} {command}")));
    }
    lines.join("\n")
}

fn said(results: &Results, group: GroupVerdict) -> String {
    text(&answer(results, &verdict(vec![group])))
}

#[test]
fn strong_advice() {
    let results = results(&["wifi-busy"]);
    let mut chosen = choice("quic-datagram", DecidedBy::Freshness, Certainty::Strong);
    chosen.worse = all(&["quic-stream", "tls"]);
    let mut of_all = choice("enet", DecidedBy::Cpu, Certainty::Strong);
    (of_all.felt.value, of_all.cpu) =
        (84_000.0, Some(Cost { ratio: 1.2, interval: NO_INTERVAL, value: 10.2, reference: 8.5 }));
    let mut group = on_link(&results, Some(chosen), Some(of_all), Finding::Better);
    group.figures.comparisons.extend(["quic-stream", "tls"].map(|name| Comparison {
        metric: Metric::AgeP99,
        candidate: contender(name),
        against: contender("quic-datagram"),
        effect: Some(EFFECT),
        finding: Finding::Worse,
    }));
    let expected = "\
Use quic-datagram.
On busy Wi-Fi use quic-datagram: your opponent's position is at most 86 ms old 99 % of the \
     time, 512 ms over tcp; it costs the server twice the CPU of tcp.
Noticeably older: quic-stream (168 ms) and tls (530 ms).
If nothing need be encrypted: enet (at most 84 ms; costs the server 1.2 times the CPU of tcp).
How sure: strong. 40 s with 41 bad periods, and it holds for all comparisons together.";
    assert_eq!(said(&results, group), expected);
}

#[test]
fn some_certainty_names_doubts() {
    let results = results(&["wifi-busy"]);
    let mut chosen = choice("quic-datagram", DecidedBy::Freshness, Certainty::Some);
    chosen.doubts = vec![Doubt::ShownAlone(all(&["quic-stream"]))];
    chosen.settle = Some(Settle::LinkSeconds(120));
    let text = said(&results, on_link(&results, Some(chosen), None, Finding::Better));
    assert!(
        text.ends_with(
            "How sure: some. 40 s with 41 bad periods; against quic-stream the difference is \
             found by itself, but not among all comparisons together.\n\
             To settle it: cargo compare --link wifi-busy --duration 120s"
        ),
        "{text}"
    );
}

/// Returns a choice that a run does not separate from its rivals.
fn open_choice(rivals: &[&str], unnoticed: Certainty) -> Choice {
    let mut chosen = choice("quic-datagram", DecidedBy::Cpu, Certainty::None);
    chosen.open = all(rivals);
    chosen.doubts = vec![Doubt::NotShown(chosen.open.clone())];
    chosen.unnoticed = Some(unnoticed);
    chosen
}

#[test]
fn open_choice_names_no_favourite() {
    let results = results(&["wifi-busy"]);
    let mut chosen = open_choice(&["quic-stream"], Certainty::None);
    chosen.worse = all(&["quic-stream", "tls"]);
    chosen.settle = Some(Settle::LinkSeconds(90));
    let mut of_all = open_choice(&["quic-stream", "enet", "tcp"], Certainty::None);
    of_all.contender = contender("enet");
    let mut group = on_link(&results, Some(chosen), Some(of_all), Finding::CannotTell);
    group.figures.comparisons.push(Comparison {
        metric: Metric::AgeP99,
        candidate: contender("tls"),
        against: contender("quic-datagram"),
        effect: Some(EFFECT),
        finding: Finding::Worse,
    });
    let expected = "\
This run does not say what to use.
On busy Wi-Fi nothing is decided between quic-stream and quic-datagram: so far your opponent's \
     position is at most 86 ms to 168 ms old 99 % of the time.
Noticeably older: tls (530 ms).
The same is open without encryption: tcp and enet.
How sure: not at all. 40 s with 41 bad periods; this run does not separate them.
To settle it: cargo compare --link wifi-busy --duration 90s";
    assert_eq!(said(&results, group), expected);
}

#[test]
fn close_ages_are_called_close() {
    let results = results(&["wifi-busy"]);
    let chosen = open_choice(&["tls", "quic-stream"], Certainty::None);
    let mut group = on_link(&results, Some(chosen), None, Finding::CannotTell);
    // The farthest lies a tenth above the nearest, and a fifth would be noticed.
    let ages = [276_000.0, 262_000.0, 250_000.0, 238_000.0];
    group.figures.estimates.iter_mut().zip(ages).for_each(|(it, age)| it.value = age);
    group.choice.as_mut().expect("a choice").felt.value = 238_000.0;
    let text = said(&results, group);
    assert!(
        text.contains(
            "On busy Wi-Fi nothing is decided between tls, quic-stream and quic-datagram: so far your \
             opponent's position is at most 238 ms to 262 ms old 99 % of the time, closer together than a \
             player notices, but this run is too short to show that.\n"
        ),
        "{text}"
    );
}

#[test]
fn unnoticed_choice_is_said() {
    let results = results(&["wifi-busy"]);
    let mut chosen = open_choice(&["tls"], Certainty::Strong);
    chosen.contender = contender("quic-stream");
    chosen.settle = Some(Settle::Rounds(60));
    let mut of_all = open_choice(&["tls", "tcp"], Certainty::Some);
    of_all.contender = contender("tcp");
    let mut group = on_link(&results, Some(chosen), Some(of_all), Finding::CannotTell);
    let ages = [272_000.0, 272_000.0, 268_000.0, 290_000.0];
    group.figures.estimates.iter_mut().zip(ages).for_each(|(it, age)| it.value = age);
    group.choice.as_mut().expect("a choice").felt.value = 268_000.0;
    let text = said(&results, group);
    let expected = "\
This run does not say what to use.
On busy Wi-Fi a player does not notice which of tls and quic-stream you use: your opponent's \
     position is at most 268 ms to 272 ms old 99 % of the time.
Nor does a player notice a difference to tcp, without encryption.
How sure: strong that no player notices, and not at all which to use. 40 s with 41 bad periods; \
     which of them costs the server least is open.
To settle it: cargo compare --link wifi-busy --repeat 60";
    assert_eq!(text, expected);
}

#[test]
fn tie_goes_to_cheapest() {
    let results = results(&["lte"]);
    let mut chosen = choice("tls", DecidedBy::Cpu, Certainty::Strong);
    chosen.alike = all(&["quic-stream", "quic-datagram"]);
    chosen.felt_reference = Some(age(contender("tcp"), 87_000.0));
    chosen.cpu = Some(Cost { ratio: 1.33, interval: NO_INTERVAL, value: 11.3, reference: 8.5 });
    let mut of_all = choice("tcp", DecidedBy::Cpu, Certainty::Strong);
    of_all.felt.value = 87_000.0;
    let group = on_link(&results, Some(chosen), Some(of_all), Finding::Same);
    let costs = costs(&results, &[("quic-stream", Finding::Worse), ("quic-datagram", Finding::CannotTell)]);
    let text = text(&answer(&results, &verdict(vec![group, costs])));
    let expected = "\
Use tls.
On LTE use tls: your opponent's position is at most 86 ms old 99 % of the time, the same as \
     over tcp; it costs the server 1.3 times the CPU of tcp.
As fresh, but dearer for the server: quic-stream.
As fresh: quic-datagram.
If nothing need be encrypted: tcp (at most 87 ms).
How sure: strong. 40 s with 41 bad periods, and it holds for all comparisons together.
The cost was not compared (40 rounds).";
    assert_eq!(text, expected);
}

#[test]
fn tuned_tcp_is_explained() {
    let results = results(&["lte"]);
    let chosen = choice("tls-tuned", DecidedBy::Cpu, Certainty::Strong);
    let text = said(&results, on_link(&results, Some(chosen.clone()), Some(chosen), Finding::Better));
    assert!(
        text.starts_with("Use tls-tuned.\nOn LTE use tls-tuned (TCP with timers set for games): your"),
        "{text}"
    );
    assert!(text.contains("\nNothing without encryption is a better choice.\n"), "{text}");
}

#[test]
fn lost_nothing_gives_no_advice() {
    let results = results(&["lte"]);
    let none = {
        let mut group = on_link(&results, None, None, Finding::Same);
        group.met = Some(met(40.0, 0, 0));
        said(&results, group)
    };
    let expected = "\
This run does not say what to use.
LTE lost nothing in these 40 s, so this run does not say what to use there.
So far they were at most 86 ms to 530 ms old 99 % of the time.
How sure: not at all.
To settle it: cargo compare --link lte --duration 400s";
    assert_eq!(none, expected);
    // A choice on such a link is not told either.
    let mut group = on_link(
        &results,
        Some(choice("quic-datagram", DecidedBy::Cpu, Certainty::None)),
        None,
        Finding::Same,
    );
    group.met = Some(met(40.0, 30, 4));
    let few = said(&results, group);
    assert!(
        few.contains("LTE lost packets in only 4 separate bad periods in these 40 s, too few for advice"),
        "{few}"
    );
    assert!(!few.contains("use quic-datagram"), "{few}");
}

#[test]
fn failed_checks_are_named() {
    let results = results(&["wifi-busy"]);
    let mut chosen = choice("quic-datagram", DecidedBy::Freshness, Certainty::Some);
    chosen.doubts = vec![Doubt::FailedChecks(vec!["Lateness of sending, p99"])];
    chosen.settle = Some(Settle::IdleMachine);
    let text = said(&results, on_link(&results, Some(chosen), None, Finding::Better));
    assert!(text.contains("self-checks failed: Lateness of sending, p99.\n"), "{text}");
    assert!(
        text.ends_with("Leave the machine idle and run it again: cargo compare --link wifi-busy"),
        "{text}"
    );
}

#[test]
fn remote_server_hides_its_cpu() {
    let results = results(&["loopback"]);
    let mut chosen = choice("quic-datagram", DecidedBy::Freshness, Certainty::Some);
    (chosen.cpu, chosen.doubts) = (None, vec![Doubt::NoCpu]);
    chosen.bytes = Some(Cost { ratio: 1.19, interval: NO_INTERVAL, value: 170.0, reference: 143.0 });
    let mut group = on_link(&results, Some(chosen), None, Finding::Better);
    (group.place, group.unit, group.met) = (Place::Remote, Unit::Round, None);
    group.group.link = "play.example".into();
    let expected = "\
Use quic-datagram.
To play.example use quic-datagram: your opponent's position is at most 86 ms old 99 % of the \
     time, 512 ms over tcp; it needs 1.2 times the bytes of tcp.
How sure: some. 40 rounds; the server's CPU time is not known from here.";
    assert_eq!(said(&results, group), expected);
}

#[test]
fn without_links_only_cost_is_told() {
    let mut results = results(&["loopback"]);
    results.no_links = Some("no /dev/net/tun".into());
    let mut group = on_link(&results, None, None, Finding::Same);
    (group.place, group.unit, group.met) = (Place::Loopback, Unit::Round, None);
    let compared = |name: &str, ratio: f64, finding: Finding| Comparison {
        metric: Metric::ServerCpu,
        candidate: contender(name),
        against: contender("tcp"),
        effect: Some(Effect { candidate: 100.0 * ratio, against: 100.0, ..EFFECT }),
        finding,
    };
    group.figures.comparisons = vec![
        compared("tls", 1.33, Finding::Worse),
        compared("quic-stream", 1.04, Finding::CannotTell),
        compared("quic-datagram", 2.04, Finding::Worse),
        compared("enet", 1.01, Finding::Same),
    ];
    let told = answer(&results, &verdict(vec![group]));
    assert!(told.run.ends_with("No emulated links: no /dev/net/tun."), "{}", told.run);
    let expected = "\
What each transport costs.
Server CPU per move: tls 1.3 times and quic-datagram 2.0 times that of tcp; the same: enet; \
     cannot tell from tcp: quic-stream.
Loopback has no network, so this run says what each transport costs and not which is fresh. Add \
     --link wifi-busy for that.";
    assert_eq!(text(&told), expected);
}

#[test]
fn one_transport_is_no_choice() {
    let results = results(&["wifi-busy"]);
    let mut verdict = verdict(vec![on_link(&results, None, None, Finding::CannotTell)]);
    verdict.contenders = all(&["tcp"]);
    let expected = "\
This run does not say what to use.
On busy Wi-Fi only tcp ran, so there is nothing to choose. Your opponent's position was at most \
     512 ms old 99 % of the time.";
    assert_eq!(text(&answer(&results, &verdict)), expected);
}

#[test]
fn links_may_differ() {
    let results = results(&["wifi-busy", "lte"]);
    let first = on_link(
        &results,
        Some(choice("quic-datagram", DecidedBy::Freshness, Certainty::Strong)),
        None,
        Finding::Better,
    );
    let mut second =
        on_link(&results, Some(choice("tls", DecidedBy::Cpu, Certainty::Some)), None, Finding::Same);
    second.group.link = "lte".into();
    let told = answer(&results, &verdict(vec![first, second]));
    assert_eq!(told.headline, "Use quic-datagram on busy Wi-Fi, tls on LTE.");
}

#[test]
fn unencrypted_alone_is_said() {
    let results = results(&["wifi-busy"]);
    let chosen = choice("enet", DecidedBy::Freshness, Certainty::Strong);
    let text = said(&results, on_link(&results, None, Some(chosen), Finding::Better));
    assert!(text.contains("On busy Wi-Fi use enet: "), "{text}");
    assert!(text.contains("None that encrypts ran"), "{text}");
}

#[test]
fn run_sentence_tells_changed_flags() {
    let mut results = results(&["wifi-busy"]);
    let changed = answer(&results, &verdict(Vec::new())).run;
    assert_eq!(
        changed,
        "Your own comparison: tcp, tls, quic-stream, quic-datagram and enet on busy Wi-Fi, 60 \
             moves a second, 40 s on each link."
    );
    let preset = netduel_reports::plan::presets::Preset::named("quick").expect("a preset");
    results.scenario = preset.scenario();
    assert_eq!(answer(&results, &verdict(Vec::new())).run, format!("Quick: {}.", preset.question));
}
