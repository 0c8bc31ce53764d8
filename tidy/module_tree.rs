//! The modules of one cargo target: their files, names, imports and mentions of other modules'
//! items.

use std::collections::HashMap;

use anyhow::{Context, Result};
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, ImplItem, Item, ItemUse, Meta, Stmt, UseTree, Visibility};

use crate::Tree;
use crate::paths::{self, Mention};

/// A name that a module knows.
#[derive(Clone, Debug)]
pub(crate) enum Definition {
    /// An item that the module's file defines.
    Item,
    /// A child module.
    Module(usize),
    /// An import, by its path.
    Import(Vec<String>),
}

/// One module. An inline module shares the file of its parent.
#[derive(Debug)]
pub(crate) struct Module {
    /// The index of the file in [`ModuleTree::files`].
    pub(crate) file: usize,
    /// The index of the parent; the root has none.
    pub(crate) parent: Option<usize>,
    /// The names that paths within the module may begin with.
    pub(crate) names: HashMap<String, Vec<Definition>>,
    /// The paths of its glob imports.
    pub(crate) globs: Vec<Vec<String>>,
    /// The imports and paths of its code.
    pub(crate) mentions: Vec<Mention>,
}

/// All modules of one target, without test code.
#[derive(Default, Debug)]
pub(crate) struct ModuleTree {
    /// The paths of the files, the root first.
    pub(crate) files: Vec<String>,
    /// The modules, the root first.
    pub(crate) modules: Vec<Module>,
    /// The `macro_rules!` of the target: name and file.
    pub(crate) macros: HashMap<String, usize>,
}

impl ModuleTree {
    /// Parses the target whose root is the file `root`.
    pub(crate) fn parse(tree: &Tree, root: &str) -> Result<Self> {
        let mut modules = Self::default();
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        modules.file(tree, root, None, folder)?;
        Ok(modules)
    }

    /// Parses `file`, whose child modules lie in `folder`, and returns its module.
    fn file(&mut self, tree: &Tree, file: &str, parent: Option<usize>, folder: &str) -> Result<usize> {
        let mut syntax =
            syn::parse_file(&tree.read(file)?).with_context(|| format!("cannot parse {file}"))?;
        WithoutTests.visit_file_mut(&mut syntax);
        self.files.push(file.to_owned());
        self.module(tree, self.files.len() - 1, parent, folder, syntax.items)
    }

    fn module(
        &mut self,
        tree: &Tree,
        file: usize,
        parent: Option<usize>,
        folder: &str,
        items: Vec<Item>,
    ) -> Result<usize> {
        let id = self.modules.len();
        self.modules.push(Module {
            file,
            parent,
            names: HashMap::new(),
            globs: Vec::new(),
            mentions: Vec::new(),
        });
        for item in items {
            match item {
                Item::Mod(item) => {
                    let name = item.ident.to_string();
                    let inner = join(folder, &name);
                    let child = match item.content {
                        Some((_, items)) => Some(self.module(tree, file, Some(id), &inner, items)?),
                        None => self.child_file(tree, file, id, folder, &name, &item.attrs)?,
                    };
                    if let Some(child) = child {
                        self.modules[id].define(name, Definition::Module(child));
                    }
                }
                Item::Use(item) => self.modules[id].import(&item),
                Item::Macro(item) if item.ident.is_some() => {
                    let name = item.ident.as_ref().map(ToString::to_string).unwrap_or_default();
                    self.modules[id].define(name.clone(), Definition::Item);
                    self.macros.insert(name, file);
                    self.modules[id].scan(item.mac.tokens);
                }
                item => self.modules[id].item(&item),
            }
        }
        Ok(id)
    }

    /// Parses the file of `mod name;`. Returns `None` where the tree has no such file.
    fn child_file(
        &mut self,
        tree: &Tree,
        file: usize,
        parent: usize,
        folder: &str,
        name: &str,
        attributes: &[Attribute],
    ) -> Result<Option<usize>> {
        let beside = self.files[file].rsplit_once('/').map_or("", |(folder, _)| folder);
        let explicit = path_attribute(attributes).map(|path| normal(&join(beside, &path)));
        let (path, folder) = match explicit {
            Some(path) => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
                (path, folder)
            }
            None => {
                let inner = join(folder, name);
                let flat = format!("{inner}.rs");
                (if tree.contains(&flat) { flat } else { format!("{inner}/mod.rs") }, inner)
            }
        };
        tree.contains(&path).then(|| self.file(tree, &path, Some(parent), &folder)).transpose()
    }
}

