//! The game: the arena with both players, the state above it, the statistics beside it.

use std::{path::PathBuf, time::Instant};

use eframe::egui::{self, Align, CentralPanel, Layout, Panel, RichText, ScrollArea, Ui};
use netduel_client::stats::live::Figures;
use netduel_protocol::{
    clock,
    game::{Heading, Position},
};

use crate::{
    model::{
        interpolation::{OwnTrack, PeerTrack},
        recording::{Recorder, Seat},
        thresholds::ms,
    },
    net::backend::{Motion, Network, Phase, Snapshot},
    settings::Settings,
    theme::{self, GAP, NARROW, card, palette},
    views::{
        arena::{self, Look, Sprite},
        figures, path,
        phase::{Words, words},
        plots, start,
    },
};

/// How wide the statistics are beside the arena.
const SIDE_WIDTH: f32 = 456.0;
/// What a plot may show.
const SPANS_S: [f64; 2] = [30.0, 5.0];
/// The opponent is drawn this many of its send periods late, on top of the delay of 95 % of its moves, so that the next
/// one has usually come when it is needed.
const PERIODS_LATE: u64 = 1;

/// What the player wants, told to the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Back to the start screen.
    Leave,
    /// Another match, or another try.
    Again,
}

/// The game's state on the screen.
#[derive(Debug)]
pub(crate) struct GameView {
    pub(crate) snapshot: Snapshot,
    own: OwnTrack,
    peer: PeerTrack,
    heading: Heading,
    recorder: Recorder,
    recordings: PathBuf,
    /// Whether the opponent's statistics are shown, not the own ones.
    peers_side: bool,
    span: usize,
    note: Option<String>,
    transport: String,
}

impl GameView {
    pub(crate) fn new(recordings: PathBuf, seat: Seat) -> Self {
        let transport = seat.transport.clone();
        Self {
            snapshot: Snapshot::default(),
            own: OwnTrack::default(),
            peer: PeerTrack::default(),
            heading: Heading::default(),
            recorder: Recorder::new(seat),
            recordings,
            peers_side: false,
            span: 0,
            note: None,
            transport,
        }
    }

    fn match_us(&self, now_us: u64) -> u64 {
        now_us.saturating_add_signed(self.snapshot.match_offset_us)
    }

    /// Takes in what came from the network thread since the last frame. Returns whether another frame would show more.
    pub(crate) fn update(&mut self, network: &Network, heading: Heading) -> bool {
        self.snapshot = network.snapshot();
        let now_us = clock::now_us();
        let match_us = self.match_us(now_us);
        self.own.advance(now_us, self.heading);
        // Who is not heard stands still.
        let cut_off = matches!(self.snapshot.phase, Phase::Reconnecting { .. });
        let heading = if cut_off { Heading::default() } else { heading };
        self.heading = heading;
        for motion in network.motions() {
            match motion {
                Motion::Began { positions: [own, peer] } => {
                    self.own = OwnTrack::new(own, now_us);
                    self.peer = PeerTrack::new(peer, match_us);
                    self.recorder.restart();
                    self.note = None;
                }
                Motion::Own { position, at_us } => self.own.correct(position, at_us, heading),
                Motion::Peer { position, sent_us } => self.peer.push(sent_us, position),
            }
        }
        let figures = &self.snapshot.figures;
        let period_us = figures.peer_period_us.unwrap_or(0);
        self.peer.advance(match_us, figures.one_way.p95_us.unwrap_or(0) + PERIODS_LATE * period_us);
        let playing = self.snapshot.phase.in_match();
        if playing {
            self.recorder.push(&self.snapshot);
        }
        playing && (heading != Heading::default() || self.own.slides() || self.peer.moves())
    }

