//! Named links: [`PROFILES`], [`profile`], and [`LinkSpec::from_str`], which reads every form of a
//! link.

use std::{fs, path::Path, str::FromStr, sync::LazyLock};

use thiserror::Error;

use crate::spec::{
    link_spec::{DirectionSpec, Jitter, LinkSpec, Rate},
    loss::{Loss, Outage},
    parse::{self, ParseError},
    spec_error::SpecError,
};

/// The smallest similarity (Jaro–Winkler, 0 to 1) at which a name is suggested for an unknown one.
const SUGGEST_FROM: f64 = 0.7;

/// A named link.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Spec of the link, with its name.
    pub spec: LinkSpec,
    /// Description in one line.
    pub about: &'static str,
    /// Sources of the figures.
    pub source: &'static str,
    /// Figures that have no source, each in a few words.
    pub assumed: &'static [&'static str],
}

/// The reason why a name, a file or a text is not a link.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// No profile has this name.
    #[error("there is no profile {name:?}{}; `netduel-link list` shows all", suggestion(.nearest))]
    Unknown {
        /// Name that was asked for.
        name: String,
        /// Most similar name of a profile, if any is similar enough.
        nearest: Option<&'static str>,
    },
    /// The file cannot be read.
    #[error("cannot read the profile {file}: {cause}")]
    Read {
        /// Name of the file.
        file: String,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The file is not a profile.
    #[error("{file} is not a profile: {cause}")]
    Toml {
        /// Name of the file.
        file: String,
        /// The parser's error, with its position.
        cause: toml::de::Error,
    },
    /// The text is not a spec.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The spec is invalid.
    #[error("the link {name:?} is invalid: {cause}")]
    Spec {
        /// Name of the link.
        name: String,
        /// The rule that the spec breaks.
        cause: SpecError,
    },
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean {name:?}?"))
}

impl FromStr for LinkSpec {
    type Err = ProfileError;

    /// Reads a link from a profile's name, a `.toml` file, or a spec such as `delay=20ms,loss=1%`.
    /// Two names as in `wifi/fibre` give each player of a match a link.
    ///
    /// The result is validated. `docs/links.md` describes the syntax.
    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let spec = if text.contains('=') {
            parse::parse(text)?
        } else if text.ends_with(".toml") {
            read_toml(Path::new(text))?
        } else if let Some((first, second)) = text.split_once('/') {
            let second = Some(Box::new(profile(second)?.spec.clone()));
            Self { name: text.to_owned(), second, ..profile(first)?.spec.clone() }
        } else {
            profile(text)?.spec.clone()
        };
        spec.validate().map_err(|cause| ProfileError::Spec { name: spec.name.clone(), cause })?;
        Ok(spec)
    }
}

fn read_toml(file: &Path) -> Result<LinkSpec, ProfileError> {
    let name = || file.display().to_string();
    let text = fs::read_to_string(file).map_err(|cause| ProfileError::Read { file: name(), cause })?;
    let mut spec: LinkSpec =
        toml::from_str(&text).map_err(|cause| ProfileError::Toml { file: name(), cause })?;
    if let Some(folder) = file.parent() {
        find_traces(&mut spec, folder);
    }
    Ok(spec)
}

/// Completes the paths of traces, which are relative to the file that names them.
fn find_traces(spec: &mut LinkSpec, folder: &Path) {
    for direction in [&mut spec.up, &mut spec.down] {
        if let Some(Rate::Trace(trace)) = &mut direction.rate {
            *trace = folder.join(&*trace);
        }
        if let Some(trace) = &mut direction.trace {
            *trace = folder.join(&*trace);
        }
    }
    if let Some(second) = &mut spec.second {
        find_traces(second, folder);
    }
}

