//! The start screen: the ways to begin, and the settings of a match. Tab reaches every control, and
//! Enter starts.

use eframe::egui::{self, Align, Button, ComboBox, Layout, RichText, ScrollArea, Slider, TextEdit, Ui, vec2};
use netduel_protocol::{MAX_CODE_BYTES, MAX_NAME_BYTES};
use netduel_transport::TransportKind;

use crate::{
    settings::{Choice, ColorScheme, RATES_HZ, Settings},
    theme::{GAP, NARROW, card, fixed_label, palette},
};

/// The largest width of the content, in points. Longer lines are hard to read.
const WIDTH_MAX: f32 = 860.0;

/// The width of the form's labels, in points.
const LABEL_WIDTH: f32 = 84.0;

/// The start screen with its state.
#[derive(Debug, Default)]
pub(crate) struct StartView {
    /// The parse error of a field, shown below the form.
    pub(crate) problem: Option<String>,
    /// Whether the next frame focuses the last choice, so that Enter starts it.
    pub(crate) focus: bool,
}

impl StartView {
    pub(crate) fn new() -> Self {
        Self { problem: None, focus: true }
    }

    /// Draws the screen. Returns the player's choice, if there is one.
    pub(crate) fn show(&mut self, ui: &mut Ui, settings: &mut Settings) -> Option<Choice> {
        let mut chosen = None;
        ScrollArea::vertical().show(ui, |ui| {
            let width = ui.available_width().min(WIDTH_MAX);
            let margin = ((ui.available_width() - width) / 2.0).max(0.0);
            ui.add_space(((ui.ctx().content_rect().height() - 700.0) / 2.0).clamp(0.0, 60.0));
            ui.horizontal_top(|ui| {
                ui.add_space(margin);
                ui.vertical(|ui| {
                    ui.set_width(width);
                    header(ui, settings);
                    ui.add_space(GAP);
                    chosen = self.content(ui, settings);
                });
            });
        });
        chosen
    }

    fn content(&mut self, ui: &mut Ui, settings: &mut Settings) -> Option<Choice> {
        let mut chosen = None;
        let mut choose = |choice: Option<Choice>| chosen = choice.or(chosen);
        let wide = ui.available_width() > NARROW * 0.75;
        let focused = if std::mem::take(&mut self.focus) { Some(settings.choice) } else { None };
        side_by_side(ui, wide, |ui, side| match side {
            0 => choose(begin_card(
                ui,
                (Choice::PlayNow, focused),
                "Play now",
                "Play against a bot on this machine, without any setup.",
            )),
            _ => choose(begin_card(
                ui,
                (Choice::Race, focused),
                "Race transports",
                "Send the same moves over several transports at once, over an emulated Wi-Fi or LTE link, \
                 and compare their delays.",
            )),
        });
        ui.add_space(GAP);
        card(ui.visuals()).show(ui, |ui| player(ui, settings));
        ui.add_space(GAP);
        side_by_side(ui, wide, |ui, side| {
            let min_height = if wide { 250.0 } else { 0.0 };
            card(ui.visuals()).show(ui, |ui| {
                ui.set_min_height(min_height);
                ui.set_min_width(ui.available_width());
                match side {
                    0 => choose(self.host(ui, settings, focused)),
                    _ => choose(self.join(ui, settings, focused)),
                }
            });
        });
        chosen
    }

    fn host(&self, ui: &mut Ui, settings: &mut Settings, focused: Option<Choice>) -> Option<Choice> {
        ui.label(RichText::new("Host").size(17.0).strong());
        let about = "Start a server for players in your network, with each transport on its default port, and \
         wait there for an opponent. The next screen shows the address and the fingerprint that other \
         players need.";
        ui.label(RichText::new(about).color(palette(ui.visuals()).muted));
        code(ui, "Match code to host", settings);
        let plaintext = "Also offer tcp, enet and udp: others on the way can read and change these.";
        ui.checkbox(&mut settings.plaintext, plaintext);
        self.problem(ui, settings, Choice::Host);
        ui.add_space(4.0);
        let button = ui.add_sized(vec2(150.0, 32.0), Button::new("Host a match"));
        if focused == Some(Choice::Host) {
            button.request_focus();
        }
        button.clicked().then_some(Choice::Host)
    }

    /// Draws what is wrong with the choice that was made last.
    fn problem(&self, ui: &mut Ui, settings: &Settings, of: Choice) {
        if let Some(problem) = self.problem.as_ref().filter(|_| settings.choice == of) {
            ui.add(egui::Label::new(RichText::new(problem).color(palette(ui.visuals()).poor)).wrap());
        }
    }

    fn join(&self, ui: &mut Ui, settings: &mut Settings, focused: Option<Choice>) -> Option<Choice> {
        ui.label(RichText::new("Join").size(17.0).strong());
        ui.label(RichText::new("Play on the server of another host.").color(palette(ui.visuals()).muted));
        let encrypted = settings.kind().capabilities().encrypted;
        field(ui, "Server", &mut settings.server, "address or address:port");
        if encrypted {
            field(ui, "Fingerprint", &mut settings.pin, "64 hexadecimal digits that the host shows");
            if settings.pin.trim().is_empty() {
                field(ui, "or CA file", &mut settings.ca, "path of the certificate file (PEM)");
            }
        }
        code(ui, "Match code to join", settings);
        self.problem(ui, settings, Choice::Join);
        ui.add_space(4.0);
        let button = ui.add_sized(vec2(150.0, 32.0), Button::new("Join the server"));
        if focused == Some(Choice::Join) {
            button.request_focus();
        }
        button.clicked().then_some(Choice::Join)
    }
}

