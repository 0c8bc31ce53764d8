//! The theme: colours and sizes of the light and the dark scheme. A word accompanies every colour
//! that carries meaning.

use eframe::egui::{
    self, Color32, Context, CornerRadius, FontFamily, FontId, Margin, Stroke, TextStyle, Theme, Visuals,
};
use netduel_transport::TransportKind;

/// The space between and within cards, in points.
pub(crate) const GAP: f32 = 12.0;
/// The window width, in points, below which the statistics move under the arena.
pub(crate) const NARROW: f32 = 860.0;

/// The colours of one scheme.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Palette {
    pub(crate) me: Color32,
    pub(crate) opponent: Color32,
    pub(crate) truth: Color32,
    pub(crate) good: Color32,
    pub(crate) fair: Color32,
    pub(crate) poor: Color32,
    pub(crate) muted: Color32,
    pub(crate) card: Color32,
    pub(crate) floor: Color32,
    pub(crate) line: Color32,
    pub(crate) accent: Color32,
    pub(crate) focus: Color32,
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

/// Returns the colours of the current scheme.
pub(crate) fn palette(visuals: &Visuals) -> Palette {
    if visuals.dark_mode {
        Palette {
            me: rgb(0x4f_b3_ff),
            opponent: rgb(0xff_9f_45),
            truth: rgb(0xd8_de_e9),
            good: rgb(0x5f_d0_8a),
            fair: rgb(0xf2_c1_4e),
            poor: rgb(0xff_7b_72),
            muted: rgb(0x9a_a4_b2),
            card: rgb(0x1f_25_2e),
            floor: rgb(0x12_17_1e),
            line: rgb(0x34_3c_48),
            accent: rgb(0x2a_6f_d6),
            focus: rgb(0x9c_c8_ff),
        }
    } else {
        Palette {
            me: rgb(0x00_6f_c9),
            opponent: rgb(0xc6_5a_00),
            truth: rgb(0x3b_45_52),
            good: rgb(0x1a_7f_37),
            fair: rgb(0x8a_5a_00),
            poor: rgb(0xc0_26_1f),
            muted: rgb(0x5c_67_75),
            card: rgb(0xff_ff_ff),
            floor: rgb(0xf7_f9_fb),
            line: rgb(0xd5_dc_e4),
            accent: rgb(0x0b_62_d6),
            focus: rgb(0x0a_2f_66),
        }
    }
}

/// Returns the colour of a transport. The palette follows Okabe and Ito, who chose colours that
/// colour-blind people can tell apart. The light scheme uses darker variants.
pub(crate) fn kind_color(kind: TransportKind, visuals: &Visuals) -> Color32 {
    let (dark, light) = match kind {
        TransportKind::Tcp => (0xff_7b_54, 0xc8_40_00),
        TransportKind::Tls => (0x56_b4_e9, 0x00_72_b2),
        TransportKind::QuicStream => (0xf0_e4_42, 0x8a_7a_00),
        TransportKind::QuicUni => (0xcc_79_a7, 0xa8_3f_7c),
        TransportKind::QuicDatagram => (0x3d_d6_a3, 0x00_7d_5c),
        TransportKind::Enet => (0xb0_a0_ff, 0x5b_47_c9),
        TransportKind::Udp => (0xe0_e0_e0, 0x40_40_40),
        _ => (0xe6_9f_00, 0xa0_6a_00),
    };
    rgb(if visuals.dark_mode { dark } else { light })
}

