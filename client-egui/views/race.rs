//! The race screen: the same moves over several transports at once, and the figures of each.

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
    model::thresholds::{Thresholds, ms},
    race::{
        process::{Probe, Race},
        protocol::{ContenderFigures, Frame, Order, Plan, Report, position},
        stalls::Stalls,
    },
    settings::Settings,
    theme::{self, NARROW, kind_color, palette},
    views::{
        arena::{self, Sprite, SpriteStyle},
        plots::{self, Series},
        start,
    },
};

/// The width of the settings and figures beside the arena, in points.
const SIDE_WIDTH: f32 = 500.0;
/// The height of the table below the plot without its rows, in points.
const TABLE_HEIGHT: f32 = 108.0;
/// The height of a row of the table, in points.
const ROW_HEIGHT: f32 = 25.0;
/// The number of frames in a trail: half a second.
const TRAIL_MAX: usize = 30;
/// The age of a full bar, in ms. A longer age is a stall, whatever its length.
const BAR_FULL_MS: f32 = 250.0;
/// The idle time of the keys after which the script steers again.
const STEERING_IDLE: Duration = Duration::from_secs(4);
/// The time span of the plot, in s.
const SPAN_S: f64 = 30.0;

/// The race screen with its state.
#[derive(Debug, Default)]
pub(crate) struct RaceView {
    race: Option<Race>,
    probe: Option<Probe>,
    /// The answer of the probe, with the reason if the system cannot emulate links; `None` before
    /// the answer.
    links: Option<Result<(), String>>,
    /// The plan of the running race.
    running: Option<Plan>,
    started: bool,
    failure: Option<String>,
    frame: Frame,
    figures: Vec<ContenderFigures>,
    /// The reasons to reject the figures.
    link_problems: Vec<String>,
    trails: Vec<VecDeque<Position>>,
    stalls: Stalls,
    steered: Option<Instant>,
}

impl RaceView {
    /// Opens the screen and probes for emulated links. The race starts after the answer.
    pub(crate) fn open(ctx: &Context) -> Self {
        let mut view = Self::default();
        match Probe::start(waker(ctx)) {
            Ok(probe) => view.probe = Some(probe),
            Err(error) => view.links = Some(Err(error.to_string())),
        }
        view
    }

