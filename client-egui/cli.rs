//! The command line of `netduel`: the same choices as on the start screen.

use std::{path::PathBuf, time::Duration};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};
use netduel_client::cli::ConnectArgs;
use netduel_server::cli::ServerArgs;
use netduel_transport::TransportKind;

use crate::{
    race::protocol::Plan,
    settings::{Choice, Look, RATES_HZ, Settings},
};

/// Play, see both players, and watch the transport work.
#[derive(Parser, Debug)]
#[command(
    name = "netduel",
    version,
    after_help = "Examples:
  netduel                                     choose on the start screen
  netduel --play                              against a bot, at once
  netduel --host                              with a server for others
  netduel --server 192.168.0.7 --transport quic-datagram --pin 5f0c… --name Ada
  netduel --race                              transports side by side

Keys: arrows or WASD steer, Escape leaves, R asks for another match or another try, Tab and Enter reach everything else."
)]
pub struct Cli {
    /// Play against a bot at once
    #[arg(long, group = "begin")]
    pub play: bool,

    /// Host a server for others, and play on it
    #[arg(long, group = "begin")]
    pub host: bool,

    /// Race transports side by side
    #[arg(long, group = "begin")]
    pub race: bool,

    /// Whom to connect to; giving --server joins at once
    #[command(flatten)]
    pub connect: ConnectArgs,

    /// What the opponent sees
    #[arg(long)]
    pub name: Option<String>,

    /// Meet only whoever gives the same code
    #[arg(long)]
    pub code: Option<String>,

    /// Moves per second
    #[arg(long, value_parser = clap::value_parser!(u32).range(i64::from(*RATES_HZ.start())..=i64::from(*RATES_HZ.end())))]
    pub rate: Option<u32>,

    /// Colours
    #[arg(long, value_enum)]
    pub look: Option<Look>,

    /// Transports to race, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "TRANSPORTS")]
    pub race_transports: Vec<TransportKind>,

    /// Link to race over; "loopback" for none
    #[arg(long, value_name = "PROFILE")]
    pub race_link: Option<String>,

    /// Remember choices in this file, not in the usual place
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,

    /// Folder for saved recordings
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub recordings: PathBuf,

    /// Save a recording of the match when the window closes
    #[arg(long)]
    pub record: bool,

    /// Save a picture of the window and end
    #[arg(long, value_name = "FILE", hide = true)]
    pub screenshot: Option<PathBuf>,

    /// When to take the picture, such as 5s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_time, hide = true)]
    pub after: Duration,

    /// Width and height of the window in points
    #[arg(long, value_name = "WxH", default_value = "1280x800", value_parser = parse_size, hide = true)]
    pub size: [f32; 2],

    /// Steer by a script: for pictures and measurements
    #[arg(long, hide = true)]
    pub autopilot: bool,

    /// Parts of this program that it starts itself
    #[command(subcommand)]
    pub part: Option<Part>,
}

/// Processes of a race: the same program again.
#[derive(Subcommand, Debug)]
pub enum Part {
    /// Makes the link of a race and starts its server and its players on it
    #[command(hide = true)]
    RaceLab {
        /// What to race, as JSON
        plan: Plan,
    },
    /// Whether links can be emulated here
    #[command(hide = true)]
    RaceProbe,
    /// The players of a race
    #[command(hide = true)]
    RacePlayers {
        /// What to race, as JSON
        plan: Plan,
    },
    /// The server of a race
    #[command(hide = true)]
    RaceServer(Box<ServerArgs>),
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| (0.0..=3_600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| format!("'{text}' is no time such as 5s"))
}

fn parse_size(text: &str) -> Result<[f32; 2], String> {
    let sides =
        text.split_once('x').and_then(|(width, height)| Some([width.parse().ok()?, height.parse().ok()?]));
    sides
        .filter(|sides: &[f32; 2]| sides.iter().all(|side| (100.0..=10_000.0).contains(side)))
        .ok_or_else(|| format!("'{text}' is no size such as 1280x800"))
}

impl Cli {
    /// Reads the command line, with what was typed and not only a default.
    pub fn read() -> (Self, ArgMatches) {
        let matches = Self::command().get_matches();
        let cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        (cli, matches)
    }

    /// Puts what was typed over what was remembered. Returns how to begin, if that was typed.
    pub fn apply(&self, matches: &ArgMatches, settings: &mut Settings) -> Option<Choice> {
        let typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let connect = &self.connect;
        if typed("transport") {
            settings.transport = connect.transport.name().into();
        }
        if typed("server") {
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
        if !self.race_transports.is_empty() {
            settings.race_transports = self.race_transports.iter().map(|kind| kind.name().into()).collect();
        }
        if let Some(link) = &self.race_link {
            settings.race_link = if link == "loopback" { String::new() } else { link.clone() };
        }
        let choice = match (self.play, self.host, self.race, typed("server")) {
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
    fn what_is_typed_wins_and_nothing_else_changes() {
        Cli::command().debug_assert();
        assert_eq!(apply(&[]), (Settings::default(), None));
        let kind = TransportKind::ALL[1].name();
        let (settings, choice) = apply(&["--server", "10.0.0.1:99", "--transport", kind, "--name", "Ada"]);
        assert_eq!(choice, Some(Choice::Join));
        assert_eq!((settings.server.as_str(), settings.transport.as_str()), ("10.0.0.1:99", kind));
        assert_eq!(settings.name, "Ada");
        assert_eq!(apply(&["--play", "--rate", "20"]).0.rate_hz, 20);
        assert!(Cli::command().try_get_matches_from(["netduel", "--rate", "241"]).is_err());
        assert!(Cli::command().try_get_matches_from(["netduel", "--play", "--host"]).is_err());
    }
}
