//! The race: the same moves over several transports at once, and what each makes of them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use eframe::egui::{
    self, Align, CentralPanel, ComboBox, Context, Grid, Layout, Panel, ProgressBar, RichText, ScrollArea, Ui,
};
use netduel_link::PROFILES;
use netduel_protocol::game::{Heading, Position};
use netduel_transport::TransportKind;

use crate::{
    model::thresholds::{Limits, ms},
    race::{
        link,
        process::{Probe, Race},
        protocol::{Frame, LaneFigures, Order, Plan, Report, position},
        stalls::Stalls,
    },
    settings::Settings,
    theme::{self, NARROW, kind_color, palette},
    views::{
        arena::{self, Look, Sprite},
        plots::{self, Series},
        start,
    },
};

/// How wide the settings and figures are beside the arena.
const SIDE_WIDTH: f32 = 500.0;
/// What the table takes below the plot, without its rows.
const TABLE_HEIGHT: f32 = 108.0;
/// A row of the table.
const ROW_HEIGHT: f32 = 25.0;
/// Frames of a trail: half a second.
const TRAIL_MAX: usize = 30;
/// A bar is full at this age: more than a quarter of a second is a stall, whatever its length.
const BAR_FULL_MS: f32 = 250.0;
/// A person who has not steered for this long lets the script steer again.
const HANDS_OFF: Duration = Duration::from_secs(4);
/// The figures' window of a plot.
const SPAN_S: f64 = 30.0;

/// The race's state on the screen.
#[derive(Debug, Default)]
pub(crate) struct RaceView {
    race: Option<Race>,
    probe: Option<Probe>,
    /// Why there are no links; empty if there are, `None` before it is known.
    links: Option<Result<(), String>>,
    /// What runs now.
    running: Option<Plan>,
    started: bool,
    failure: Option<String>,
    frame: Frame,
    figures: Vec<LaneFigures>,
    /// Why the figures are not to be believed.
    link_problems: Vec<String>,
    trails: Vec<VecDeque<Position>>,
    stalls: Stalls,
    steered: Option<Instant>,
}

impl RaceView {
    /// Asks whether links can be had; the race starts with the answer.
    pub(crate) fn open(ctx: &Context) -> Self {
        let mut view = Self::default();
        match Probe::start(waker(ctx)) {
            Ok(probe) => view.probe = Some(probe),
            Err(error) => view.links = Some(Err(error.to_string())),
        }
        view
    }

    /// Takes in what came since the last frame, and passes on the keys.
    pub(crate) fn update(&mut self, ctx: &Context, settings: &mut Settings, heading: Heading) {
        if let Some(answer) = self.probe.as_ref().and_then(Probe::answer) {
            self.probe = None;
            self.links = Some(answer);
        }
        let Some(links) = &self.links else { return };
        if links.is_err() {
            settings.race_link.clear();
        }
        self.keep_running(ctx, settings);
        if heading != Heading::default() {
            self.steered = Some(Instant::now());
        }
        let by_hand = self.steered.is_some_and(|at| at.elapsed() < HANDS_OFF);
        let order = Order { heading: by_hand.then_some((heading.x, heading.y)), rate_hz: settings.rate_hz };
        let Some(race) = &mut self.race else { return };
        race.tell(order);
        while let Some(report) = race.report() {
            match report {
                Report::Started => self.started = true,
                Report::Figures(figures) => self.figures = figures,
                Report::Link(problems) => self.link_problems = problems,
                Report::Frame(frame) => {
                    self.trails.resize(frame.lanes.len(), VecDeque::new());
                    for (trail, lane) in self.trails.iter_mut().zip(&frame.lanes) {
                        if trail.len() == TRAIL_MAX {
                            trail.pop_front();
                        }
                        trail.push_back(position(lane.position));
                    }
                    self.stalls.update(&frame);
                    self.frame = frame;
                }
                Report::Failed(why) => {
                    self.failure.get_or_insert(why);
                    self.race = None;
                    break;
                }
            }
        }
    }

    /// Starts the race that is asked for, if another one runs, or none.
    fn keep_running(&mut self, ctx: &Context, settings: &Settings) {
        let plan = Plan {
            kinds: settings.race_kinds(),
            link: Some(settings.race_link.clone()).filter(|link| !link.is_empty()),
            seed: 1,
            rate_hz: settings.rate_hz,
            addresses: Vec::new(),
            pin: String::new(),
        };
        // The rate is an order, not another race.
        let same = |running: &Plan| running.kinds == plan.kinds && running.link == plan.link;
        if self.running.as_ref().is_some_and(same) || plan.kinds.is_empty() {
            return;
        }
        *self = Self { links: self.links.take(), steered: self.steered, ..Self::default() };
        match Race::start(&plan, waker(ctx)) {
            Ok(race) => self.race = Some(race),
            Err(error) => self.failure = Some(format!("{error:#}")),
        }
        self.running = Some(plan);
    }

