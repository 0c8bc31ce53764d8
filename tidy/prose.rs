//! The rules of CONTRIBUTING.md that a program can check: headless clauses and long lines.

use anyhow::Result;

use crate::allowance::{self, Counted};
use crate::comments::{self, Kind};
use crate::markdown::Page;
use crate::{Finding, Tree};

/// Columns after which prose wraps.
const PROSE_COLUMNS: usize = 100;
/// Columns that no line of code exceeds. rustfmt breaks at 110 and leaves strings and comments
/// alone.
const CODE_COLUMNS: usize = 120;
/// Doc blocks for each headless one: at most 1 %.
const DOCS_PER_HEADLESS: usize = 100;
/// Words of a test's name.
const TEST_NAME_WORDS: usize = 6;
/// The question words that begin a riddle in Markdown. "When" begins many plain sentences there.
const MARKDOWN_WORDS: [&str; 8] = ["Who", "What", "Whom", "Whose", "How", "Where", "Why", "Which"];

/// Folders of pages that a program writes, without breaking lines.
const GENERATED_FOLDER: &str = "sample";

const REWRITE: &str = "Name the subject: \"Returns …\", \"The largest …\" (CONTRIBUTING.md).";
const WRAP: &str = "Wrap prose at 100 columns.";

/// Checks comments and Markdown prose.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let Found { docs, counted } = look(tree)?;
    let headless = counted.iter().find(|it| it.rule == "headless_docs").map_or(0, |it| it.count);
    let mut findings = allowance::compare(tree, counted)?;
    if headless * DOCS_PER_HEADLESS > docs {
        let text = format!(
            "{headless} of {docs} doc comments begin with a question word; the limit is 1 %. {REWRITE}"
        );
        findings.push(Finding::new(".", 0, text));
    }
    Ok(findings)
}

/// Returns the counts that an allowance limits.
pub(crate) fn counted(tree: &Tree) -> Result<Vec<Counted>> {
    Ok(look(tree)?.counted)
}

struct Found {
    /// Number of doc blocks.
    docs: usize,
    counted: Vec<Counted>,
}

fn look(tree: &Tree) -> Result<Found> {
    let (mut docs, mut headless_docs, mut headless_comments) = (0, Vec::new(), Vec::new());
    let (mut long_comments, mut long_code, mut long_names) = (Vec::new(), Vec::new(), Vec::new());
    for file in tree.with_extension("rs") {
        let source = tree.read(file)?;
        for block in comments::blocks(&source) {
            docs += usize::from(block.kind == Kind::Doc);
            if block.is_headless() {
                let list = if block.kind == Kind::Doc { &mut headless_docs } else { &mut headless_comments };
                list.push(Finding::new(
                    file,
                    block.line,
                    format!("headless clause: \"{}\"", block.first.trim()),
                ));
            }
        }
        long_names.extend(test_names(file, &source));
        for (index, line) in source.lines().enumerate() {
            let columns = line.chars().count();
            if columns > CODE_COLUMNS {
                long_code.push(Finding::new(file, index + 1, format!("{columns} columns")));
            } else if columns > PROSE_COLUMNS && line.trim_start().starts_with("//") && !line.contains("://")
            {
                long_comments.push(Finding::new(file, index + 1, format!("{columns} columns of comment")));
            }
        }
    }
    let (headless_markdown, long_markdown) = markdown(tree)?;
    Ok(Found {
        docs,
        counted: vec![
            Counted::each("headless_docs", REWRITE, headless_docs),
            Counted::each("headless_comments", REWRITE, headless_comments),
            Counted::each("headless_markdown", REWRITE, headless_markdown),
            Counted::each("long_comment_lines", WRAP, long_comments),
            Counted::each("long_code_lines", "Break the line before column 120.", long_code),
            Counted::each("long_markdown_lines", WRAP, long_markdown),
            Counted::each("long_test_names", "Say in two to six words what holds.", long_names),
        ],
    })
}

/// Returns the headless paragraphs and the long lines of all Markdown pages.
fn markdown(tree: &Tree) -> Result<(Vec<Finding>, Vec<Finding>)> {
    let (mut headless, mut long) = (Vec::new(), Vec::new());
    for file in tree.with_extension("md") {
        let page = Page::parse(&tree.read(file)?);
        for (line, text) in page.paragraphs {
            if comments::begins_with_question_word(&text, &MARKDOWN_WORDS) {
                headless.push(Finding::new(file, line, format!("headless clause: \"{text}\"")));
            }
        }
        let generated = file.split('/').any(|part| part == GENERATED_FOLDER);
        for (line, text) in page.prose.into_iter().filter(|_| !generated) {
            let columns = text.chars().count();
            if columns > PROSE_COLUMNS
                && !text.starts_with("![")
                && !text.contains("](")
                && !text.contains("://")
            {
                long.push(Finding::new(file, line, format!("{columns} columns")));
            }
        }
    }
    Ok((headless, long))
}

/// Returns the tests of `source` whose names have too many words.
fn test_names(file: &str, source: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut test = false;
    for (index, line) in source.lines().map(str::trim_start).enumerate() {
        let signature = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let (true, Some(signature)) = (test, signature) {
            let name = signature.split('(').next().unwrap_or_default();
            let words = name.split('_').count();
            if words > TEST_NAME_WORDS {
                found.push(Finding::new(
                    file,
                    index + 1,
                    format!("the test `{name}` has a name of {words} words"),
                ));
            }
        }
        test = line.starts_with("#[test]")
            || line.starts_with("#[tokio::test")
            || (test && line.starts_with("#["));
    }
    found
}
