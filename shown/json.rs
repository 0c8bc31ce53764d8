//! Escapes the strings of a JSON text before it is parsed, so that whatever shows them later need
//! not think of it.

use std::{borrow::Cow, iter::Peekable, str::CharIndices};

use crate::{Escaper, is_plain_ascii};

/// Returns a JSON text whose strings hold nothing that [`Shown`](crate::Shown) escapes, whatever
/// their length. A text that is no JSON stays none.
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    let is_plain = |line: &str| is_plain_ascii(line) && !line.contains('\\');
    if json.lines().all(is_plain) {
        return json.into();
    }
    let (mut out, mut escaper) = (String::with_capacity(json.len()), Escaper::default());
    let mut chars = json.char_indices().peekable();
    while let Some((begin, char)) = chars.next() {
        let (meant, end) = match char {
            '"' => {
                // Each string begins anew; its end does no harm.
                escaper = Escaper::default();
                out.push(char);
                continue;
            }
            // Space between the tokens. Within a string, no parser accepts it.
            '\n' | '\r' | '\t' => {
                out.push(char);
                continue;
            }
            '\\' => match escape(json, &mut chars) {
                Some(meant) => (meant, chars.peek().map_or(json.len(), |(next, _)| *next)),
                None => {
                    out.push(char);
                    continue;
                }
            },
            _ => (char, begin + char.len_utf8()),
        };
        if meant == '\t' {
            escaper = Escaper::default();
            out.push(' ');
        } else if escaper.hides(meant) {
            // The escape of the backslash before the escape.
            out.push('\\');
            out.extend(meant.escape_unicode());
        } else {
            out.push_str(&json[begin..end]);
        }
    }
    out.into()
}

/// Reads the rest of an escape, behind its backslash. Returns the character that it stands for;
/// `None`, and nothing is read, where it stands for none.
fn escape(json: &str, chars: &mut Peekable<CharIndices<'_>>) -> Option<char> {
    let &(begin, kind) = chars.peek()?;
    let unit = |at: usize| {
        let digits = json.get(at..at + 4).filter(|it| it.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (meant, length) = match kind {
        'b' => ('\u{8}', 1),
        'f' => ('\u{c}', 1),
        'n' => ('\n', 1),
        'r' => ('\r', 1),
        't' => ('\t', 1),
        '"' | '\\' | '/' => (kind, 1),
        'u' => {
            let first = unit(begin + 1)?;
            let second =
                json.get(begin + 5..begin + 7).filter(|it| *it == "\\u").and_then(|_| unit(begin + 7));
            match char::from_u32(first.into()) {
                Some(char) => (char, 5),
                // Two escapes are one character beyond the first 65,536.
                None => (char::decode_utf16([first, second?]).next()?.ok()?, 11),
            }
        }
        _ => return None,
    };
    chars.nth(length - 1);
    Some(meant)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::escaped;

    #[test]
    fn every_spelling_is_escaped() {
        for (json, wanted) in [
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
            ("[\n\t\"x\"\r\n]", "[\n\t\"x\"\r\n]"),
            ("[\"a\u{202e}\"]", r#"["a\\u{202e}"]"#),
            (r#"["a\u202eb"]"#, r#"["a\\u{202e}b"]"#),
            (r#"["\u001B[2J"]"#, r#"["\\u{1b}[2J"]"#),
            (r#"["\n\r\t\b\f"]"#, r#"["\\u{a}\\u{d} \\u{8}\\u{c}"]"#),
            (r#"["\"\\\/"]"#, r#"["\"\\\/"]"#),
            (r#"["\\u202e"]"#, r#"["\\u202e"]"#),
            (r#"["\u00e9é"]"#, r#"["\u00e9é"]"#),
            (r#"["\ud83c\udfae"]"#, r#"["\ud83c\udfae"]"#),
            (r#"["\udb40\udc41"]"#, r#"["\\u{e0041}"]"#),
            (r#"["\u0301"]"#, r#"["\\u{301}"]"#),
            (r#"["e\u0301", "\u0301"]"#, r#"["e\u0301", "\\u{301}"]"#),
        ] {
            assert_eq!(escaped_json(json), wanted, "{json}");
        }
    }

    #[test]
    fn other_texts_stay() {
        for text in [r"\", r"\x", r"\u12", r"\uzzzz", r"\ud83c", r"\ud83c\u0041", r"\udfae", "é\\"] {
            assert_eq!(escaped_json(text), text);
        }
    }

    proptest! {
        /// A string is escaped in JSON as it is by itself, however it is written.
        #[test]
        fn json_agrees_with_texts(text in prop::collection::vec(any::<char>(), 0..50).prop_map(String::from_iter)) {
            let unit = |unit: &u16| format!("\\u{unit:04x}");
            let spelt = |char: char| char.encode_utf16(&mut [0; 2]).iter().map(unit).collect::<String>();
            let spelt = format!("\"{}\"", text.chars().map(spelt).collect::<String>());
            for json in [serde_json::to_string(&text).expect("serialises"), spelt] {
                let read: String = serde_json::from_str(&escaped_json(&json)).expect("parses");
                prop_assert_eq!(read, escaped(&text));
            }
        }
    }
}
