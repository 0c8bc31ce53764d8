//! A match as it was seen, in a file: the window saves it, `netduel-report recording` reads it. The fields are documented in
//! `docs/recording.md`, which a test compares with a real file.

use std::{collections::VecDeque, fs, path::Path};

use netduel_atomic_file::write_atomic;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::stats::{MoveStats, live::Figures};

/// What a file of ours says it is.
pub const FORMAT: &str = "netduel recording";
/// Raised with every change of the file's form. The first one had no number.
pub const SCHEMA: u32 = 2;
/// Figures kept of each player: ten minutes at ten a second, about 6 MB in a file. The oldest go first.
pub const FIGURES_MAX: usize = 6_000;

/// A match, whole or its last ten minutes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recording {
    /// [`FORMAT`].
    pub format: String,
    /// The [`SCHEMA`] of the file.
    pub schema: u32,
    /// Version of the program that saved it.
    pub version: String,
    /// When the match began, in seconds since 1970 (UTC), by the clock of who saved it.
    pub started_unix_s: u64,
    /// When it was saved.
    pub saved_unix_s: u64,
    /// The server as its address was typed; `None` if it was the window's own.
    pub server: Option<String>,
    /// Own moves per second, when it was saved.
    pub rate_hz: u32,
    /// Who saved it.
    pub me: Side,
    /// The opponent.
    pub peer: Side,
}

/// A player, and what it knew of its link.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Side {
    /// Its name.
    pub name: String,
    /// Its transport, by name.
    pub transport: String,
    /// Distributions over the whole match; `None` of an opponent elsewhere, who does not tell.
    pub totals: Option<MoveStats>,
    /// The figures of the last five seconds, ten times a second, the oldest first; empty where there are no totals.
    pub figures: VecDeque<Figures>,
}

impl Side {
    /// Takes in figures that are newer than the last, and the totals of the same moment.
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

/// Why a file cannot be read as a recording, and what to do.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The system gives no text.
    #[error(
        "cannot read {file}: {cause}; the window says where it saved a recording, by default results/play-TIME.json"
    )]
    Unreadable {
        /// Which file.
        file: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// Something else.
    #[error(
        "{file} is no recording of a match: give the .json that the window's 'Save recording' wrote{hint}"
    )]
    Other {
        /// Which file.
        file: String,
        /// Whose it may be.
        hint: &'static str,
    },
    /// Of another version.
    #[error(
        "{file} has schema {found}, this program reads {SCHEMA}: save the match again, or use the version that wrote it"
    )]
    OtherSchema {
        /// Which file.
        file: String,
        /// Its schema.
        found: u32,
    },
    /// A recording, but not whole.
    #[error("{file} is damaged: {cause}; save the match again")]
    Damaged {
        /// Which file.
        file: String,
        /// What is wrong with it, and where.
        cause: serde_json::Error,
    },
    /// Nothing is in it.
    #[error("{file} holds no figures: play for a second before saving")]
    Empty {
        /// Which file.
        file: String,
    },
}

/// What every schema has.
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
    /// A file that is missing, is none of ours, is of another schema, or is not whole.
    pub fn load(path: &Path) -> Result<Self, ReadError> {
        let file = path.display().to_string();
        let bytes = fs::read(path).map_err(|cause| ReadError::Unreadable { file: file.clone(), cause })?;
        let head: Head = match serde_json::from_slice(&bytes) {
            // Cut short it is still ours.
            Err(cause)
                if cause.is_eof() && bytes.starts_with(format!("{{\"format\":\"{FORMAT}").as_bytes()) =>
            {
                return Err(ReadError::Damaged { file, cause });
            }
            Err(_) => return Err(ReadError::Other { file, hint: hint(path, &bytes) }),
            Ok(head) => head,
        };
        // The first schema stood in the format's name.
        if head.format != FORMAT && head.format != format!("{FORMAT} 1") {
            return Err(ReadError::Other { file, hint: "" });
        }
        if head.schema != SCHEMA {
            return Err(ReadError::OtherSchema { file, found: head.schema });
        }
        let recording: Self = serde_json::from_slice(&bytes)
            .map_err(|cause| ReadError::Damaged { file: file.clone(), cause })?;
        if recording.me.figures.is_empty() { Err(ReadError::Empty { file }) } else { Ok(recording) }
    }

    /// Writes the file whole or not at all.
    ///
    /// # Errors
    /// The system's.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        write_atomic(path, serde_json::to_string(self)?.as_bytes())
    }
}

/// Whose a file may be that is not ours.
fn hint(path: &Path, bytes: &[u8]) -> &'static str {
    if path.extension().is_some_and(|ending| ending == "csv") {
        ", not the .csv beside it"
    } else if bytes.starts_with(b"{\"schema\"") {
        "; results of a comparison are drawn by netduel-report render"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_takes_in_each_figure_once_and_its_memory_stays_bounded() {
        let (mut side, totals) = (Side::default(), MoveStats::default());
        for at_us in [1, 2, 2, 3] {
            side.push(&Figures { at_us, ..Figures::default() }, &totals);
        }
        assert_eq!(side.figures.len(), 3);
        (0..20_000).for_each(|at_us| side.push(&Figures { at_us, ..Figures::default() }, &totals));
        assert_eq!(side.figures.len(), FIGURES_MAX);
    }

    #[test]
    fn what_cannot_be_read_says_what_to_do() {
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
            ("results.json", Some("{\"schema\":3,\"runs\":[]}"), "netduel-report render"),
            ("other.json", Some("{\"format\":\"GIF\"}"), "Save recording"),
            ("old.json", Some("{\"format\":\"netduel recording 1\"}"), "has schema 1, this program reads 2"),
            ("new.json", Some("{\"format\":\"netduel recording\",\"schema\":9}"), "has schema 9"),
            ("cut.json", Some(&whole[..whole.len() / 2]), "is damaged"),
            ("less.json", Some("{\"format\":\"netduel recording\",\"schema\":2}"), "is damaged"),
            ("empty.json", Some(&whole), "holds no figures"),
        ] {
            let said = said(name, text);
            assert!(said.contains(wanted) && said.contains(name), "{name}: {said}");
        }
        fs::remove_dir_all(&folder).expect("removed");
    }
}
