//! `seawall check`: everything that is wrong with a script at once, where, and what was meant.

use crate::harness::scripts::{MODULES, exchange};
use crate::harness::server::{run, temporary_folder};
use std::fs;

/// Checks a script: the exit status and everything that was printed.
fn check(script: &str) -> (i32, String) {
    let folder = temporary_folder();
    let file = folder.join("script.cfg");
    fs::write(&file, script).unwrap();
    let output = run(&["check", &file.display().to_string()]);
    fs::remove_dir_all(folder).unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// One mistake in the body of a route: refused, at its line and column, with these words.
#[track_caller]
fn check_refused(statement: &str, words: &[&str]) {
    let script = format!("{MODULES}route {{\n\t{statement}\n}}\n");
    let line = script.lines().position(|line| line.contains(statement)).unwrap() + 1;
    let (status, text) = check(&script);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains(&format!("script.cfg:{line}:")), "no line {line} in\n{text}");
    assert!(text.contains('^'), "no caret in\n{text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in\n{text}");
    }
}

#[test]
fn a_good_script_passes() {
    let (status, text) = check(&exchange());
    assert_eq!(status, 0, "{text}");
}

#[test]
fn a_misspelt_function_is_named_with_the_nearest_one() {
    check_refused("sav(\"location\");", &["sav", "save"]);
    check_refused("t_rellay();", &["t_rellay", "t_relay"]);
}

#[test]
fn a_misspelt_flag_is_named_with_the_nearest_one() {
    check_refused("save(\"location\", \"max-contact=1\");", &["max-contact", "max-contacts"]);
    check_refused("lookup(\"location\", \"no-branch\");", &["no-branch", "no-branches"]);
}

#[test]
fn wrong_arguments_are_refused() {
    check_refused("save();", &["save"]);
    check_refused("mf_process_maxfwd_header(\"ten\");", &["mf_process_maxfwd_header"]);
    check_refused("send_reply(200);", &["send_reply"]);
    check_refused("route(nowhere);", &["nowhere"]);
    check_refused("t_on_failure(\"nowhere\");", &["nowhere"]);
}

#[test]
fn an_unknown_variable_or_transformation_is_refused() {
    check_refused("xlog(\"$nosuchvariable\\n\");", &["nosuchvariable"]);
    check_refused("xlog(\"$(ru{uri.usr})\\n\");", &["uri.usr", "uri.user"]);
}

#[test]
fn functions_of_later_modules_are_refused_by_name() {
    check_refused("www_authorize(\"\", \"subscriber\");", &["www_authorize", "auth_db"]);
    check_refused("mid_registrar_save(\"location\");", &["mid_registrar"]);
}

#[test]
fn a_function_of_a_module_that_is_not_loaded_asks_for_it() {
    let (status, text) = check("loadmodule \"sl.so\"\nroute { save(\"location\"); }\n");
    assert_eq!(status, 1);
    assert!(text.contains("loadmodule") && text.contains("registrar"), "{text}");
}

#[test]
fn wrong_module_parameters_are_refused() {
    for (line, word) in [
        ("modparam(\"registrar\", \"max_contact\", 1)", "max_contacts"),
        ("modparam(\"registrar\", \"max_contacts\", \"many\")", "max_contacts"),
        ("modparam(\"no_such_module\", \"x\", 1)", "no_such_module"),
        ("loadmodule \"registrarr.so\"", "registrar"),
        ("log_levell=3", "log_level"),
    ] {
        let (status, text) = check(&format!("{MODULES}{line}\nroute {{ exit; }}\n"));
        assert_eq!(status, 1, "{line}");
        assert!(text.contains(word) && text.contains('^'), "{line}:\n{text}");
    }
}

#[test]
fn every_problem_is_reported_in_one_run() {
    let script = format!(
        "{MODULES}route {{\n\tsav(\"location\");\n\tif (is_metod(\"ACK\") {{\n\texit;\n\tt_rely();\n}}\n"
    );
    let (status, text) = check(&script);
    assert_eq!(status, 1);
    for word in ["sav", "is_metod", "t_rely"] {
        assert!(text.contains(word), "no {word} in\n{text}");
    }
}

#[test]
fn a_function_in_a_route_where_it_means_nothing_is_refused() {
    let (status, text) =
        check(&format!("{MODULES}route {{ exit; }}\nbranch_route[x] {{ save(\"location\"); }}\n"));
    assert_eq!(status, 1);
    assert!(text.contains("save"), "{text}");
}

#[test]
fn globals_without_a_meaning_here_are_warned_about_and_accepted() {
    let (status, text) = check(&format!("children=8\ndisable_dns_blacklist=yes\n{}", exchange()));
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("warning"), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let output = run(&["check", "no/such/file.cfg"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no/such/file.cfg"));
}

#[test]
fn a_script_with_mistakes_does_not_run() {
    let folder = temporary_folder();
    let file = folder.join("script.cfg");
    fs::write(&file, "route { nonsense(); }\n").unwrap();
    let output = run(&["run", "-f", &file.display().to_string(), "-l", "udp:127.0.0.1:0"]);
    fs::remove_dir_all(folder).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nonsense"));
}
