//! `netduel-link list`: the profiles, and one of them as TOML.

use std::process::ExitCode;

use anyhow::Result;
use netduel_link::{DirectionSpec, LinkSpec, Loss, PROFILES, Rate};

/// Prints every profile with its settings, its source and what it assumes.
pub(crate) fn list() -> Result<ExitCode> {
    for profile in PROFILES.iter() {
        println!("{:<14} {}", profile.spec.name, profile.about);
        println!("{:14} up   {}", "", describe(&profile.spec.up));
        println!("{:14} down {}", "", describe(&profile.spec.down));
        println!("{:14} from {}", "", profile.source);
        println!("{:14} assumed: {}\n", "", profile.assumed.join("; "));
    }
    Ok(ExitCode::SUCCESS)
}

/// Describes one direction in one line.
fn describe(direction: &DirectionSpec) -> String {
    let mut parts = vec![format!("{} ms", direction.delay_ms)];
    if let Some(jitter) = direction.jitter {
        parts.push(format!("jitter {} ms", jitter.sd_ms));
    }
    if let Loss::GilbertElliottTime { good_ms, bad_ms, stalls: true, .. } = direction.loss {
        parts.push(format!("stalls of {bad_ms} ms every {} ms", good_ms + bad_ms));
    }
    if let Some(share) = direction.loss.mean_share().filter(|share| *share > 0.0) {
        parts.push(format!("loss {:.2} %", share * 100.0));
    }
    if let Some(rate) = &direction.rate {
        let rate = match rate {
            Rate::MbitPerS(rate) => format!("{rate} Mbit/s"),
            Rate::Trace(file) => file.display().to_string(),
        };
        parts.push(format!("{rate}, queue {} kB", direction.queue_bytes / 1_000));
    }
    parts.join(", ")
}

/// Prints one profile as TOML.
pub(crate) fn print_toml(name: &str) -> Result<ExitCode> {
    print!("{}", toml::to_string(&name.parse::<LinkSpec>()?)?);
    Ok(ExitCode::SUCCESS)
}
