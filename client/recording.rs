//! A recorded match in a file: the window saves it, `netduel-reports recording` reads it.
//! `docs/recording.md` documents the fields, and a test compares that page with a real file.

use std::{collections::VecDeque, fs, path::Path};

use netduel_atomic_file::create_new;
use netduel_shown::escaped_json;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::stats::{MoveStats, live::Figures};

/// The format's name in every file.
pub const FORMAT: &str = "netduel recording";
/// The version of the file's form, raised with every change. The first version had no number.
pub const SCHEMA: u32 = 4;
/// The most figures kept of each player: ten minutes at ten a second, about 6 MB in a file. The
/// oldest are dropped first.
pub const FIGURES_MAX: usize = 6_000;

/// A whole match, or its last ten minutes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recording {
    /// [`FORMAT`].
    pub format: String,
    /// The [`SCHEMA`] of the file.
    pub schema: u32,
    /// The version of the program that saved the file.
    pub version: String,
    /// The start of the match in seconds since 1970 (UTC), by the saving host's clock.
    pub started_unix_s: u64,
    /// The time of saving in seconds since 1970 (UTC).
    pub saved_unix_s: u64,
    /// The server's address as typed; `None` for the window's own server.
    pub server: Option<String>,
    /// The saving player's moves per second at the time of saving.
    pub rate_hz: u32,
    /// The player that saved the file.
    pub me: Side,
    /// The opponent.
    pub opponent: Side,
}

/// A player, and its measurements of its link.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Side {
    /// The player's name.
    pub name: String,
    /// The name of the player's transport.
    pub transport: String,
    /// Distributions over the whole match; `None` of a remote opponent, which does not share them.
    pub totals: Option<MoveStats>,
    /// The figures of the last five seconds, ten times a second, oldest first; empty where there
    /// are no totals.
    pub figures: VecDeque<Figures>,
}

impl Side {
    /// Adds figures that are newer than the last, and the totals of the same moment.
    pub fn push(&mut self, figures: &Figures, totals: &MoveStats) {
        if self.figures.back().is_some_and(|last| last.at_us >= figures.at_us) {
            return;
        }
        if self.figures.len() == FIGURES_MAX {
            self.figures.pop_front();
        }
        self.figures.push_back(figures.clone());
        self.totals = Some(totals.clone());
    }
}

/// The reason that a file cannot be read as a recording.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The system cannot read the file.
    #[error(
        "cannot read {file}: {cause}; the window shows the path of each saved recording, \
         by default results/play-TIME.json"
    )]
    Unreadable {
        /// The file's path.
        file: String,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The file is not a recording.
    #[error(
        "{file} is not a recording of a match: choose the .json that the window's 'Save recording' wrote{hint}"
    )]
    Other {
        /// The file's path.
        file: String,
        /// A hint at the kind of file it may be.
        hint: &'static str,
    },
    /// The file has another schema.
    #[error(
        "{file} has schema {found}, this program reads {SCHEMA}: save the match again, or use the version that wrote it"
    )]
    OtherSchema {
        /// The file's path.
        file: String,
        /// The file's schema.
        found: u32,
    },
    /// The file is an incomplete recording.
    #[error("{file} is damaged: {cause}; save the match again")]
    Damaged {
        /// The file's path.
        file: String,
        /// The parser's error, with its place in the file.
        cause: serde_json::Error,
    },
    /// The recording is empty.
    #[error("{file} holds no figures: play for a second before saving")]
    Empty {
        /// The file's path.
        file: String,
    },
}

/// The fields that every schema has.
#[derive(Deserialize)]
struct Head {
    format: String,
    #[serde(default = "first_schema")]
    schema: u32,
}

fn first_schema() -> u32 {
    1
}

