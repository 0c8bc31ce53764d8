//! The charts of the first screen: the age on each link, and the cost of a thousand players. Pure.

use netduel_loadgen::Workload;

use crate::{
    analysis::{
        repeats::{Repeats, repeats_of},
        summary::Row,
        verdict::{GroupVerdict, Verdict, choice::Certainty},
    },
    data::results::Results,
    plan::{contender::Contender, scenario},
    render::{
        answer::headline,
        bars::{Bar, Bars, Mark, Set},
        columns::cost_is_judged,
        tables::Group,
        words::{self, NOTICED_US},
    },
};

/// The players of the example of costs.
const PLAYERS: f64 = 1_000.0;
/// The hours that each of them plays a day, about as long as people who play games do.
const HOURS_A_DAY: f64 = 2.0;
/// The days of a month.
const DAYS: f64 = 30.0;

/// A group and the contender that the verdict recommends in it.
pub(crate) type Chosen = (scenario::Group, Contender);

/// Returns what a verdict recommends.
pub(crate) fn chosen(verdict: Option<&Verdict>) -> Vec<Chosen> {
    let groups = verdict.into_iter().flat_map(|verdict| &verdict.groups);
    // Nothing is marked where nothing is decided.
    let decided = |judged: &GroupVerdict| {
        let choice = headline::advice(judged).filter(|it| it.certainty != Certainty::None)?;
        Some((judged.group.clone(), choice.contender))
    };
    groups.filter_map(decided).collect()
}

/// Returns the chart of age, with a set of bars for each group; `None` without moves at a rate.
pub(crate) fn age(results: &Results, groups: &[Group<'_>], chosen: &[Chosen]) -> Option<Bars> {
    let is_chosen =
        |row: &Row| chosen.iter().any(|(group, it)| (group, it) == (&row.key.group, &row.key.contender));
    // No player is on loopback, where the rate alone decides the age.
    let on_links = groups.iter().any(|group| !cost_is_judged(results, &group.rows[0].key.group));
    let sets = (groups.iter())
        .filter(|group| {
            group.rows[0].key.group.in_flight == 0
                && !(on_links && cost_is_judged(results, &group.rows[0].key.group))
        })
        .map(|group| Set {
            heading: words::capital(&words::place(&results.scenario, &group.rows[0].key.group)),
            bars: group.rows.iter().filter_map(|row| age_bar(results, row, is_chosen(row))).collect(),
        })
        .filter(|set| !set.bars.is_empty())
        .collect::<Vec<_>>();
    (results.scenario.workload == Workload::Moves && !sets.is_empty()).then(|| Bars {
        title: "How old is your opponent's position?".into(),
        note: "Half of the time at most as old as the dark bar is long, 99 % of the time at most as \
               the whole bar. Shorter is better."
            .into(),
        mark: Some(Mark { at: NOTICED_US, text: format!("you notice this ({})", words::time(NOTICED_US)) }),
        sets,
    })
}

fn age_bar(results: &Results, row: &Row, chosen: bool) -> Option<Bar> {
    let runs = repeats_of(results, &row.key);
    let age = Repeats::new(&runs).merged(|run| &run.load.stats.age);
    let high = row.age_p99_us?.value;
    Some(Bar {
        contender: row.key.contender,
        low: age.quantile_us(0.5)? as f64,
        high: if words::is_infinite(high) { f64::INFINITY } else { high },
        value: words::time(high),
        chosen,
    })
}

/// Returns the chart of cost from the group in which cost is judged; `None` without one.
pub(crate) fn cost(results: &Results, groups: &[Group<'_>]) -> Option<Bars> {
    let judged = |group: &&Group<'_>| cost_is_judged(results, &group.rows[0].key.group);
    let group = groups.iter().find(judged)?;
    let rate_hz = f64::from(group.rows[0].key.group.rate_hz);
    let pairs = group.rows[0].key.group.pairs;
    let moves_a_second = PLAYERS * rate_hz;
    let set = |heading: &str, of: &dyn Fn(&Row) -> Option<f64>, unit: &str| Set {
        heading: heading.into(),
        bars: (group.rows.iter())
            .filter_map(|row| {
                let value = of(row)?;
                let text = format!("{} {unit}", short(value));
                Some(Bar {
                    contender: row.key.contender,
                    low: value,
                    high: value,
                    value: text,
                    chosen: false,
                })
            })
            .collect(),
    };
    let cores = |row: &Row| Some(row.server_cpu_us?.value * moves_a_second / 1e6);
    let played_s = HOURS_A_DAY * 3_600.0 * DAYS;
    let sent_gb = |row: &Row| Some(row.bytes_out?.value * moves_a_second * played_s / 1e9);
    let sets = [
        set("Server CPU while all play", &cores, "cores"),
        set("Traffic that the server sends in a month", &sent_gb, "GB"),
    ];
    let sets: Vec<Set> = sets.into_iter().filter(|set| !set.bars.is_empty()).collect();
    (!sets.is_empty()).then(|| Bars {
        title: format!("What do {} players cost?", thousands(PLAYERS)),
        note: format!(
            "At {rate_hz} moves a second, {HOURS_A_DAY} hours a day, {DAYS} days. Scaled up from {} \
             players on this machine.",
            2 * pairs
        ),
        mark: None,
        sets,
    })
}

/// Formats a number with at least two significant digits.
fn short(value: f64) -> String {
    match value {
        _ if value < 10.0 => format!("{value:.2}"),
        _ if value < 100.0 => format!("{value:.1}"),
        _ => thousands(value),
    }
}

/// Formats a whole number with a comma before each three digits.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.514, 12.34, 123.4, 1_234_567.0].map(short), ["0.51", "12.3", "123", "1,234,567"]);
    }
}
