//! Texts of a peer that are safe to show on a terminal, in a log and on a page.
//!
//! A peer may say anything: escape sequences that write a terminal's clipboard, newlines that forge
//! a line of a log, marks that reverse the order of what follows. [`Shown`] is made where such a
//! text is decoded, and holds what people can see and nothing else.

mod json;

use std::{borrow::Cow, fmt, fmt::Write, ops::Deref};

pub use json::escaped_json;

/// The most marks on one character. Vietnamese needs two, and Thai three; a stack of dozens covers
/// the lines around it.
const MARKS_MAX: usize = 4;
/// Characters that show nothing although Unicode calls them letters or symbols: fillers, and the
/// empty braille pattern.
const BLANK: [char; 5] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'];
/// The end of a text that was cut.
const CUT: char = '…';

/// A text of a peer: one line of at most [`Shown::MAX_CHARS`] characters that people can see.
///
/// Others are escaped as `\u{…}`: controls, newlines, spaces other than the plain one, zero-width
/// and bidirectional marks, unassigned characters, and tall stacks of combining marks. A tab
/// becomes a space.
///
/// ```
/// use netduel_shown::Shown;
///
/// assert_eq!(Shown::from("full\u{1b}]0;gone\u{7}"), "full\\u{1b}]0;gone\\u{7}");
/// assert_eq!(Shown::from("the server is full"), "the server is full");
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shown(String);

impl Shown {
    /// The longest text in characters, escapes included: two lines of a terminal.
    pub const MAX_CHARS: usize = 160;
    /// The longest text in bytes. It fits a QUIC CONNECTION_CLOSE frame in one packet of minimum
    /// size, with room to spare.
    pub const MAX_BYTES: usize = 512;

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(text: &str) -> Self {
        let (mut out, mut chars, mut escaper) = (String::new(), 0, Escaper::default());
        for char in text.chars().map(spaced) {
            let piece = if escaper.hides(char) { char.escape_unicode().to_string() } else { char.into() };
            // Room for the mark of the cut is kept.
            let (more, bytes) = (piece.chars().count(), piece.len() + CUT.len_utf8());
            if chars + more > Self::MAX_CHARS - 1 || out.len() + bytes > Self::MAX_BYTES {
                out.push(CUT);
                break;
            }
            chars += more;
            out.push_str(&piece);
        }
        Self(out)
    }
}

/// Returns `text` with everything escaped that [`Shown`] escapes, whatever its length.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if is_plain_ascii(text) {
        return text.into();
    }
    let (mut out, mut escaper) = (String::with_capacity(text.len()), Escaper::default());
    for char in text.chars().map(spaced) {
        if escaper.hides(char) { out.extend(char.escape_unicode()) } else { out.push(char) }
    }
    out.into()
}

/// Returns `text` with each of its lines [`escaped`].
pub fn escaped_lines(text: &str) -> String {
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(escaped).collect();
    lines.join("\n")
}

