//! Simulations that show how often intervals hold the true value, on models of links and rounds.
//!
//! A model of a link has alternating good and bad periods of exponential length, as the emulator
//! has. Packets are lost by time slot, the same for every contender. Datagrams lose what is sent in
//! a lost slot. Streams hold everything back until a retransmission arrives: after a time-out that
//! doubles, or soon after a later packet has told of the loss.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    evidence::Evidence,
    interval::{Difference, Method, differences, resample},
    median,
};
use crate::analysis::foresight::{PERIOD_SPREAD, smallest_share};

/// The period of moves at 60 Hz.
const PERIOD_MS: f64 = 1_000.0 / 60.0;
/// The delay of one way between a player and the server.
const ONE_WAY_MS: f64 = 18.0;
/// The length of a slot in which a bad link loses everything or nothing.
const SLOT_MS: f64 = 5.0;
/// The step in which ages are read.
const STEP_MS: f64 = 5.0;
/// The players, each of whom watches its opponent over the same link.
const PLAYERS: u32 = 4;
/// The longest gap between fresh moves that is no freeze.
const FREEZE_MS: f64 = 50.0;
/// The length of a link whose figures count as the true ones, in s.
const TRUTH_S: usize = 4_000;

/// A link that is bad from time to time.
#[derive(Clone, Copy)]
struct Link {
    good_ms: f64,
    bad_ms: f64,
    /// The share of the slots that a bad link loses.
    loss: f64,
    jitter_ms: f64,
    /// Whether both ways are bad at once.
    fades: bool,
}

const WIFI: Link = Link { good_ms: 900.0, bad_ms: 60.0, loss: 0.5, jitter_ms: 3.0, fades: false };
const FADING_WIFI: Link = Link { fades: true, ..WIFI };
const LTE: Link = Link { good_ms: 4_000.0, bad_ms: 80.0, loss: 0.8, jitter_ms: 6.0, fades: false };
const STEADY: Link = Link { good_ms: 1e12, ..LTE };

/// The schedule of one run.
struct Schedule {
    link: Link,
    bad: [Vec<(f64, f64)>; 2],
    seed: u64,
}

#[derive(Clone, Copy)]
enum Transport {
    Datagrams,
    /// The first time-out, and the share of the losses that a later packet reveals.
    Stream {
        timeout_ms: f64,
        revealed: f64,
    },
}

const TRANSPORTS: [Transport; 4] = [
    Transport::Datagrams,
    Transport::Stream { timeout_ms: 85.0, revealed: 0.9 },
    Transport::Stream { timeout_ms: 60.0, revealed: 0.7 },
    Transport::Stream { timeout_ms: 236.0, revealed: 0.7 },
];
/// The pairs that are compared; the fifth and sixth are the first and the last transport again.
const PAIRS: [(usize, usize); 6] = [(0, 1), (0, 3), (1, 3), (2, 3), (3, 5), (0, 4)];

fn random(of: [u64; 3]) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(of[0] << 40 ^ of[1] << 20 ^ of[2])
}

fn exponential(random: &mut ChaCha8Rng, mean: f64) -> f64 {
    -mean * (1.0 - random.random::<f64>()).ln()
}

fn normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// Returns a number from 0 to 1 that these numbers alone decide (SplitMix64).
fn chance(of: [u64; 3]) -> f64 {
    let mut mixed =
        of.iter().fold(0u64, |hash, it| (hash ^ it).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ mixed >> 31) >> 11) as f64 / (1u64 << 53) as f64
}

impl Schedule {
    fn new(link: Link, seconds: usize, seed: u64) -> Self {
        let end_ms = seconds as f64 * 1e3 + 2_000.0;
        let bad = [0, if link.fades { 0 } else { 1 }].map(|way| {
            let mut random = random([seed, way, 1]);
            let mut periods = Vec::new();
            let mut at = exponential(&mut random, link.good_ms);
            while at < end_ms {
                let end = at + exponential(&mut random, link.bad_ms);
                periods.push((at, end));
                at = end + exponential(&mut random, link.good_ms);
            }
            periods
        });
        Self { link, bad, seed }
    }

    fn loses(&self, way: usize, at_ms: f64) -> bool {
        let period = self.bad[way].partition_point(|it| it.1 <= at_ms);
        let is_bad = self.bad[way].get(period).is_some_and(|it| it.0 <= at_ms);
        is_bad && chance([self.seed, way as u64, (at_ms / SLOT_MS) as u64]) < self.link.loss
    }

