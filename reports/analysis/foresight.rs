//! The smallest difference that a comparison can find, foretold from its plan. Pure.
//!
//! A figure's standard error falls with the root of the pieces of evidence: bad periods of a link,
//! or rounds. From the error of one piece follows the difference that 4 of 5 runs find, as
//! [`Effect::detectable`](crate::analysis::verdict::comparison::Effect::detectable) says it after
//! the run. The error of one piece was taken from past runs, so the answer is right to about a
//! factor of two.

use netduel_link::Loss;
use netduel_loadgen::Workload;

use crate::{
    analysis::{
        metrics::Metric,
        statistics::{
            interval::{CONFIDENCE_Z, Method, POWER_Z, UNITS_MIN},
            t_quantile,
        },
        verdict::link_met::{BAD_PERIODS_MIN, PACE_MS, window_for_enough},
    },
    plan::scenario::{Network, Scenario},
};

/// The standard error of the logarithm of two age p99s' ratio, of one bad period that loses
/// packets. Three groups over lossy Wi-Fi had 0.7 to 1.4 in the median of their pairs of
/// transports, and the simulation of `statistics/coverage.rs` has 1.4. Pairs that recover alike
/// have less.
pub(crate) const PERIOD_SPREAD: f64 = 1.0;
/// The same of a bad period that delays packets: all transports wait alike. Two runs over busy
/// Wi-Fi had 0.2 and 0.4.
const STALL_SPREAD: f64 = 0.4;
/// The same of one second of a link that loses single packets.
const SECOND_SPREAD: f64 = 0.6;
/// The standard error of the logarithm of two costs' ratio, of one round. Three runs on two
/// processors of a virtual machine had 0.15 to 0.36.
const ROUND_SPREAD: f64 = 0.3;
/// A value at which the floor of every metric is a share of it, in the metric's unit.
const FAR: f64 = 1e9;

/// The pieces of evidence that a plan is expected to give.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pieces {
    /// Bad periods of a link. Where they are too few for a verdict, the window in s that is
    /// expected to meet enough.
    BadPeriods(f64, Option<u64>),
    /// Seconds of a link that loses single packets.
    Seconds(f64),
    /// Seconds of a link that loses nothing.
    CalmSeconds(f64),
    /// Rounds off links.
    Rounds(u32),
}

/// The smallest difference that a comparison is expected to find on one network.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Foreseen {
    /// The name of the network.
    pub(crate) link: String,
    /// The metric that is decided there.
    pub(crate) metric: Metric,
    pub(crate) pieces: Pieces,
    /// The difference as a share of the other side; `None` with too few units for any.
    pub(crate) share: Option<f64>,
}

/// Foretells the smallest differences of a plan, network by network. It is silent about searches,
/// baselines, connections and remote servers, whose errors nothing foretells.
pub(crate) fn foresee(scenario: &Scenario) -> Vec<Foreseen> {
    if scenario.search.is_some() || !scenario.baselines.is_empty() || scenario.workload != Workload::Moves {
        return Vec::new();
    }
    scenario.links.iter().filter_map(|network| of_network(scenario, network)).collect()
}

fn of_network(scenario: &Scenario, network: &Network) -> Option<Foreseen> {
    let sampling = scenario.sampling(network);
    let seconds = sampling.duration_ms as f64 / 1e3 * f64::from(sampling.repeats);
    let contenders = scenario.contenders().len();
    let comparisons = contenders * contenders.saturating_sub(1) / 2;
    let (metric, method, pieces) = match network {
        Network::Remote(_) => return None,
        Network::Loopback => (Metric::ServerCpu, Method::COSTS, Pieces::Rounds(sampling.repeats)),
        Network::Emulated(spec) | Network::Shared(spec) => {
            let pieces = match spec.expected_bad_periods(PACE_MS).map(|periods| periods / (PACE_MS / 1e3)) {
                Some(0.0) => Pieces::CalmSeconds(seconds),
                Some(each_second) => {
                    let met = each_second * seconds;
                    let too_few = met < BAD_PERIODS_MIN as f64;
                    Pieces::BadPeriods(met, window_for_enough(each_second).filter(|_| too_few))
                }
                None => Pieces::Seconds(seconds),
            };
            (Metric::AgeP99, Method::QUANTILES, pieces)
        }
    };
    let (units, count, spread) = match pieces {
        Pieces::BadPeriods(periods, _) => (seconds, periods, period_spread(network)),
        Pieces::Seconds(seconds) => (seconds, seconds, SECOND_SPREAD),
        Pieces::CalmSeconds(seconds) => (seconds, seconds, 0.0),
        Pieces::Rounds(rounds) => (rounds.into(), rounds.into(), ROUND_SPREAD),
    };
    // Less than what matters is never called.
    let floor = metric.floor(FAR) / FAR;
    let share = smallest_share(method, units as usize, count, spread, comparisons).map(|it| it + floor);
    Some(Foreseen { link: network.name(), metric, pieces, share })
}

