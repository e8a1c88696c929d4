//! Accounts.

use domain::{MINUTE, Role};
use serde_json::{Value, json};
use story_tests::{PASSWORD, TestApp};

#[tokio::test]
async fn an_admin_changes_an_account() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = app.create("target", Role::Employee).await;
    let body = json!({ "role_id": "2", "email": "t@example.org", "full_name": "T", "password": "a fine secret" });
    let answer = admin.put(&format!("/api/users/{id}"), body).await.expect(200).json();
    assert_eq!(answer["message"], "User updated successfully");
    assert_eq!(answer["user"]["role_name"], "Supervisor");
    assert_eq!(answer["user"]["email"], "t@example.org");
    let activity = app.journal().await.pop().expect("an activity");
    let attributes = &activity["attributes"];
    assert_eq!(attributes["target_user"], "target");
    assert_eq!(
        (attributes["role_from"].as_str(), attributes["role_to"].as_str()),
        (Some("Employee"), Some("Supervisor"))
    );
    assert_eq!(attributes["password_changed"], true);
    assert_eq!(attributes["changed"], json!(["role_id", "password", "email", "full_name"]));
    assert!(!activity.to_string().contains("a fine secret"));
    // `null` and `""` leave what is there; the old frontend always sends everything.
    let same = json!({ "role_id": Value::Null, "email": Value::Null, "password": "" });
    let answer = admin.put(&format!("/api/users/{id}"), same).await.expect(200).json();
    assert_eq!(answer["user"]["email"], "t@example.org");
    assert_eq!(answer["user"]["role_id"], 2);
}

#[tokio::test]
async fn nobody_changes_their_own_role() {
    let app = TestApp::start().await;
    for (actor, same, other) in
        [(app.admin().await, 1, 2), (app.supervisor().await, 2, 1), (app.employee().await, 3, 2)]
    {
        let path = format!("/api/users/{}", actor.id());
        let answer = actor.put(&path, json!({ "role_id": other })).await.expect(403);
        assert_eq!(answer.error(), "You cannot change your own role");
        let _ = actor.put(&path, json!({ "role_id": same })).await.expect(200);
        let _ = actor.put(&path, json!({ "role_id": same.to_string() })).await.expect(200);
        let _ = actor.put(&path, json!({ "role_id": Value::Null })).await.expect(200);
    }
}

#[tokio::test]
async fn ones_own_password_takes_the_current_one_or_a_fresh_log_in() {
    let app = TestApp::builder().frozen("2026-03-02T09:00:00Z").start().await;
    let erin = app.employee().await;
    let path = format!("/api/users/{}", erin.id());
    app.pass(15 * MINUTE - 1);
    let _ = erin.put(&path, json!({ "password": "correct horse 2" })).await.expect(200);
    app.pass(1);
    let answer = erin.put(&path, json!({ "password": "correct horse 3" })).await.expect(403);
    assert_eq!(answer.error(), "Log in again to change your password");
    let wrong = json!({ "password": "correct horse 3", "current_password": PASSWORD });
    let _ = erin.put(&path, wrong).await.expect(403);
    let right = json!({ "password": "correct horse 3", "current_password": "correct horse 2" });
    let _ = erin.put(&path, right).await.expect(200);
    let _ = erin.get("/api/auth/me").await.expect(200);
    let credentials = json!({ "username": "erin", "password": "correct horse 3" });
    let _ = app.anonymous().post("/api/auth/login", credentials).await.expect(200);
}

#[tokio::test]
async fn deleted_accounts_are_hidden_but_their_deeds_are_not() {
    let app = TestApp::start().await;
    let (admin, erin) = (app.admin().await, app.employee().await);
    let item = app.item("Keepsake", 3).await;
    let order = erin.post("/api/orders/", json!({ "item_id": item, "quantity": 1 })).await.expect(201).json();
    let answer = admin.delete(&format!("/api/users/{}", erin.id())).await.expect(200).json();
    assert_eq!(answer["message"], "User deleted successfully");
    let _ = admin.get(&format!("/api/users/{}", erin.id())).await.expect(404);
    let _ = admin.delete(&format!("/api/users/{}", erin.id())).await.expect(404);
    let names = admin.get("/api/users/").await.expect(200).rows();
    assert!(names.iter().all(|user| user["username"] != "erin"));
    let order_id = &order["order"]["order_id"];
    let kept = admin.get(&format!("/api/orders/{order_id}")).await.expect(200).json();
    assert_eq!(kept["username"], "erin");
    app.settled().await;
    let logs = admin.get(&format!("/api/logs?user_id={}", erin.id())).await.expect(200).rows();
    assert!(!logs.is_empty() && logs.iter().all(|row| row["username"] == "erin"));
    let done = |a: &Value| a["action"] == "Delete" && a["outcome"] == "success";
    let deed = app.journal().await.into_iter().rfind(done).expect("an activity");
    assert_eq!(deed["detail"], format!("Deleted user {} (erin)", erin.id()));
}

#[tokio::test]
async fn the_own_account_cannot_be_deleted() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let answer = admin.delete(&format!("/api/users/{}", admin.id())).await.expect(400);
    assert_eq!(answer.error(), "Cannot delete your own account");
}

#[tokio::test]
async fn the_last_admin_stays_whoever_races() {
    let app = TestApp::start().await;
    for round in 0..10 {
        let name = format!("second {round}");
        app.create(&name, Role::Admin).await;
        let (first, second) = (app.admin().await, app.login(&name).await);
        let acts = [json!({ "role_id": 3 }), json!({ "is_active": false })];
        let act = acts[round % 2].clone();
        let (a, b) = (format!("/api/users/{}", first.id()), format!("/api/users/{}", second.id()));
        let (one, two) = if round % 3 == 0 {
            tokio::join!(first.delete(&b), second.delete(&a))
        } else {
            tokio::join!(first.put(&b, act.clone()), second.put(&a, act))
        };
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        // The loser finds its session ended, or the winner as the last Admin.
        assert!(matches!(statuses, [200, 401 | 403 | 409]), "{statuses:?}");
        let users = app.store.users().await.expect("users");
        let admins: Vec<_> = users.iter().filter(|user| user.role == Role::Admin && user.is_active).collect();
        assert_eq!(admins.len(), 1);
        if admins[0].username != "admin" {
            return;
        }
    }
}

#[tokio::test]
async fn the_last_admin_cannot_be_deactivated_by_itself() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let answer = admin.put(&format!("/api/users/{}", admin.id()), json!({ "is_active": false })).await.expect(409);
    assert!(answer.error().contains("last Admin"));
}

#[tokio::test]
async fn roles_are_listed_by_id() {
    let app = TestApp::start().await;
    let roles = app.contractor().await.get("/api/users/roles").await.expect(200).json();
    let expected = json!([
        { "role_id": 1, "role_name": "Admin" },
        { "role_id": 2, "role_name": "Supervisor" },
        { "role_id": 3, "role_name": "Employee" },
        { "role_id": 4, "role_name": "Contractor" },
    ]);
    assert_eq!(roles, expected);
}