fn header(ui: &mut Ui, settings: &mut Settings) {
    ui.add_space(GAP * 1.5);
    ui.horizontal(|ui| {
        ui.label(RichText::new("Netduel").size(34.0).strong());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| color_scheme(ui, settings));
    });
    let text = "Two players, one server and the network between them. Play, and watch what each transport \
     makes of your moves.";
    ui.label(RichText::new(text).size(15.0).color(palette(ui.visuals()).muted));
}

/// Draws the choice of the colour scheme.
fn color_scheme(ui: &mut Ui, settings: &mut Settings) {
    // The layout runs from right to left, so the last scheme comes first.
    for scheme in ColorScheme::ALL.into_iter().rev() {
        ui.selectable_value(&mut settings.look, scheme, scheme.name());
    }
    ui.label(RichText::new("Colours").small().color(palette(ui.visuals()).muted));
}

/// Draws two parts side by side, or one below the other in a narrow window.
fn side_by_side(ui: &mut Ui, wide: bool, mut show: impl FnMut(&mut Ui, usize)) {
    if wide {
        ui.spacing_mut().item_spacing.x = GAP;
        ui.columns(2, |columns| {
            for (side, ui) in columns.iter_mut().enumerate() {
                // Columns justify their text by default; this layout does not.
                ui.with_layout(Layout::top_down(Align::Min), |ui| show(ui, side));
            }
        });
    } else {
        show(ui, 0);
        ui.add_space(GAP);
        show(ui, 1);
    }
}

fn begin_card(
    ui: &mut Ui,
    (choice, focused): (Choice, Option<Choice>),
    name: &str,
    about: &str,
) -> Option<Choice> {
    let colors = palette(ui.visuals());
    let clicked = card(ui.visuals())
        .show(ui, |ui| {
            ui.set_min_width(ui.available_width());
            ui.set_min_height(92.0);
            let text = RichText::new(name).size(18.0).strong().color(egui::Color32::WHITE);
            let fill =
                if ui.visuals().dark_mode { colors.accent.gamma_multiply(0.85) } else { colors.accent };
            let button = ui.add_sized(vec2(ui.available_width(), 46.0), Button::new(text).fill(fill));
            if focused == Some(choice) {
                button.request_focus();
            }
            ui.label(RichText::new(about).color(colors.muted));
            button.clicked()
        })
        .inner;
    clicked.then_some(choice)
}

/// Draws the player's name, the transport and the rate.
fn player(ui: &mut Ui, settings: &mut Settings) {
    ui.set_min_width(ui.available_width());
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 10.0;
        let label = ui.label("Your name");
        ui.add(TextEdit::singleline(&mut settings.name).desired_width(130.0).char_limit(MAX_NAME_BYTES / 2))
            .labelled_by(label.id);
        ui.add_space(GAP);
        transport(ui, settings);
        ui.add_space(GAP);
        rate(ui, &mut settings.rate_hz);
    });
    let kind = settings.kind();
    ui.label(RichText::new(format!("{kind}: {}", kind.summary())).small().color(palette(ui.visuals()).muted));
}

fn transport(ui: &mut Ui, settings: &mut Settings) {
    let label = ui.label("Transport");
    let chosen = settings.kind();
    let response = ComboBox::from_id_salt("transport")
        .selected_text(chosen.name())
        .width(130.0)
        .show_ui(ui, |ui| {
            for kind in TransportKind::ALL {
                let response = ui.selectable_label(kind == chosen, kind.name()).on_hover_text(kind.summary());
                if response.clicked() {
                    settings.transport = kind.name().into();
                }
            }
        })
        .response;
    response.labelled_by(label.id);
}

/// Draws the slider of the update rate. Returns whether the rate changed.
pub(crate) fn rate(ui: &mut Ui, rate_hz: &mut u32) -> bool {
    let label = ui.label("Rate");
    let slider = Slider::new(rate_hz, RATES_HZ).logarithmic(true).suffix(" Hz");
    ui.add(slider).labelled_by(label.id).on_hover_text("Moves sent per second.").changed()
}

fn code(ui: &mut Ui, name: &str, settings: &mut Settings) {
    ui.horizontal(|ui| {
        fixed_label(ui, "Match code", LABEL_WIDTH);
        let edit = TextEdit::singleline(&mut settings.code)
            .hint_text("none: any opponent")
            .char_limit(MAX_CODE_BYTES / 2)
            .desired_width(f32::INFINITY);
        named(ui.add(edit), name);
    });
}

fn field(ui: &mut Ui, name: &str, value: &mut String, hint: &str) {
    ui.horizontal(|ui| {
        let label = fixed_label(ui, name, LABEL_WIDTH);
        let edit = TextEdit::singleline(value).hint_text(hint).desired_width(f32::INFINITY);
        ui.add(edit).labelled_by(label.id);
    });
}

/// Gives a tooltip to a text field without a label.
fn named(response: egui::Response, name: &str) {
    response.on_hover_text(name);
}
