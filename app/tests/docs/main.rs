//! What README.md and docs/ tell people to type works as it stands there.
//!
//! | file | what |
//! |---|---|
//! | `main` | which blocks of commands there are, what becomes of each, and the rest of what is promised |
//! | `references` | links, files and rules that pages name |
//! | `settings` | the table of settings |
//! | `text` | blocks and commands out of Markdown |
//! | `shell` | a server of the test's own, and bash beside it |
//! | `distributed` | what needs MariaDB and Kafka |
//!
//! A command of the program is read by its own command line wherever it stands, also where it cannot be run here.

mod distributed;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "../common/port.rs"]
mod port;
mod references;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "../common/server.rs"]
mod server;
mod settings;
mod shell;
mod text;

use std::fs;

use clap::{CommandFactory, Parser, error::ErrorKind};
use security_analytics::cli::Cli;
use serde_json::{Value, json};

use shell::{Folder, available, parsed};
use text::{Block, blocks, pages, words};

/// Every block of commands by the line it begins with: run by a test here, or the reason why not.
const BLOCKS: [(&str, &str, Fate); 17] = [
    ("README.md", "cargo run --release        #", Fate::Not("builds the release, and runs the tests")),
    ("README.md", "cargo run --release -- demo", Fate::Not("app/tests/process.rs runs `demo`")),
    ("README.md", "api=http", Fate::Run),
    ("README.md", "curl -s $api/analytics/flagged-activities", Fate::Run),
    ("README.md", "alias security-analytics=", Fate::Run),
    ("README.md", "export DATABASE_URL=", Fate::Run),
    ("docs/api.md", "curl -s $api/openapi.json", Fate::Run),
    ("docs/api.md", "curl -s $api/logs/", Fate::Run),
    ("docs/detection.md", "security-analytics backtest", Fate::Run),
    ("docs/operations.md", "security-analytics import", Fate::Not("needs a Flask installation; app/tests/import.rs")),
    ("docs/operations.md", "security-analytics backup", Fate::Run),
    ("docs/operations.md", "mariadb-dump", Fate::Run),
    ("docs/operations.md", "install -d", Fate::Run),
    ("docs/operations.md", "security-analytics admin", Fate::Run),
    ("docs/performance.md", "DATABASE_URL=", Fate::Not("takes minutes, valgrind and perf")),
    ("docs/topics.md", "echo", Fate::Run),
    ("docs/webhooks.md", "curl -s $api/webhooks", Fate::Run),
];

enum Fate {
    Run,
    Not(&'static str),
}

fn block(page: &str, beginning: &str) -> String {
    let found = blocks(page).into_iter().find(|block| block.text.starts_with(beginning));
    found.unwrap_or_else(|| panic!("{page} has no block that begins with `{beginning}`")).text
}

/// A YAML block by a line that it contains.
fn yaml(page: &str, containing: &str) -> String {
    let found = text::fenced(page, "yaml").into_iter().find(|block: &Block| block.text.contains(containing));
    found.unwrap_or_else(|| panic!("{page} has no rule with `{containing}`")).text
}

#[test]
fn every_block_of_commands_is_run_or_says_why_not() {
    let mut known: Vec<_> = BLOCKS.iter().map(|entry| (entry, 0)).collect();
    for block in pages().iter().flat_map(|page| blocks(page)) {
        let of = known.iter_mut().find(|((page, line, _), _)| block.page == *page && block.text.starts_with(line));
        let (_, found) = of.unwrap_or_else(|| panic!("{}:{}: run it in this test", block.page, block.line));
        *found += 1;
    }
    for ((page, line, fate), found) in known {
        assert_eq!(found, 1, "{page}: `{line}`");
        assert!(!matches!(fate, Fate::Not("")), "{page}: `{line}` is not run, and nothing says why");
    }
}

#[test]
fn every_command_that_a_page_names_exists_with_its_flags() {
    let (mut read, names) = (0, text::subcommands(&Cli::command()));
    for page in pages() {
        for (line, command) in text::commands(&page, &names) {
            if let Some(error) = refused(&command) {
                panic!("{page}:{line}: `{command}`: {error}");
            }
            read += 1;
        }
        for (line, flag) in text::flags(&page) {
            assert!(text::has_flag(&Cli::command(), &flag), "{page}:{line}: no command has {flag}");
        }
    }
    assert!(read > 40, "only {read} commands were seen");
}

#[test]
fn every_example_that_the_help_gives_can_be_typed() {
    let examples = text::examples(&Cli::command());
    assert!(examples.len() > 15, "only {} examples were seen", examples.len());
    for example in examples {
        assert!(refused(&example).is_none(), "{example}: {:?}", refused(&example));
    }
}

/// Why the command line does not take this command. In the middle of a sentence it may go without its arguments.
fn refused(command: &str) -> Option<clap::Error> {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument};
    let words = std::iter::once("security-analytics".to_owned()).chain(words(command));
    let short = [DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument];
    Cli::try_parse_from(words).err().filter(|error| !short.contains(&error.kind()))
}