/// Returns the profile of this name.
///
/// # Errors
/// Returns [`ProfileError::Unknown`] with the most similar name.
pub fn profile(name: &str) -> Result<&'static Profile, ProfileError> {
    if let Some(profile) = PROFILES.iter().find(|profile| profile.spec.name == name) {
        return Ok(profile);
    }
    let alike = |profile: &&Profile| strsim::jaro_winkler(&profile.spec.name, &name.to_lowercase());
    let nearest = PROFILES
        .iter()
        .max_by(|a, b| alike(a).total_cmp(&alike(b)))
        .filter(|nearest| alike(nearest) >= SUGGEST_FROM);
    let nearest = nearest.map(|profile| profile.spec.name.as_str());
    Err(ProfileError::Unknown { name: name.to_owned(), nearest })
}

/// The profiles, from the best link to the worst.
pub static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    vec![
        lan(),
        fibre(),
        cable(),
        wifi(),
        wifi_busy(),
        wifi_edge(),
        lte(),
        slow_3g(),
        starlink(),
        satellite(),
        transatlantic(),
        bufferbloat(),
        blackhole(),
    ]
});

fn delay_only(delay_ms: f64) -> DirectionSpec {
    DirectionSpec { delay_ms, ..DirectionSpec::default() }
}

fn with_rate(spec: &DirectionSpec, mbit_per_s: f64, queue_bytes: u64) -> DirectionSpec {
    DirectionSpec { rate: Some(Rate::MbitPerS(mbit_per_s)), queue_bytes, ..spec.clone() }
}

fn link(name: &str, up: DirectionSpec, down: DirectionSpec) -> LinkSpec {
    LinkSpec { up, down, ..LinkSpec::symmetric(name, DirectionSpec::default()) }
}

/// Returns stalls: in bad periods of mean length `bad_ms`, after good periods of mean length
/// `good_ms`, packets wait for the end, and the share `loss_bad` of the slots is lost.
fn stalls(good_ms: f64, bad_ms: f64, loss_bad: f64) -> Loss {
    Loss::GilbertElliottTime { good_ms, bad_ms, loss_good: 0.0, loss_bad, stalls: true }
}

/// Returns a loss in bursts: bad periods of mean length `bad_ms`, after good periods of mean length
/// `good_ms`, lose the share `loss_bad` of the slots and delay nothing.
fn bursts(good_ms: f64, bad_ms: f64, loss_bad: f64) -> Loss {
    Loss::GilbertElliottTime { good_ms, bad_ms, loss_good: 0.0, loss_bad, stalls: false }
}

fn lan() -> Profile {
    Profile {
        spec: LinkSpec::symmetric("lan", delay_only(0.25)),
        about: "two machines on one switch",
        source: "none",
        assumed: &["0.5 ms round trip", "no loss"],
    }
}

fn fibre() -> Profile {
    let base = delay_only(2.0);
    Profile {
        spec: link("fibre", with_rate(&base, 5.0, 100_000), with_rate(&base, 20.0, 100_000)),
        about: "fibre to the home, server in the same city",
        source: "WebPageTest connectivity.ini, FIOS: 20/5 Mbit/s, 4 ms round trip",
        assumed: &["queue", "no loss"],
    }
}

fn cable() -> Profile {
    let base = delay_only(14.0);
    Profile {
        spec: link("cable", with_rate(&base, 1.0, 30_000), with_rate(&base, 5.0, 60_000)),
        about: "a cable modem with a short queue",
        source: "WebPageTest connectivity.ini, Cable: 5/1 Mbit/s, 28 ms round trip",
        assumed: &["queue", "no loss"],
    }
}

/// Stalls of 50 ms take a 22nd of the time, and nine tenths of the packets arrive in them. The
/// round trip of 16 ms thus has its p99 at about 16 + 50·ln(0.041/0.01) = 87 ms.
fn wifi() -> Profile {
    let base = DirectionSpec {
        delay_ms: 8.0,
        jitter: Some(Jitter { sd_ms: 2.0, correlation_ms: 60.0 }),
        loss: stalls(1_050.0, 50.0, 0.1),
        ..DirectionSpec::default()
    };
    let spec = LinkSpec::symmetric("wifi", with_rate(&base, 50.0, 250_000));
    Profile {
        spec: LinkSpec { shared_periods: true, ..spec },
        about: "good Wi-Fi at home, server in the same country",
        source: "Sui et al., MobiSys 2016: round trip over the Wi-Fi hop 3 ms at p50; Sarode 2022 \
                 (sarodeoverwireless.com): round trip of a home with mesh Wi-Fi over a day, about 90 ms at p99; loss \
                 and delay rise together",
        assumed: &[
            "length of stalls (50 ms)",
            "loss in them (10 % of the slots of 5 ms, 0.5 % in all)",
            "delay of the rest of the path",
            "jitter between stalls",
            "rate and queue",
        ],
    }
}

