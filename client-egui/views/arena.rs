//! The arena: paints the square with its players, and reads the keys that steer.

use eframe::egui::{
    self, Color32, Context, CornerRadius, FontId, Key, Painter, Pos2, Rect, Sense, Shape, Stroke, StrokeKind,
    Ui, vec2,
};
use netduel_protocol::game::{ARENA, Heading, PLAYER, Position};

use crate::theme::{Palette, palette};

/// The distance of the floor's grid lines, in units: a third of a second of movement.
const GRID: f32 = 100.0;

/// The largest number of label heights by which a label moves to avoid others.
const LABEL_STEPS: usize = 12;

/// The style of a sprite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpriteStyle {
    /// A filled square.
    Solid,
    /// A translucent square.
    Glass,
    /// A dashed outline.
    Ghost,
    /// A thin outline at a former position.
    Mark,
}

/// A square in the arena.
#[derive(Clone, Debug)]
pub(crate) struct Sprite {
    pub(crate) position: Position,
    pub(crate) color: Color32,
    pub(crate) style: SpriteStyle,
    pub(crate) label: String,
}

/// The mapping from arena units to screen points.
#[derive(Clone, Copy, Debug)]
struct Projection {
    rect: Rect,
    scale: f32,
}

impl Projection {
    fn square(&self, position: Position) -> Rect {
        let corner = self.rect.min + vec2(position.x, position.y) * self.scale;
        Rect::from_min_size(corner, egui::Vec2::splat(PLAYER * self.scale))
    }

    fn center(&self, position: Position) -> Pos2 {
        self.square(position).center()
    }
}

/// Paints the arena with a side of `side` points. Sprites are painted in order, above the trails.
pub(crate) fn show(ui: &mut Ui, side: f32, sprites: &[Sprite], trails: &[(Color32, Vec<Position>)]) -> Rect {
    let (response, painter) = ui.allocate_painter(egui::Vec2::splat(side), Sense::hover());
    let colors = palette(ui.visuals());
    let rect = response.rect.shrink(1.0);
    let projection = Projection { rect, scale: rect.width() / ARENA };
    floor(&painter, &projection, &colors);
    let painter = painter.with_clip_rect(rect);
    for (color, trail) in trails {
        let points: Vec<Pos2> = trail.iter().map(|position| projection.center(*position)).collect();
        painter.add(Shape::line(points, Stroke::new(2.0, color.gamma_multiply(0.45))));
    }
    for sprite in sprites {
        draw(&painter, &projection, sprite);
    }
    labels(&painter, &projection, sprites, &colors);
    response.widget_info(|| {
        let where_all: Vec<String> = sprites
            .iter()
            .filter(|it| !matches!(it.style, SpriteStyle::Ghost | SpriteStyle::Mark))
            .map(|it| format!("{} at {:.0}, {:.0}", it.label, it.position.x, it.position.y))
            .collect();
        egui::WidgetInfo::labeled(egui::Role::Image, true, format!("Arena with {}", where_all.join("; ")))
    });
    rect
}

fn floor(painter: &Painter, projection: &Projection, colors: &Palette) {
    let rect = projection.rect;
    painter.rect(
        rect,
        CornerRadius::same(8),
        colors.floor,
        Stroke::new(1.0, colors.line),
        StrokeKind::Outside,
    );
    let line = Stroke::new(1.0, colors.line.gamma_multiply(0.6));
    for step in 1..(ARENA / GRID) as u16 {
        let at = f32::from(step) * GRID * projection.scale;
        painter.vline(rect.left() + at, rect.y_range(), line);
        painter.hline(rect.x_range(), rect.top() + at, line);
    }
}

fn draw(painter: &Painter, projection: &Projection, sprite: &Sprite) {
    let square = projection.square(sprite.position);
    let radius = CornerRadius::same((6.0 * projection.scale).clamp(2.0, 12.0) as u8);
    match sprite.style {
        SpriteStyle::Solid => drop(painter.rect_filled(square, radius, sprite.color)),
        SpriteStyle::Glass => {
            let stroke = Stroke::new(2.5, sprite.color);
            painter.rect(square, radius, sprite.color.gamma_multiply(0.22), stroke, StrokeKind::Inside);
        }
        SpriteStyle::Mark => {
            let stroke = Stroke::new(1.0, sprite.color);
            painter.rect(square, radius, sprite.color.gamma_multiply(0.08), stroke, StrokeKind::Inside);
        }
        SpriteStyle::Ghost => {
            let square = square.shrink(1.0);
            let corners = [
                square.left_top(),
                square.right_top(),
                square.right_bottom(),
                square.left_bottom(),
                square.left_top(),
            ];
            painter.extend(Shape::dashed_line(&corners, Stroke::new(1.8, sprite.color), 6.0, 4.0));
        }
    }
}

