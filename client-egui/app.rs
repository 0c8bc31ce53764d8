//! The application: switches between the screens, handles the keys, and commands the network
//! thread.

use std::{path::PathBuf, sync::Arc, time::Duration};

use eframe::{
    App, CreationContext, Frame,
    egui::{Context, Key, Ui},
};
use netduel_client::{bot_path::BotPath, stats::live::Figures};
use netduel_protocol::{clock, game::Heading};

use crate::{
    model::recording::MatchInfo,
    net::{
        backend::Backend,
        messages::{Phase, ServerChoice},
    },
    screenshot::Screenshot,
    settings::{Choice, Settings},
    theme,
    views::{
        arena,
        game::{Action, GameView},
        race::RaceView,
        start::StartView,
    },
};

/// The frame time while something moves: that of a 60 Hz screen.
const FRAME: Duration = Duration::from_micros(16_667);
/// The frame time while the screen only counts seconds.
const SECOND: Duration = Duration::from_secs(1);

/// The start parameters of the application.
pub struct Setup {
    /// The stored settings, overridden by the command line.
    pub settings: Settings,
    /// The settings file; `None` stores nothing.
    pub settings_file: Option<PathBuf>,
    /// The folder of saved recordings.
    pub recordings: PathBuf,
    /// Whether the recording of the match is saved when the window closes.
    pub record: bool,
    /// The way to begin at once; `None` shows the start screen.
    pub begin: Option<Choice>,
    /// Whether a script steers.
    pub autopilot: bool,
    /// The screenshot to take.
    pub screenshot: Option<Screenshot>,
}

enum Screen {
    Start(StartView),
    Game(Box<GameView>),
    Race(Box<RaceView>),
}

/// The application in its window.
pub struct NetduelApp {
    settings: Settings,
    saved: Settings,
    settings_file: Option<PathBuf>,
    recordings: PathBuf,
    record: bool,
    backend: Backend,
    screen: Screen,
    begin: Option<Choice>,
    autopilot: Option<BotPath>,
    screenshot: Option<Screenshot>,
}

impl NetduelApp {
    /// Creates the application and starts its network thread.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn new(cc: &CreationContext<'_>, setup: Setup) -> anyhow::Result<Self> {
        theme::install(&cc.egui_ctx);
        let ctx = cc.egui_ctx.clone();
        // A short delay, because `request_repaint` paints twice.
        let wake = move || ctx.request_repaint_after(Duration::from_millis(1));
        Ok(Self {
            backend: Backend::start(setup.settings.rate_hz, wake)?,
            saved: setup.settings.clone(),
            settings: setup.settings,
            settings_file: setup.settings_file,
            recordings: setup.recordings,
            record: setup.record,
            screen: Screen::Start(StartView::new()),
            begin: setup.begin,
            autopilot: setup.autopilot.then(|| BotPath::new(7)),
            screenshot: setup.screenshot,
        })
    }

    /// Returns the activity of the network thread.
    pub fn phase(&self) -> Phase {
        self.backend.snapshot().phase
    }

    /// Returns the recent figures of the player's and the opponent's link, if the opponent is this
    /// program's bot.
    pub fn figures(&self) -> Option<(Arc<Figures>, Arc<Figures>)> {
        let snapshot = self.backend.snapshot();
        Some((snapshot.figures, snapshot.opponent_figures?))
    }

    fn start(&mut self, ctx: &Context, choice: Choice) {
        self.settings.choice = choice;
        if choice == Choice::Race {
            self.screen = Screen::Race(Box::new(RaceView::open(ctx)));
            return;
        }
        match self.settings.request() {
            Err(problem) => {
                let view = StartView { problem: Some(problem), focus: false };
                self.screen = Screen::Start(view);
            }
            Ok(request) => {
                self.backend.set_rate(self.settings.rate_hz);
                let server = match &request.server {
                    ServerChoice::Join(args) => Some(args.server.clone()),
                    ServerChoice::Bot | ServerChoice::Host(_) => None,
                };
                let info =
                    MatchInfo { name: request.name.clone(), transport: request.kind.name().into(), server };
                self.backend.begin(request);
                self.screen = Screen::Game(Box::new(GameView::new(self.recordings.clone(), info)));
            }
        }
    }

    fn leave(&mut self) {
        self.backend.leave();
        self.backend.steer(Heading::default());
        self.screen = Screen::Start(StartView::new());
    }

    fn heading(&self, ctx: &Context) -> Heading {
        let held = arena::heading(ctx);
        match self.autopilot {
            Some(bot_path) if held == Heading::default() => bot_path.heading(clock::now_us()),
            _ => held,
        }
    }

    /// Takes the focus from a widget after a click or a WASD key, because a focused widget uses the
    /// arrow keys itself.
    fn release_arrow_keys(ctx: &Context) {
        let steering = ctx.input(|input| {
            let letters = [Key::W, Key::A, Key::S, Key::D];
            input.pointer.any_released() || letters.iter().any(|key| input.key_pressed(*key))
        });
        if steering && let Some(focused) = ctx.memory(|memory| memory.focused()) {
            ctx.memory_mut(|memory| memory.surrender_focus(focused));
        }
    }

    fn keys(&mut self, ctx: &Context) {
        if matches!(self.screen, Screen::Start(_)) || ctx.text_edit_focused() {
            return;
        }
        Self::release_arrow_keys(ctx);
        let pressed = |key| ctx.input(|input| input.key_pressed(key));
        if pressed(Key::Escape) && ctx.memory(|memory| memory.focused()).is_none() {
            self.leave();
        } else if pressed(Key::R) && matches!(self.screen, Screen::Game(_)) {
            self.backend.again();
        }
    }

    fn save_settings(&mut self) {
        if self.settings == self.saved {
            return;
        }
        self.saved = self.settings.clone();
        if let Some(file) = &self.settings_file
            && let Err(error) = self.settings.save(file)
        {
            // The settings are a convenience, so the game continues without them.
            eprintln!("cannot save the settings to {}: {error}", file.display());
            self.settings_file = None;
        }
    }
}