#[test]
fn the_first_five_minutes_are_as_the_readme_tells_them() {
    let Some(folder) = available(&["bash", "curl"]).then(Folder::new) else { return };
    let server = folder.serve(&[]);
    let api = |text: String| text.replace("127.0.0.1:5000", &server.address.to_string());
    let walk = api(block("README.md", "api=http")).replace("PASSWORD", &folder.password());
    let look = block("README.md", "curl -s $api/analytics/flagged-activities");
    // The README shows the beginning of what a person sees, who is slower than a script.
    let shown = text::fenced("README.md", "json").remove(0).text;
    let told = |member: &str| {
        let (_, after) = shown.split_once(&format!("\"{member}\":")).expect("in the README");
        after.split('"').nth(1).expect("a text").to_owned()
    };
    let reason = told("reason");
    let again = format!("for i in $(seq 100); do\n{look}\necho; sleep 0.1; done | grep -m1 '{reason}'");
    let said = folder.bash(&format!("{walk}\n{again}"));
    let answers: Vec<&str> = said.lines().collect();
    let [refused @ .., throttled, flags] = &answers[..] else { panic!("{said}") };
    assert_eq!(refused.len(), 5, "{said}");
    assert!(refused.iter().all(|answer| answer.contains("Invalid credentials")), "{said}");
    assert!(throttled.contains("Too many attempts."), "{said}");
    let (flags, members) = (parsed(flags), ["username", "severity", "status", "rule", "reason"]);
    let found =
        flags.as_array().expect("a list").iter().any(|flag| members.iter().all(|name| flag[name] == told(name)));
    assert!(found, "{shown}{flags}");
}

#[test]
fn the_first_screen_is_as_the_readme_shows_it() {
    let folder = Folder::new();
    let shown = text::fenced("README.md", "text").remove(0).text;
    let place =
        shown.lines().find_map(|line| line.trim_start().strip_prefix("Data directory  ")).expect("in the README");
    let screen = folder.first_screen().replace(&folder.path().join("data").display().to_string(), place);
    // The password is for terminals alone.
    let lines = shown.lines().filter(|line| !["  Log in as", "  Password"].iter().any(|label| line.starts_with(label)));
    for line in lines {
        assert!(screen.lines().any(|said| said == line), "{line}\n{screen}");
    }
}

#[test]
fn what_the_readme_offers_next_can_be_typed() {
    let Some(folder) = available(&["bash", "curl"]).then(Folder::new) else { return };
    // Of the server and of all that is typed beside it: an attack at night must not become one by day meanwhile.
    let hours = format!("TIME_ZONE=UTC\nWORKING_HOURS={}\n", server::hours_far_from_now());
    fs::write(folder.path().join(".env"), hours).expect("written");
    let server = folder.serve(&[]);
    fs::write(folder.path().join("FILE.ndjson"), failures(5)).expect("written");
    let next = block("README.md", "alias security-analytics=").replace("'PASSWORD'", &folder.password());
    // A first start on a terminal shows it there, and keeps no file of it.
    fs::remove_file(folder.path().join("data/initial-admin-password")).expect("removed");
    // Another port, three seconds of attacks instead of thirty, and an end to what has none.
    let tail = format!("timeout 2 security-analytics tail --url http://{} || [ $? = 124 ] ", server.address);
    let next = next
        .replace("target/release/security-analytics", env!("CARGO_BIN_EXE_security-analytics"))
        .replace("security-analytics tail ", &tail)
        .replace("simulate ", &format!("simulate --url http://{} --for 3s ", server.address));
    let said = folder.bash(&format!("shopt -s expand_aliases\n{next}"));
    for words in ["Password: ", "sa_", "\"user\":\"bob\"", "  T1110.001 ", " caught after ", "Exit codes:"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn events_are_posted_as_the_api_page_does() {
    let Some(folder) = available(&["bash", "curl"]).then(Folder::new) else { return };
    let server = folder.serve(&[]);
    fs::write(folder.path().join("events.ndjson"), failures(3) + "{\"user\":\"bob\"}\n").expect("written");
    let post = block("docs/api.md", "curl -s $api/logs/");
    let key = "key=$(security-analytics key create firewall)";
    let said = folder.bash(&format!("api=http://{}/api\n{key}\n{post}", server.address));
    let (answer, told) = (parsed(&said), parsed(post.lines().last().expect("the answer").trim_start_matches("# ")));
    assert_eq!((&answer["accepted"], &answer["rejected_total"]), (&Value::from(3), &Value::from(1)), "{said}");
    let members = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&answer), members(&told));
    assert_eq!(members(&answer["rejected"][0]), members(&told["rejected"][0]));
}

