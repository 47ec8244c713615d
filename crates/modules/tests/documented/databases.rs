//! Modules `db_mysql` and `db_postgres`.

use crate::harness::{check_parameters, check_warned, refused, row};

const INT: &str = "takes an integer";

#[test]
fn the_parameters_of_db_mysql_are_those_of_the_document() {
    check_parameters(
        "db_mysql",
        &[
            row("exec_query_threshold", "0", "60000", "-1", "to a minute"),
            row("timeout_interval", "2", "20", "21", "from 1 to 20 seconds"),
            row("max_db_queries", "2", "10", "0", "from 1 to 10"),
            row("max_db_retries", "3", "2", "\"x\"", INT),
            row("ps_max_col_size", "1024", "4096", "\"x\"", INT),
            row("use_tls", "0", "1", "\"maybe\"", INT),
        ],
    );
    let script = |name: &str| {
        format!("loadmodule \"db_mysql.so\"\nmodparam(\"db_mysql\", §\"{name}\", 4096)\nroute {{ exit; }}\n")
    };
    check_warned(&script("max_db_retries"), &["tried until timeout_interval is over"]);
    check_warned(&script("ps_max_col_size"), &["values of any length are read"]);
}

#[test]
fn the_parameters_of_db_postgres_are_those_of_the_document() {
    check_parameters(
        "db_postgres",
        &[
            row("exec_query_threshold", "0", "60000", "60000001", "to a minute"),
            row("max_db_queries", "2", "3", "11", "from 1 to 10"),
            row("timeout", "5", "60", "61", "from 1 to 60 seconds"),
            row("use_tls", "0", "1", "\"maybe\"", INT),
        ],
    );
    refused(
        "loadmodule \"db_postgres.so\"\nmodparam(\"db_postgres\", \"timeout\", §-1)\nroute { exit; }\n",
        &["nothing is waited for without end here"],
    );
}

#[test]
fn urls_of_servers_are_checked_at_load_without_telling_the_password() {
    let script = |url: &str| {
        format!(
            "loadmodule \"signaling.so\"\nloadmodule \"auth.so\"\nloadmodule \"auth_db.so\"\n\
             modparam(\"auth_db\", \"db_url\", §\"{url}\")\nroute {{ exit; }}\n"
        )
    };
    refused(&script("mysql://u:secret@h/d?tls_domain=x"), &["there is no parameter \"tls_domain\""]);
    refused(&script("postgres://u:secret@h"), &["postgres://user:password@host:port/database"]);
    refused(&script("mysql://u:secret@h/d?sslmode=x"), &["sslmode is disable, prefer"]);
}
