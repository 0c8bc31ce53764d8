//! The command line of `netduel`, with the choices of the start screen.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};
use netduel_client::cli::ConnectArgs;
use netduel_server::cli::ServerArgs;
use netduel_transport::TransportKind;

use crate::{
    race::protocol::Plan,
    settings::{Choice, ColorScheme, RATES_HZ, Settings},
};

/// The update rates that `--rate` accepts.
const RATES: RangeInclusive<i64> = *RATES_HZ.start() as i64..=*RATES_HZ.end() as i64;

/// Play a match in a window, and watch what each transport makes of the moves.
#[derive(Parser, Debug)]
#[command(
    name = "netduel",
    version,
    after_help = "Examples:
  netduel                                     opens the start screen
  netduel --play                              plays against a bot at once
  netduel --host                              hosts a server for others
  netduel --server 192.168.0.7 --transport quic-datagram --pin 5f0c… --name Ada
  netduel --race                              races transports side by side

Keys: arrows or WASD steer, Escape leaves, R starts another match or retries.
Tab and Enter reach every other control."
)]
pub struct Cli {
    /// Play against a bot at once
    #[arg(long, group = "begin")]
    pub play: bool,

    /// Host a server for others, and play on it
    #[arg(long, group = "begin")]
    pub host: bool,

    /// Host the unencrypted transports (tcp, enet, udp), too. Whoever is on the path can then read
    /// and change everything
    #[arg(long)]
    pub plaintext: bool,

    /// Race transports side by side
    #[arg(long, group = "begin")]
    pub race: bool,

    /// The server to connect to; --server joins at once
    #[command(flatten)]
    pub connect: ConnectArgs,

    /// Your name, which the opponent sees
    #[arg(long)]
    pub name: Option<String>,

    /// Match code; the server matches only players who give the same code
    #[arg(long)]
    pub code: Option<String>,

    /// Moves per second
    #[arg(long, value_parser = clap::value_parser!(u32).range(RATES))]
    pub rate: Option<u32>,

    /// Colour scheme
    #[arg(long, value_enum)]
    pub look: Option<ColorScheme>,

    /// Transports to race, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "TRANSPORTS")]
    pub race_transports: Vec<TransportKind>,

    /// Link profile of the race, or "loopback" for no emulated link
    #[arg(long, value_name = "PROFILE")]
    pub race_link: Option<String>,

    /// Settings file, in place of the default one
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,

    /// Folder of saved recordings
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub recordings: PathBuf,

    /// Save a recording of the match when the window closes
    #[arg(long)]
    pub record: bool,

    /// Save a screenshot of the window, then exit
    #[arg(long, value_name = "FILE", hide = true)]
    pub screenshot: Option<PathBuf>,

    /// Time of the screenshot after the start, such as 5s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_time, hide = true)]
    pub after: Duration,

    /// Width and height of the window in points
    #[arg(long, value_name = "WxH", default_value = "1280x800", value_parser = parse_size, hide = true)]
    pub size: [f32; 2],

    /// Let a script steer, for screenshots and measurements
    #[arg(long, hide = true)]
    pub autopilot: bool,

    /// A child process of a race, which this program starts itself
    #[command(subcommand)]
    pub process: Option<RaceProcess>,
}

/// The child processes of a race. Each runs this program.
#[derive(Subcommand, Debug)]
pub enum RaceProcess {
    /// Sets up the link of a race, and starts the server and the players on it
    #[command(hide = true)]
    RaceTestbed {
        /// The race plan, as JSON
        plan: Plan,
    },
    /// Checks whether this system can emulate links
    #[command(hide = true)]
    RaceProbe,
    /// Plays all matches of a race
    #[command(hide = true)]
    RacePlayers {
        /// The race plan, as JSON
        plan: Plan,
    },
    /// Runs the server of a race
    #[command(hide = true)]
    RaceServer(Box<ServerArgs>),
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| (0.0..=3_600.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("'{text}' is not a time; expected up to 3600s, such as 5s"))
}

fn parse_size(text: &str) -> Result<[f32; 2], String> {
    let sides =
        text.split_once('x').and_then(|(width, height)| Some([width.parse().ok()?, height.parse().ok()?]));
    sides.filter(|sides: &[f32; 2]| sides.iter().all(|side| (100.0..=10_000.0).contains(side))).ok_or_else(
        || {
            format!(
                "'{text}' is not a size; expected WIDTHxHEIGHT with 100 to 10000 points \
         each, such as 1280x800"
            )
        },
    )
}

impl Cli {
    /// Parses the command line. Also returns the matches, which tell a given option from a default.
    pub fn read() -> (Self, ArgMatches) {
        let matches = Self::command().get_matches();
        let cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        (cli, matches)
    }

    /// Overrides the stored settings by the given options. Returns the way to begin, if an option
    /// names one.
    pub fn apply(&self, matches: &ArgMatches, settings: &mut Settings) -> Option<Choice> {
        let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let connect = &self.connect;
        if given("transport") {
            settings.transport = connect.transport.name().into();
        }
        if given("server") {
            settings.server.clone_from(&connect.server);
        }
        if connect.ca.is_some() || connect.pin.is_some() {
            settings.ca = text(&connect.ca).unwrap_or_default();
            settings.pin = connect.pin.map(|pin| pin.to_string()).unwrap_or_default();
        }
        settings.name = self.name.clone().unwrap_or_else(|| settings.name.clone());
        settings.code = self.code.clone().unwrap_or_else(|| settings.code.clone());
        settings.rate_hz = self.rate.unwrap_or(settings.rate_hz);
        settings.look = self.look.unwrap_or(settings.look);
        settings.plaintext |= self.plaintext;
        if !self.race_transports.is_empty() {
            settings.race_transports = self.race_transports.iter().map(|kind| kind.name().into()).collect();
        }
        if let Some(link) = &self.race_link {
            settings.race_link = if link == "loopback" { String::new() } else { link.clone() };
        }
        let choice = match (self.play, self.host, self.race, given("server")) {
            (true, ..) => Choice::PlayNow,
            (_, true, ..) => Choice::Host,
            (_, _, true, _) => Choice::Race,
            (_, _, _, true) => Choice::Join,
            _ => return None,
        };
        settings.choice = choice;
        Some(choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(line: &[&str]) -> (Settings, Option<Choice>) {
        let matches = Cli::command().try_get_matches_from([&["netduel"], line].concat()).expect("parses");
        let cli = Cli::from_arg_matches(&matches).expect("parses");
        let mut settings = Settings::default();
        let choice = cli.apply(&matches, &mut settings);
        (settings, choice)
    }

    #[test]
    fn given_options_override_settings() {
        Cli::command().debug_assert();
        assert_eq!(apply(&[]), (Settings::default(), None));
        let kind = TransportKind::ALL[1].name();
        let (settings, choice) = apply(&["--server", "10.0.0.1:99", "--transport", kind, "--name", "Ada"]);
        assert_eq!(choice, Some(Choice::Join));
        assert_eq!((settings.server.as_str(), settings.transport.as_str()), ("10.0.0.1:99", kind));
        assert_eq!(settings.name, "Ada");
        assert_eq!(apply(&["--play", "--rate", "20"]).0.rate_hz, 20);
        assert!(apply(&["--host", "--plaintext"]).0.plaintext && !apply(&["--host"]).0.plaintext);
        assert!(Cli::command().try_get_matches_from(["netduel", "--rate", "241"]).is_err());
        assert!(Cli::command().try_get_matches_from(["netduel", "--play", "--host"]).is_err());
    }
}