/// Returns the standard error that a bad period of a network gives.
fn period_spread(network: &Network) -> f64 {
    let stalls = |loss: &Loss| matches!(loss, Loss::GilbertElliottTime { stalls: true, .. });
    let all_stall = network.spec().is_some_and(|spec| stalls(&spec.up.loss) && stalls(&spec.down.loss));
    if all_stall { STALL_SPREAD } else { PERIOD_SPREAD }
}

/// Returns the smallest difference, as a share of the other side, that 4 of 5 runs tell from none;
/// `None` with too few units. `spread` is the standard error of the logarithm of the ratio that one
/// of `pieces` would give.
///
/// The formula is e^((r + 0.84) s) − 1. Here s is √(grain² + spread² / pieces), and r is the reach
/// of an interval: the method's widening × t × the factor of the family.
pub(crate) fn smallest_share(
    method: Method,
    units: usize,
    pieces: f64,
    spread: f64,
    comparisons: usize,
) -> Option<f64> {
    if units < UNITS_MIN || pieces <= 0.0 {
        return None;
    }
    let error = (spread / pieces.sqrt()).hypot(method.grain);
    let reach = method.widening * t_quantile(units - 1) * family_factor(comparisons);
    Some(((reach + POWER_Z) * error).exp_m1())
}

/// Returns the factor by which the intervals of so many comparisons are wider than one alone, by
/// Bonferroni's inequality. The resamples of a run give a factor that is somewhat smaller.
fn family_factor(comparisons: usize) -> f64 {
    normal_quantile(1.0 - 0.025 / comparisons.max(1) as f64) / CONFIDENCE_Z
}

