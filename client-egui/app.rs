//! The window: which screen is shown, what the keys do on it, and how the network thread is told.

use std::{path::PathBuf, sync::Arc, time::Duration};

use eframe::{
    App, CreationContext, Frame,
    egui::{Context, Key, Ui},
};
use netduel_client::{bot_path::BotPath, stats::live::Figures};
use netduel_protocol::{clock, game::Heading};

use crate::{
    model::recording::Seat,
    net::backend::{Network, Phase, Place},
    screenshot::Screenshot,
    settings::{Choice, Settings},
    theme,
    views::{
        arena,
        game::{GameView, Wanted},
        race::RaceView,
        start::StartView,
    },
};

/// A frame while something moves: as fast as a common screen shows them.
const FRAME: Duration = Duration::from_micros(16_667);
/// A frame while only seconds count.
const SECOND: Duration = Duration::from_secs(1);

/// What the app is started with.
pub struct Setup {
    /// What was remembered, with what was typed over it.
    pub settings: Settings,
    /// Where to remember; `None` forgets.
    pub settings_file: Option<PathBuf>,
    /// Where recordings are saved.
    pub recordings: PathBuf,
    /// Save the match when the window closes.
    pub record: bool,
    /// Begin at once.
    pub begin: Option<Choice>,
    /// Steer by a script.
    pub autopilot: bool,
    /// A picture to take.
    pub screenshot: Option<Screenshot>,
}

enum Screen {
    Start(StartView),
    Game(Box<GameView>),
    Race(Box<RaceView>),
}

/// The program in its window.
pub struct NetduelApp {
    settings: Settings,
    saved: Settings,
    settings_file: Option<PathBuf>,
    recordings: PathBuf,
    record: bool,
    network: Network,
    screen: Screen,
    begin: Option<Choice>,
    autopilot: Option<BotPath>,
    screenshot: Option<Screenshot>,
}

impl NetduelApp {
    /// Makes the app and its network thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn new(cc: &CreationContext<'_>, setup: Setup) -> anyhow::Result<Self> {
        theme::install(&cc.egui_ctx);
        let ctx = cc.egui_ctx.clone();
        // After a moment, not at once: `request_repaint` paints twice.
        let wake = move || ctx.request_repaint_after(Duration::from_millis(1));
        Ok(Self {
            network: Network::start(setup.settings.rate_hz, wake)?,
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

    /// What the network thread does.
    pub fn phase(&self) -> Phase {
        self.network.snapshot().phase
    }

    /// What both players know of their links right now, where the opponent is the bot of this program.
    pub fn figures(&self) -> Option<(Arc<Figures>, Arc<Figures>)> {
        let snapshot = self.network.snapshot();
        Some((snapshot.figures, snapshot.peer_figures?))
    }

    fn start(&mut self, ctx: &Context, choice: Choice) {
        self.settings.choice = choice;
        if choice == Choice::Race {
            self.screen = Screen::Race(Box::new(RaceView::open(ctx)));
            return;
        }
        match self.settings.wish() {
            Err(problem) => {
                let view = StartView { problem: Some(problem), focus: false };
                self.screen = Screen::Start(view);
            }
            Ok(wish) => {
                self.network.set_rate(self.settings.rate_hz);
                let server = match &wish.place {
                    Place::Join(args) => Some(args.server.clone()),
                    Place::Bot | Place::Host => None,
                };
                let seat = Seat { name: wish.name.clone(), transport: wish.kind.name().into(), server };
                self.network.begin(wish);
                self.screen = Screen::Game(Box::new(GameView::new(self.recordings.clone(), seat)));
            }
        }
    }

    fn leave(&mut self) {
        self.network.leave();
        self.network.steer(Heading::default());
        self.screen = Screen::Start(StartView::new());
    }

    fn heading(&self, ctx: &Context) -> Heading {
        let held = arena::heading(ctx);
        match self.autopilot {
            Some(course) if held == Heading::default() => course.heading(clock::now_us()),
            _ => held,
        }
    }

    /// Arrows walk between widgets once one has the focus. So a click does not leave it there, and WASD takes it away.
    fn free_the_arrows(ctx: &Context) {
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
        Self::free_the_arrows(ctx);
        let pressed = |key| ctx.input(|input| input.key_pressed(key));
        if pressed(Key::Escape) && ctx.memory(|memory| memory.focused()).is_none() {
            self.leave();
        } else if pressed(Key::R) && matches!(self.screen, Screen::Game(_)) {
            self.network.again();
        }
    }

    fn remember(&mut self) {
        if self.settings == self.saved {
            return;
        }
        self.saved = self.settings.clone();
        if let Some(file) = &self.settings_file
            && let Err(error) = self.settings.save(file)
        {
            // Nothing is lost but a convenience, so the game goes on.
            eprintln!("cannot remember the settings in {}: {error}", file.display());
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
                self.network.steer(heading);
                let moves = view.update(&self.network, heading);
                match view.snapshot.phase {
                    _ if moves => ctx.request_repaint_after(FRAME),
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
            Screen::Game(view) => match view.show(ui, &mut self.settings, &self.network) {
                Some(Wanted::Leave) => self.leave(),
                Some(Wanted::Again) => self.network.again(),
                None => {}
            },
            Screen::Race(view) => {
                if view.show(ui, &mut self.settings) {
                    self.leave();
                }
            }
        }
        // Not with every key stroke: a name is remembered once it is written.
        if !ctx.text_edit_focused() {
            self.remember();
        }
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        self.remember();
        if self.record
            && let Screen::Game(view) = &mut self.screen
            && let Some(note) = view.save(self.settings.rate_hz)
        {
            // Said where the program was started: there is no window any more.
            eprintln!("{note}");
        }
    }
}