/// Sets the sizes and both schemes. The app calls this once.
pub(crate) fn install(ctx: &Context) {
    ctx.all_styles_mut(|style| {
        style.spacing.item_spacing = egui::vec2(8.0, 6.0);
        style.spacing.button_padding = egui::vec2(12.0, 6.0);
        style.spacing.interact_size.y = 26.0;
        style.spacing.slider_width = 150.0;
        style.text_styles = [
            (TextStyle::Heading, FontId::new(22.0, FontFamily::Proportional)),
            (TextStyle::Body, FontId::new(14.0, FontFamily::Proportional)),
            (TextStyle::Button, FontId::new(14.0, FontFamily::Proportional)),
            (TextStyle::Small, FontId::new(12.0, FontFamily::Proportional)),
            (TextStyle::Monospace, FontId::new(13.0, FontFamily::Monospace)),
        ]
        .into();
        style.interaction.tooltip_delay = 0.2;
    });
    for theme in [Theme::Dark, Theme::Light] {
        ctx.style_mut_of(theme, |style| {
            let colors = palette(&style.visuals);
            let dark = style.visuals.dark_mode;
            let visuals = &mut style.visuals;
            visuals.panel_fill = if dark { rgb(0x17_1c_24) } else { rgb(0xee_f1_f5) };
            visuals.window_fill = colors.card;
            visuals.extreme_bg_color = colors.floor;
            visuals.override_text_color = Some(if dark { rgb(0xe6_ea_f0) } else { rgb(0x1c_23_2c) });
            visuals.hyperlink_color = colors.accent;
            visuals.selection.bg_fill = colors.accent.gamma_multiply(if dark { 0.65 } else { 0.35 });
            visuals.selection.stroke = Stroke::new(1.5, colors.accent);
            if dark {
                visuals.widgets.inactive.weak_bg_fill = rgb(0x2a_32_3d);
                visuals.widgets.inactive.bg_fill = rgb(0x2a_32_3d);
                visuals.widgets.hovered.weak_bg_fill = rgb(0x35_3f_4c);
                visuals.widgets.hovered.bg_fill = rgb(0x35_3f_4c);
            }
            for widget in [
                &mut visuals.widgets.inactive,
                &mut visuals.widgets.hovered,
                &mut visuals.widgets.active,
                &mut visuals.widgets.open,
                &mut visuals.widgets.noninteractive,
            ] {
                widget.corner_radius = CornerRadius::same(6);
            }
            // A widget with the keyboard focus uses these strokes, too.
            visuals.widgets.hovered.bg_stroke = Stroke::new(2.0, colors.focus);
            visuals.widgets.active.bg_stroke = Stroke::new(2.0, colors.focus);
            visuals.widgets.inactive.bg_stroke = Stroke::new(1.0, colors.line);
            visuals.widgets.noninteractive.bg_stroke = Stroke::new(1.0, colors.line);
            if !dark {
                visuals.widgets.inactive.weak_bg_fill = rgb(0xfb_fc_fd);
                visuals.widgets.inactive.bg_fill = rgb(0xe2_e8_ee);
            }
        });
    }
}

/// Draws a label of a fixed width, for forms and bars.
pub(crate) fn fixed_label(
    ui: &mut egui::Ui,
    text: impl Into<egui::WidgetText>,
    width: f32,
) -> egui::Response {
    let size = egui::vec2(width, ui.spacing().interact_size.y);
    let layout = egui::Layout::left_to_right(egui::Align::Center);
    ui.allocate_ui_with_layout(size, layout, |ui| {
        ui.set_min_width(width);
        ui.label(text)
    })
    .inner
}

/// Draws a small square of a colour, for legends and states.
pub(crate) fn swatch(ui: &mut egui::Ui, color: Color32) {
    let (rect, _) = ui.allocate_exact_size(egui::Vec2::splat(10.0), egui::Sense::hover());
    ui.painter().rect_filled(rect, CornerRadius::same(3), color);
}

/// Draws names in their colours, each after a swatch.
pub(crate) fn legend(ui: &mut egui::Ui, lines: &[(&str, Color32)]) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        for (name, color) in lines {
            swatch(ui, *color);
            ui.label(egui::RichText::new(*name).small().color(*color));
            ui.add_space(6.0);
        }
    });
}

/// Returns the frame of a card, which groups related widgets.
pub(crate) fn card(visuals: &Visuals) -> egui::Frame {
    let colors = palette(visuals);
    egui::Frame::new()
        .fill(colors.card)
        .stroke(Stroke::new(1.0, colors.line))
        .corner_radius(CornerRadius::same(10))
        .inner_margin(Margin::same(GAP as i8))
}