impl Recording {
    /// Reads a file that [`Self::save`] wrote.
    ///
    /// # Errors
    /// The file is missing, is not a recording, has another schema, or is incomplete.
    pub fn load(path: &Path) -> Result<Self, ReadError> {
        let file = path.display().to_string();
        let bytes = fs::read(path).map_err(|cause| ReadError::Unreadable { file: file.clone(), cause })?;
        let head: Head = match serde_json::from_slice(&bytes) {
            // A truncated recording is damaged, not another kind of file.
            Err(cause)
                if cause.is_eof() && bytes.starts_with(format!("{{\"format\":\"{FORMAT}").as_bytes()) =>
            {
                return Err(ReadError::Damaged { file, cause });
            }
            Err(_) => return Err(ReadError::Other { file, hint: hint(path, &bytes) }),
            Ok(head) => head,
        };
        // The first schema had its number in the format's name.
        if head.format != FORMAT && head.format != format!("{FORMAT} 1") {
            return Err(ReadError::Other { file, hint: "" });
        }
        if head.schema != SCHEMA {
            return Err(ReadError::OtherSchema { file, found: head.schema });
        }
        // The file may come from anybody, and its texts go to terminals.
        let recording: Self = serde_json::from_str(&escaped_json(&String::from_utf8_lossy(&bytes)))
            .map_err(|cause| ReadError::Damaged { file: file.clone(), cause })?;
        if recording.me.figures.is_empty() { Err(ReadError::Empty { file }) } else { Ok(recording) }
    }

    /// Writes a new file atomically: whole or not at all.
    ///
    /// # Errors
    /// The system's error. A file that exists already is not overwritten.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        create_new(path, serde_json::to_string(self)?.as_bytes())
    }
}

/// Guesses the kind of a file that is not a recording.
fn hint(path: &Path, bytes: &[u8]) -> &'static str {
    if path.extension().is_some_and(|ending| ending == "csv") {
        ", not the .csv beside it"
    } else if bytes.starts_with(b"{\"schema\"") {
        "; use netduel-reports render for the results of a comparison"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_each_figure_once_and_bounded() {
        let (mut side, totals) = (Side::default(), MoveStats::default());
        for at_us in [1, 2, 2, 3] {
            side.push(&Figures { at_us, ..Figures::default() }, &totals);
        }
        assert_eq!(side.figures.len(), 3);
        (0..20_000).for_each(|at_us| side.push(&Figures { at_us, ..Figures::default() }, &totals));
        assert_eq!(side.figures.len(), FIGURES_MAX);
    }

    #[test]
    fn read_errors_say_what_to_do() {
        let folder = std::env::temp_dir().join(format!("netduel-recording-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let said = |name: &str, text: Option<&str>| {
            let file = folder.join(name);
            if let Some(text) = text {
                fs::write(&file, text).expect("written");
            }
            Recording::load(&file).err().map(|error| error.to_string()).unwrap_or_default()
        };
        let whole = Recording { format: FORMAT.into(), schema: SCHEMA, ..Recording::default() };
        let whole = serde_json::to_string(&whole).expect("serialises");
        for (name, text, wanted) in [
            ("none.json", None, "results/play-TIME.json"),
            ("play.csv", Some("side,at_us\n"), "not the .csv beside it"),
            ("results.json", Some("{\"schema\":3,\"runs\":[]}"), "netduel-reports render"),
            ("other.json", Some("{\"format\":\"GIF\"}"), "Save recording"),
            ("old.json", Some("{\"format\":\"netduel recording 1\"}"), "has schema 1, this program reads 4"),
            ("new.json", Some("{\"format\":\"netduel recording\",\"schema\":9}"), "has schema 9"),
            ("cut.json", Some(&whole[..whole.len() / 2]), "is damaged"),
            ("less.json", Some("{\"format\":\"netduel recording\",\"schema\":4}"), "is damaged"),
            ("empty.json", Some(&whole), "holds no figures"),
        ] {
            let said = said(name, text);
            assert!(said.contains(wanted) && said.contains(name), "{name}: {said}");
        }
        fs::remove_dir_all(&folder).expect("removed");
    }
}
