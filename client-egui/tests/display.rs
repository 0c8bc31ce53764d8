//! Tests of the program on a virtual display: they play, race and check the screenshots.
//!
//! Without Xvfb or OpenGL the tests print a note and skip, unless `NETDUEL_DISPLAY_REQUIRED=1`
//! makes that a failure.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use netduel_client_egui::settings::Settings;
use netduel_transport::TransportKind;

/// The smallest number of colours in a painted window. A blank window has one.
const COLORS_MIN: usize = 100;
/// The colours of the own and the opponent's square in the dark scheme.
const PLAYERS: [[u8; 3]; 2] = [[0x4f, 0xb3, 0xff], [0xff, 0x9f, 0x45]];
/// The smallest number of pixels of a player's colour: a tenth of its square.
const PLAYER_PIXELS_MIN: usize = 300;

/// A virtual display. Dropping it ends its server.
struct Display {
    server: Child,
    name: String,
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Display {
    fn start() -> Result<Self, String> {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1400x900x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start Xvfb: {error}"))?;
        let mut number = String::new();
        let output = server.stdout.take().ok_or("no output")?;
        let read = BufReader::new(output).read_line(&mut number);
        let name = format!(":{}", number.trim());
        let display = Self { server, name };
        match read {
            Ok(length) if length > 1 => Ok(display),
            _ => Err("Xvfb printed no display number".into()),
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        program(arguments).env("DISPLAY", &self.name).output().expect("started")
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netduel"));
    command.args(arguments).env_remove("WAYLAND_DISPLAY").env_remove("WAYLAND_SOCKET").env_remove("DISPLAY");
    command
}

fn skip(why: &str) {
    assert!(std::env::var_os("NETDUEL_DISPLAY_REQUIRED").is_none(), "a display is required here: {why}");
    println!("skipped: {why}");
}

/// Returns the pixels of a PNG file, three bytes each.
fn picture(file: &Path) -> Vec<[u8; 3]> {
    let decoder = png::Decoder::new(BufReader::new(File::open(file).expect("a picture")));
    let mut reader = decoder.read_info().expect("a PNG");
    let mut bytes = vec![0; reader.output_buffer_size().expect("of a sane size")];
    reader.next_frame(&mut bytes).expect("whole");
    bytes.as_chunks().0.to_vec()
}

#[test]
fn screenshots_show_match_and_race() {
    let display = match Display::start() {
        Ok(display) => display,
        Err(why) => return skip(&why),
    };
    let folder = tempfile::tempdir().expect("creates a folder");
    let settings = folder.path().join("settings.json").display().to_string();
    let (reference, usual) = (TransportKind::ALL[0], Settings::default().kind());
    assert_ne!(reference, usual);
    for (name, begin) in [
        ("reference", &["--play", "--autopilot", "--transport", reference.name()][..]),
        ("usual", &["--play", "--autopilot", "--transport", usual.name()]),
        ("race", &["--race", "--race-link", "loopback"]),
    ] {
        let file = folder.path().join(format!("{name}.png"));
        let shot = file.display().to_string();
        let common = ["--settings", &settings, "--look", "dark", "--after", "6s", "--screenshot", &shot];
        let output = display.run(&[begin, &common].concat());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if errors.contains("cannot open a window") {
            return skip(&errors);
        }
        assert!(output.status.success(), "{name}: {errors}");
        let pixels = picture(&file);
        let colors: HashSet<_> = pixels.iter().collect();
        assert!(colors.len() >= COLORS_MIN, "{name}: {} colours", colors.len());
        if name != "race" {
            for player in PLAYERS {
                let covered = pixels.iter().filter(|pixel| **pixel == player).count();
                assert!(covered >= PLAYER_PIXELS_MIN, "{name}: no player in {player:?}: {covered} pixels");
            }
        }
    }
}

#[test]
fn missing_display_says_what_to_do() {
    if !cfg!(target_os = "linux") {
        return println!("skipped: only Linux can lack a display");
    }
    let output = program(&["--play"]).output().expect("started");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("cannot open a window") && errors.contains("DISPLAY"), "{errors}");
}