/// Returns a quantile of the standard normal distribution by Tukey's lambda distribution, which is
/// right to 2 % for the quantiles that are asked for here (Joiner & Rosenblatt, JASA 66, 1971).
fn normal_quantile(probability: f64) -> f64 {
    const LAMBDA: f64 = 0.14;
    const SCALE: f64 = 4.91;
    SCALE * (probability.powf(LAMBDA) - (1.0 - probability).powf(LAMBDA))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{presets::Preset, sampling::Sampling, search::Search};

    fn scenario(link: &str) -> Scenario {
        let on_links = Sampling { duration_ms: 40_000, ..Sampling::LINK.of(&[1]) };
        Scenario { links: vec![link.parse().expect("a network")], on_links, ..Scenario::default() }
    }

    fn network(name: &str) -> Network {
        name.parse().expect("a network")
    }

    fn foreseen(link: &str) -> Foreseen {
        foresee(&scenario(link)).remove(0)
    }

    fn share(method: Method, units: usize, pieces: f64, spread: f64, comparisons: usize) -> f64 {
        smallest_share(method, units, pieces, spread, comparisons).expect("enough units")
    }

    /// Compares with the table of Abramowitz & Stegun, 26.2.
    #[test]
    fn normal_quantiles_match_the_table() {
        for (probability, wanted) in [(0.975, 1.960), (0.99, 2.326), (0.999, 3.090), (0.9995, 3.291)] {
            let found = normal_quantile(probability);
            assert!((found / wanted - 1.0).abs() < 0.025, "{probability}: {found}");
        }
        assert!((family_factor(1) - 1.0).abs() < 0.01 && (family_factor(0) - 1.0).abs() < 0.01);
        assert!((family_factor(36) / 1.63 - 1.0).abs() < 0.03, "{}", family_factor(36));
    }

    #[test]
    fn smallest_share_follows_formula() {
        // t of 30 degrees is 2.042, and e^((2.042 + 0.842) × 0.1) − 1 = 0.334.
        assert!((share(Method::COSTS, 31, 4.0, 0.2, 1) - 0.334).abs() < 0.003);
        // Quantiles are 1.2 times as wide, and no better than their grain of 0.4 %.
        assert!((share(Method::QUANTILES, 31, 4.0, 0.2, 1) - 0.390).abs() < 0.004);
        let calm = share(Method::QUANTILES, 31, 40.0, 0.0, 1);
        assert!((calm - 0.0132).abs() < 0.0005, "{calm}");
        assert!(share(Method::COSTS, 31, 4.0, 0.2, 36) > 1.4 * share(Method::COSTS, 31, 4.0, 0.2, 1));
        assert_eq!(smallest_share(Method::COSTS, UNITS_MIN - 1, 4.0, 0.2, 1), None);
        assert_eq!(smallest_share(Method::COSTS, 31, 0.0, 0.2, 1), None);
        assert!(smallest_share(Method::COSTS, UNITS_MIN, 4.0, 0.2, 1).is_some());
    }

    #[test]
    fn more_evidence_finds_smaller_differences() {
        let of = |pieces: f64| share(Method::QUANTILES, 60, pieces, PERIOD_SPREAD, 10);
        // On the scale of logarithms the difference falls with the root of the pieces.
        let ratio = (1.0 + of(25.0)).ln() / (1.0 + of(100.0)).ln();
        assert!((ratio - 2.0).abs() < 0.02, "{ratio}");
    }

    #[test]
    fn links_decide_the_pieces() {
        let edge = foreseen("wifi-edge");
        let Pieces::BadPeriods(periods, None) = edge.pieces else { panic!("{edge:?}") };
        // Bad about once a second, each way.
        assert!((periods - 83.3).abs() < 1.0, "{periods}");
        assert_eq!(edge.metric, Metric::AgeP99);
        // Periods that delay all alike tell smaller differences from the same number of periods.
        assert_eq!([edge.link.as_str(), "wifi-busy"].map(|name| period_spread(&network(name))), [1.0, 0.4]);
        let lte = foreseen("lte");
        let Pieces::BadPeriods(periods, Some(seconds)) = lte.pieces else { panic!("{lte:?}") };
        assert!(periods < 10.0 && (50..200).contains(&seconds), "{lte:?}");
        assert_eq!(foreseen("delay=20ms,loss=1%").pieces, Pieces::Seconds(40.0));
        let calm = foreseen("delay=20ms");
        assert_eq!(calm.pieces, Pieces::CalmSeconds(40.0));
        // The floor of an age is 2 %.
        assert!((0.02..0.06).contains(&calm.share.expect("enough")), "{calm:?}");
        let loopback = foreseen("loopback");
        assert_eq!((loopback.metric, loopback.pieces), (Metric::ServerCpu, Pieces::Rounds(20)));
        let twice = Scenario {
            on_links: Sampling { repeats: 2, ..scenario("delay=20ms").on_links },
            ..scenario("delay=20ms")
        };
        assert_eq!(foresee(&twice)[0].pieces, Pieces::CalmSeconds(80.0));
    }

    #[test]
    fn default_run_finds_half_as_much() {
        let quick = Preset::ALL[0].scenario();
        for foreseen in foresee(&quick) {
            let share = foreseen.share.expect("enough");
            assert!((0.2..0.8).contains(&share), "{foreseen:?}");
        }
    }

    #[test]
    fn nothing_is_foretold_of_searches() {
        let search = Scenario { search: Some(Search::RATE), ..scenario("wifi") };
        assert!(foresee(&search).is_empty());
        let connects = Scenario { workload: Workload::Connects, ..scenario("wifi") };
        assert!(foresee(&connects).is_empty());
        let few = Scenario {
            off_links: Sampling { repeats: UNITS_MIN as u32 - 1, ..Sampling::ROUNDS.of(&[14]) },
            ..scenario("loopback")
        };
        assert_eq!(foresee(&few)[0].share, None);
    }
}