fn is_plain_ascii(text: &str) -> bool {
    text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// Returns a space for a tab, which many a table of the system has between its numbers.
fn spaced(char: char) -> char {
    if char == '\t' { ' ' } else { char }
}

/// Decides character by character what is escaped.
struct Escaper {
    /// The marks on the last character.
    marks: usize,
}

impl Default for Escaper {
    /// Begins a text. A mark at its very beginning would join what stands before the text.
    fn default() -> Self {
        Self { marks: MARKS_MAX }
    }
}

impl Escaper {
    /// Whether the next character of the text is escaped.
    fn hides(&mut self, char: char) -> bool {
        let kind = kind(char);
        let hidden = kind == Kind::Unseen || kind == Kind::Mark && self.marks >= MARKS_MAX;
        self.marks = match kind {
            // No mark may join an escape.
            _ if hidden => MARKS_MAX,
            Kind::Mark => self.marks + 1,
            _ => 0,
        };
        hidden
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// A mark on the character before it.
    Mark,
    Unseen,
}

/// Returns the kind of a character by the standard library's tables of printable characters and
/// of marks, which its debug output uses.
fn kind(char: char) -> Kind {
    if matches!(char, ' '..='~') {
        return Kind::Plain;
    }
    if BLANK.contains(&char) {
        return Kind::Unseen;
    }
    let mut after_a_letter = String::from("a");
    after_a_letter.push(char);
    let seen = after_a_letter.escape_debug().eq(after_a_letter.chars());
    match (seen, char.escape_debug().len()) {
        (false, _) => Kind::Unseen,
        // A mark is escaped only where it has nothing to stand on.
        (true, 1) => Kind::Plain,
        (true, _) => Kind::Mark,
    }
}

impl From<&str> for Shown {
    fn from(text: &str) -> Self {
        Self::of(text)
    }
}

impl From<String> for Shown {
    fn from(text: String) -> Self {
        if is_plain_ascii(&text) && text.len() < Self::MAX_CHARS { Self(text) } else { Self::of(&text) }
    }
}

impl From<Cow<'_, str>> for Shown {
    fn from(text: Cow<'_, str>) -> Self {
        Self::of(&text)
    }
}

impl From<Shown> for String {
    fn from(shown: Shown) -> Self {
        shown.0
    }
}

impl Deref for Shown {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Shown {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Shown {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Shown {
    /// Writes the text between quotes, as it is: nothing in it needs another escape but quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        f.write_str(&self.0.replace('"', "\\\""))?;
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every kind of character that a text must not hold.
    const UNSEEN: &str = "\u{0}\u{7}\u{8}\n\u{b}\r\u{1b}\u{7f}\u{85}\u{9b}\u{9d}\u{a0}\u{ad}\u{61c}\u{180e}\
        \u{115f}\u{2000}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\
        \u{2069}\u{2800}\u{3000}\u{3164}\u{e000}\u{feff}\u{ffa0}\u{fff9}\u{e0001}\u{e0041}\u{10ffff}";

    #[test]
    fn escapes_what_is_not_seen() {
        for char in UNSEEN.chars() {
            let text = format!("a{char}b");
            assert_eq!(escaped(&text), format!("a{}b", char.escape_unicode()));
            assert_eq!(Shown::from(text.as_str()), escaped(&text).as_ref());
        }
    }

    #[test]
    fn keeps_what_people_write() {
        for text in [
            "",
            "Ada",
            "two words",
            "a \"b\" \\ 'c' <d> | `e` ~",
            "Zoë",
            "Nguye\u{302}\u{303}n",
            "张伟",
            "안녕",
            "نص",
            "🎮",
            "–…€",
        ] {
            assert_eq!(Shown::from(text), text);
            assert_eq!(Shown::from(text.to_owned()), text);
            assert_eq!(escaped(text), text);
        }
        assert_eq!(
            format!("{} {:?} {:>4}", Shown::from("x"), Shown::from("a\"b"), Shown::from("y")),
            "x \"a\\\"b\"    y"
        );
    }

    #[test]
    fn bounds_stacks_of_marks() {
        let mark = "\u{301}";
        assert_eq!(
            escaped(&format!("e{}x", mark.repeat(MARKS_MAX))),
            format!("e{}x", mark.repeat(MARKS_MAX))
        );
        let tall = escaped(&format!("e{}", mark.repeat(50))).into_owned();
        assert_eq!(tall.matches('\u{301}').count(), MARKS_MAX);
        assert!(tall.starts_with("e\u{301}") && tall.ends_with("\\u{301}"), "{tall}");
        assert_eq!(escaped("\u{301}x"), "\\u{301}x", "nothing stands before it");
        assert_eq!(escaped("\u{200b}\u{301}"), "\\u{200b}\\u{301}", "nor is an escape joined");
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(escaped("a\tb"), "a b");
        assert_eq!(Shown::from("a\tb"), "a b");
        assert_eq!(escaped_lines("a\u{7}\n\nb\u{301}\r\n\u{301}"), "a\\u{7}\n\nb\u{301}\\u{d}\n\\u{301}");
    }

    #[test]
    fn cuts_long_texts() {
        let whole = "x".repeat(Shown::MAX_CHARS - 1);
        assert_eq!(Shown::from(whole.as_str()), whole.as_str());
        assert_eq!(Shown::from(whole.clone()), whole.as_str());
        for longer in [Shown::from(format!("{whole}y")), Shown::from(format!("{whole}y").as_str())] {
            assert_eq!(longer, format!("{whole}…").as_str());
        }
        let escapes = Shown::from("\u{1b}".repeat(1_000));
        assert_eq!(escapes, format!("{}…", "\\u{1b}".repeat(26)).as_str(), "no half of an escape");
        let wide = Shown::from("🎮".repeat(1_000));
        assert_eq!(wide, format!("{}…", "🎮".repeat(127)).as_str());
    }

    proptest! {
        /// Whatever a peer says, its text is short, one line, and free of what is not seen; made
        /// again, it stays as it is.
        #[test]
        fn any_text_is_shown_safely(
            text in prop_oneof![
                "\\PC{0,200}",
                ".{0,400}",
                prop::collection::vec(any::<char>(), 0..300).prop_map(String::from_iter),
            ],
        ) {
            let shown = Shown::from(text.as_str());
            prop_assert!(shown.chars().count() <= Shown::MAX_CHARS && shown.len() <= Shown::MAX_BYTES);
            prop_assert!(!shown.contains(|char: char| UNSEEN.contains(char) || char.is_control()));
            prop_assert_eq!(Shown::from(shown.as_str()), shown.as_str());
            prop_assert_eq!(Shown::from(text.clone()), shown.as_str());
            prop_assert_eq!(Shown::from(Cow::from(text)), shown);
        }
    }
}
