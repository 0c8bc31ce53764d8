//! The settings of the window, which it stores from one start to the next.

use std::{
    fs,
    path::{Path, PathBuf},
};

use eframe::egui::ThemePreference;
use etcetera::BaseStrategy;
use netduel_atomic_file::write_atomic;
use netduel_client::cli::ConnectArgs;
use netduel_server::Plaintext;
use netduel_transport::{Congestion, TransportKind};
use serde::{Deserialize, Serialize};

use crate::net::messages::{MatchRequest, ServerChoice};

/// The default transport: the one that was made for moves.
const DEFAULT_KIND: TransportKind = TransportKind::QuicDatagram;
/// The default transports of a race: the reference, and the default transport.
const DEFAULT_RACE: [TransportKind; 2] = [TransportKind::Tcp, DEFAULT_KIND];
/// The default link of a race, on a system that can emulate links.
const DEFAULT_LINK: &str = "wifi";
/// The lowest and the highest update rate, in moves per second.
pub const RATES_HZ: std::ops::RangeInclusive<u32> = 1..=240;

/// The ways to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Play against a bot.
    #[default]
    PlayNow,
    /// Host a server for others, and play on it.
    Host,
    /// Join a server at another address.
    Join,
    /// Race several transports side by side.
    Race,
}

/// The colour scheme of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ColorScheme {
    /// The system's scheme.
    #[default]
    System,
    /// Dark text on a light ground.
    Light,
    /// Light text on a dark ground.
    Dark,
}

impl ColorScheme {
    /// All schemes, in the order of the menu.
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// Returns the name of the scheme.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Returns egui's value for the scheme.
    pub fn preference(self) -> ThemePreference {
        match self {
            Self::System => ThemePreference::System,
            Self::Light => ThemePreference::Light,
            Self::Dark => ThemePreference::Dark,
        }
    }
}

/// All choices of the player. A field that is missing in the file of another version keeps its
/// default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The last way to begin.
    pub choice: Choice,
    /// The player's name, which the opponent sees.
    pub name: String,
    /// The name of the transport.
    pub transport: String,
    /// The update rate, in moves per second.
    pub rate_hz: u32,
    /// The match code; empty for none.
    pub code: String,
    /// The server to join: HOST or HOST:PORT.
    pub server: String,
    /// The PEM file of trusted certificates; empty for none.
    pub ca: String,
    /// The fingerprint of the trusted server's key; empty for none.
    pub pin: String,
    /// Whether a hosted server offers the unencrypted transports, too.
    pub plaintext: bool,
    /// The colour scheme.
    pub look: ColorScheme,
    /// Whether the opponent's motion is interpolated between its updates.
    pub smooth: bool,
    /// Whether a ghost shows the opponent's newest known position.
    pub ghost: bool,
    /// The names of the transports that race.
    pub race_transports: Vec<String>,
    /// The link profile of the race; empty for the loopback.
    pub race_link: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            choice: Choice::default(),
            name: "player".into(),
            transport: DEFAULT_KIND.name().into(),
            rate_hz: 60,
            code: String::new(),
            server: "127.0.0.1".into(),
            ca: String::new(),
            pin: String::new(),
            plaintext: false,
            look: ColorScheme::default(),
            smooth: true,
            ghost: true,
            race_transports: DEFAULT_RACE.map(|kind| kind.name().into()).into(),
            race_link: DEFAULT_LINK.into(),
        }
    }
}

impl Settings {
    /// Returns the default path of the settings file, or `None` on a system without such a folder.
    pub fn default_file() -> Option<PathBuf> {
        let folders = etcetera::choose_base_strategy().ok()?;
        Some(folders.config_dir().join("netduel").join("settings.json"))
    }

    /// Reads the settings. A missing or damaged file yields the defaults, because no setting is
    /// worth a refused start.
    pub fn load(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut settings: Self = serde_json::from_str(&text).unwrap_or_default();
        settings.rate_hz = settings.rate_hz.clamp(*RATES_HZ.start(), *RATES_HZ.end());
        settings
    }

    /// Writes the settings atomically.
    ///
    /// # Errors
    /// The system cannot write the file.
    pub fn save(&self, file: &Path) -> std::io::Result<()> {
        write_atomic(file, serde_json::to_string_pretty(self)?.as_bytes())
    }

    /// Returns the chosen transport, or TCP if the name is unknown.
    pub fn kind(&self) -> TransportKind {
        parse_kinds([&self.transport]).next().unwrap_or(TransportKind::Tcp)
    }