/// Stalls of 100 ms take an eighth of the time, and four fifths of the packets arrive in them. A
/// ping meets a stall on its way or on its way back. It thus takes d ms longer than the median with
/// the probability 0.12·exp(−d/100): 17 ms in 10 % of the cases, and 247 ms in 1 %.
fn wifi_busy() -> Profile {
    let base = DirectionSpec {
        delay_ms: 10.0,
        jitter: Some(Jitter { sd_ms: 2.0, correlation_ms: 60.0 }),
        loss: stalls(700.0, 100.0, 0.2),
        ..DirectionSpec::default()
    };
    let spec = LinkSpec::symmetric("wifi-busy", with_rate(&base, 20.0, 250_000));
    Profile {
        spec: LinkSpec { shared_periods: true, ..spec },
        about: "Wi-Fi in a crowded band, or at the edge of its range",
        source: "Sui et al., MobiSys 2016, 47,000 devices on a campus: round trip over the Wi-Fi hop 3 ms at p50, \
                 20 ms at p90, 250 ms at p99; arXiv:2603.16119: delivery droughts cause the tail; Sarode 2022: loss \
                 and delay rise together",
        assumed: &[
            "one link has over time the delays that the campus has over devices",
            "loss in stalls (20 % of the slots of 5 ms, 2.5 % in all)",
            "delay of the rest of the path",
            "jitter between stalls",
            "rate and queue",
        ],
    }
}

fn wifi_edge() -> Profile {
    let base = DirectionSpec {
        delay_ms: 18.0,
        jitter: Some(Jitter { sd_ms: 6.0, correlation_ms: 100.0 }),
        loss: bursts(900.0, 60.0, 0.5),
        ..DirectionSpec::default()
    };
    Profile {
        spec: LinkSpec::symmetric("wifi-edge", with_rate(&base, 20.0, 250_000)),
        about: "a radio that gives up early, at the edge of its range: bursts are lost instead of late",
        source: "none: the counterpart of wifi-busy, with loss in the place of delay",
        assumed: &["delay and jitter", "bursts (3.1 % loss)", "rate and queue"],
    }
}

fn lte() -> Profile {
    let base = DirectionSpec {
        delay_ms: 27.5,
        jitter: Some(Jitter { sd_ms: 6.0, correlation_ms: 80.0 }),
        loss: stalls(10_000.0, 80.0, 0.2),
        ..DirectionSpec::default()
    };
    let spec = link("lte", with_rate(&base, 10.0, 500_000), with_rate(&base, 30.0, 1_000_000));
    Profile {
        spec: LinkSpec { shared_periods: true, ..spec },
        about: "a phone on 4G that moves from cell to cell",
        source: "Catchpoint, Web Performance Calendar 2013: 55 ms round trip at p50; 3GPP TS 36.300: in a handover \
                 the old cell forwards the packets to the new one, so they are late and seldom lost",
        assumed: &[
            "a handover every 10 s that takes 80 ms",
            "loss in it (20 % of the slots of 5 ms, 0.2 % in all)",
            "jitter",
            "rates and deep queues",
        ],
    }
}

fn slow_3g() -> Profile {
    let base = delay_only(150.0);
    Profile {
        spec: link("3g", with_rate(&base, 0.768, 100_000), with_rate(&base, 1.6, 200_000)),
        about: "a phone on 3G",
        source: "WebPageTest connectivity.ini, 3G: 1.6/0.768 Mbit/s, 300 ms round trip",
        assumed: &["queue", "no loss"],
    }
}

