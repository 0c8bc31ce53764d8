//! Named links: [`PROFILES`], [`profile`], and [`LinkSpec::from_str`], which reads every form of a
//! link.

use std::{fs, path::Path, str::FromStr, sync::LazyLock};

use thiserror::Error;

use crate::spec::{
    link_spec::{DirectionSpec, Jitter, LinkSpec, Loss, Outage, Rate, SpecError},
    parse::{self, ParseError},
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
    /// Sources of the figures, and the figures that are assumed.
    pub source: &'static str,
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
    ///
    /// The result is validated. `docs/links.md` describes the syntax.
    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let spec = if text.contains('=') {
            parse::parse(text)?
        } else if text.ends_with(".toml") {
            read_toml(Path::new(text))?
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
    // The path of a trace is relative to the file that names it.
    for direction in [&mut spec.up, &mut spec.down] {
        if let (Some(Rate::Trace(trace)), Some(folder)) = (&mut direction.rate, file.parent()) {
            *trace = folder.join(&*trace);
        }
    }
    Ok(spec)
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

/// Returns a loss in bursts: bad periods of mean length `bad_ms`, after good periods of mean length
/// `good_ms`, lose the share `loss_bad` of the packets.
fn bursts(good_ms: f64, bad_ms: f64, loss_bad: f64) -> Loss {
    Loss::GilbertElliottTime { good_ms, bad_ms, loss_good: 0.0, loss_bad }
}

fn lan() -> Profile {
    Profile {
        spec: LinkSpec::symmetric("lan", delay_only(0.25)),
        about: "two machines on one switch",
        source: "assumed: 0.5 ms round trip, no loss",
    }
}

fn fibre() -> Profile {
    let base = delay_only(2.0);
    Profile {
        spec: link("fibre", with_rate(&base, 5.0, 100_000), with_rate(&base, 20.0, 100_000)),
        about: "fibre to the home, server in the same city",
        source: "WebPageTest connectivity.ini, FIOS: 20/5 Mbit/s, 4 ms round trip; queue assumed",
    }
}

fn cable() -> Profile {
    let base = delay_only(14.0);
    Profile {
        spec: link("cable", with_rate(&base, 1.0, 30_000), with_rate(&base, 5.0, 60_000)),
        about: "a cable modem with a short queue",
        source: "WebPageTest connectivity.ini, Cable: 5/1 Mbit/s, 28 ms round trip; queue assumed",
    }
}

fn wifi() -> Profile {
    let base = DirectionSpec {
        delay_ms: 8.0,
        jitter: Some(Jitter { sd_ms: 2.0, correlation_ms: 60.0 }),
        loss: bursts(1_500.0, 40.0, 0.5),
        ..DirectionSpec::default()
    };
    Profile {
        spec: LinkSpec::symmetric("wifi", with_rate(&base, 50.0, 250_000)),
        about: "good Wi-Fi at home, server in the same country",
        source: "Sui et al., MobiSys 2016: Wi-Fi hop 3 ms at p50, 20 ms at p90; the rest of the path, bursts \
                 (1.3 % loss) and rate assumed",
    }
}

fn wifi_busy() -> Profile {
    let base = DirectionSpec {
        delay_ms: 18.0,
        jitter: Some(Jitter { sd_ms: 6.0, correlation_ms: 100.0 }),
        loss: bursts(900.0, 60.0, 0.5),
        ..DirectionSpec::default()
    };
    Profile {
        spec: LinkSpec::symmetric("wifi-busy", with_rate(&base, 20.0, 250_000)),
        about: "Wi-Fi in a crowded band, or at the edge of its range",
        source: "Sui et al., MobiSys 2016: Wi-Fi hop 20 ms at p90; bursts (3.1 % loss) and rate assumed",
    }
}

fn lte() -> Profile {
    let base = DirectionSpec {
        delay_ms: 27.5,
        jitter: Some(Jitter { sd_ms: 6.0, correlation_ms: 80.0 }),
        loss: bursts(10_000.0, 80.0, 0.9),
        ..DirectionSpec::default()
    };
    Profile {
        spec: link("lte", with_rate(&base, 10.0, 500_000), with_rate(&base, 30.0, 1_000_000)),
        about: "a phone on 4G",
        source: "Catchpoint, Web Performance Calendar 2013: 55 ms round trip at p50; jitter, handovers (0.7 % \
                 loss), rates and deep queues assumed",
    }
}

fn slow_3g() -> Profile {
    let base = delay_only(150.0);
    Profile {
        spec: link("3g", with_rate(&base, 0.768, 100_000), with_rate(&base, 1.6, 200_000)),
        about: "a phone on 3G",
        source: "WebPageTest connectivity.ini, 3G: 1.6/0.768 Mbit/s, 300 ms round trip; queue assumed",
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
        source: "Michel et al., IMC 2022: 50 ms round trip at p50, 40 to 60 at the quartiles; \
                 arXiv:2310.09242: reconfiguration every 15 s; its 0.1 s outage and the rates assumed",
    }
}

fn satellite() -> Profile {
    let base = DirectionSpec { loss: Loss::Iid { probability: 0.001 }, ..delay_only(300.0) };
    Profile {
        spec: link("satellite", with_rate(&base, 3.0, 500_000), with_rate(&base, 30.0, 2_000_000)),
        about: "a satellite in geostationary orbit",
        source: "Michel et al., IMC 2022: at least 600 ms round trip; loss and rates assumed",
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
        source: "Verizon service level, London to New York: 90 ms round trip at most; 80 taken; loss assumed",
    }
}

fn bufferbloat() -> Profile {
    let base = delay_only(14.0);
    Profile {
        spec: link("bufferbloat", with_rate(&base, 1.0, 256_000), with_rate(&base, 5.0, 640_000)),
        about: "a cable modem with a queue of seconds (visible only under load)",
        source: "rates as cable; queues of 2 s up and 1 s down, as Gettys (CACM 2012) measured at home",
    }
}

fn blackhole() -> Profile {
    let loss =
        Loss::Outages { at: vec![Outage { start_ms: 2_000.0, length_ms: 2_000.0 }], repeat_every_ms: None };
    Profile {
        spec: LinkSpec::symmetric("blackhole", DirectionSpec { loss, ..delay_only(20.0) }),
        about: "total loss from 2 s to 4 s after the start: a lift, a tunnel, a dead router",
        source: "invented, to show how each transport recovers",
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
            assert!(!profile.source.is_empty() && !profile.about.is_empty());
        }
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