/// Paints the labels above or below their squares, where they overlap no other label and no square.
fn labels(painter: &Painter, projection: &Projection, sprites: &[Sprite], colors: &Palette) {
    let font = FontId::proportional((13.0 * projection.scale.clamp(0.8, 1.2)).max(11.0));
    let solid =
        sprites.iter().filter(|sprite| !matches!(sprite.style, SpriteStyle::Ghost | SpriteStyle::Mark));
    let mut taken: Vec<Rect> = solid.map(|sprite| projection.square(sprite.position)).collect();
    for sprite in sprites.iter().filter(|sprite| !sprite.label.is_empty()) {
        let square = projection.square(sprite.position);
        let galley = painter.layout_no_wrap(sprite.label.clone(), font.clone(), sprite.color);
        let size = galley.size() + vec2(8.0, 2.0);
        let left = (square.center().x - size.x / 2.0)
            .clamp(projection.rect.left(), (projection.rect.right() - size.x).max(projection.rect.left()));
        let above = (0..LABEL_STEPS).map(|step| square.top() - 3.0 - size.y * (step + 1) as f32);
        let below = (0..LABEL_STEPS).map(|step| square.bottom() + 3.0 + size.y * step as f32);
        let places = above.chain(below).map(|top| Rect::from_min_size(egui::pos2(left, top), size));
        let free = |place: &Rect| {
            projection.rect.contains_rect(*place)
                && !taken.iter().any(|other| other.intersects(place.shrink(0.5)))
        };
        let Some(place) = places.into_iter().find(free) else { continue };
        painter.rect_filled(place, CornerRadius::same(4), colors.floor.gamma_multiply(0.8));
        painter.galley(place.min + vec2(4.0, 1.0), galley, sprite.color);
        taken.push(place);
    }
}

/// Paints a title and a smaller text in the middle of the arena.
pub(crate) fn banner(ui: &Ui, arena: Rect, title: &str, below: &str) {
    let colors = palette(ui.visuals());
    let painter = ui.painter_at(arena);
    let width = (arena.width() - 32.0).clamp(60.0, 460.0);
    let text = ui.visuals().text_color();
    let title = painter.layout(title.into(), FontId::proportional(20.0), text, width - 32.0);
    let below = painter.layout(below.into(), FontId::proportional(14.0), colors.muted, width - 32.0);
    let height = title.size().y + below.size().y + 38.0;
    let rect = Rect::from_center_size(arena.center(), vec2(width, height));
    painter.rect(
        rect,
        CornerRadius::same(10),
        colors.card,
        Stroke::new(1.0, colors.line),
        StrokeKind::Outside,
    );
    let top = rect.top() + 16.0;
    let below_top = top + title.size().y + 6.0;
    painter.galley(egui::pos2(rect.left() + 16.0, top), title, text);
    painter.galley(egui::pos2(rect.left() + 16.0, below_top), below, colors.muted);
}

/// Returns the heading of the held arrow or WASD keys. A focused widget keeps the arrow keys for
/// itself.
pub(crate) fn heading(ctx: &Context) -> Heading {
    if ctx.text_edit_focused() {
        return Heading::default();
    }
    let arrows = ctx.memory(|memory| memory.focused()).is_none();
    ctx.input(|input| {
        let held = |[arrow, letter]: [Key; 2]| {
            f32::from(u8::from((arrows && input.key_down(arrow)) || input.key_down(letter)))
        };
        Heading {
            x: held([Key::ArrowRight, Key::D]) - held([Key::ArrowLeft, Key::A]),
            y: held([Key::ArrowDown, Key::S]) - held([Key::ArrowUp, Key::W]),
        }
    })
}
