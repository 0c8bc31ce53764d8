//! `netduel`: starts the window, or one of the child processes of a race.

use std::process::ExitCode;

use anyhow::Context;
use clap::ArgMatches;
use eframe::{
    NativeOptions,
    egui::{ViewportBuilder, vec2},
};
use netduel_client_egui::{
    app::{NetduelApp, Setup},
    cli::{Cli, RaceProcess},
    race::{players, protocol::Report, testbed},
    screenshot::Screenshot,
    settings::Settings,
};

fn main() -> ExitCode {
    // The link comes first, because this process may have been started as its emulator.
    netduel_link::init();
    let (cli, matches) = Cli::read();
    let outcome = match &cli.process {
        None => window(cli, &matches),
        Some(RaceProcess::RaceProbe) => testbed::probe(),
        Some(RaceProcess::RaceServer(args)) => netduel_server::cli::run(args),
        Some(RaceProcess::RacePlayers { plan }) => players::run(plan),
        // The window reads this error from standard output; a terminal may not exist.
        Some(RaceProcess::RaceTestbed { plan }) => testbed::run(plan).or_else(|error| {
            println!("{}", serde_json::to_string(&Report::Failed(format!("{error:#}")))?);
            Ok(())
        }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn window(mut cli: Cli, matches: &ArgMatches) -> anyhow::Result<()> {
    let settings_file = cli.settings.take().or_else(Settings::default_file);
    let mut settings = settings_file.as_deref().map(Settings::load).unwrap_or_default();
    let begin = cli.apply(matches, &mut settings);
    let setup = Setup {
        settings,
        settings_file,
        recordings: cli.recordings,
        record: cli.record,
        begin,
        autopilot: cli.autopilot,
        screenshot: cli.screenshot.map(|file| Screenshot::new(file, cli.after)),
    };
    let [width, height] = cli.size;
    let viewport = ViewportBuilder::default()
        .with_title("Netduel")
        .with_app_id("netduel")
        .with_inner_size(vec2(width, height))
        .with_min_inner_size(vec2(360.0, 320.0));
    let options = NativeOptions { viewport, ..NativeOptions::default() };
    eframe::run_native(
        "netduel",
        options,
        Box::new(|cc| Ok(Box::new(NetduelApp::new(cc, setup)?))),
    )
    .map_err(|error| anyhow::anyhow!("{error}"))
    .context(
        "cannot open a window. A window needs a display (on Linux: DISPLAY or WAYLAND_DISPLAY; over \
         ssh: ssh -X) and OpenGL 2 (on Debian: apt-get install libgl1 libgl1-mesa-dri libxkbcommon-x11-0 libxcursor1 libxi6). \
         To play without a window, run: cargo bot",
    )
}