impl App for NetduelApp {
    fn logic(&mut self, ctx: &Context, _frame: &mut Frame) {
        if let Some(choice) = self.begin.take() {
            self.start(ctx, choice);
        }
        ctx.set_theme(self.settings.look.preference());
        self.keys(ctx);
        let heading = self.heading(ctx);
        match &mut self.screen {
            Screen::Start(_) => {}
            Screen::Game(view) => {
                self.backend.steer(heading);
                let moving = view.update(&self.backend, heading);
                match view.snapshot.phase {
                    _ if moving => ctx.request_repaint_after(FRAME),
                    Phase::Waiting { .. }
                    | Phase::Lost { .. }
                    | Phase::Reconnecting { .. }
                    | Phase::OpponentReconnecting { .. } => ctx.request_repaint_after(SECOND),
                    _ => {}
                }
            }
            Screen::Race(view) => view.update(ctx, &mut self.settings, heading),
        }
        if let Some(screenshot) = &mut self.screenshot {
            screenshot.update(ctx);
        }
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut Frame) {
        let ctx = ui.ctx().clone();
        match &mut self.screen {
            Screen::Start(view) => {
                let central = eframe::egui::CentralPanel::default();
                let chosen = central.show(ui, |ui| view.show(ui, &mut self.settings)).inner;
                if let Some(choice) = chosen {
                    self.start(&ctx, choice);
                }
            }
            Screen::Game(view) => match view.show(ui, &mut self.settings, &self.backend) {
                Some(Action::Leave) => self.leave(),
                Some(Action::Again) => self.backend.again(),
                None => {}
            },
            Screen::Race(view) => {
                if view.show(ui, &mut self.settings) {
                    self.leave();
                }
            }
        }
        // A text field is saved when it loses the focus, not at every key stroke.
        if !ctx.text_edit_focused() {
            self.save_settings();
        }
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        self.save_settings();
        if self.record
            && let Screen::Game(view) = &mut self.screen
            && let Some(note) = view.save(self.settings.rate_hz)
        {
            // The window is closed, so the note goes to the terminal.
            eprintln!("{note}");
        }
    }
}