    /// Draws it; returns what was asked for.
    pub(crate) fn show(&mut self, ui: &mut Ui, settings: &mut Settings, network: &Network) -> Option<Wanted> {
        let words = words(&self.snapshot, Instant::now());
        let wanted = Panel::top("state").show(ui, |ui| self.state_bar(ui, &words)).inner;
        let in_match = self.snapshot.started.is_some() && self.snapshot.phase != Phase::Opening;
        if ui.available_width() >= NARROW {
            if in_match {
                Panel::right("statistics").exact_size(SIDE_WIDTH).resizable(false).show(ui, |ui| {
                    ScrollArea::vertical().show(ui, |ui| self.statistics(ui, settings.rate_hz));
                });
            }
            CentralPanel::default().show(ui, |ui| {
                let side = ui.available_width().min(ui.available_height() - 40.0).max(120.0);
                self.ground(ui, side, &words, settings, network);
            });
        } else {
            CentralPanel::default().show(ui, |ui| {
                ScrollArea::vertical().show(ui, |ui| {
                    let side = ui.available_width().min((ui.available_height() - 40.0).max(240.0));
                    self.ground(ui, side, &words, settings, network);
                    if in_match {
                        ui.add_space(GAP);
                        self.statistics(ui, settings.rate_hz);
                    }
                });
            });
        }
        wanted
    }