    /// Applies the reports since the last frame, and sends the held keys.
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
        let by_hand = self.steered.is_some_and(|at| at.elapsed() < STEERING_IDLE);
        let order = Order { heading: by_hand.then_some((heading.x, heading.y)), rate_hz: settings.rate_hz };
        let Some(race) = &mut self.race else { return };
        race.send(order);
        while let Some(report) = race.report() {
            match report {
                Report::Started => self.started = true,
                Report::Figures(figures) => self.figures = figures,
                Report::Link(problems) => self.link_problems = problems,
                Report::Frame(frame) => {
                    self.trails.resize(frame.contenders.len(), VecDeque::new());
                    for (trail, contender) in self.trails.iter_mut().zip(&frame.contenders) {
                        if trail.len() == TRAIL_MAX {
                            trail.pop_front();
                        }
                        trail.push_back(position(contender.position));
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

    /// Starts the chosen race, unless it runs already.
    fn keep_running(&mut self, ctx: &Context, settings: &Settings) {
        let plan = Plan {
            kinds: settings.race_kinds(),
            link: Some(settings.race_link.clone()).filter(|link| !link.is_empty()),
            seed: 1,
            rate_hz: settings.rate_hz,
            addresses: Vec::new(),
            pin: String::new(),
        };
        // A changed rate is an order to the running race, not another race.
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

    /// Draws the screen. Returns whether the player leaves.
    pub(crate) fn show(&mut self, ui: &mut Ui, settings: &mut Settings) -> bool {
        let leave = Panel::top("race state").show(ui, |ui| self.state_bar(ui)).inner;
        if ui.available_width() >= NARROW {
            Panel::right("race figures").exact_size(SIDE_WIDTH).resizable(false).show(ui, |ui| {
                ScrollArea::vertical().show(ui, |ui| self.side(ui, settings));
            });
            CentralPanel::default().show(ui, |ui| {
                let side = ui.available_width().min(ui.available_height() - 26.0).max(120.0);
                self.arena(ui, side);
            });
        } else {
            CentralPanel::default().show(ui, |ui| {
                ScrollArea::vertical().show(ui, |ui| {
                    let side = ui.available_width().min((ui.available_height() - 40.0).max(240.0));
                    self.arena(ui, side);
                    self.side(ui, settings);
                });
            });
        }
        leave
    }

    fn state_bar(&self, ui: &mut Ui) -> bool {
        let colors = palette(ui.visuals());
        let (text, color) = match (&self.failure, self.started) {
            (Some(_), _) => ("The race stopped", colors.poor),
            (None, true) => ("Racing", colors.good),
            (None, false) => ("Starting a server, a link and the players", colors.fair),
        };
        let mut leave = false;
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            theme::swatch(ui, color);
            ui.label(RichText::new(text).size(16.0).strong());
            let about = "Same moves, same server, same link: only the transport differs.";
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

    fn arena(&self, ui: &mut Ui, side: f32) {
        let colors = palette(ui.visuals());
        let mut sprites = Vec::new();
        let mut trails = Vec::new();
        for stall in self.stalls.shown() {
            let Some(kind) = self.kinds().get(stall.contender) else { continue };
            let label = format!("{kind} stalled here: {} ms", stall.age_us / 1_000);
            let color = kind_color(*kind, ui.visuals()).gamma_multiply(0.75);
            sprites.push(Sprite { position: stall.position, color, style: SpriteStyle::Mark, label });
        }
        for (number, kind) in self.kinds().iter().enumerate() {
            let color = kind_color(*kind, ui.visuals());
            if let Some(contender) = self.frame.contenders.get(number) {
                let label = format!("{kind} {} ms", contender.age_us.map_or(0, |us| us / 1_000));
                sprites.push(Sprite {
                    position: position(contender.position),
                    color,
                    style: SpriteStyle::Glass,
                    label,
                });
            }
            if let Some(trail) = self.trails.get(number) {
                trails.push((color, trail.iter().copied().collect()));
            }
        }
        if !self.frame.contenders.is_empty() {
            let truth = position(self.frame.truth);
            sprites.push(Sprite {
                position: truth,
                color: colors.truth,
                style: SpriteStyle::Ghost,
                label: String::new(),
            });
        }
        ui.vertical_centered(|ui| {
            let rect = arena::show(ui, side, &sprites, &trails);
            match (&self.failure, self.started) {
                (Some(why), _) => arena::banner(ui, rect, "The race stopped", why),
                (None, false) => arena::banner(
                    ui,
                    rect,
                    "Starting",
                    "The race needs a server, a link, and two players for each transport.",
                ),
                (None, true) => {}
            }
            let about = "The dashed outline is the mover's true position. Arrows or WASD steer the mover; \
             otherwise a script does.";
            ui.label(RichText::new(about).small().color(colors.muted));
        });
    }

    fn side(&self, ui: &mut Ui, settings: &mut Settings) {
        ui.add_space(4.0);
        self.choices(ui, settings);
        ui.separator();
        self.bars(ui);
        link_warning(ui, &self.link_problems);
        ui.add_space(6.0);
        ui.label(RichText::new("Age of the opponent's position, last 30 s").strong());
        let kinds = self.kinds();
        let lines: Vec<_> = kinds.iter().map(|kind| (kind.name(), kind_color(*kind, ui.visuals()))).collect();
        theme::legend(ui, &lines);
        let shifted: Vec<Vec<[f64; 2]>> = self
            .figures
            .iter()
            .map(|contender| {
                contender.trace.iter().map(|[at_s, age_ms]| [at_s - contender.now_s, *age_ms]).collect()
            })
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
        let about = "A stream delivers in order, so a lost packet delays everything behind it: \
         head-of-line blocking. A datagram, or a stream for each move, does not wait.";
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
                    ui.selectable_value(&mut settings.race_link, String::new(), "loopback: no emulated link");
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
            let text = format!("This system cannot emulate links, so only the loopback is available: {why}");
            ui.add(egui::Label::new(RichText::new(text).small().color(palette(ui.visuals()).fair)).wrap());
        }
    }

    /// Draws the current age of each contender as a bar.
    fn bars(&self, ui: &mut Ui) {
        for (number, kind) in self.kinds().iter().enumerate() {
            let age_ms = self
                .frame
                .contenders
                .get(number)
                .and_then(|contender| contender.age_us)
                .map_or(0.0, |age_us| age_us as f32 / 1e3);
            ui.horizontal(|ui| {
                let color = kind_color(*kind, ui.visuals());
                theme::fixed_label(ui, RichText::new(kind.name()).color(color), 104.0);
                let bar = ProgressBar::new((age_ms / BAR_FULL_MS).min(1.0))
                    .fill(color.gamma_multiply(0.8))
                    .desired_height(14.0)
                    .desired_width((ui.available_width() - 72.0).max(40.0));
                ui.add(bar).on_hover_text("The age of the newest known position at this moment.");
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
                "Mean age since the start of the race or the last change of the rate. A comparison reports \
                 the same figure.",
            ),
            ("p99", "99th percentile of the age over the same time. It needs 1,000 updates."),
            ("p50", "Median age of the last 5 s."),
            ("max", "Largest age of the last 5 s."),
            (
                "freezes",
                "Number of times the opponent stood still for more than three send periods, since the \
                 start of the race.",
            ),
            (
                "missing",
                "Share of updates that never arrived: lost, or superseded by a newer one before they were \
                 sent.",
            ),
        ];
        Grid::new("race table").num_columns(8).min_row_height(20.0).spacing([12.0, 5.0]).show(ui, |ui| {
            ui.label(RichText::new("age in ms").small().color(colors.muted));
            for (head, about) in heads {
                right(ui, RichText::new(head).small().color(colors.muted)).on_hover_text(about);
            }
            ui.label("");
            ui.end_row();
            for (kind, contender) in self.kinds().iter().zip(&self.figures) {
                ui.label(RichText::new(kind.name()).strong().color(kind_color(*kind, ui.visuals())));
                let missing =
                    contender.missing_percent.map_or("–".into(), |percent| format!("{percent:.1} %"));
                let cells = [
                    ms(contender.age_mean_us.map(|us| us as u64)),
                    ms(contender.age_p99_us),
                    ms(contender.age.p50_us),
                    ms(contender.age.max_us),
                    contender.freezes.to_string(),
                    missing,
                ];
                for cell in cells {
                    right(ui, RichText::new(cell).monospace());
                }
                let grade = Thresholds::AGE_MS.grade(contender.age.p95_us.map(|us| us as f64 / 1e3));
                ui.label(RichText::new(grade.word()).small().strong().color(grade.color(&colors)))
                    .on_hover_text("Grade of the p95 age of the last 5 s.");
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
    // A short delay, because `request_repaint` paints twice.
    move || ctx.request_repaint_after(Duration::from_millis(1))
}

/// Shows the reasons to reject the ages. Shows nothing for a valid link.
fn link_warning(ui: &mut Ui, problems: &[String]) {
    if problems.is_empty() {
        return;
    }
    let text = format!(
        "These ages are not valid: within the last half minute, {}. A comparison discards such a run. \
         Reduce the load on this machine: race fewer transports, or lower the rate.",
        problems.join("; ")
    );
    ui.add(egui::Label::new(RichText::new(text).strong().color(palette(ui.visuals()).poor)).wrap());
}

#[cfg(test)]
mod tests {
    use egui_kittest::{Harness, kittest::Queryable};

    use super::*;

    #[test]
    fn link_warning_is_accessible() {
        let app = Harness::new_ui(|ui| link_warning(ui, &["packets were up to 5.00 ms late at p99".into()]));
        assert!(app.query_by_label_contains("These ages are not valid").is_some());
        assert!(app.query_by_label_contains("5.00 ms late").is_some());
        let app = Harness::new_ui(|ui| link_warning(ui, &[]));
        assert!(app.query_by_label_contains("valid").is_none());
    }
}
