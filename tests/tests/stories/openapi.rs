//! The OpenAPI document says what is there: no more, no less.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use story_tests::{Form, TestApp};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

pub(crate) async fn document(app: &TestApp) -> Value {
    app.anonymous().get("/api/openapi.json").await.expect(200).json()
}

fn paths(document: &Value) -> &Map<String, Value> {
    document["paths"].as_object().expect("paths")
}

pub(crate) fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    paths(document).iter().flat_map(|(path, item)| {
        METHODS.iter().filter_map(move |method| Some((path.as_str(), *method, item.get(*method)?)))
    })
}

/// Whether it can be asked for without a token.
pub(crate) fn is_open(operation: &Value) -> bool {
    operation["security"].as_array().is_some_and(|needed| needed.contains(&json!({})))
}

/// The address with something in place of its parameters.
pub(crate) fn filled(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "424242" } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn each_address_takes_the_methods_of_the_document_and_no_others() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let document = document(&app).await;
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in paths(&document) {
        let told: BTreeSet<String> =
            METHODS.iter().filter(|method| item.get(**method).is_some()).map(|m| m.to_uppercase()).collect();
        for spelling in [filled(path), format!("{}/", filled(path))] {
            // A method that nothing takes: the answer names those that are taken.
            let answer = admin.call("TRACE", &spelling).send().await.expect(405);
            let taken = answer.header("allow").split(',').map(str::to_owned).filter(|method| method != "HEAD");
            assert_eq!(taken.collect::<BTreeSet<_>>(), told, "{spelling}");
        }
    }
}

#[tokio::test]
async fn what_takes_a_token_in_the_document_takes_one() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let mut guarded = 0;
    for (path, method, operation) in operations(&document) {
        assert_eq!(operation.get("x-required-right").is_none(), is_open(operation), "{method} {path}");
        if is_open(operation) {
            continue;
        }
        guarded += 1;
        let answer = app.anonymous().call(&method.to_uppercase(), &filled(path)).send().await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert!(operation["responses"].get("401").is_some(), "{method} {path} tells of 401");
        assert!(operation["responses"].get("403").is_some(), "{method} {path} tells of 403");
    }
    assert!(guarded > 40, "{guarded} operations take a token");
}

#[tokio::test]
async fn the_right_in_the_document_is_the_one_that_is_asked_for() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let mut refusals = 0;
    for (role, name) in [("Admin", "admin"), ("Supervisor", "sam"), ("Employee", "erin"), ("Contractor", "cora")] {
        for (path, method, operation) in operations(&document).filter(|(_, _, operation)| !is_open(operation)) {
            let holders = operation["x-required-right"]["roles"].as_array().expect("roles");
            // A session for each: one of them ends it.
            let call = app.login(name).await.call(&method.to_uppercase(), &filled(path));
            let mut open = if method == "get" { call } else { call.json(&json!({})) }.open().await;
            let mut error = Value::Null;
            if open.status == 403 {
                let body = open.next().await.expect("a body");
                error = serde_json::from_slice::<Value>(&body).expect("JSON")["error"].clone();
            }
            // Whose object it is may be a reason too; the right has words of its own.
            let told = operation["responses"]["403"]["description"].as_str().expect("words");
            let refused = error.as_str().is_some_and(|error| told.ends_with(error));
            assert_eq!(refused, !holders.contains(&json!(role)), "{method} {path} as {role}: {} {error}", open.status);
            refusals += usize::from(refused);
        }
    }
    assert!(refusals > 60, "{refusals} refusals");
}

#[tokio::test]
async fn reading_it_leaves_no_activity() {
    let app = TestApp::start().await;
    let (nobody, admin) = (app.anonymous(), app.admin().await);
    app.settled().await;
    let before = app.journal().await.len();
    for path in ["/api/openapi.json", "/api/docs", "/api/docs/", "/api/docs/swagger-ui.css", "/api/docs/nothing"] {
        for reader in [&nobody, &admin] {
            let _ = reader.get(path).await;
        }
    }
    app.settled().await;
    assert_eq!(app.journal().await.len(), before);
}

