//! Tests of the rules by which a difference counts.

use super::*;

fn series(values: &[f64]) -> Series {
    (0..).zip(values.iter().copied()).collect()
}

/// Returns the outcome of one comparison in age p99, among `family` that are all alike.
fn outcome(candidate: &[f64], against: &[f64], noise: Option<f64>, family: usize) -> Outcome {
    let (candidate, against) = (series(candidate), series(against));
    let contests: Vec<_> = (0..family)
        .map(|_| Contest { candidate: &candidate, against: &against, controls: Vec::new() })
        .collect();
    judge(Metric::AgeP99, &contests, noise, 1)[0].1
}

#[test]
fn three_repeats_indicate_but_never_test() {
    let (low, high) = ([43_000.0, 41_000.0, 44_000.0], [66_000.0, 60_000.0, 70_000.0]);
    assert_eq!(outcome(&low, &high, None, 4), Outcome::Better(Evidence::Indicated));
    assert_eq!(outcome(&high, &low, None, 4), Outcome::Worse(Evidence::Indicated));
    // A burst of the link fell into two of the three repeats.
    let mixed = [66_000.0, 41_050.0, 70_000.0];
    assert_eq!(outcome(&low, &mixed, None, 4), Outcome::Better(Evidence::Indicated));
    // A single repeat beyond the floor may be an accident.
    let once = [43_100.0, 41_050.0, 90_000.0];
    assert_eq!(outcome(&low, &once, None, 4), Outcome::NoDetectableDifference);
    // A difference within twice the noise may be chance.
    assert_eq!(outcome(&low, &high, Some(15_000.0), 4), Outcome::NoDetectableDifference);
}

#[test]
fn eight_repeats_test_four_comparisons() {
    // The difference is 1 ms and the floor 0.8 ms: too little for an indication.
    let (low, high) = ([40_000.0; 8], [41_000.0; 8]);
    assert_eq!(outcome(&low, &high, None, 4), Outcome::Better(Evidence::Tested));
    assert_eq!(outcome(&low[..7], &high[..7], None, 4), Outcome::NoDetectableDifference);
    assert_eq!(outcome(&low[..7], &high[..7], None, 3), Outcome::Better(Evidence::Tested));
}

#[test]
fn ignores_differences_that_do_not_matter() {
    // The difference is 0.1 ms, the same in every repeat.
    assert_eq!(outcome(&[1_000.0; 12], &[1_100.0; 12], None, 1), Outcome::NoDetectableDifference);
    // The difference is 5 ms, within the A/A noise of the reference.
    assert_eq!(outcome(&[40_000.0; 12], &[45_000.0; 12], Some(6_000.0), 1), Outcome::NoDetectableDifference);
}

#[test]
fn pairs_repeats_and_needs_three() {
    assert_eq!(outcome(&[1.0, 2.0], &[9_000.0, 9_000.0], None, 1), Outcome::NotEnoughData);
    // Each side has three repeats, but only two are shared.
    let (candidate, against) =
        (series(&[1.0, 1.0, 1.0]), Series::from([(1, 9_000.0), (2, 9_000.0), (3, 9_000.0)]));
    let contest = Contest { candidate: &candidate, against: &against, controls: Vec::new() };
    assert_eq!(judge(Metric::AgeP99, &[contest], None, 1), [(None, Outcome::NotEnoughData)]);
    // A spread of 20 ms between repeats does not hide 3 ms within each.
    let repeats = [50_000.0, 60_000.0, 70_000.0];
    let later = repeats.map(|it| it + 3_000.0);
    assert_eq!(outcome(&repeats, &later, Some(500.0), 4), Outcome::Better(Evidence::Indicated));
}

#[test]
fn noise_is_far_end_of_interval() {
    let (candidate, against) = (series(&[10.0, 13.0, 11.0]), series(&[11.0, 11.0, 11.0]));
    assert_eq!(
        Contest { candidate: &candidate, against: &against, controls: Vec::new() }.noise(1),
        Some(2.0)
    );
}

/// A stream on a lossy link is noisy against itself; a contender below all its runs is fresher
/// nevertheless.
#[test]
fn indicates_what_lies_apart() {
    // The values are in ms and become µs.
    let series = |values: [f64; 3]| -> Series { (0..).zip(values.map(|ms| ms * 1e3)).collect() };
    let (candidate, against, control) =
        (series([46.0, 44.0, 48.0]), series([70.0, 220.0, 90.0]), series([210.0, 66.0, 80.0]));
    let noise = Contest { candidate: &control, against: &against, controls: Vec::new() }.noise(1);
    let outcome = |controls: Vec<&Series>, candidate: &Series| {
        judge(Metric::AgeP99, &[Contest { candidate, against: &against, controls }], noise, 1)[0].1
    };
    assert_eq!(outcome(vec![&control], &candidate), Outcome::Better(Evidence::Indicated));
    assert_eq!(
        outcome(Vec::new(), &candidate),
        Outcome::NoDetectableDifference,
        "three against three can be chance"
    );
    assert_eq!(
        outcome(vec![&control], &series([46.0, 67.0, 48.0])),
        Outcome::NoDetectableDifference,
        "it overlaps"
    );
}
