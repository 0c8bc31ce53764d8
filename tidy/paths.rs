//! Paths, local imports and definitions in a stream of tokens, bodies of macros included.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::ItemUse;

/// A path that the code writes.
#[derive(Debug)]
pub(crate) struct Mention {
    /// The segments, without generic arguments.
    pub(crate) path: Vec<String>,
    /// The line, from 1.
    pub(crate) line: usize,
    /// Whether a `pub use` writes it, which hands a name on and needs nothing.
    pub(crate) face: bool,
    /// Whether the code calls a macro by this name.
    pub(crate) is_macro: bool,
}

/// Words before a name that define it.
const DEFINING: [&str; 8] = ["struct", "enum", "union", "trait", "fn", "type", "const", "static"];

/// Returns the paths and the `use` items within `tokens`.
pub(crate) fn scan(tokens: TokenStream) -> (Vec<Mention>, Vec<ItemUse>) {
    let (mut mentions, mut imports) = (Vec::new(), Vec::new());
    scan_into(tokens, &mut mentions, &mut imports);
    (mentions, imports)
}

fn scan_into(tokens: TokenStream, mentions: &mut Vec<Mention>, imports: &mut Vec<ItemUse>) {
    let trees: Vec<_> = tokens.into_iter().collect();
    let mut at = 0;
    let mut after_dot = false;
    while let Some(tree) = trees.get(at) {
        at += 1;
        match tree {
            TokenTree::Group(group) => scan_into(group.stream(), mentions, imports),
            TokenTree::Ident(ident) if ident == "use" => {
                if let Some((import, length)) = import(&trees[at - 1..]) {
                    imports.push(import);
                    at += length - 1;
                }
            }
            TokenTree::Ident(ident) if !after_dot => {
                let mut path = vec![ident.to_string()];
                while let Some(segment) = segment(&trees[at..]) {
                    path.push(segment);
                    at += 3;
                }
                if path.len() > 1 || names_item(&path[0], trees.get(at)) {
                    let is_macro = path.len() == 1 && calls_macro(&trees[at..]);
                    mentions.push(Mention { path, line: ident.span().start().line, face: false, is_macro });
                }
            }
            _ => {}
        }
        // `a..b` is a range: the second dot is no access to a field.
        after_dot = is_punct(tree, '.') && !at.checked_sub(2).is_some_and(|it| is_punct(&trees[it], '.'));
    }
}

/// Whether a single name may be an item: a type, a constant, or something that is called.
fn names_item(name: &str, next: Option<&TokenTree>) -> bool {
    let called = match next {
        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Parenthesis,
        Some(tree) => is_punct(tree, '!'),
        None => false,
    };
    name != "Self" && (called || name.starts_with(char::is_uppercase))
}

/// Whether `!` and a group stand at the beginning of `trees`.
fn calls_macro(trees: &[TokenTree]) -> bool {
    matches!(trees, [mark, TokenTree::Group(_), ..] if is_punct(mark, '!'))
}

/// Returns the name behind `::` at the beginning of `trees`.
fn segment(trees: &[TokenTree]) -> Option<String> {
    match trees {
        [first, second, TokenTree::Ident(name), ..] if is_punct(first, ':') && is_punct(second, ':') => {
            Some(name.to_string())
        }
        _ => None,
    }
}

/// Returns the `use` item at the beginning of `trees`, and its length in tokens.
fn import(trees: &[TokenTree]) -> Option<(ItemUse, usize)> {
    let length = trees.iter().position(|tree| is_punct(tree, ';'))? + 1;
    let import = syn::parse2(trees[..length].iter().cloned().collect()).ok()?;
    Some((import, length))
}

/// Returns the names that the tokens of a macro's call seem to define.
pub(crate) fn defined_in(tokens: TokenStream) -> Vec<String> {
    let mut names = Vec::new();
    let mut defining = false;
    for tree in tokens {
        match &tree {
            TokenTree::Group(group) => names.extend(defined_in(group.stream())),
            TokenTree::Ident(ident) if defining => names.push(ident.to_string()),
            _ => {}
        }
        defining = matches!(&tree, TokenTree::Ident(ident) if DEFINING.iter().any(|it| ident == it));
    }
    names
}

fn is_punct(tree: &TokenTree, character: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_paths_in_code_and_macros() {
        let code = "fn a() { use b::C; c.d(E::<F>::g()); vec![super::h, i]; j!(k::l); m(..n::O) }";
        let (mentions, imports) = scan(code.parse().unwrap());
        let found: Vec<_> = mentions.iter().map(|it| it.path.join("::")).collect();
        assert_eq!(found, ["a", "E", "F", "g", "vec", "super::h", "j", "k::l", "m", "n::O"]);
        assert_eq!(imports.len(), 1);
    }

    #[test]
    fn finds_definitions_in_macro_calls() {
        let call = "counters! { pub struct Counters { a: u64 } fn read() {} }";
        assert_eq!(defined_in(call.parse().unwrap()), ["Counters", "read"]);
    }
}
