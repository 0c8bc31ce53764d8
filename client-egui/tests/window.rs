//! Tests of the app over loopback sockets, driven through its accessibility tree without a display
//! or a renderer.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use eframe::egui::Key;
use egui_kittest::{
    Harness,
    kittest::{NodeT, Queryable},
};
use netduel_client::{Event, Player, recording::Recording};
use netduel_client_egui::{
    app::{NetduelApp, Setup},
    net::{
        local_server::{Audience, LocalServer},
        messages::Phase,
    },
    settings::{Choice, Settings},
};
use netduel_transport::TransportKind;

/// The time limit of a wait, long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

type App = Harness<'static, NetduelApp>;

fn window(settings: Settings, settings_file: Option<PathBuf>, begin: Option<Choice>) -> App {
    window_saving(settings, settings_file, begin, std::env::temp_dir())
}

fn window_saving(
    settings: Settings,
    settings_file: Option<PathBuf>,
    begin: Option<Choice>,
    recordings: PathBuf,
) -> App {
    let setup = Setup {
        settings,
        settings_file,
        recordings,
        record: false,
        begin,
        autopilot: false,
        screenshot: None,
    };
    Harness::builder()
        .with_size([1280.0, 800.0])
        .build_eframe(|cc| NetduelApp::new(cc, setup).expect("the app starts"))
}

/// Steps the app until `done` holds. Sockets take an unknown time, so the test waits for the event
/// itself.
fn until(app: &mut App, what: &str, done: impl Fn(&App) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done(app) {
        assert!(
            Instant::now() < deadline,
            "timed out waiting for {what}; the phase is {:?}",
            app.state().phase()
        );
        std::thread::yield_now();
        app.step();
    }
}

fn shows(app: &App, text: &str) -> bool {
    app.query_all_by_label_contains(text).next().is_some()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime")
}

/// Returns settings that join `server` over `kind`.
fn joining(server: &LocalServer, kind: TransportKind) -> Settings {
    let (_, addr) = server.addresses.iter().find(|(it, _)| *it == kind).expect("listens");
    Settings {
        choice: Choice::Join,
        transport: kind.name().into(),
        server: addr.to_string(),
        pin: server.pin.clone(),
        ..Settings::default()
    }
}

#[test]
fn enter_starts_match_with_statistics() {
    let mut app = window(Settings::default(), None, None);
    app.run_steps(2);
    assert!(shows(&app, "Play now") && shows(&app, "Host a match") && shows(&app, "Join the server"));
    app.key_press(Key::Enter);
    until(&mut app, "a match", |app| app.state().phase() == Phase::Playing);
    let at = |app: &App, who: &str| {
        let arena = app.get_by_label_contains("Arena with");
        let label = arena.accesskit_node().label().unwrap_or_default();
        label.split(who).nth(1).unwrap_or_default().to_owned()
    };
    until(&mut app, "both players", |app| !at(app, "bot at").is_empty());
    let begun = at(&app, "bot at");
    until(&mut app, "a move of the bot", |app| at(app, "bot at") != begun);
    let begun = at(&app, "you at");
    app.key_down(Key::ArrowRight);
    until(&mut app, "an own move", |app| at(app, "you at") != begun);
    app.key_up(Key::ArrowRight);
    until(&mut app, "graded statistics", |app| {
        app.query_all_by_label("good").chain(app.query_all_by_label("fair")).count() >= 4
    });
    for text in ["Age", "Round trip", "Jitter", "Moves received", "My moves", "me to server"] {
        assert!(shows(&app, text), "{text} is not shown");
    }
    app.key_press(Key::Escape);
    until(&mut app, "the start screen", |app| shows(app, "Host a match"));
    until(&mut app, "the end of the session", |app| app.state().phase() == Phase::Idle);
}

#[test]
fn reports_leaving_opponent_and_rematches() {
    let runtime = runtime();
    let server =
        runtime.block_on(LocalServer::start(Audience::Bot(TransportKind::ALL[0]))).expect("a server");
    // The match code keeps the server's bot out of the match.
    for (mine, theirs) in TransportKind::ALL.into_iter().zip(TransportKind::ALL.into_iter().rev()) {
        let settings = Settings { code: format!("for {mine}"), ..joining(&server, mine) };
        let config = server.player(theirs, "Ada", 16_667).expect("offers the transport");
        let mut app = window(settings, None, Some(Choice::Join));
        for key in [None, Some(Key::R)] {
            key.into_iter().for_each(|key| app.key_press(key));
            until(&mut app, "the queue", |app| shows(app, "Waiting for an opponent"));
            let mut player = runtime.block_on(Player::connect(&config)).expect("connected");
            player.join(Some(&format!("for {mine}"))).expect("joined");
            runtime.block_on(async {
                let started = async {
                    while !matches!(player.next_event().await.expect("goes on"), Event::Started(_)) {}
                };
                tokio::time::timeout(PATIENCE, started).await.expect("a match");
            });
            until(&mut app, "the match", |app| app.state().phase() == Phase::Playing);
            until(&mut app, "its name", |app| shows(app, &format!("Ada over {theirs}")));
            runtime.block_on(player.close());
            until(&mut app, "the end of the match", |app| shows(app, "The opponent left"));
        }
    }
}