fn starlink() -> Profile {
    let base = DirectionSpec {
        delay_ms: 25.0,
        jitter: Some(Jitter { sd_ms: 4.0, correlation_ms: 200.0 }),
        loss: Loss::Outages {
            at: vec![Outage { start_ms: 7_000.0, length_ms: 100.0 }],
            repeat_every_ms: Some(15_000.0),
        },
        ..DirectionSpec::default()
    };
    Profile {
        spec: link("starlink", with_rate(&base, 15.0, 250_000), with_rate(&base, 100.0, 1_000_000)),
        about: "low-orbit satellites, reconfigured every 15 s",
        source: "Michel et al., IMC 2022: 50 ms round trip at p50, 40 to 60 at the quartiles; arXiv:2310.09242: \
                 reconfiguration every 15 s",
        assumed: &[
            "total loss for 0.1 s at each reconfiguration",
            "no loss between them",
            "rates and queues",
        ],
    }
}

fn satellite() -> Profile {
    let base = DirectionSpec { loss: Loss::Iid { probability: 0.001 }, ..delay_only(300.0) };
    Profile {
        spec: link("satellite", with_rate(&base, 3.0, 500_000), with_rate(&base, 30.0, 2_000_000)),
        about: "a satellite in geostationary orbit",
        source: "Michel et al., IMC 2022: at least 600 ms round trip",
        assumed: &["independent loss of 0.1 %", "rates and queues"],
    }
}

fn transatlantic() -> Profile {
    let base = DirectionSpec {
        delay_ms: 40.0,
        jitter: Some(Jitter { sd_ms: 0.5, correlation_ms: 500.0 }),
        loss: Loss::Iid { probability: 0.0005 },
        ..DirectionSpec::default()
    };
    Profile {
        spec: LinkSpec::symmetric("transatlantic", base),
        about: "good lines, server across the Atlantic",
        source: "Verizon service level, London to New York: 90 ms round trip at most; 80 taken",
        assumed: &["independent loss of 0.05 %", "jitter"],
    }
}

fn bufferbloat() -> Profile {
    let base = delay_only(14.0);
    Profile {
        spec: link("bufferbloat", with_rate(&base, 1.0, 256_000), with_rate(&base, 5.0, 640_000)),
        about: "a cable modem with a queue of seconds (visible only under load)",
        source: "rates as cable; queues of 2 s up and 1 s down, as Gettys (CACM 2012) measured at home",
        assumed: &["no loss"],
    }
}