    /// Carries packets, given by the time of sending and the time of their move, one way.
    fn carry(
        &self,
        way: usize,
        transport: Transport,
        sent: &[(f64, f64)],
        random: &mut ChaCha8Rng,
    ) -> Vec<(f64, f64)> {
        let mut arrived = Vec::with_capacity(sent.len());
        let mut in_order_ms: f64 = 0.0;
        for (number, &(at_ms, move_ms)) in sent.iter().enumerate() {
            let mut at = at_ms;
            if self.loses(way, at) {
                let Transport::Stream { timeout_ms, revealed } = transport else { continue };
                let mut wait = timeout_ms;
                let mut tries = 0;
                while self.loses(way, at) && tries < 12 {
                    // A datagram-like stack (0.9) also learns so of a lost retransmission.
                    let reveals = (tries == 0 || revealed > 0.85) && random.random::<f64>() < revealed;
                    let later = sent[number + 1..].iter().map(|it| it.0);
                    let told =
                        later.filter(|it| *it > at).find(|it| !self.loses(way, *it)).filter(|_| reveals);
                    at = told.map_or(at + wait, |it| (it + 2.5 * ONE_WAY_MS).min(at + wait));
                    wait *= if told.is_some() { 1.0 } else { 2.0 };
                    tries += 1;
                }
            }
            in_order_ms = in_order_ms.max(at + ONE_WAY_MS + self.link.jitter_ms * normal(random).abs());
            arrived.push((in_order_ms, move_ms));
        }
        arrived
    }
}

/// The measurement of one contender: for each second the ages in buckets of 1 %, and the freezes.
struct Measured {
    ages: Vec<Vec<(f64, f64)>>,
    freezes: Vec<f64>,
}

fn measure(schedule: &Schedule, transport: Transport, seconds: usize, noise: u64) -> Measured {
    let mut ages = vec![std::collections::BTreeMap::<i64, f64>::new(); seconds];
    let mut freezes = vec![0.0; seconds];
    let end_ms = seconds as f64 * 1e3;
    for player in 0..PLAYERS {
        let mut random = random([schedule.seed, noise, u64::from(player) + 2]);
        let phase_ms = chance([schedule.seed, 99, u64::from(player)]) * PERIOD_MS - 500.0;
        let moves = (0..(end_ms / PERIOD_MS) as usize + 31).map(|it| phase_ms + it as f64 * PERIOD_MS);
        let sent: Vec<(f64, f64)> = moves.map(|at| (at, at)).collect();
        let relayed = schedule.carry(0, transport, &sent, &mut random);
        let arrived = schedule.carry(1, transport, &relayed, &mut random);
        let (mut next, mut newest, mut fresh_at) = (0, -1e3, 0.0f64);
        for step in 0..(end_ms / STEP_MS) as usize {
            let now = (step as f64 + 0.5) * STEP_MS;
            while let Some((at, moved)) = arrived.get(next).copied().filter(|it| it.0 <= now) {
                if moved > newest {
                    if fresh_at > 0.0 && at - fresh_at > FREEZE_MS {
                        freezes[(at / 1e3) as usize] += 1.0;
                    }
                    (newest, fresh_at) = (moved, at);
                }
                next += 1;
            }
            let bucket = ((now - newest).ln() / 0.01).ceil() as i64;
            *ages[(now / 1e3) as usize].entry(bucket).or_default() += STEP_MS;
        }
    }
    let value = |(bucket, weight): (i64, f64)| ((bucket as f64 * 0.01).exp() * 1e3, weight);
    Measured { ages: ages.into_iter().map(|it| it.into_iter().map(value).collect()).collect(), freezes }
}

impl Measured {
    fn age_p99(&self) -> Evidence {
        let seconds = (0..).zip(&self.ages).map(|(second, ages)| ((0, second), ages.iter().copied()));
        Evidence::of_quantile(0.99, seconds).expect("ages")
    }

    fn age_mean(&self) -> Evidence {
        let seconds = (0..).zip(&self.ages).map(|(second, ages)| {
            ((0, second), ages.iter().map(|it| it.0 * it.1).sum(), ages.iter().map(|it| it.1).sum())
        });
        Evidence::of_rate(seconds).expect("ages")
    }

    /// Freezes by player and minute.
    fn freezes(&self) -> Evidence {
        let minutes = f64::from(PLAYERS) / 60.0;
        Evidence::of_rate((0..).zip(&self.freezes).map(|(second, it)| ((0, second), *it, minutes)))
            .expect("seconds")
    }
}

type Read = fn(&Measured) -> Evidence;

const METRICS: [(&str, Read); 3] =
    [("age p99", Measured::age_p99), ("age mean", Measured::age_mean), ("freezes", Measured::freezes)];

fn method(metric: &str, seconds: usize) -> Method {
    match metric {
        "freezes" => Method::events(60.0 / seconds as f64 / f64::from(PLAYERS)),
        "age mean" => Method::MEANS,
        _ => Method::QUANTILES,
    }
}

/// The number of runs in which an interval was right.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    runs: u32,
    held: u32,
    /// The intervals that claimed more than is true.
    claimed_too_much: u32,
    /// Runs in which no interval of the whole family missed.
    family_held: u32,
    found: u32,
}