    /// Returns the transports that race, in the order of [`TransportKind::ALL`].
    pub fn race_kinds(&self) -> Vec<TransportKind> {
        let chosen: Vec<_> = parse_kinds(&self.race_transports).collect();
        TransportKind::ALL.into_iter().filter(|kind| chosen.contains(kind)).collect()
    }

    /// Returns the match request of these settings.
    ///
    /// # Errors
    /// A field does not parse; the message says what to enter instead.
    pub fn request(&self) -> Result<MatchRequest, String> {
        let server = match self.choice {
            Choice::PlayNow | Choice::Race => ServerChoice::Bot,
            Choice::Host => ServerChoice::Host(self.hosted()?),
            Choice::Join => ServerChoice::Join(self.connect_args()?),
        };
        let wants_code = self.choice != Choice::PlayNow && !self.code.trim().is_empty();
        let code = wants_code.then(|| self.code.trim().to_owned());
        Ok(MatchRequest { server, kind: self.kind(), name: self.name.trim().to_owned(), code })
    }

    /// Returns which transports a hosted server offers.
    fn hosted(&self) -> Result<Plaintext, String> {
        let kind = self.kind();
        match (self.plaintext, kind.capabilities().encrypted) {
            (true, _) => Ok(Plaintext::Everywhere),
            (false, true) => Ok(Plaintext::LoopbackOnly),
            (false, false) => {
                Err(format!("{kind} is not encrypted: choose another transport, or tick the box"))
            }
        }
    }

    fn connect_args(&self) -> Result<ConnectArgs, String> {
        let filled = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let pin = filled(&self.pin).map(|pin| pin.parse()).transpose();
        let pin = pin.map_err(|error: netduel_transport::IdentityError| error.to_string())?;
        let kind = self.kind();
        let ca = filled(&self.ca).map(PathBuf::from).filter(|_| pin.is_none());
        if kind.capabilities().encrypted && ca.is_none() && pin.is_none() {
            return Err(format!(
                "{kind} checks the server's certificate: paste the fingerprint that the host shows, or \
                 enter the path of the certificate file"
            ));
        }
        let server = filled(&self.server).ok_or("enter the server's address, such as 192.168.0.7")?;
        let congestion = Congestion::default();
        Ok(ConnectArgs { server, transport: kind, ca, pin, congestion, nagle: false, tuned: false })
    }
}

/// Parses names of transports, and skips unknown ones.
fn parse_kinds<'a>(names: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = TransportKind> {
    names.into_iter().filter_map(|name| name.parse().ok()).filter(|kind| *kind != TransportKind::Memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_restores_saved_settings() {
        let folder = tempfile::tempdir().expect("creates a folder");
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
    fn default_names_exist() {
        let settings = Settings::default();
        assert_eq!(settings.kind(), DEFAULT_KIND);
        assert_eq!(settings.race_kinds(), DEFAULT_RACE);
        assert!(netduel_link::profile(DEFAULT_LINK).is_ok());
    }

    #[test]
    fn host_offers_plaintext_if_ticked() {
        let hosted = |transport: &str, plaintext| {
            let settings = Settings {
                choice: Choice::Host,
                transport: transport.into(),
                plaintext,
                ..Settings::default()
            };
            settings
                .request()
                .map(|request| matches!(request.server, ServerChoice::Host(Plaintext::Everywhere)))
        };
        assert_eq!(hosted("tls", false), Ok(false));
        assert_eq!(hosted("tls", true), Ok(true));
        assert_eq!(hosted("udp", true), Ok(true));
        assert!(hosted("udp", false).is_err_and(|error| error.contains("tick the box")));
    }

    #[test]
    fn join_requires_trust_if_encrypted() {
        let mut settings = Settings { choice: Choice::Join, ..Settings::default() };
        for kind in TransportKind::ALL {
            settings.transport = kind.name().into();
            assert_eq!(settings.request().is_ok(), !kind.capabilities().encrypted);
        }
        settings.pin = "ab".repeat(32);
        assert!(settings.request().is_ok());
        settings.pin = "abc".into();
        assert!(settings.request().expect_err("no pin").contains("64 hexadecimal digits"));
        settings = Settings { choice: Choice::PlayNow, code: "friends".into(), ..settings };
        assert_eq!(settings.request().expect("plays").code, None, "the bot gives no match code");
    }
}
