//! The game screen: the arena with both players, the state bar above it, and the statistics beside
//! it.

use std::{path::PathBuf, time::Instant};

use eframe::egui::{self, Align, CentralPanel, Layout, Panel, RichText, ScrollArea, Ui};
use netduel_client::stats::live::Figures;
use netduel_protocol::{
    clock,
    game::{Heading, Position},
};

use crate::{
    model::{
        interpolation::{OpponentTrack, OwnTrack},
        recording::{MatchInfo, Recorder},
        thresholds::ms,
    },
    net::{
        backend::Backend,
        messages::{Phase, PositionUpdate, Snapshot},
    },
    settings::Settings,
    theme::{self, GAP, NARROW, card, palette},
    views::{
        arena::{self, Sprite, SpriteStyle},
        figures, path,
        phase::{PhaseText, describe},
        plots, start,
    },
};

/// The width of the statistics beside the arena, in points.
const SIDE_WIDTH: f32 = 456.0;
/// The time spans that the plot offers, in s.
const SPANS_S: [f64; 2] = [30.0, 5.0];
/// The opponent's display delay in send periods, in addition to the p95 one-way delay. With it, the
/// next move has usually arrived when it is drawn.
const DISPLAY_DELAY_PERIODS: u64 = 1;

/// The player's action on the screen, for the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Returns to the start screen.
    Leave,
    /// Queues for another match, or retries the connection.
    Again,
}

/// The game screen with its state.
#[derive(Debug)]
pub(crate) struct GameView {
    pub(crate) snapshot: Snapshot,
    own: OwnTrack,
    opponent: OpponentTrack,
    heading: Heading,
    recorder: Recorder,
    recordings: PathBuf,
    /// Whether the statistics show the opponent's link in place of the own one.
    shows_opponent: bool,
    span: usize,
    note: Option<String>,
    transport: String,
}

impl GameView {
    pub(crate) fn new(recordings: PathBuf, info: MatchInfo) -> Self {
        let transport = info.transport.clone();
        Self {
            snapshot: Snapshot::default(),
            own: OwnTrack::default(),
            opponent: OpponentTrack::default(),
            heading: Heading::default(),
            recorder: Recorder::new(info),
            recordings,
            shows_opponent: false,
            span: 0,
            note: None,
            transport,
        }
    }

    fn match_us(&self, now_us: u64) -> u64 {
        now_us.saturating_add_signed(self.snapshot.match_offset_us)
    }

    /// Applies the updates of the network thread since the last frame. Returns whether something
    /// still moves.
    pub(crate) fn update(&mut self, backend: &Backend, heading: Heading) -> bool {
        self.snapshot = backend.snapshot();
        let now_us = clock::now_us();
        let match_us = self.match_us(now_us);
        self.own.advance(now_us, self.heading);
        // A disconnected player stands still.
        let cut_off = matches!(self.snapshot.phase, Phase::Reconnecting { .. });
        let heading = if cut_off { Heading::default() } else { heading };
        self.heading = heading;
        for update in backend.positions() {
            match update {
                PositionUpdate::MatchStarted { positions: [own, opponent] } => {
                    self.own = OwnTrack::new(own, now_us);
                    self.opponent = OpponentTrack::new(opponent, match_us);
                    self.recorder.restart();
                    self.note = None;
                }
                PositionUpdate::Own { position, at_us } => self.own.correct(position, at_us, heading),
                PositionUpdate::Opponent { position, sent_us } => {
                    self.opponent.push(match_us, sent_us, position);
                }
            }
        }
        let figures = &self.snapshot.figures;
        let period_us = figures.opponent_period_us.unwrap_or(0).saturating_mul(DISPLAY_DELAY_PERIODS);
        self.opponent.advance(match_us, figures.one_way.p95_us.unwrap_or(0).saturating_add(period_us));
        let playing = self.snapshot.phase.in_match();
        if playing {
            let Snapshot { figures, totals, opponent_figures, opponent_totals, .. } = &self.snapshot;
            let opponent = opponent_figures.as_ref().zip(opponent_totals.as_ref());
            self.recorder.push((figures, totals), opponent);
        }
        playing && (heading != Heading::default() || self.own.is_sliding() || self.opponent.is_moving())
    }