    fn state_bar(&self, ui: &mut Ui, words: &Words) -> Option<Wanted> {
        let colors = palette(ui.visuals());
        let color = match self.snapshot.phase {
            Phase::Playing => colors.good,
            Phase::Lost { .. } | Phase::Gone { .. } | Phase::Refused { .. } => colors.poor,
            _ => colors.fair,
        };
        let mut wanted = None;
        let narrow = ui.available_width() < NARROW;
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            theme::swatch(ui, color);
            ui.label(RichText::new(&words.title).size(16.0).strong());
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if ui.button("Leave").on_hover_text("Escape").clicked() {
                    wanted = Some(Wanted::Leave);
                }
                if let Some(again) = words.again
                    && ui.button(again).on_hover_text("R").clicked()
                {
                    wanted = Some(Wanted::Again);
                }
                if !narrow {
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| self.pairing(ui));
                }
            });
        });
        if narrow {
            ui.horizontal(|ui| self.pairing(ui));
        }
        if self.snapshot.phase != Phase::Playing {
            self.invitation(ui);
        }
        ui.add_space(4.0);
        wanted
    }

    fn pairing(&self, ui: &mut Ui) {
        let Some(started) = &self.snapshot.started else { return };
        let colors = palette(ui.visuals());
        let mine = format!("you over {}", self.transport);
        let theirs = format!("{} over {}", started.opponent_name, started.opponent_transport);
        ui.label(RichText::new(mine).color(colors.me));
        ui.label(RichText::new("against").color(colors.muted));
        ui.add(egui::Label::new(RichText::new(theirs).color(colors.peer)).truncate());
    }

    fn ground(&mut self, ui: &mut Ui, side: f32, words: &Words, settings: &mut Settings, network: &Network) {
        let sprites = self.sprites(ui, settings);
        ui.vertical_centered(|ui| {
            ui.set_max_width(ui.available_width());
            let rect = arena::show(ui, side, &sprites, &[]);
            if self.snapshot.phase != Phase::Playing {
                arena::banner(ui, rect, &words.title, &words.advice);
            }
        });
        let margin = ((ui.available_width() - side) / 2.0).max(0.0);
        ui.horizontal_wrapped(|ui| {
            ui.add_space(margin);
            self.switches(ui, settings, network);
        });
    }

    fn sprites(&self, ui: &Ui, settings: &Settings) -> Vec<Sprite> {
        let colors = palette(ui.visuals());
        let Some(started) = &self.snapshot.started else { return Vec::new() };
        let sprite = |position: Position, color, look, label: &str| Sprite {
            position,
            color,
            look,
            label: label.into(),
        };
        let shown = if settings.smooth { self.peer.smooth() } else { self.peer.newest() };
        let mut sprites = vec![sprite(shown, colors.peer, Look::Solid, &started.opponent_name)];
        if settings.ghost {
            sprites.push(sprite(self.peer.newest(), colors.truth, Look::Ghost, ""));
        }
        sprites.push(sprite(self.own.shown(), colors.me, Look::Solid, "you"));
        sprites
    }

    fn switches(&self, ui: &mut Ui, settings: &mut Settings, network: &Network) {
        let late = format!(
            "Off: the opponent jumps from update to update, as they arrive. On: it is drawn between them, {} ms late.",
            ms(Some(self.peer.delay_us()))
        );
        ui.checkbox(&mut settings.smooth, "Smooth opponent").on_hover_text(late);
        ui.checkbox(&mut settings.ghost, "Ghost").on_hover_text(
            "A dashed outline at the newest known position: where the opponent truly was when it sent its last move that came.",
        );
        if start::rate(ui, &mut settings.rate_hz) {
            network.set_rate(settings.rate_hz);
        }
        ui.label(RichText::new("arrows or WASD steer").small().color(palette(ui.visuals()).muted));
    }

    fn invitation(&self, ui: &mut Ui) {
        let Some(invitation) = &self.snapshot.invitation else { return };
        ui.add_space(4.0);
        card(ui.visuals()).show(ui, |ui| {
            ui.set_min_width(ui.available_width());
            ui.label(RichText::new("For whoever joins").strong());
            let ports: Vec<String> =
                invitation.ports.iter().map(|(kind, port)| format!("{kind} {port}")).collect();
            ui.horizontal_wrapped(|ui| {
                ui.label(format!("Server {}", invitation.host));
                ui.label(RichText::new(format!("ports: {}", ports.join(", "))).small());
            });
            ui.horizontal_wrapped(|ui| {
                ui.label(RichText::new(&invitation.pin).monospace().size(11.0));
                if ui.button("Copy the fingerprint").clicked() {
                    ui.ctx().copy_text(invitation.pin.clone());
                }
            });
        });
    }

    fn statistics(&mut self, ui: &mut Ui, rate_hz: u32) {
        let colors = palette(ui.visuals());
        let peer = self.snapshot.peer_figures.clone();
        let figures: std::sync::Arc<Figures> = match &peer {
            Some(peer) if self.peers_side => peer.clone(),
            _ => self.snapshot.figures.clone(),
        };
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            ui.selectable_value(&mut self.peers_side, false, "My link");
            let enabled = peer.is_some();
            ui.add_enabled_ui(enabled, |ui| {
                ui.selectable_value(&mut self.peers_side, true, "Opponent's link").on_disabled_hover_text(
                    "Known against the bot only: a player elsewhere does not tell its figures. What can be told of its line stands under the path below.",
                );
            });
            self.peers_side &= enabled;
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                self.save_button(ui, rate_hz);
            });
        });
        if let Some(note) = &self.note {
            ui.add(egui::Label::new(RichText::new(note).small().color(colors.muted)).wrap());
        }
        figures::tiles(ui, &figures);
        ui.add_space(2.0);
        if !self.peers_side {
            self.plot(ui, &figures);
        }
        figures::delays(ui, "delays", &figures);
        ui.separator();
        ui.horizontal(|ui| {
            ui.label(RichText::new("The path of a move").strong());
            path::legend(ui);
        });
        path::show(ui, &self.snapshot.figures, peer.as_deref());
        ui.separator();
        figures::counts(ui, "counts", &figures);
        ui.separator();
        ui.label(RichText::new("What the transport itself says").strong());
        figures::transport(ui, "transport figures", &figures);
        ui.add_space(GAP);
    }

    fn plot(&mut self, ui: &mut Ui, figures: &Figures) {
        let colors = palette(ui.visuals());
        ui.horizontal(|ui| {
            let lines =
                [("age of the opponent", colors.peer), ("round trip", colors.me), ("one way", colors.good)];
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
        let button = button.on_hover_text("The figures of this match, ten a second, as CSV and JSON. netduel-report recording draws a page of the JSON.");
        if button.clicked() {
            self.note = self.save(rate_hz);
        }
    }

    /// Saves the match, and says where, or why not; `None` if there is none.
    pub(crate) fn save(&mut self, rate_hz: u32) -> Option<String> {
        let started = self.snapshot.started.as_ref().filter(|_| !self.recorder.is_empty())?;
        Some(match self.recorder.save(&self.recordings, started, rate_hz) {
            Ok(path) => {
                format!(
                    "Saved {0}.csv and .json; a page of it: netduel-report recording {0}.json",
                    path.display()
                )
            }
            Err(error) => format!("Cannot save to {}: {error}", self.recordings.display()),
        })
    }
}
