//! The rules of CONTRIBUTING.md that a program can check: question words at the beginning, long
//! lines and long names of tests.

use anyhow::Result;

use crate::allowance::{self, Counted, Rule};
use crate::comments::{self, Kind};
use crate::markdown::Page;
use crate::{Finding, Tree};

/// Columns after which prose wraps.
const PROSE_COLUMNS: usize = 100;
/// Columns that no line of code exceeds. rustfmt breaks at 110 and leaves strings and comments
/// alone.
const CODE_COLUMNS: usize = 120;
/// Doc comments for each that begins with a question word: at most 1 %.
const DOCS_PER_QUESTION_WORD: usize = 100;
/// Words of a test's name.
const TEST_NAME_WORDS: usize = 6;
/// The question words that begin no paragraph in Markdown. "When" begins many plain sentences
/// there.
const MARKDOWN_WORDS: [&str; 8] = ["Who", "What", "Whom", "Whose", "How", "Where", "Why", "Which"];

/// Folders of pages that a program writes, without breaking lines.
const GENERATED_FOLDER: &str = "sample";

const REWRITE: &str = "Name the subject: \"Returns …\", \"The largest …\" (CONTRIBUTING.md).";
const WRAP: &str = "Wrap prose at 100 columns.";

const QUESTION_WORD_DOCS: Rule =
    Rule { key: "question_word_docs", what: "doc comments that begin with a question word", advice: REWRITE };
const QUESTION_WORD_COMMENTS: Rule = Rule {
    key: "question_word_comments",
    what: "plain comments that begin with a question word",
    advice: REWRITE,
};
const QUESTION_WORD_MARKDOWN: Rule = Rule {
    key: "question_word_markdown",
    what: "Markdown paragraphs that begin with a question word",
    advice: REWRITE,
};
const LONG_COMMENT_LINES: Rule =
    Rule { key: "long_comment_lines", what: "comment lines of more than 100 columns", advice: WRAP };
const LONG_CODE_LINES: Rule = Rule {
    key: "long_code_lines",
    what: "code lines of more than 120 columns",
    advice: "Break the line before column 120.",
};
const LONG_MARKDOWN_LINES: Rule = Rule {
    key: "long_markdown_lines",
    what: "lines of Markdown prose with more than 100 columns",
    advice: WRAP,
};
const LONG_TEST_NAMES: Rule = Rule {
    key: "long_test_names",
    what: "test names of more than six words",
    advice: "Say in two to six words what holds.",
};

/// Checks comments and Markdown prose.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let Found { docs, counted } = look(tree)?;
    let found = counted.iter().find(|it| it.rule.key == QUESTION_WORD_DOCS.key).map_or(0, |it| it.count);
    let mut findings = allowance::compare(tree, counted)?;
    if found * DOCS_PER_QUESTION_WORD > docs {
        let text =
            format!("{found} of {docs} doc comments begin with a question word; the limit is 1 %. {REWRITE}");
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
    let (mut docs, mut question_docs, mut question_comments) = (0, Vec::new(), Vec::new());
    let (mut long_comments, mut long_code, mut long_names) = (Vec::new(), Vec::new(), Vec::new());
    for file in tree.with_extension("rs") {
        let source = tree.read(file)?;
        for block in comments::blocks(&source) {
            docs += usize::from(block.kind == Kind::Doc);
            if block.begins_with_question_word() {
                let list = if block.kind == Kind::Doc { &mut question_docs } else { &mut question_comments };
                list.push(question_word(file, block.line, &block.first));
            }
        }
        long_names.extend(test_names(file, &source));
        for (index, line) in source.lines().enumerate() {
            let columns = line.chars().count();
            if columns > CODE_COLUMNS {
                long_code.push(Finding::new(file, index + 1, format!("the line has {columns} columns")));
            } else if columns > PROSE_COLUMNS && line.trim_start().starts_with("//") && !line.contains("://")
            {
                long_comments.push(Finding::new(
                    file,
                    index + 1,
                    format!("the comment line has {columns} columns"),
                ));
            }
        }
    }
    let (question_markdown, long_markdown) = markdown(tree)?;
    Ok(Found {
        docs,
        counted: vec![
            Counted::each(QUESTION_WORD_DOCS, question_docs),
            Counted::each(QUESTION_WORD_COMMENTS, question_comments),
            Counted::each(QUESTION_WORD_MARKDOWN, question_markdown),
            Counted::each(LONG_COMMENT_LINES, long_comments),
            Counted::each(LONG_CODE_LINES, long_code),
            Counted::each(LONG_MARKDOWN_LINES, long_markdown),
            Counted::each(LONG_TEST_NAMES, long_names),
        ],
    })
}

/// Returns the finding for a comment or a paragraph that begins with a question word.
fn question_word(file: &str, line: usize, text: &str) -> Finding {
    Finding::new(file, line, format!("begins with a question word: \"{}\"", text.trim()))
}

/// Returns the paragraphs that begin with a question word and the long lines of all Markdown pages.
fn markdown(tree: &Tree) -> Result<(Vec<Finding>, Vec<Finding>)> {
    let (mut questions, mut long) = (Vec::new(), Vec::new());
    for file in tree.with_extension("md") {
        let page = Page::parse(&tree.read(file)?);
        for (line, text) in page.paragraphs {
            if comments::begins_with_question_word(&text, &MARKDOWN_WORDS) {
                questions.push(question_word(file, line, &text));
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
                long.push(Finding::new(file, line, format!("the line has {columns} columns")));
            }
        }
    }
    Ok((questions, long))
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