    /// Draws the screen. Returns the player's action, if there is one.
    pub(crate) fn show(&mut self, ui: &mut Ui, settings: &mut Settings, backend: &Backend) -> Option<Action> {
        let text = describe(&self.snapshot, Instant::now());
        let action = Panel::top("state").show(ui, |ui| self.state_bar(ui, &text)).inner;
        let in_match = self.snapshot.started.is_some() && self.snapshot.phase != Phase::StartingServer;
        if ui.available_width() >= NARROW {
            if in_match {
                Panel::right("statistics").exact_size(SIDE_WIDTH).resizable(false).show(ui, |ui| {
                    ScrollArea::vertical().show(ui, |ui| self.statistics(ui, settings.rate_hz));
                });
            }
            CentralPanel::default().show(ui, |ui| {
                let side = ui.available_width().min(ui.available_height() - 40.0).max(120.0);
                self.arena(ui, side, &text, settings, backend);
            });
        } else {
            CentralPanel::default().show(ui, |ui| {
                ScrollArea::vertical().show(ui, |ui| {
                    let side = ui.available_width().min((ui.available_height() - 40.0).max(240.0));
                    self.arena(ui, side, &text, settings, backend);
                    if in_match {
                        ui.add_space(GAP);
                        self.statistics(ui, settings.rate_hz);
                    }
                });
            });
        }
        action
    }

