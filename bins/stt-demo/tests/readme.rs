//! The README against the code it speaks of.

const README: &str = include_str!("../../../README.md");

#[test]
fn the_settings_are_those_of_the_code() {
    let begin = "<!-- settings:begin -->\n";
    let (_, rest) = README.split_once(begin).expect("the table begins");
    let (table, _) = rest.split_once("<!-- settings:end -->").expect("the table ends");
    assert!(
        table == stt_settings::markdown_table(),
        "put this between the markers of README.md:\n{}",
        stt_settings::markdown_table()
    );
}

#[test]
fn it_stays_short_beside_the_table_of_settings() {
    let is_setting = |line: &&str| line.starts_with("| `");
    assert!(README.lines().filter(|line| !is_setting(line)).count() < 150);
}