impl Module {
    fn define(&mut self, name: String, definition: Definition) {
        self.names.entry(name).or_default().push(definition);
    }

    /// Records the names that `item` defines, and the paths that it mentions.
    fn item(&mut self, item: &Item) {
        let ident = match item {
            Item::Const(it) => Some(&it.ident),
            Item::Enum(it) => Some(&it.ident),
            Item::Fn(it) => Some(&it.sig.ident),
            Item::Static(it) => Some(&it.ident),
            Item::Struct(it) => Some(&it.ident),
            Item::Trait(it) => Some(&it.ident),
            Item::TraitAlias(it) => Some(&it.ident),
            Item::Type(it) => Some(&it.ident),
            Item::Union(it) => Some(&it.ident),
            _ => None,
        };
        if let Some(ident) = ident {
            self.define(ident.to_string(), Definition::Item);
        }
        let tokens = quote::ToTokens::to_token_stream(item);
        if let Item::Macro(_) = item {
            for name in paths::defined_in(tokens.clone()) {
                self.define(name, Definition::Item);
            }
        }
        self.scan(tokens);
    }

    /// Records the paths and the local imports of `tokens`.
    fn scan(&mut self, tokens: proc_macro2::TokenStream) {
        let (mentions, imports) = paths::scan(tokens);
        self.mentions.extend(mentions);
        for import in imports {
            self.import(&import);
        }
    }

    fn import(&mut self, item: &ItemUse) {
        let face = !matches!(item.vis, Visibility::Inherited);
        let line = item.use_token.span.start().line;
        self.import_tree(&item.tree, &mut Vec::new(), face, line);
    }

    fn import_tree(&mut self, tree: &UseTree, prefix: &mut Vec<String>, face: bool, line: usize) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.import_tree(&path.tree, prefix, face, line);
                prefix.pop();
            }
            UseTree::Name(name) => self.import_leaf(prefix, &name.ident.to_string(), None, face, line),
            UseTree::Rename(it) => {
                self.import_leaf(prefix, &it.ident.to_string(), Some(it.rename.to_string()), face, line);
            }
            UseTree::Glob(_) => self.globs.push(prefix.clone()),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import_tree(tree, prefix, face, line);
                }
            }
        }
    }

    fn import_leaf(
        &mut self,
        prefix: &[String],
        name: &str,
        rename: Option<String>,
        face: bool,
        line: usize,
    ) {
        let mut path = prefix.to_vec();
        if name != "self" {
            path.push(name.to_owned());
        }
        if let Some(known) = rename.or_else(|| path.last().cloned()) {
            self.define(known, Definition::Import(path.clone()));
        }
        self.mentions.push(Mention { path, line, face, is_macro: false });
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Resolves `..` and `.` in a path.
fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find(|it| it.path().is_ident("path")).and_then(|it| match &it.meta {
        Meta::NameValue(it) => match &it.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

/// Removes items and statements that are compiled for tests only.
struct WithoutTests;

impl VisitMut for WithoutTests {
    fn visit_file_mut(&mut self, file: &mut syn::File) {
        file.items.retain(|item| !is_test(item_attributes(item)));
        visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        if let Some((_, items)) = &mut module.content {
            items.retain(|item| !is_test(item_attributes(item)));
        }
        visit_mut::visit_item_mod_mut(self, module);
    }

    fn visit_item_impl_mut(&mut self, block: &mut syn::ItemImpl) {
        block.items.retain(|item| match item {
            ImplItem::Const(it) => !is_test(&it.attrs),
            ImplItem::Fn(it) => !is_test(&it.attrs),
            ImplItem::Type(it) => !is_test(&it.attrs),
            _ => true,
        });
        visit_mut::visit_item_impl_mut(self, block);
    }

    fn visit_block_mut(&mut self, block: &mut syn::Block) {
        block.stmts.retain(|statement| match statement {
            Stmt::Item(item) => !is_test(item_attributes(item)),
            Stmt::Local(it) => !is_test(&it.attrs),
            _ => true,
        });
        visit_mut::visit_block_mut(self, block);
    }
}

fn item_attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::ExternCrate(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

/// Whether the attributes say `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|it| it.path().is_ident("cfg")).any(|it| match &it.meta {
        Meta::List(list) => {
            let text: String = list.tokens.to_string().split_whitespace().collect();
            text == "test"
                || (text.starts_with("all(")
                    && text.split(['(', ')', ',']).any(|part| part == "test")
                    && !text.contains("not(test"))
        }
        _ => false,
    })
}
