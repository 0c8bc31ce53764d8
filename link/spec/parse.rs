//! The command-line syntax of a link: `delay=20ms,loss=1%,up.rate=5mbit`.
//!
//! Each item is `field=value`. The prefix `up.` or `down.` sets one direction; without a prefix the
//! item sets both.

use thiserror::Error;

use crate::spec::{
    link_spec::{DirectionSpec, Jitter, LinkSpec, QueueDiscipline, Rate, Reorder},
    loss::Loss,
};

/// The default correlation time of jitter, ms.
const CORRELATION_MS_DEFAULT: f64 = 50.0;
/// The default time for which a reordered packet is held back, ms.
const HOLD_MS_DEFAULT: f64 = 5.0;

/// The reason why a text is not a link.
#[derive(Debug, Error)]
pub enum ParseError {
    /// An item without `=`.
    #[error("{item:?} is not field=value, as in delay=20ms,loss=1%,rate=10mbit")]
    NotAnItem {
        /// Text of the item.
        item: String,
    },
    /// An unknown field.
    #[error(
        "there is no field {field:?}: use delay, jitter, loss, stall, trace, reorder, duplicate, rate, queue \
         (with up. or down. before it for one direction), rtt, periods, ip or mtu"
    )]
    UnknownField {
        /// Name of the field.
        field: String,
    },
    /// A value in the wrong form.
    #[error("{field}={value} cannot be read: write it as {example}")]
    BadValue {
        /// Name of the field.
        field: String,
        /// Text of the value.
        value: String,
        /// Example of a valid item.
        example: &'static str,
    },
}

/// Parses a text into a spec, which the caller must validate.
pub(crate) fn parse(text: &str) -> Result<LinkSpec, ParseError> {
    let mut spec = LinkSpec::symmetric(text, DirectionSpec::default());
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (field, value) =
            item.split_once('=').ok_or_else(|| ParseError::NotAnItem { item: item.to_owned() })?;
        if set_whole(&mut spec, field, value)? {
            continue;
        }
        if let Some(field) = field.strip_prefix("up.") {
            set(&mut spec.up, field, value)?;
        } else if let Some(field) = field.strip_prefix("down.") {
            set(&mut spec.down, field, value)?;
        } else {
            set(&mut spec.up, field, value)?;
            set(&mut spec.down, field, value)?;
        }
    }
    Ok(spec)
}