fn blackhole() -> Profile {
    let at = vec![Outage { start_ms: 8_000.0, length_ms: 2_000.0 }];
    let loss = Loss::Outages { at, repeat_every_ms: Some(10_000.0) };
    Profile {
        spec: LinkSpec::symmetric("blackhole", DirectionSpec { loss, ..delay_only(20.0) }),
        about: "total loss for 2 s of every 10 s: a lift, a tunnel, a dead router",
        source: "none",
        assumed: &["everything: the profile shows how each transport recovers"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_valid_and_survive_toml() {
        for profile in PROFILES.iter() {
            let name = &profile.spec.name;
            assert_eq!(&name.parse::<LinkSpec>().expect("a valid profile"), &profile.spec);
            let toml = toml::to_string(&profile.spec).expect("serialises");
            assert_eq!(toml::from_str::<LinkSpec>(&toml).expect("parses"), profile.spec);
            assert!(!profile.source.is_empty() && !profile.about.is_empty() && !profile.assumed.is_empty());
        }
    }

    /// Returns the quantiles of the round trip of a ping every 20 ms, which is answered at once.
    fn round_trips_ms(spec: &LinkSpec, quantiles: [f64; 3]) -> [f64; 3] {
        use crate::{
            emulator::impairment::{Impairment, Outcome},
            types::Direction,
        };
        let [mut up, mut down] = [Direction::Up, Direction::Down]
            .map(|way| Impairment::new(spec, 1, way, 0).expect("a valid profile"));
        let mut trips = Vec::new();
        for sent in (0..4_000_000_000_000).step_by(20_000_000) {
            let Outcome::Deliver { at, .. } = up.offer(sent, 64) else { continue };
            let Outcome::Deliver { at, .. } = down.offer(at, 64) else { continue };
            trips.push((at - sent) as f64 / 1e6);
        }
        trips.sort_by(f64::total_cmp);
        quantiles.map(|quantile| trips[(trips.len() as f64 * quantile) as usize])
    }

    #[test]
    fn busy_wifi_has_its_tail() {
        let spec = profile("wifi-busy").expect("a profile").spec.clone();
        let [p50, p90, p99] = round_trips_ms(&spec, [0.5, 0.9, 0.99]);
        // The rest of the path takes the base round trip without the hop's 3 ms.
        let rest = 2.0 * spec.up.delay_ms - 3.0;
        let hop = [p50 - rest, p90 - rest, p99 - rest];
        assert!((hop[0] - 3.0).abs() < 1.5, "{hop:?}");
        assert!((hop[1] - 20.0).abs() < 5.0, "{hop:?}");
        assert!((hop[2] - 250.0).abs() < 25.0, "{hop:?}");
    }

    #[test]
    fn good_wifi_has_its_tail() {
        let spec = profile("wifi").expect("a profile").spec.clone();
        let [p50, _, p99] = round_trips_ms(&spec, [0.5, 0.9, 0.99]);
        assert!((p50 - 16.0).abs() < 1.5 && (p99 - 90.0).abs() < 10.0, "{p50} {p99}");
    }

    #[test]
    fn two_names_give_two_links() {
        let spec: LinkSpec = "wifi-busy/fibre".parse().expect("two profiles");
        assert_eq!(spec.name, "wifi-busy/fibre");
        assert_eq!(spec.up, profile("wifi-busy").expect("a profile").spec.up);
        assert_eq!(spec.second.as_deref(), Some(&profile("fibre").expect("a profile").spec));
        let error = "wifi/fibr".parse::<LinkSpec>().expect_err("no such profile").to_string();
        assert!(error.contains("did you mean \"fibre\""), "{error}");
    }

    #[test]
    fn windows_hold_enough_bad_periods() {
        let periods = |name: &str| profile(name).expect("a profile").spec.expected_bad_periods(30_000.0);
        assert!(periods("wifi-busy").is_some_and(|count| count > 30.0));
        assert!(periods("lte").is_some_and(|count| (2.0..4.0).contains(&count)), "shared periods count once");
        assert!(periods("starlink").is_some_and(|count| (count - 2.0).abs() < 0.1), "outages count once");
        assert_eq!((periods("fibre"), periods("satellite")), (Some(0.0), None));
    }

    #[test]
    fn unknown_names_suggest_the_nearest() {
        for (wrong, right) in
            [("wfi", "wifi"), ("LTE", "lte"), ("sattelite", "satellite"), ("fiber", "fibre")]
        {
            let error = profile(wrong).expect_err("no such profile").to_string();
            assert!(error.contains(&format!("did you mean {right:?}")), "{error}");
        }
        assert!(!profile("qqqq").expect_err("no such profile").to_string().contains("did you mean"));
    }

    #[test]
    fn trace_paths_are_relative() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("t.mahi"), "1\n2\n").expect("writable");
        let file = folder.path().join("mine.toml");
        fs::write(&file, "name = \"mine\"\n[up]\ndelay_ms = 5\nrate = { trace = \"t.mahi\" }\n")
            .expect("writable");
        let spec: LinkSpec = file.to_str().expect("UTF-8").parse().expect("a valid profile");
        assert_eq!(spec.up.rate, Some(Rate::Trace(folder.path().join("t.mahi"))));
        assert_eq!((spec.mtu_bytes, spec.up.delay_ms, spec.down), (1_500, 5.0, DirectionSpec::default()));
        fs::write(&file, "name = \"mine\"\n[up]\ndelay = 5\n").expect("writable");
        let error = file.to_str().expect("UTF-8").parse::<LinkSpec>().expect_err("a wrong field").to_string();
        assert!(error.contains("unknown field `delay`"), "{error}");
    }
}