#[test]
fn the_document_is_made_ready_for_a_generator_as_the_api_page_does() {
    let Some(folder) = available(&["bash", "curl", "jq"]).then(Folder::new) else { return };
    let server = folder.serve(&[]);
    folder.bash(&format!("api=http://{}/api\n{}", server.address, block("docs/api.md", "curl -s $api/openapi.json")));
    let document = parsed(&fs::read_to_string(folder.path().join("openapi.json")).expect("written"));
    let bodies = &document["paths"]["/api/logs"]["post"]["requestBody"]["content"];
    assert_eq!(bodies.as_object().expect("bodies").keys().collect::<Vec<_>>(), ["application/json"]);
}

#[test]
fn a_webhook_is_made_and_its_messages_taken_as_the_page_says() {
    let Some(folder) = available(&["bash", "curl", "python3"]).then(Folder::new) else { return };
    fs::write(folder.path().join("own.toml"), "webhook_allowed_networks = \"127.0.0.0/8\"\n").expect("written");
    let server = folder.serve(&["--config", "own.toml"]);
    // The page's ports are for people.
    let port = port::free_port();
    let login = block("README.md", "api=http").replace("127.0.0.1:5000", &server.address.to_string());
    let (login, _) = login.replace("PASSWORD", &folder.password()).split_once("\nfor ").map_or_else(
        || panic!("the README logs in before it guesses"),
        |(login, guesses)| (login.to_owned(), guesses.to_owned()),
    );
    let made = block("docs/webhooks.md", "curl -s $api/webhooks");
    let (make, test) = made.split_once("curl -s -X POST").expect("two commands");
    let make = make.replace("https://soc.example.org/alerts", &format!("http://127.0.0.1:{port}/"));
    let answer = parsed(&folder.bash(&format!("{login}\n{make}")));
    let secret = answer["secret"].as_str().expect("a secret");
    let receiver = text::fenced("docs/webhooks.md", "python").remove(0).text;
    fs::write(folder.path().join("receiver.py"), receiver.replace("8001", &port.to_string())).expect("written");
    // Until it listens, the test says that it does not.
    let script = format!(
        "WEBHOOK_SECRET={secret} python3 receiver.py >told 2>log & receiver=$!; trap 'kill $receiver' EXIT\n{login}\n\
         for i in $(seq 100); do said=$(curl -s -X POST{test}); case $said in *true*) break;; esac; sleep 0.1; done\n\
         for i in $(seq 50); do grep -q webhook.test told && break; sleep 0.1; done; echo $said; cat told"
    );
    let said = folder.bash(&script);
    let (tested, told) = said.split_once('\n').expect("two lines");
    assert_eq!((&parsed(tested)["delivered"], &parsed(tested)["status"]), (&Value::from(true), &Value::from(204)));
    assert!(told.contains("webhook.test None"), "{said}");
    // What the page shows has the members that were answered.
    let shown = text::fenced("docs/webhooks.md", "json").remove(0).text;
    let members = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    for member in members(&answer).into_iter().chain(members(&parsed(tested))) {
        assert!(shown.contains(&format!("\"{member}\":")), "{member}: {shown}");
    }
}

#[test]
fn a_backup_is_made_and_restored_as_the_page_says() {
    let Some(folder) = available(&["bash", "install"]).then(Folder::new) else { return };
    let server = folder.serve(&[]);
    folder
        .bash(&block("docs/operations.md", "security-analytics backup").replace("/var/lib/security-analytics", "data"));
    drop(server);
    let restore = block("docs/operations.md", "install -d");
    let (make, start) = restore.trim_end().rsplit_once('\n').expect("lines");
    folder.bash(make);
    let start = words(start.strip_prefix("security-analytics ").expect("the server"));
    let _server = folder.serve(&start.iter().map(String::as_str).collect::<Vec<_>>());
    let said = folder.bash(&block("docs/operations.md", "security-analytics admin"));
    assert_eq!(said.matches("Password: ").count(), 2, "{said}");
}

