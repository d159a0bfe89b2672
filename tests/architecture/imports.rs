//! Which file of a crate imports from which, without what is for tests alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use syn::visit::{self, Visit};

/// A module that is a file, by its path within the crate: `["flow", "maf"]`; the crate's root is `[]`.
pub type Module = Vec<String>;

/// For each file of a crate the files that it imports from.
pub type Imports = BTreeMap<Module, BTreeSet<Module>>;

/// Reads the crate whose `lib.rs` is in `folder`, file by file as they are declared.
pub fn of_crate(folder: &Path) -> Imports {
    let mut paths_of = BTreeMap::new();
    let mut waiting: Vec<Module> = vec![Vec::new()];
    while let Some(module) = waiting.pop() {
        let mut file = folder.join(module.join("/")).with_extension("rs");
        if module.is_empty() {
            file = folder.join("lib.rs");
        }
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut found = Found {
            here: module.clone(),
            ..Found::default()
        };
        found.visit_file(&syn::parse_file(&text).expect("sources compile"));
        waiting.extend(found.files);
        paths_of.insert(module, found.paths);
    }
    let files: BTreeSet<Module> = paths_of.keys().cloned().collect();
    let file_of = |path: &Module| {
        let lengths = (0..=path.len()).rev();
        let mut prefixes = lengths.map(|n| path[..n].to_vec());
        prefixes.find(|prefix| files.contains(prefix))
    };
    paths_of
        .into_iter()
        .map(|(module, paths)| {
            let mut of: BTreeSet<Module> = paths.iter().filter_map(file_of).collect();
            of.remove(&module);
            (module, of)
        })
        .collect()
}

/// Files that import from each other in a circle, each named once more at its end; None where there are none.
pub fn cycle(imports: &Imports) -> Option<Vec<String>> {
    let mut left = imports.clone();
    // Who imports from nobody that is left is in no circle.
    while let Some(free) = left
        .iter()
        .find(|(_, of)| of.iter().all(|module| !left.contains_key(module)))
        .map(|(module, _)| module.clone())
    {
        left.remove(&free);
    }
    let mut way = vec![left.keys().next()?.clone()];
    loop {
        let last = way.last()?;
        let next = left[last]
            .iter()
            .find(|module| left.contains_key(*module))?
            .clone();
        let seen = way.iter().position(|module| *module == next);
        way.push(next);
        if let Some(start) = seen {
            let names = way[start..].iter().map(|module| match module.is_empty() {
                true => "lib".to_owned(),
                false => module.join("::"),
            });
            return Some(names.collect());
        }
    }
}

/// What was found in one file.
#[derive(Default)]
struct Found {
    /// The module that is being read, within its file too.
    here: Module,
    /// Modules declared here that are files of their own.
    files: Vec<Module>,
    /// Paths into this crate, from its root.
    paths: Vec<Module>,
}

impl Found {
    /// `is_use`: then the path may begin with a name of this module.
    fn add(&mut self, path: &[String], is_use: bool) {
        let mut base = self.here.clone();
        let mut rest = path;
        match path.first().map(String::as_str) {
            Some("crate") => {
                base.clear();
                rest = &path[1..];
            }
            Some("self") => rest = &path[1..],
            Some("super") => {
                while rest.first().is_some_and(|name| name == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            Some(name) => {
                let child: Module = base.iter().cloned().chain([name.to_owned()]).collect();
                if !is_use || !self.files.contains(&child) {
                    return;
                }
            }
            None => return,
        }
        base.extend_from_slice(rest);
        self.paths.push(base);
    }

    fn add_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            syn::UseTree::Path(path) => self.add_tree(&with(path.ident.to_string()), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => self.add(before, true),
            syn::UseTree::Name(name) => self.add(&with(name.ident.to_string()), true),
            syn::UseTree::Rename(name) => self.add(&with(name.ident.to_string()), true),
            syn::UseTree::Glob(_) => self.add(before, true),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_tree(before, tree);
                }
            }
        }
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_test = |list: &syn::MetaList| list.tokens.to_string() == "test";
        attribute.path().is_ident("cfg") && attribute.meta.require_list().is_ok_and(is_test)
    })
}

impl<'ast> Visit<'ast> for Found {
    fn visit_file(&mut self, file: &'ast syn::File) {
        // Names of files are needed to tell what a `use` begins with, which may come before them.
        for item in &file.items {
            if let syn::Item::Mod(module) = item
                && module.content.is_none()
                && !is_for_tests(&module.attrs)
            {
                let name = module.ident.to_string();
                self.files
                    .push(self.here.iter().cloned().chain([name]).collect());
            }
        }
        visit::visit_file(self, file);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            self.here.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.here.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.add_tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        if names.len() > 1 {
            self.add(&names, false);
        }
        visit::visit_path(self, path);
    }
}
