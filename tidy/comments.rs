//! Comment blocks of a Rust file, found line by line.

/// The kind of a comment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// `///` or `//!`.
    Doc,
    /// `//`, on lines of its own or behind code.
    Plain,
}

/// Consecutive lines of one comment.
#[derive(Debug)]
pub(crate) struct Block {
    /// The kind of the comment.
    pub(crate) kind: Kind,
    /// The first line, from 1.
    pub(crate) line: usize,
    /// The text of the first line, without its marker.
    pub(crate) first: String,
}

/// The question words that begin no comment.
const QUESTION_WORDS: [&str; 9] = ["Who", "What", "Whom", "Whose", "How", "Where", "Why", "Which", "When"];

impl Block {
    /// Whether the block begins with a question word.
    pub(crate) fn begins_with_question_word(&self) -> bool {
        begins_with_question_word(&self.first, &QUESTION_WORDS)
    }
}

/// Whether the first word of `text` is one of `words`.
pub(crate) fn begins_with_question_word(text: &str, words: &[&str]) -> bool {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_alphabetic()).unwrap_or(text.len());
    words.contains(&&text[..end])
}

/// Returns every comment block of `source`.
pub(crate) fn blocks(source: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut before = None;
    for (index, text) in source.lines().enumerate() {
        let whole = marker(text.trim_start());
        if let Some((marker, first)) = whole {
            if before != Some(marker) {
                let kind = if marker == "//" { Kind::Plain } else { Kind::Doc };
                blocks.push(Block { kind, line: index + 1, first: first.to_owned() });
            }
        } else if let Some(first) = trailing(text) {
            blocks.push(Block { kind: Kind::Plain, line: index + 1, first: first.to_owned() });
        }
        before = whole.map(|(marker, _)| marker);
    }
    blocks
}

/// Splits a comment line into its marker and its text.
fn marker(line: &str) -> Option<(&'static str, &str)> {
    if line.starts_with("////") {
        return None;
    }
    ["///", "//!", "//"].into_iter().find_map(|marker| Some((marker, line.strip_prefix(marker)?)))
}

/// Returns the comment behind code on `line`. A `//` within a string is not one.
fn trailing(line: &str) -> Option<&str> {
    let at = line.find(" // ")?;
    let quotes = line[..at].matches('"').count() - line[..at].matches("\\\"").count();
    quotes.is_multiple_of(2).then(|| &line[at + 4..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_blocks_of_each_kind() {
        let lines = [
            "//! How it is.",
            "//! More.",
            "",
            "/// What it is.",
            "fn a() {} // Why it is.",
            "// A b.",
            "let s = \" // no\";",
        ];
        let found: Vec<_> = blocks(&lines.join("\n"))
            .into_iter()
            .map(|it| (it.kind, it.line, it.begins_with_question_word()))
            .collect();
        assert_eq!(
            found,
            [(Kind::Doc, 1, true), (Kind::Doc, 4, true), (Kind::Plain, 5, true), (Kind::Plain, 6, false)]
        );
    }

    #[test]
    fn tells_question_words_from_others() {
        for (text, expected) in
            [(" Whether it is", false), (" What's new", true), (" Whatever", false), ("", false)]
        {
            assert_eq!(begins_with_question_word(text, &QUESTION_WORDS), expected, "{text}");
        }
    }
}