#[test]
fn events_in_a_file_are_looked_at_as_the_page_on_detection_does() {
    let Some(folder) = available(&["bash"]).then(Folder::new) else { return };
    fs::write(folder.path().join("FILE.ndjson"), failures(5)).expect("written");
    folder.bash(&block("docs/detection.md", "security-analytics backtest"));
    let alerts = fs::read_to_string(folder.path().join("alerts.ndjson")).expect("alerts");
    for alert in alerts.lines().map(parsed) {
        let has = |member: &str| alert[member].is_string();
        assert!(has("at") && has("rule") && has("severity") && (has("user") || has("ip")), "{alert}");
    }
    assert_eq!(alerts.lines().count(), 2, "of the account and of the address: {alerts}");
}

#[test]
fn rules_in_the_pages_are_valid_and_the_tutorial_is_one_that_works() {
    let folder = Folder::new();
    let put = |name: &str, text: String| {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, text).expect("written");
    };
    put("deletions/deletions.yml", yaml("README.md", "title: Many orders deleted"));
    folder.program(&["rules", "check", "deletions/"]);

    put("my/many_orders_viewed.yml", yaml("docs/rules.md", "title: Many orders viewed"));
    folder.program(&["rules", "check", "my/"]);
    // Its scenarios, made as the page says of the one event and the one line it shows.
    let event = text::fenced("docs/rules.md", "json").remove(0).text;
    let events = |count: usize| -> String {
        let one = |at: usize| {
            event.replace("12:00:00Z", &format!("12:00:{at:02}Z")).replace("orders/1", &format!("orders/{}", at + 1))
        };
        (0..count).map(one).collect()
    };
    let page = text::read("docs/rules.md");
    let expected = page.split('`').find(|code| code.starts_with("{\"rule_id\"")).expect("a line of expected.ndjson");
    let expected = expected.replace("0b6f1c9e-…-3a1d54a5b002", "0b6f1c9e-6f0e-4f0e-9a44-3a1d54a5b002");
    for (case, count, expected) in [("fires", 20, expected), ("nearly", 19, String::new())] {
        put(&format!("my/tests/many_orders_viewed/{case}/events.ndjson"), events(count));
        put(&format!("my/tests/many_orders_viewed/{case}/expected.ndjson"), expected);
    }
    folder.program(&["rules", "test", "my/"]);

    // Whoever has the binary alone has no built-in files beside it. What is asked of the store is asked of a file here.
    put("filter/filter.yml", yaml("docs/rules.md", "title: Nightly stock job"));
    folder.program(&["rules", "check", "filter/"]);
    let one = |user: &str, minute| {
        let members = json!({"occurred_at": format!("2026-03-01T03:0{minute}:00Z"), "user": user, "action": "Export"});
        format!("{members}\n")
    };
    put(
        "e.ndjson",
        ["mara", "svc-stock"].iter().flat_map(|user| (0..3).map(move |minute| one(user, minute))).collect(),
    );
    let ask = page
        .split('`')
        .find(|code| code.starts_with("RULES=my/") && code.contains("backtest"))
        .expect("how a filter is tried");
    let ask = ask.replace("--stored", "--events e.ndjson").replace("my/", "filter/");
    folder.bash(&format!("{ask}\n{}", ask.replace("RULES=filter/ ", "").replace("with.", "without.")));
    let of = |file: &str| {
        let alerts = fs::read_to_string(folder.path().join(file)).expect("alerts");
        let off_hours = alerts
            .lines()
            .map(parsed)
            .filter(|alert| alert["rule"].as_str().is_some_and(|rule| rule.contains("hours")));
        off_hours.filter_map(|alert| alert["user"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(
        (of("with.ndjson"), of("without.ndjson")),
        (vec!["mara".to_owned()], vec!["mara".to_owned(), "svc-stock".to_owned()])
    );
}

#[test]
fn examples_in_python_are_python() {
    let Some(folder) = available(&["bash", "python3"]).then(Folder::new) else { return };
    let files = fs::read_dir(text::root().join("docs/examples")).expect("examples");
    let files = files.map(|file| fs::read_to_string(file.expect("a file").path()).expect("text"));
    let in_pages = pages().into_iter().flat_map(|page| text::fenced(&page, "python")).map(|block| block.text);
    for example in files.chain(in_pages) {
        fs::write(folder.path().join("example.py"), example).expect("written");
        folder.bash("python3 -c 'import ast; ast.parse(open(\"example.py\").read())'");
    }
}

/// So many failed log-ins as bob, a second apart.
fn failures(count: usize) -> String {
    let one = |at| {
        let time = format!("2026-03-04T12:00:{at:02}Z");
        let failed = json!({"occurred_at": time, "user": "bob", "action": "LoginFailed", "source_ip": "192.0.2.7"});
        format!("{failed}\n")
    };
    (0..count).map(one).collect()
}
