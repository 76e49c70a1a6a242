//! The documentation has the table of settings as it is in code, and its pages are there.

use std::path::Path;

#[test]
fn the_configuration_page_has_the_table_as_it_is_in_code() {
    let page = include_str!("../../../docs/configuration.md");
    let table = stt_settings::markdown_table();
    assert!(page.contains(&table), "docs/configuration.md must contain:\n\n{table}");
}

/// Links to files of the repository and to their headings, in README.md and all pages of docs/.
#[test]
fn links_lead_to_what_says_something() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pages = std::fs::read_dir(root.join("docs"))
        .expect("docs")
        .map(|entry| entry.expect("an entry").path());
    let pages = pages.filter(|page| page.extension().is_some_and(|kind| kind == "md"));
    let mut links = 0;
    for page in pages.chain([root.join("README.md")]) {
        let text = std::fs::read_to_string(&page).expect("UTF-8");
        assert!(text.len() > 100, "{} says nothing", page.display());
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => page.clone(),
                file => page.parent().expect("a directory").join(file),
            };
            let found =
                std::fs::metadata(&path).unwrap_or_else(|error| panic!("{}: {target}: {error}", page.display()));
            assert!(
                found.is_dir() || found.len() > 0,
                "{}: {target} is empty",
                page.display()
            );
            if !heading.is_empty() {
                let there = std::fs::read_to_string(&path).expect("UTF-8");
                let mut headings = there.lines().filter(|line| line.starts_with('#')).map(anchor);
                assert!(
                    headings.any(|anchor| anchor == heading),
                    "{}: no heading {target}",
                    page.display()
                );
            }
            links += 1;
        }
    }
    assert!(links > 50, "{links} links");
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
