//! Headings, links, code spans and prose lines of a Markdown page.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A Markdown page, taken apart.
#[derive(Default, Debug)]
pub(crate) struct Page {
    /// The anchors of its headings, as hosting sites form them.
    pub(crate) anchors: HashSet<String>,
    /// The links: line and destination.
    pub(crate) links: Vec<(usize, String)>,
    /// The code spans: line and text.
    pub(crate) code: Vec<(usize, String)>,
    /// The lines of prose (neither code nor table): number and text.
    pub(crate) prose: Vec<(usize, String)>,
    /// The first lines of paragraphs: number and text.
    pub(crate) paragraphs: Vec<(usize, String)>,
}

impl Page {
    /// Parses `source`.
    pub(crate) fn parse(source: &str) -> Self {
        let starts = line_starts(source);
        let line = |offset: usize| starts.partition_point(|start| *start <= offset);
        let mut page = Self::default();
        let mut seen = HashMap::new();
        let mut heading: Option<String> = None;
        let mut not_prose = HashSet::new();
        let mut skip =
            |range: &Range<usize>| not_prose.extend(line(range.start)..=line(range.end.max(1) - 1));
        for (event, range) in Parser::new_ext(source, Options::ENABLE_TABLES).into_offset_iter() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    if let Some(text) = heading.take() {
                        page.anchors.insert(unique(slug(&text), &mut seen));
                    }
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push((line(range.start), dest_url.into_string()));
                }
                Event::Start(Tag::Paragraph) => {
                    let first = source[range.clone()].lines().next().unwrap_or_default().to_owned();
                    page.paragraphs.push((line(range.start), first));
                }
                Event::Start(Tag::CodeBlock(_) | Tag::Table(_)) => skip(&range),
                Event::Text(text) | Event::Code(text) if heading.is_some() => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::Code(text) => page.code.push((line(range.start), text.into_string())),
                _ => {}
            }
        }
        let lines = source.lines().enumerate().map(|(index, text)| (index + 1, text.to_owned()));
        page.prose = lines.filter(|(number, _)| !not_prose.contains(number)).collect();
        page
    }
}

/// Returns the offset of each line's first byte.
fn line_starts(source: &str) -> Vec<usize> {
    std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// Returns the anchor of a heading: lower case, hyphens for spaces, without punctuation.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Appends a number to an anchor that occurred before.
fn unique(slug: String, seen: &mut HashMap<String, usize>) -> String {
    let count = seen.entry(slug.clone()).or_insert(0);
    *count += 1;
    if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_page_apart() {
        let page =
            Page::parse("# A `b`, c\n\nSee [d](e.md#f) and `g.rs`.\n\n```sh\nno prose\n```\n\n## A b c\n");
        let mut anchors: Vec<_> = page.anchors.iter().map(String::as_str).collect();
        anchors.sort_unstable();
        assert_eq!(anchors, ["a-b-c", "a-b-c-1"]);
        assert_eq!(page.links, [(3, "e.md#f".to_owned())]);
        assert_eq!(page.code, [(3, "g.rs".to_owned())]);
        assert_eq!(page.paragraphs.len(), 1);
        assert!(page.prose.iter().all(|(_, text)| text != "no prose"));
    }
}