/// Returns the share of the runs, in percent.
fn percent(count: u32, of: u32) -> f64 {
    100.0 * f64::from(count) / f64::from(of)
}

impl Score {
    fn add(&mut self, found: &Difference, truth: f64) {
        let holds = found.alone.low <= truth && truth <= found.alone.high;
        let too_much = if found.value > 0.0 {
            found.alone.low > truth.max(0.0)
        } else {
            found.alone.high < truth.min(0.0)
        };
        self.runs += 1;
        self.held += u32::from(holds);
        self.claimed_too_much += u32::from(too_much);
        self.found += u32::from(found.simultaneous.low > 0.0 || found.simultaneous.high < 0.0);
    }
}

/// Returns the measurements of all transports, and of the first and the last once more.
fn measure_all(link: Link, seconds: usize, seed: u64) -> Vec<Measured> {
    let schedule = Schedule::new(link, seconds, seed);
    let contenders = TRANSPORTS.iter().chain([&TRANSPORTS[0], &TRANSPORTS[3]]);
    contenders.zip(0..).map(|(it, noise)| measure(&schedule, *it, seconds, noise)).collect()
}

/// Simulates runs on a link, and returns the scores of every metric and pair.
fn simulate(link: Link, seconds: usize, runs: u64) -> Vec<(&'static str, Vec<Score>)> {
    let truths = measure_all(link, TRUTH_S, 4_242);
    let truths = METRICS.map(|(_, read)| {
        // The controls are their transports again.
        [0, 1, 2, 3, 0, 3].map(|of| read(&truths[of]).estimate().expect("a truth"))
    });
    let mut scores = METRICS.map(|(name, _)| (name, vec![Score::default(); PAIRS.len()]));
    for run in 0..runs {
        let measured = measure_all(link, seconds, run + 1);
        for (((name, read), (_, scores)), truth) in METRICS.iter().zip(&mut scores).zip(&truths) {
            let evidence: Vec<Evidence> = measured.iter().map(read).collect();
            let method = method(name, seconds);
            let resampled = resample(&evidence.iter().collect::<Vec<_>>(), method, run);
            let found = differences(&resampled, &PAIRS, method);
            let mut all_hold = true;
            for ((pair, found), score) in PAIRS.iter().zip(found).zip(&mut *scores) {
                let found = found.expect("enough units");
                // On a scale of ratios the interval is one of the ratio, at the measured other
                // side.
                let (candidate, against) = (truth[pair.0], truth[pair.1]);
                let true_difference = match method.scale {
                    super::interval::Scale::Ratio => resampled[pair.1].estimate * (candidate / against - 1.0),
                    super::interval::Scale::Amount => candidate - against,
                };
                score.add(&found, true_difference);
                all_hold &=
                    found.simultaneous.low <= true_difference && true_difference <= found.simultaneous.high;
            }
            scores.iter_mut().for_each(|it| it.family_held += u32::from(all_hold));
        }
    }
    scores.to_vec()
}