#[test]
fn waits_for_lost_opponent() {
    let runtime = runtime();
    let kind = TransportKind::ALL[0];
    let server = runtime.block_on(LocalServer::start(Audience::Bot(kind))).expect("a server");
    let settings = Settings { code: "lost".into(), ..joining(&server, kind) };
    let mut app = window(settings, None, Some(Choice::Join));
    until(&mut app, "the queue", |app| shows(app, "Waiting for an opponent"));
    let config = server.player(kind, "Ada", 16_667).expect("offers the transport");
    let mut player = runtime.block_on(Player::connect(&config)).expect("connected");
    player.join(Some("lost")).expect("joined");
    until(&mut app, "the match", |app| app.state().phase() == Phase::Playing);
    // The player vanishes without a close.
    drop(player);
    until(&mut app, "the wait", |app| shows(app, "The opponent is reconnecting"));
    assert!(app.state().phase().in_match());
}

#[test]
fn retries_after_server_loss() {
    let runtime = runtime();
    let server =
        runtime.block_on(LocalServer::start(Audience::Bot(TransportKind::ALL[0]))).expect("a server");
    let mut app = window(joining(&server, TransportKind::ALL[0]), None, Some(Choice::Join));
    until(&mut app, "a match with the bot", |app| app.state().phase() == Phase::Playing);
    drop(server);
    until(&mut app, "the loss", |app| matches!(app.state().phase(), Phase::Lost { .. }));
    until(&mut app, "the text for it", |app| shows(app, "The connection is lost") && shows(app, "Retry now"));
    app.key_press(Key::Escape);
    until(&mut app, "the start screen", |app| shows(app, "Host a match"));
}

#[test]
fn refusals_say_what_to_do() {
    let unreachable =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("an address");
    let plain = TransportKind::ALL.into_iter().find(|kind| !kind.capabilities().encrypted).expect("one");
    let settings =
        Settings { server: unreachable.to_string(), transport: plain.name().into(), ..Settings::default() };
    let mut app = window(settings.clone(), None, Some(Choice::Join));
    until(&mut app, "the refusal", |app| shows(app, "The server cannot be reached"));
    let encrypted = TransportKind::ALL.into_iter().find(|kind| kind.capabilities().encrypted).expect("one");
    let settings = Settings { transport: encrypted.name().into(), ..settings };
    let mut app = window(settings, None, Some(Choice::Join));
    until(&mut app, "the advice", |app| shows(app, "paste the fingerprint"));
}

#[test]
fn saved_recording_holds_both_links() {
    let folder = tempfile::tempdir().expect("creates a folder");
    let settings = Settings { name: "Ada".into(), ..Settings::default() };
    let mut app = window_saving(settings, None, Some(Choice::PlayNow), folder.path().into());
    until(&mut app, "a match", |app| app.state().phase() == Phase::Playing);
    until(&mut app, "the bot's figures", |app| {
        let figures = app.state().figures();
        figures.is_some_and(|(mine, theirs)| mine.received > 10 && theirs.received > 10)
    });
    app.get_by_label("Save recording").click();
    until(&mut app, "the path of the recording", |app| shows(app, "netduel-reports recording"));
    let json = || {
        let files = std::fs::read_dir(folder.path()).expect("creates a folder").filter_map(Result::ok);
        files.map(|file| file.path()).find(|path| path.extension().is_some_and(|ending| ending == "json"))
    };
    let read = Recording::load(&json().expect("saved")).expect("readable");
    assert_eq!((read.me.name.as_str(), read.opponent.name.as_str()), ("Ada", "bot"));
    assert!(read.server.is_none() && read.started_unix_s <= read.saved_unix_s);
    for side in [&read.me, &read.opponent] {
        let (totals, last) = (side.totals.as_ref().expect("told"), side.figures.back().expect("some"));
        assert_eq!(totals.in_order(), last.received);
        assert!(totals.age.count() > 10, "{}", side.name);
    }
}

#[test]
fn settings_persist_and_small_window_works() {
    let folder = tempfile::tempdir().expect("creates a folder");
    let file = folder.path().join("settings.json");
    let mut app = window(Settings::default(), Some(file.clone()), None);
    app.run_steps(2);
    app.get_by_label("dark").click();
    until(&mut app, "the file", |_| file.exists());
    assert_eq!(Settings::load(&file).look.name(), "dark");
    drop(app);
    let mut app = window(Settings::load(&file), Some(file.clone()), Some(Choice::PlayNow));
    app.set_size([480.0, 640.0].into());
    until(&mut app, "a match", |app| app.state().phase() == Phase::Playing);
    until(&mut app, "statistics", |app| shows(app, "Round trip"));
    assert_eq!(Settings::load(&file).choice, Choice::PlayNow);
}
