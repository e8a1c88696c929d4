//! The examples in the OpenAPI document are what the program says.

use serde_json::{Value, json};
use story_tests::{Actor, Form, TestApp};

use crate::openapi::{document, filled, is_open, operations};

const PROBLEM: &str = "application/problem+json";

#[tokio::test]
async fn each_answer_in_json_has_an_example_that_is_valid_and_of_its_own_status() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let (mut errors, mut answers, mut bare) = (0, 0, Vec::new());
    for (path, method, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            for (kind, content) in response["content"].as_object().into_iter().flatten() {
                let place = format!("{method} {path} {status} {kind}");
                if kind != PROBLEM && kind != "application/json" {
                    continue;
                }
                let schema = &content["schema"];
                let target = schema["$ref"].as_str().map(|target| target.trim_start_matches('#'));
                let named = target.map(|target| document.pointer(target).expect("a schema"));
                let example = content.get("example").or_else(|| named?.get("example"));
                let Some(example) = example else {
                    bare.push(place);
                    continue;
                };
                let held = Form::of(&document, schema).hold(example.to_string().as_bytes());
                held.unwrap_or_else(|wrong| panic!("the example of {place}: {wrong}: {example}"));
                if kind == PROBLEM {
                    assert_eq!(example["status"].to_string(), *status, "{place}");
                    assert_eq!(example["detail"], example["error"], "{place}");
                    errors += 1;
                } else {
                    assert!(!example.to_string().contains("\"string\""), "{place}: {example}");
                    answers += 1;
                }
            }
        }
    }
    assert_eq!(bare, Vec::<String>::new(), "without an example");
    assert!(errors > 400 && answers > 60, "{errors} errors, {answers} answers");
}

#[tokio::test]
async fn each_parameter_says_what_it_is() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    for (path, method, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let told = parameter["description"].as_str().is_some_and(|text| text.len() > 5);
            assert!(told, "{method} {path}: {}", parameter["name"]);
        }
    }
}

/// The example of an answer.
fn example<'a>(operation: &'a Value, status: &str, kind: &str) -> &'a Value {
    &operation["responses"][status]["content"][kind]["example"]
}

/// The address with something in place of its parameters that is of their kind.
fn named(path: &str) -> String {
    filled(path).replace("/alerts/424242", "/alerts/019ca8a4-7a4c-7c31-8b4e-5d2f9a6c1e07")
}

/// Somebody who is logged in: an operation may have ended the session.
async fn fresh(app: &TestApp) -> Actor {
    app.login("admin").await
}

#[tokio::test]
async fn errors_are_told_in_the_words_that_are_answered() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let (mut wrong, mut missing) = (0, 0);
    for (path, method, operation) in operations(&document) {
        let has_body = operation.get("requestBody").is_some();
        let verb = method.to_uppercase();
        let place = format!("{method} {path}");
        if !is_open(operation) {
            let answer = app.anonymous().call(&verb, &filled(path)).send().await.expect(401);
            assert_eq!(answer.error(), example(operation, "401", PROBLEM)["error"], "{place}");
        }
        if has_body {
            let call = fresh(&app).await.call(&verb, &named(path)).header("content-type", "image/png");
            let answer = call.body("x").send().await.expect(415);
            assert_eq!(answer.error(), example(operation, "415", PROBLEM)["error"], "{place}");
        }
        let bad = example(operation, "400", PROBLEM);
        let Some(field) = bad["errors"][0]["field"].as_str() else { continue };
        let error = bad["error"].as_str().expect("a sentence");
        let (at, body, header) = if error.contains("in the path") {
            let at: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
            (at.join("/"), json!({}), "")
        } else if field == "Idempotency-Key" {
            (filled(path), json!({}), field)
        } else if has_body {
            (filled(path), json!({ "window_hours": "x" }), "")
        } else if error.contains("is required") {
            (filled(path), json!({}), "")
        } else {
            (format!("{}?{field}=x", filled(path)), json!({}), "")
        };
        let call = fresh(&app).await.call(&verb, &at);
        let call = if header.is_empty() { call } else { call.header(header, "") };
        let answer = if has_body { call.json(&body) } else { call }.send().await.expect(400);
        assert_eq!((answer.error(), &answer.json()["errors"]), (error.to_owned(), &bad["errors"]), "{place}");
        wrong += 1;
        // Where nothing else is wrong with it, what is named is looked for.
        if path.contains('{') && !has_body {
            let answer = fresh(&app).await.call(&verb, &named(path)).send().await;
            if answer.status == 404 {
                assert_eq!(answer.error(), example(operation, "404", PROBLEM)["error"], "{place}");
                missing += 1;
            }
        }
    }
    assert!(wrong > 50 && missing > 12, "{wrong} wrong, {missing} missing");
}

#[tokio::test]
async fn what_is_done_is_told_in_the_words_that_are_answered() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let admin = app.admin().await;
    let receiver = json!({ "name": "on-call", "url": "https://receiver.invalid/x" });
    let account = json!({ "username": "newcomer", "password": "a password of some length" });
    let item = json!({ "item_name": "Claw hammer", "quantity": 9, "unit_price": 12.5 });
    let mut done = Vec::new();
    for (method, told, at, body) in [
        ("post", "/api/inventory", "/api/inventory", item),
        ("put", "/api/inventory/{item_id}", "/api/inventory/1", json!({ "quantity": 8 })),
        ("post", "/api/orders", "/api/orders", json!({ "item_id": 1, "quantity": 2 })),
        ("put", "/api/orders/{order_id}", "/api/orders/1", json!({ "quantity": 1 })),
        ("delete", "/api/orders/{order_id}", "/api/orders/1", Value::Null),
        ("delete", "/api/inventory/{item_id}", "/api/inventory/1", Value::Null),
        ("post", "/api/keys", "/api/keys", json!({ "name": "firewall" })),
        ("delete", "/api/keys/{name}", "/api/keys/firewall", Value::Null),
        ("post", "/api/webhooks", "/api/webhooks", receiver),
        ("patch", "/api/webhooks/{webhook_id}", "/api/webhooks/1", json!({ "name": "night" })),
        ("post", "/api/webhooks/{webhook_id}/rotate-secret", "/api/webhooks/1/rotate-secret", Value::Null),
        ("delete", "/api/webhooks/{webhook_id}", "/api/webhooks/1", Value::Null),
        ("post", "/api/auth/register", "/api/auth/register", account),
        ("post", "/api/analytics/run-rule-detection", "/api/analytics/run-rule-detection", json!({})),
        ("post", "/api/auth/logout", "/api/auth/logout", Value::Null),
    ] {
        let call = admin.call(&method.to_uppercase(), at);
        let answer = if body.is_null() { call } else { call.json(&body) }.send().await;
        let example = example(&document["paths"][told][method], &answer.status.to_string(), "application/json");
        assert_eq!(answer.json()["message"], example["message"], "{method} {told}: {}", answer.text());
        done.push(answer.json()["message"].as_str().expect("words").to_owned());
    }
    assert_eq!(done[0], "Item created successfully");
}