fn print(name: &str, scores: &[(&'static str, Vec<Score>)]) {
    for (metric, scores) in scores {
        let each: Vec<String> = scores
            .iter()
            .map(|it| {
                format!(
                    "{:.1} ({:.1}; {:.0})",
                    percent(it.held, it.runs),
                    percent(it.claimed_too_much, it.runs),
                    percent(it.found, it.runs)
                )
            })
            .collect();
        println!(
            "{name}, {metric}: {} | family {:.1}",
            each.join("  "),
            percent(scores[0].family_held, scores[0].runs)
        );
    }
}

#[test]
#[ignore = "takes minutes"]
fn coverage_at_length() {
    for (name, link, seconds) in [
        ("wifi 40", WIFI, 40),
        ("fading 40", FADING_WIFI, 40),
        ("lte 60", LTE, 60),
        ("steady 30", STEADY, 30),
        ("wifi 30", WIFI, 30),
    ] {
        print(name, &simulate(link, seconds, 400));
    }
}

/// Returns the costs of two contenders in rounds that something disturbs now and then.
fn rounds(random: &mut ChaCha8Rng, rounds: u32, ratio: f64) -> [Evidence; 2] {
    let mut cost = |mean: f64| -> Evidence {
        let of_round = |random: &mut ChaCha8Rng| {
            let disturbed = if random.random::<f64>() < 1.0 / 15.0 { 2.5 } else { 1.0 };
            mean * disturbed * (1.0 + 0.05 * normal(random))
        };
        Evidence::of_median((0..rounds).map(|round| ((round, 0), of_round(random)))).expect("rounds")
    };
    [cost(20.0 * ratio), cost(20.0)]
}

/// Checks that medians of rounds keep their promise in spite of disturbed rounds, and find 10 %.
#[test]
fn round_intervals_cover() {
    let mut random = random([1, 2, 3]);
    let mut held = [0; 2];
    let mut found = 0;
    const RUNS: u32 = 400;
    for run in 0..RUNS {
        for (ratio, held) in [1.0, 1.1].into_iter().zip(&mut held) {
            let [candidate, against] = rounds(&mut random, 19, ratio);
            let resampled = resample(&[&candidate, &against], Method::COSTS, run.into());
            let difference = differences(&resampled, &[(0, 1)], Method::COSTS)[0].expect("enough rounds");
            let truth = resampled[1].estimate * (ratio - 1.0);
            *held += u32::from(difference.alone.low <= truth && truth <= difference.alone.high);
            found += u32::from(ratio > 1.0 && difference.alone.low > 0.0);
        }
    }
    println!("held {held:?}, found {found}");
    assert!(held.iter().all(|held| (93.0..=99.5).contains(&percent(*held, RUNS))), "{held:?}");
    assert!(percent(found, RUNS) > 90.0, "{found}");
}

/// Checks on few runs what [`coverage_at_length`] shows on many.
#[test]
fn second_intervals_cover() {
    let scores = simulate(WIFI, 40, 30);
    print("wifi 40", &scores);
    for (metric, scores) in &scores {
        let sum = |count: fn(&Score) -> u32| scores.iter().map(count).sum::<u32>();
        let (runs, held) = (sum(|it| it.runs), sum(|it| it.held));
        assert!((92.0..=99.5).contains(&percent(held, runs)), "{metric}: {held} of {runs}");
        assert!(percent(sum(|it| it.claimed_too_much), runs) < 10.0, "{metric}");
        assert!(percent(scores[0].family_held, scores[0].runs) > 85.0, "{metric}");
    }
    let age_p99 = &scores[0].1;
    assert!(
        age_p99[..2].iter().all(|it| it.found * 10 > it.runs * 9),
        "datagrams are fresher than both streams"
    );
    assert!(age_p99[4..].iter().all(|it| it.found * 20 <= it.runs), "a transport is no fresher than itself");
}

/// Checks that a difference in the costs of rounds, as large as foretold, is found in about four of
/// five runs, and half of it in far fewer.
#[test]
fn foretold_cost_is_found() {
    const RUNS: u32 = 300;
    const ROUNDS: u32 = 19;
    /// Each of two costs varies by 5 % from round to round. A median has 1.25 times the standard
    /// error of a mean, and one round in 15 tells it nothing.
    const SPREAD: f64 = 0.05 * std::f64::consts::SQRT_2 * 1.25 * 15.0 / 14.0;
    let foretold =
        smallest_share(Method::COSTS, ROUNDS as usize, ROUNDS.into(), SPREAD, 1).expect("enough rounds");
    let mut random = random([3, 2, 1]);
    let found = [1.0, 0.5].map(|part| {
        let hits = (0..RUNS).filter(|run| {
            let [candidate, against] = rounds(&mut random, ROUNDS, 1.0 + part * foretold);
            let resampled = resample(&[&candidate, &against], Method::COSTS, (*run).into());
            differences(&resampled, &[(0, 1)], Method::COSTS)[0].expect("enough rounds").alone.low > 0.0
        });
        percent(hits.count() as u32, RUNS)
    });
    println!("foretold {foretold:.3}, found {found:?}");
    assert!((60.0..=97.0).contains(&found[0]) && found[1] < 40.0, "{found:?}");
}

/// Checks the foretold difference of ages against what simulated runs say that they would have
/// found.
#[test]
fn foretold_age_is_about_right() {
    for seconds in [40, 90] {
        let mut would_find = Vec::new();
        for run in 0..6 {
            let measured = measure_all(WIFI, seconds, 100 + run);
            let evidence: Vec<Evidence> = measured.iter().map(Measured::age_p99).collect();
            let resampled = resample(&evidence.iter().collect::<Vec<_>>(), Method::QUANTILES, run);
            let found = differences(&resampled, &PAIRS, Method::QUANTILES);
            would_find.extend(
                PAIRS.iter().zip(found).map(|(pair, found)| {
                    found.expect("enough units").detectable / resampled[pair.1].estimate
                }),
            );
        }
        let usual = median(&would_find).expect("runs");
        // Each way is bad on its own.
        let periods = 2.0 * seconds as f64 * 1e3 / (WIFI.good_ms + WIFI.bad_ms);
        let foretold = smallest_share(Method::QUANTILES, seconds, periods, PERIOD_SPREAD, PAIRS.len());
        let foretold = foretold.expect("enough units");
        println!("{seconds} s: would find {usual:.3}, foretold {foretold:.3}");
        assert!((0.5..=2.0).contains(&(foretold / usual)), "{seconds} s: {foretold} against {usual}");
    }
}