#[tokio::test]
async fn each_operation_is_told_in_full() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().expect("an id")), "{method} {path}: its id is its own");
        assert!(operation["summary"].as_str().is_some_and(|text| text.ends_with(['.', ':'])), "{method} {path}");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            assert!(parameters.iter().any(|p| p["name"] == name && p["in"] == "path"), "{method} {path}: {name}");
        }
        for (status, response) in operation["responses"].as_object().expect("responses") {
            assert!(response["description"].is_string(), "{method} {path} {status}");
            // Health tells in the same form whether it is well or not.
            let health = path.starts_with("/api/health") && status == "503";
            if !status.starts_with('2') && !health {
                let body = &response["content"]["application/problem+json"]["schema"]["$ref"];
                let body = body.as_str().expect("a body");
                assert!(body.starts_with("#/components/schemas/Problem"), "{method} {path} {status}: {body}");
            }
        }
    }
    resolve(&document, &document);
}

#[tokio::test]
async fn each_body_and_each_row_has_an_example_and_each_example_is_valid() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let mut examples = 0;
    let mut hold = |place: &str, schema: &Value, example: &Value| {
        let held = Form::of(&document, schema).hold(example.to_string().as_bytes());
        held.unwrap_or_else(|wrong| panic!("the example of {place}: {wrong}: {example}"));
        examples += 1;
    };
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        if let Some(example) = schema.get("example") {
            hold(name, schema, example);
        }
        for (member, schema) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(example) = schema.get("example") {
                hold(&format!("{name}.{member}"), schema, example);
            }
        }
    }
    for (path, method, operation) in operations(&document) {
        let rows = &operation["responses"]["200"]["content"]["application/json"]["schema"]["items"]["$ref"];
        if let Some(target) = rows.as_str() {
            let row = document.pointer(target.trim_start_matches('#')).expect("a schema");
            assert!(row.get("example").is_some(), "{method} {path}: {target}");
        }
        let contents = operation["requestBody"]["content"].as_object();
        for (kind, content) in contents.into_iter().flatten() {
            let place = format!("{method} {path} {kind}");
            match content.get("example") {
                Some(example) => hold(&place, &content["schema"], example),
                None => {
                    let target =
                        content["schema"]["$ref"].as_str().expect("a schema of its own").trim_start_matches('#');
                    assert!(document.pointer(target).expect("a schema").get("example").is_some(), "{place}");
                }
            }
        }
    }
    assert!(examples > 45, "{examples} examples");
}

/// Each reference leads somewhere.
fn resolve(document: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get("$ref") {
                assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
            }
            members.values().for_each(|value| resolve(document, value));
        }
        Value::Array(values) => values.iter().for_each(|value| resolve(document, value)),
        _ => {}
    }
}

#[tokio::test]
async fn the_page_comes_from_the_server_alone() {
    let app = TestApp::start().await;
    let nobody = app.anonymous();
    let page = nobody.get("/api/docs/").await.expect(200);
    let policy = page.header("content-security-policy").to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    let text = page.text();
    assert!(!text.contains("://") && !text.contains("<style"), "{text}");
    for name in text.split(['"', '\'']).filter(|word| word.ends_with(".js") || word.ends_with(".css")) {
        let _ = nobody.get(&format!("/api/docs/{}", name.trim_start_matches("./"))).await.expect(200);
    }
    let start = nobody.get("/api/docs/swagger-initializer.js").await.expect(200);
    assert!(start.text().contains("/api/openapi.json"));
}

#[tokio::test]
async fn a_body_that_may_be_absent_is_not_required() {
    let app = TestApp::start().await;
    let path = "/api/analytics/run-rule-detection";
    let operation = &document(&app).await["paths"][path]["post"];
    assert_ne!(operation["requestBody"]["required"], true);
    assert!(operation["requestBody"]["content"]["application/json"]["schema"].is_object(), "{operation}");
    let _ = app.admin().await.call("POST", path).send().await.expect(200);
}
