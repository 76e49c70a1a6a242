//! The documentation has the table of settings as it is in code, and its pages are there.

use std::path::Path;

#[test]
fn the_configuration_page_has_the_table_as_it_is_in_code() {
    let page = include_str!("../../../docs/configuration.md");
    let table = stt_settings::markdown_table();
    assert!(page.contains(&table), "docs/configuration.md must contain:\n\n{table}");
}

/// Links to files of the repository, in README.md and all pages of docs/.
#[test]
fn links_lead_to_pages_that_say_something() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pages = std::fs::read_dir(root.join("docs"))
        .expect("docs")
        .map(|entry| entry.expect("an entry").path());
    let pages = pages.filter(|page| page.extension().is_some_and(|kind| kind == "md"));
    let mut links = 0;
    for page in pages.chain([root.join("README.md")]) {
        let text = std::fs::read_to_string(&page).expect("UTF-8");
        assert!(text.len() > 100, "{} says nothing", page.display());
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            let path = page.parent().expect("a directory").join(target);
            let found = std::fs::metadata(&path);
            let says_something = found.is_ok_and(|found| found.is_dir() || found.len() > 0);
            assert!(says_something, "{}: {target} is missing or empty", page.display());
            links += 1;
        }
    }
    assert!(links > 50, "{links} links");
}
