//! The last choice, remembered from one start to the next.

use std::{
    fs,
    path::{Path, PathBuf},
};

use eframe::egui::ThemePreference;
use etcetera::BaseStrategy;
use netduel_atomic_file::write_atomic;
use netduel_client::cli::ConnectArgs;
use netduel_transport::{Congestion, TransportKind};
use serde::{Deserialize, Serialize};

use crate::net::backend::{Place, Wish};

/// The transport offered first: the one that was made for moves. The only place that names any.
const FIRST_KIND: &str = "quic-datagram";
/// What is raced first: the reference, and the one above.
const FIRST_RACE: [&str; 2] = ["tcp", FIRST_KIND];
/// The link raced over first, where links can be had.
const FIRST_LINK: &str = "wifi";
/// Moves a second: the slowest and the fastest that can be chosen.
pub const RATES_HZ: std::ops::RangeInclusive<u32> = 1..=240;

/// How to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Against a bot.
    #[default]
    PlayNow,
    /// With a server for others.
    Host,
    /// On somebody's server.
    Join,
    /// Several transports side by side.
    Race,
}

/// Light, dark, or as the system has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Look {
    /// As the system.
    #[default]
    System,
    /// Dark text on a light ground.
    Light,
    /// Light text on a dark ground.
    Dark,
}

impl Look {
    /// All, as a menu shows them.
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// What egui calls it.
    pub fn preference(self) -> ThemePreference {
        match self {
            Self::System => ThemePreference::System,
            Self::Light => ThemePreference::Light,
            Self::Dark => ThemePreference::Dark,
        }
    }
}

/// Everything that can be chosen. Fields that a file of another version lacks have their defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How to begin.
    pub choice: Choice,
    /// What the opponent sees.
    pub name: String,
    /// Name of the transport.
    pub transport: String,
    /// Moves a second.
    pub rate_hz: u32,
    /// Match code; empty for none.
    pub code: String,
    /// Whom to join: HOST or HOST:PORT.
    pub server: String,
    /// PEM file with the certificates to trust; empty for none.
    pub ca: String,
    /// Fingerprint of the certificate to trust; empty for none.
    pub pin: String,
    /// Colours.
    pub look: Look,
    /// The opponent is drawn smoothly, not as it arrives.
    pub smooth: bool,
    /// A ghost shows the newest known position.
    pub ghost: bool,
    /// Names of the transports that race.
    pub race_transports: Vec<String>,
    /// The link they race over; empty for the loopback.
    pub race_link: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            choice: Choice::default(),
            name: "player".into(),
            transport: FIRST_KIND.into(),
            rate_hz: 60,
            code: String::new(),
            server: "127.0.0.1".into(),
            ca: String::new(),
            pin: String::new(),
            look: Look::default(),
            smooth: true,
            ghost: true,
            race_transports: FIRST_RACE.map(String::from).into(),
            race_link: FIRST_LINK.into(),
        }
    }
}

impl Settings {
    /// Where they are kept if nobody says otherwise; `None` where the system has no such place.
    pub fn usual_file() -> Option<PathBuf> {
        let folders = etcetera::choose_base_strategy().ok()?;
        Some(folders.config_dir().join("netduel").join("settings.json"))
    }

    /// Reads them. A file that is missing or damaged is as none: nothing in it is worth refusing to start.
    pub fn load(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut settings: Self = serde_json::from_str(&text).unwrap_or_default();
        settings.rate_hz = settings.rate_hz.clamp(*RATES_HZ.start(), *RATES_HZ.end());
        settings
    }

    /// Writes them whole or not at all.
    ///
    /// # Errors
    /// The system's.
    pub fn save(&self, file: &Path) -> std::io::Result<()> {
        write_atomic(file, serde_json::to_string_pretty(self)?.as_bytes())
    }

    /// The transport; the first there is if the name is none's.
    pub fn kind(&self) -> TransportKind {
        parse_kinds([&self.transport]).next().unwrap_or(TransportKind::ALL[0])
    }

    /// The transports that race, in the order of the list of all.
    pub fn race_kinds(&self) -> Vec<TransportKind> {
        let chosen: Vec<_> = parse_kinds(&self.race_transports).collect();
        TransportKind::ALL.into_iter().filter(|kind| chosen.contains(kind)).collect()
    }

    /// What these ask of the network.
    ///
    /// # Errors
    /// What does not parse, with what to write instead.
    pub fn wish(&self) -> Result<Wish, String> {
        let place = match self.choice {
            Choice::PlayNow | Choice::Race => Place::Bot,
            Choice::Host => Place::Host,
            Choice::Join => Place::Join(self.connect_args()?),
        };
        let wants_code = self.choice != Choice::PlayNow && !self.code.trim().is_empty();
        let code = wants_code.then(|| self.code.trim().to_owned());
        Ok(Wish { place, kind: self.kind(), name: self.name.trim().to_owned(), code })
    }

    fn connect_args(&self) -> Result<ConnectArgs, String> {
        let filled = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let pin = filled(&self.pin).map(|pin| pin.parse()).transpose();
        let pin = pin.map_err(|error: netduel_transport::IdentityError| error.to_string())?;
        let kind = self.kind();
        let ca = filled(&self.ca).map(PathBuf::from).filter(|_| pin.is_none());
        if kind.capabilities().encrypted && ca.is_none() && pin.is_none() {
            return Err(format!(
                "{kind} checks the server's certificate: paste the fingerprint that the host shows, or choose the certificate file"
            ));
        }
        let server = filled(&self.server).ok_or("give the server's address, such as 192.168.0.7")?;
        Ok(ConnectArgs { server, transport: kind, ca, pin, congestion: Congestion::default(), nagle: false })
    }
}

fn parse_kinds<'a>(names: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = TransportKind> {
    names.into_iter().filter_map(|name| name.parse().ok()).filter(|kind| *kind != TransportKind::Memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_survive_the_disk_and_a_damaged_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("deep").join("settings.json");
        assert_eq!(Settings::load(&file), Settings::default());
        let settings = Settings { name: "Ada".into(), choice: Choice::Host, ..Settings::default() };
        settings.save(&file).expect("written");
        assert_eq!(Settings::load(&file), settings);
        fs::write(&file, r#"{"name": "Bob", "rate_hz": 100000, "unknown": 1}"#).expect("written");
        let loaded = Settings::load(&file);
        assert_eq!((loaded.name.as_str(), loaded.rate_hz), ("Bob", 240));
        fs::write(&file, "{").expect("written");
        assert_eq!(Settings::load(&file), Settings::default());
    }

    #[test]
    fn defaults_name_transports_that_exist() {
        let settings = Settings::default();
        assert_eq!(settings.kind().name(), FIRST_KIND);
        assert_eq!(settings.race_kinds().len(), FIRST_RACE.len());
        assert!(netduel_link::profile(FIRST_LINK).is_ok());
    }

    #[test]
    fn joining_asks_for_trust_where_it_is_needed() {
        let mut settings = Settings { choice: Choice::Join, ..Settings::default() };
        for kind in TransportKind::ALL {
            settings.transport = kind.name().into();
            assert_eq!(settings.wish().is_ok(), !kind.capabilities().encrypted);
        }
        settings.pin = "ab".repeat(32);
        assert!(settings.wish().is_ok());
        settings.pin = "abc".into();
        assert!(settings.wish().expect_err("no pin").contains("64 hexadecimal digits"));
        settings = Settings { choice: Choice::PlayNow, code: "friends".into(), ..settings };
        assert_eq!(settings.wish().expect("plays").code, None, "a bot knows no code");
    }
}
