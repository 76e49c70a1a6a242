//! The documentation has the table of settings as it is in code.

#[test]
fn the_configuration_page_has_the_table_as_it_is_in_code() {
    let page = include_str!("../../../docs/configuration.md");
    let table = stt_settings::markdown_table();
    assert!(page.contains(&table), "docs/configuration.md must contain:\n\n{table}");
}