    /// Draws it; returns whether the player wants to leave.
    pub(crate) fn show(&mut self, ui: &mut Ui, settings: &mut Settings) -> bool {
        let leave = Panel::top("race state").show(ui, |ui| self.state_bar(ui)).inner;
        if ui.available_width() >= NARROW {
            Panel::right("race figures").exact_size(SIDE_WIDTH).resizable(false).show(ui, |ui| {
                ScrollArea::vertical().show(ui, |ui| self.side(ui, settings));
            });
            CentralPanel::default().show(ui, |ui| {
                let side = ui.available_width().min(ui.available_height() - 26.0).max(120.0);
                self.ground(ui, side);
            });
        } else {
            CentralPanel::default().show(ui, |ui| {
                ScrollArea::vertical().show(ui, |ui| {
                    let side = ui.available_width().min((ui.available_height() - 40.0).max(240.0));
                    self.ground(ui, side);
                    self.side(ui, settings);
                });
            });
        }
        leave
    }

    fn state_bar(&self, ui: &mut Ui) -> bool {
        let colors = palette(ui.visuals());
        let (text, color) = match (&self.failure, self.started) {
            (Some(_), _) => ("The race cannot go on", colors.poor),
            (None, true) => ("Racing", colors.good),
            (None, false) => ("Starting a server, a link and the players", colors.fair),
        };
        let mut leave = false;
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            theme::swatch(ui, color);
            ui.label(RichText::new(text).size(16.0).strong());
            let about = "the same moves, the same server, the same link: only the transport differs";
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                leave = ui.button("Leave").on_hover_text("Escape").clicked();
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    ui.add(egui::Label::new(RichText::new(about).color(colors.muted)).truncate());
                });
            });
        });
        ui.add_space(4.0);
        leave
    }

    fn kinds(&self) -> &[TransportKind] {
        self.running.as_ref().map_or(&[], |plan| &plan.kinds)
    }

    fn ground(&self, ui: &mut Ui, side: f32) {
        let colors = palette(ui.visuals());
        let mut sprites = Vec::new();
        let mut trails = Vec::new();
        for stall in self.stalls.shown() {
            let Some(kind) = self.kinds().get(stall.lane) else { continue };
            let label = format!("{kind} stood still here: {} ms", stall.age_us / 1_000);
            let color = kind_color(*kind, ui.visuals()).gamma_multiply(0.75);
            sprites.push(Sprite { position: stall.position, color, look: Look::Mark, label });
        }
        for (number, kind) in self.kinds().iter().enumerate() {
            let color = kind_color(*kind, ui.visuals());
            if let Some(lane) = self.frame.lanes.get(number) {
                let label = format!("{kind} {} ms", lane.age_us.map_or(0, |us| us / 1_000));
                sprites.push(Sprite { position: position(lane.position), color, look: Look::Glass, label });
            }
            if let Some(trail) = self.trails.get(number) {
                trails.push((color, trail.iter().copied().collect()));
            }
        }
        if !self.frame.lanes.is_empty() {
            let truth = position(self.frame.truth);
            sprites.push(Sprite {
                position: truth,
                color: colors.truth,
                look: Look::Ghost,
                label: String::new(),
            });
        }
        ui.vertical_centered(|ui| {
            let rect = arena::show(ui, side, &sprites, &trails);
            match (&self.failure, self.started) {
                (Some(why), _) => arena::banner(ui, rect, "The race cannot go on", why),
                (None, false) => arena::banner(
                    ui,
                    rect,
                    "Starting",
                    "A server, a link, and two players for each transport.",
                ),
                (None, true) => {}
            }
            let about = "Dashed: where the mover is now. Arrows or WASD steer it; else it steers itself.";
            ui.label(RichText::new(about).small().color(colors.muted));
        });
    }

    fn side(&self, ui: &mut Ui, settings: &mut Settings) {
        ui.add_space(4.0);
        self.choices(ui, settings);
        ui.separator();
        self.bars(ui);
        link::warning(ui, &self.link_problems);
        ui.add_space(6.0);
        ui.label(RichText::new("Age of the opponent's position, last 30 s").strong());
        let kinds = self.kinds();
        let lines: Vec<_> = kinds.iter().map(|kind| (kind.name(), kind_color(*kind, ui.visuals()))).collect();
        theme::legend(ui, &lines);
        let shifted: Vec<Vec<[f64; 2]>> = self
            .figures
            .iter()
            .map(|lane| lane.trace.iter().map(|[at_s, age_ms]| [at_s - lane.now_s, *age_ms]).collect())
            .collect();
        let series: Vec<Series<'_>> = lines
            .iter()
            .zip(&shifted)
            .map(|((name, color), points)| Series { name, points, color: *color, width: 1.6, fill: false })
            .collect();
        let below = TABLE_HEIGHT + ROW_HEIGHT * kinds.len() as f32;
        let height = (ui.available_height() - below).clamp(200.0, 460.0);
        plots::draw(ui, "race", &series, &[], 0.0, SPAN_S, height);
        ui.separator();
        self.table(ui);
        ui.add_space(6.0);
        let about = "A stream must deliver what was lost before what came after it, so everything behind a lost packet waits for it: head-of-line blocking. A datagram or a stream of its own does not wait.";
        ui.label(RichText::new(about).small().color(palette(ui.visuals()).muted));
    }

    fn choices(&self, ui: &mut Ui, settings: &mut Settings) {
        ui.horizontal_wrapped(|ui| {
            for kind in TransportKind::ALL {
                let mut chosen = settings.race_kinds().contains(&kind);
                let text = RichText::new(kind.name()).color(kind_color(kind, ui.visuals()));
                if ui.checkbox(&mut chosen, text).on_hover_text(kind.summary()).changed() {
                    settings.race_transports.retain(|name| name != kind.name());
                    if chosen {
                        settings.race_transports.push(kind.name().into());
                    }
                }
            }
        });
        ui.horizontal_wrapped(|ui| {
            let label = ui.label("Link");
            let chosen = settings.race_link.clone();
            let shown = if chosen.is_empty() { "loopback" } else { &chosen };
            let offers = matches!(self.links, Some(Ok(())));
            ComboBox::from_id_salt("link")
                .selected_text(shown)
                .width(130.0)
                .show_ui(ui, |ui| {
                    ui.selectable_value(
                        &mut settings.race_link,
                        String::new(),
                        "loopback: this machine alone",
                    );
                    for profile in PROFILES.iter().filter(|_| offers) {
                        let text = format!("{}: {}", profile.spec.name, profile.about);
                        ui.selectable_value(&mut settings.race_link, profile.spec.name.clone(), text)
                            .on_hover_text(profile.source);
                    }
                })
                .response
                .labelled_by(label.id);
            start::rate(ui, &mut settings.rate_hz);
        });
        if let Some(Err(why)) = &self.links {
            let text = format!("No links can be emulated here, so only the loopback is offered: {why}");
            ui.add(egui::Label::new(RichText::new(text).small().color(palette(ui.visuals()).fair)).wrap());
        }
    }

    /// The age right now, as bars that one watches.
    fn bars(&self, ui: &mut Ui) {
        for (number, kind) in self.kinds().iter().enumerate() {
            let age_ms = self
                .frame
                .lanes
                .get(number)
                .and_then(|lane| lane.age_us)
                .map_or(0.0, |age_us| age_us as f32 / 1e3);
            ui.horizontal(|ui| {
                let color = kind_color(*kind, ui.visuals());
                theme::fixed_label(ui, RichText::new(kind.name()).color(color), 104.0);
                let bar = ProgressBar::new((age_ms / BAR_FULL_MS).min(1.0))
                    .fill(color.gamma_multiply(0.8))
                    .desired_height(14.0)
                    .desired_width((ui.available_width() - 72.0).max(40.0));
                ui.add(bar).on_hover_text("How old the newest known position is at this moment.");
                let text = RichText::new(format!("{age_ms:>4.0} ms")).monospace();
                ui.label(text);
            });
        }
    }

    fn table(&self, ui: &mut Ui) {
        let colors = palette(ui.visuals());
        let heads = [
            (
                "mean",
                "The mean age since the race began, or since the rate changed: the figure that a comparison shows.",
            ),
            ("p99", "What 99 of 100 ms do not exceed, since then; it needs 1,000 updates."),
            ("p50", "The median age of the last 5 s."),
            ("max", "The oldest that the position became in the last 5 s."),
            (
                "freezes",
                "How often the opponent stood still for more than three periods, since the race began.",
            ),
            ("missing", "Updates that never came: lost, or replaced by a newer one before they left."),
        ];
        Grid::new("race table").num_columns(8).min_row_height(20.0).spacing([12.0, 5.0]).show(ui, |ui| {
            ui.label(RichText::new("age in ms").small().color(colors.muted));
            for (head, about) in heads {
                right(ui, RichText::new(head).small().color(colors.muted)).on_hover_text(about);
            }
            ui.label("");
            ui.end_row();
            for (kind, lane) in self.kinds().iter().zip(&self.figures) {
                ui.label(RichText::new(kind.name()).strong().color(kind_color(*kind, ui.visuals())));
                let missing = lane.missing_percent.map_or("–".into(), |percent| format!("{percent:.1} %"));
                let cells = [
                    ms(lane.age_mean_us.map(|us| us as u64)),
                    ms(lane.age_p99_us),
                    ms(lane.age.p50_us),
                    ms(lane.age.max_us),
                    lane.freezes.to_string(),
                    missing,
                ];
                for cell in cells {
                    right(ui, RichText::new(cell).monospace());
                }
                let grade = Limits::AGE_MS.grade(lane.age.p95_us.map(|us| us as f64 / 1e3));
                ui.label(RichText::new(grade.word()).small().strong().color(grade.color(&colors)))
                    .on_hover_text("Graded by the age that is exceeded 5 % of the last 5 s.");
                ui.end_row();
            }
        });
    }
}

fn right(ui: &mut Ui, text: RichText) -> egui::Response {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.label(text)).inner
}

fn waker(ctx: &Context) -> impl Fn() + Send + 'static {
    let ctx = ctx.clone();
    // After a moment, not at once: `request_repaint` paints twice.
    move || ctx.request_repaint_after(Duration::from_millis(1))
}