    fn state_bar(&self, ui: &mut Ui, text: &PhaseText) -> Option<Action> {
        let colors = palette(ui.visuals());
        let color = match self.snapshot.phase {
            Phase::Playing => colors.good,
            Phase::Lost { .. } | Phase::Unreachable { .. } | Phase::Refused { .. } => colors.poor,
            _ => colors.fair,
        };
        let mut action = None;
        let narrow = ui.available_width() < NARROW;
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            theme::swatch(ui, color);
            ui.label(RichText::new(&text.title).size(16.0).strong());
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if ui.button("Leave").on_hover_text("Escape").clicked() {
                    action = Some(Action::Leave);
                }
                if let Some(again) = text.again
                    && ui.button(again).on_hover_text("R").clicked()
                {
                    action = Some(Action::Again);
                }
                if !narrow {
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| self.match_line(ui));
                }
            });
        });
        if narrow {
            ui.horizontal(|ui| self.match_line(ui));
        }
        if self.snapshot.phase != Phase::Playing {
            self.invitation(ui);
        }
        ui.add_space(4.0);
        action
    }

    fn match_line(&self, ui: &mut Ui) {
        let Some(started) = &self.snapshot.started else { return };
        let colors = palette(ui.visuals());
        let mine = format!("you over {}", self.transport);
        let theirs = format!("{} over {}", started.opponent_name, started.opponent_transport);
        ui.label(RichText::new(mine).color(colors.me));
        ui.label(RichText::new("against").color(colors.muted));
        ui.add(egui::Label::new(RichText::new(theirs).color(colors.opponent)).truncate());
    }

    fn arena(
        &mut self,
        ui: &mut Ui,
        side: f32,
        text: &PhaseText,
        settings: &mut Settings,
        backend: &Backend,
    ) {
        let sprites = self.sprites(ui, settings);
        ui.vertical_centered(|ui| {
            ui.set_max_width(ui.available_width());
            let rect = arena::show(ui, side, &sprites, &[]);
            if self.snapshot.phase != Phase::Playing {
                arena::banner(ui, rect, &text.title, &text.advice);
            }
        });
        let margin = ((ui.available_width() - side) / 2.0).max(0.0);
        ui.horizontal_wrapped(|ui| {
            ui.add_space(margin);
            self.switches(ui, settings, backend);
        });
    }

    fn sprites(&self, ui: &Ui, settings: &Settings) -> Vec<Sprite> {
        let colors = palette(ui.visuals());
        let Some(started) = &self.snapshot.started else { return Vec::new() };
        let sprite = |position: Position, color, style, label: &str| Sprite {
            position,
            color,
            style,
            label: label.into(),
        };
        let shown = if settings.smooth { self.opponent.smooth() } else { self.opponent.newest() };
        let mut sprites = vec![sprite(shown, colors.opponent, SpriteStyle::Solid, &started.opponent_name)];
        if settings.ghost {
            sprites.push(sprite(self.opponent.newest(), colors.truth, SpriteStyle::Ghost, ""));
        }
        sprites.push(sprite(self.own.shown(), colors.me, SpriteStyle::Solid, "you"));
        sprites
    }

    fn switches(&self, ui: &mut Ui, settings: &mut Settings, backend: &Backend) {
        let late = format!(
            "On: the opponent is drawn between its updates, {} ms late. Off: the opponent jumps to each \
             update when it arrives.",
            ms(Some(self.opponent.delay_us()))
        );
        ui.checkbox(&mut settings.smooth, "Smooth opponent").on_hover_text(late);
        ui.checkbox(&mut settings.ghost, "Ghost").on_hover_text(
            "A dashed outline at the opponent's newest known position: its true position when it sent its \
             last received move.",
        );
        if start::rate(ui, &mut settings.rate_hz) {
            backend.set_rate(settings.rate_hz);
        }
        ui.label(RichText::new("Arrows or WASD steer").small().color(palette(ui.visuals()).muted));
    }

    fn invitation(&self, ui: &mut Ui) {
        let Some(invitation) = &self.snapshot.invitation else { return };
        ui.add_space(4.0);
        card(ui.visuals()).show(ui, |ui| {
            ui.set_min_width(ui.available_width());
            ui.label(RichText::new("Other players join with").strong());
            let ports: Vec<String> =
                invitation.ports.iter().map(|(kind, port)| format!("{kind} {port}")).collect();
            ui.horizontal_wrapped(|ui| {
                ui.label(format!("Server: {}", invitation.host));
                ui.label(RichText::new(format!("Ports: {}", ports.join(", "))).small());
            });
            ui.horizontal_wrapped(|ui| {
                ui.label("Fingerprint:");
                ui.label(RichText::new(&invitation.pin).monospace().size(11.0));
                if ui.button("Copy the fingerprint").clicked() {
                    ui.ctx().copy_text(invitation.pin.clone());
                }
            });
        });
    }

    fn statistics(&mut self, ui: &mut Ui, rate_hz: u32) {
        let colors = palette(ui.visuals());
        let opponent = self.snapshot.opponent_figures.clone();
        let figures: std::sync::Arc<Figures> = match &opponent {
            Some(opponent) if self.shows_opponent => opponent.clone(),
            _ => self.snapshot.figures.clone(),
        };
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            ui.selectable_value(&mut self.shows_opponent, false, "My link");
            let enabled = opponent.is_some();
            ui.add_enabled_ui(enabled, |ui| {
                ui.selectable_value(&mut self.shows_opponent, true, "Opponent's link")
                    .on_disabled_hover_text(
                        "Only a match against the bot shows this. A remote player does not send its figures; \
                     the path of a move below estimates its link.",
                    );
            });
            self.shows_opponent &= enabled;
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                self.save_button(ui, rate_hz);
            });
        });
        if let Some(note) = &self.note {
            ui.add(egui::Label::new(RichText::new(note).small().color(colors.muted)).wrap());
        }
        figures::tiles(ui, &figures);
        ui.add_space(2.0);
        if !self.shows_opponent {
            self.plot(ui, &figures);
        }
        figures::delays(ui, "delays", &figures);
        ui.separator();
        ui.horizontal(|ui| {
            ui.label(RichText::new("The path of a move").strong());
            path::legend(ui);
        });
        path::show(ui, &self.snapshot.figures, opponent.as_deref());
        ui.separator();
        figures::counts(ui, "counts", &figures);
        ui.separator();
        ui.label(RichText::new("Statistics of the transport").strong());
        figures::transport(ui, "transport figures", &figures);
        ui.add_space(GAP);
    }

    fn plot(&mut self, ui: &mut Ui, figures: &Figures) {
        let colors = palette(ui.visuals());
        ui.horizontal(|ui| {
            let lines =
                [("age of position", colors.opponent), ("round trip", colors.me), ("one way", colors.good)];
            theme::legend(ui, &lines);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                for (number, span_s) in SPANS_S.iter().enumerate() {
                    ui.selectable_value(&mut self.span, number, RichText::new(format!("{span_s} s")).small());
                }
            });
        });
        let now_s = figures.at_us as f64 / 1e6;
        let trace = if self.span == 0 { &self.snapshot.trace } else { &self.snapshot.close_trace };
        plots::link(ui, trace, now_s, SPANS_S[self.span], 150.0);
    }

    fn save_button(&mut self, ui: &mut Ui, rate_hz: u32) {
        let button = ui.add_enabled(!self.recorder.is_empty(), egui::Button::new("Save recording"));
        let button = button.on_hover_text(
            "Saves the figures of this match as CSV and JSON, ten samples a \
         second. netduel-reports recording FILE.json makes a page of them.",
        );
        if button.clicked() {
            self.note = self.save(rate_hz);
        }
    }

    /// Saves the recording. Returns a note with the path or the error, or `None` without a match.
    pub(crate) fn save(&mut self, rate_hz: u32) -> Option<String> {
        let started = self.snapshot.started.as_ref().filter(|_| !self.recorder.is_empty())?;
        Some(match self.recorder.save(&self.recordings, started, rate_hz) {
            Ok(path) => {
                format!(
                    "Saved {0}.csv and {0}.json. To make a page of it, run: netduel-reports recording \
                     {0}.json",
                    path.display()
                )
            }
            Err(error) => format!("Cannot save the recording to {}: {error}", self.recordings.display()),
        })
    }
}