/// Sets a field of the whole link. Returns whether the field is one.
fn set_whole(spec: &mut LinkSpec, field: &str, value: &str) -> Result<bool, ParseError> {
    match field {
        "mtu" => spec.mtu_bytes = value.parse().map_err(|_| bad(field, value, "mtu=1400"))?,
        "rtt" => {
            let one_way_ms = time_ms(value).ok_or_else(|| bad(field, value, "rtt=80ms"))? / 2.0;
            (spec.up.delay_ms, spec.down.delay_ms) = (one_way_ms, one_way_ms);
        }
        "ip" => {
            spec.ipv6 = match value {
                "4" => false,
                "6" => true,
                _ => return Err(bad(field, value, "ip=4 or ip=6")),
            }
        }
        "periods" => {
            spec.shared_periods = match value {
                "shared" => true,
                "separate" => false,
                _ => return Err(bad(field, value, "periods=shared or periods=separate")),
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn set(direction: &mut DirectionSpec, field: &str, value: &str) -> Result<(), ParseError> {
    let or_bad = |example| move || bad(field, value, example);
    match field {
        "delay" => direction.delay_ms = time_ms(value).ok_or_else(or_bad("delay=20ms"))?,
        "jitter" => {
            direction.jitter = Some(jitter(value).ok_or_else(or_bad("jitter=2ms or jitter=2ms/50ms"))?)
        }
        "loss" => {
            let example = "loss=1%, or bursts of loss=good/bad times as in loss=900ms/30ms or 900ms/30ms/50%";
            direction.loss = loss(value).ok_or_else(or_bad(example))?;
        }
        "stall" => {
            let example = "stall=good/bad times as in stall=900ms/100ms, or 900ms/100ms/20% with losses";
            direction.loss = stall(value).ok_or_else(or_bad(example))?;
        }
        "trace" => direction.trace = Some(value.into()),
        "reorder" => {
            direction.reorder = Some(reorder(value).ok_or_else(or_bad("reorder=1% or reorder=1%/5ms"))?);
        }
        "duplicate" => direction.duplicate_share = share(value).ok_or_else(or_bad("duplicate=0.1%"))?,
        "rate" => {
            direction.rate = Some(rate(value).ok_or_else(or_bad("rate=20mbit, or rate=FILE of a trace"))?)
        }
        "queue" => {
            let example = "queue=50kB, queue=codel or queue=50kB/codel";
            let (queue_bytes, discipline) = queue(value).ok_or_else(or_bad(example))?;
            direction.queue = discipline;
            direction.queue_bytes = queue_bytes.unwrap_or(direction.queue_bytes);
        }
        _ => return Err(ParseError::UnknownField { field: field.to_owned() }),
    }
    Ok(())
}

fn bad(field: &str, value: &str, example: &'static str) -> ParseError {
    ParseError::BadValue { field: field.to_owned(), value: value.to_owned(), example }
}

fn jitter(value: &str) -> Option<Jitter> {
    let (sd, correlation) = value.split_once('/').unwrap_or((value, ""));
    let correlation_ms = if correlation.is_empty() { CORRELATION_MS_DEFAULT } else { time_ms(correlation)? };
    Some(Jitter { sd_ms: time_ms(sd)?, correlation_ms })
}

fn loss(value: &str) -> Option<Loss> {
    let parts: Vec<&str> = value.split('/').collect();
    let (good, bad, loss_bad) = match parts[..] {
        [probability] => return Some(Loss::Iid { probability: share(probability)? }),
        [good, bad] => (good, bad, 1.0),
        [good, bad, loss_bad] => (good, bad, share(loss_bad)?),
        _ => return None,
    };
    Some(Loss::GilbertElliottTime {
        good_ms: time_ms(good)?,
        bad_ms: time_ms(bad)?,
        loss_good: 0.0,
        loss_bad,
        stalls: false,
    })
}

fn stall(value: &str) -> Option<Loss> {
    let parts: Vec<&str> = value.split('/').collect();
    let (good, bad, loss_bad) = match parts[..] {
        [good, bad] => (good, bad, 0.0),
        [good, bad, loss_bad] => (good, bad, share(loss_bad)?),
        _ => return None,
    };
    let (good_ms, bad_ms) = (time_ms(good)?, time_ms(bad)?);
    Some(Loss::GilbertElliottTime { good_ms, bad_ms, loss_good: 0.0, loss_bad, stalls: true })
}

/// Parses the size of a queue, if any, and its discipline.
fn queue(value: &str) -> Option<(Option<u64>, QueueDiscipline)> {
    match value.strip_suffix("codel") {
        None => Some((Some(bytes(value)?), QueueDiscipline::DropTail)),
        Some("") => Some((None, QueueDiscipline::Codel)),
        Some(size) => Some((Some(bytes(size.strip_suffix('/')?)?), QueueDiscipline::Codel)),
    }
}

fn reorder(value: &str) -> Option<Reorder> {
    let (part, hold) = value.split_once('/').unwrap_or((value, ""));
    let hold_ms = if hold.is_empty() { HOLD_MS_DEFAULT } else { time_ms(hold)? };
    Some(Reorder { share: share(part)?, hold_ms })
}

fn rate(value: &str) -> Option<Rate> {
    let constant = with_unit(value, &[("gbit", 1e3), ("mbit", 1.0), ("kbit", 1e-3)]);
    match constant {
        Some(mbit_per_s) => Some(Rate::MbitPerS(mbit_per_s)),
        // A number with a wrong unit is a mistake; any other text is a file.
        None if value.starts_with(|c: char| c.is_ascii_digit() || c == '-') => None,
        None => Some(Rate::Trace(value.into())),
    }
}

fn time_ms(value: &str) -> Option<f64> {
    with_unit(value, &[("us", 1e-3), ("ms", 1.0), ("s", 1e3)])
}

fn share(value: &str) -> Option<f64> {
    with_unit(value, &[("%", 0.01)])
}

fn bytes(value: &str) -> Option<u64> {
    let bytes = with_unit(value, &[("kB", 1e3), ("MB", 1e6), ("B", 1.0)])?;
    (bytes >= 0.0).then_some(bytes as u64)
}

/// Parses a number with one of `units`; the unit is required.
fn with_unit(value: &str, units: &[(&str, f64)]) -> Option<f64> {
    units.iter().find_map(|(unit, factor)| Some(value.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_every_field() {
        let spec = parse(
            "delay=20ms, jitter=2ms/80ms,loss=1%,up.rate=5mbit,up.queue=50kB,down.loss=900ms/30ms/50%,\
             mtu=1400,reorder=2%",
        )
        .expect("a valid text");
        assert_eq!(spec.mtu_bytes, 1_400);
        assert_eq!((spec.up.delay_ms, spec.down.delay_ms), (20.0, 20.0));
        assert_eq!(spec.up.jitter, Some(Jitter { sd_ms: 2.0, correlation_ms: 80.0 }));
        assert_eq!(spec.up.loss, Loss::Iid { probability: 0.01 });
        let bursts = Loss::GilbertElliottTime {
            good_ms: 900.0,
            bad_ms: 30.0,
            loss_good: 0.0,
            loss_bad: 0.5,
            stalls: false,
        };
        assert_eq!(spec.down.loss, bursts);
        assert_eq!((spec.up.rate, spec.up.queue_bytes), (Some(Rate::MbitPerS(5.0)), 50_000));
        assert_eq!(spec.down.rate, None);
        assert_eq!(spec.down.reorder, Some(Reorder { share: 0.02, hold_ms: 5.0 }));
    }

    #[test]
    fn parses_the_whole_link() {
        let spec =
            parse("rtt=80ms,ip=6,periods=shared,stall=900ms/100ms/20%,rate=5mbit,down.queue=60kB/codel")
                .expect("a valid text");
        assert_eq!((spec.up.delay_ms, spec.down.delay_ms), (40.0, 40.0));
        assert!(spec.ipv6 && spec.shared_periods);
        let stall = Loss::GilbertElliottTime {
            good_ms: 900.0,
            bad_ms: 100.0,
            loss_good: 0.0,
            loss_bad: 0.2,
            stalls: true,
        };
        assert_eq!((&spec.up.loss, &spec.down.loss), (&stall, &stall));
        assert_eq!((spec.up.queue, spec.down.queue), (QueueDiscipline::DropTail, QueueDiscipline::Codel));
        assert_eq!((spec.up.queue_bytes, spec.down.queue_bytes), (150_000, 60_000));
        spec.validate().expect("valid");
        let spec =
            parse("ip=4,periods=separate,trace=path.csv,queue=codel,stall=1s/10ms").expect("a valid text");
        assert!(!spec.ipv6 && !spec.shared_periods);
        assert_eq!((spec.up.queue, spec.up.queue_bytes), (QueueDiscipline::Codel, 150_000));
        assert_eq!(spec.down.trace, Some("path.csv".into()));
        assert!(matches!(spec.up.loss, Loss::GilbertElliottTime { loss_bad: 0.0, stalls: true, .. }));
    }

    #[test]
    fn errors_show_a_valid_example() {
        for (line, expected) in [
            ("delay=20", "delay=20ms"),
            ("loss=0.01", "loss=1%"),
            ("rate=5mb", "rate=20mbit"),
            ("queue=-1kB", "queue=50kB"),
            ("queue=50kBcodel", "queue=50kB/codel"),
            ("stall=5ms", "stall=900ms/100ms"),
            ("rtt=80", "rtt=80ms"),
            ("up.rtt=80ms", "no field \"rtt\""),
            ("ip=5", "ip=6"),
            ("periods=yes", "periods=shared"),
            ("speed=1", "no field \"speed\""),
            ("delay=1ms,fast", "not field=value"),
        ] {
            let error = parse(line).expect_err("a mistake").to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(parse("delay=-1ms").expect("a negative time is read").validate().is_err());
        assert!(parse("loss=120%").expect("a large share is read").validate().is_err());
    }
}
