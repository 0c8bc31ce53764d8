//! Screenshots of the window, for the README and for tests: `--screenshot FILE --after 5s`.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use eframe::egui::{ColorImage, Context, ViewportCommand};
use netduel_atomic_file::write_atomic;
use parking_lot::Mutex;

/// The polling period until the screenshot is due.
const POLL_PERIOD: Duration = Duration::from_millis(100);

type Picture = Arc<Mutex<Option<Arc<ColorImage>>>>;

/// A requested screenshot. The window closes once it is taken.
pub struct Screenshot {
    file: PathBuf,
    at: Instant,
    begun: Instant,
    asked: bool,
    picture: Picture,
    frames: u64,
}

impl Screenshot {
    /// Requests a screenshot `after` this moment.
    pub fn new(file: PathBuf, after: Duration) -> Self {
        let begun = Instant::now();
        Self { file, at: begun + after, begun, asked: false, picture: Picture::default(), frames: 0 }
    }

    /// Counts a frame, takes the screenshot when it is due, and saves it. The app calls this once a
    /// frame.
    pub(crate) fn update(&mut self, ctx: &Context) {
        self.frames += 1;
        if !self.asked && Instant::now() >= self.at {
            self.asked = true;
            let (picture, waker) = (self.picture.clone(), ctx.clone());
            ctx.request_screenshot(move |image| {
                *picture.lock() = Some(image);
                waker.request_repaint();
            });
        }
        let Some(image) = self.picture.lock().take() else {
            // An idle window paints no frames, so the poll needs a repaint.
            return ctx.request_repaint_after(POLL_PERIOD);
        };
        let seconds = self.begun.elapsed().as_secs_f64();
        let (frames, per_s) = (self.frames, self.frames as f64 / seconds);
        let printed = match save(&image, &self.file) {
            Ok(()) => writeln!(
                std::io::stdout(),
                "frames {frames} in {seconds:.1} s, {per_s:.1} per second\nsaved {}",
                self.file.display()
            ),
            Err(error) => writeln!(std::io::stderr(), "error: {error:#}"),
        };
        // The terminal may be closed; the screenshot is saved nevertheless.
        drop(printed);
        ctx.send_viewport_cmd(ViewportCommand::Close);
    }
}

fn save(image: &ColorImage, file: &Path) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", file.display());
    let mut png = Vec::new();
    let [width, height] = image.size.map(|side| side as u32);
    let mut encoder = png::Encoder::new(&mut png, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    // The window is opaque, so an alpha channel would only make the file larger.
    let bytes: Vec<u8> = image.pixels.iter().flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()]).collect();
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&bytes)).with_context(failed)?;
    write_atomic(file, &png).with_context(failed)
}
