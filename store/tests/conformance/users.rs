//! Users and their sessions.

use std::net::IpAddr;

use domain::{DAY, HOUR, Role, Timestamp};
use store::{Error, NewUser, Store, UserChange, UserRow};

use crate::harness::Ground;

crate::on_both_engines!(
    a_user_is_made_read_and_changed,
    a_name_is_taken_in_every_spelling_and_for_ever,
    others_speak_of_our_users_by_name_or_by_number,
    of_several_who_want_a_name_at_once_one_gets_it,
    the_last_admin_stays_also_when_two_go_at_once,
    changes_end_sessions_and_spare_the_one_that_made_them,
    a_session_lives_until_it_ends_expires_or_its_user_goes,
    a_session_of_a_user_who_is_gone_does_not_start,
    another_process_ends_sessions_too,
    whose_a_session_was_and_where_those_that_live_began,
);

pub(crate) async fn make(ground: &Ground, name: &str, role: Role) -> UserRow {
    let user = NewUser { username: name.into(), password_hash: "hash".into(), email: None, full_name: None, role };
    let activity = ground.activity("Create");
    let made = move |row: &UserRow| {
        let mut activity = activity;
        activity.resource = Some(format!("users/{}", row.user_id));
        activity
    };
    ground.store.create_user(user, made).await.expect("user")
}

pub(crate) async fn log_in(ground: &Ground, session: &str, user: &UserRow) -> store::Result<()> {
    let now = domain::Clock::now(&*ground.clock);
    let ip: IpAddr = "192.0.2.1".parse().expect("ip");
    let activity = ground.activity("Login");
    ground.store.start_session(session, user, now, now.plus(12 * HOUR), ip, Some("agent".into()), activity).await
}

async fn alive(ground: &Ground, session: &str) -> bool {
    lives(&ground.store, session, domain::Clock::now(&*ground.clock)).await
}

async fn lives(store: &Store, session: &str, now: Timestamp) -> bool {
    store.live_session(session, now).await.expect("session").is_some()
}

async fn a_user_is_made_read_and_changed(ground: Ground) {
    let store = &ground.store;
    assert_eq!(store.count_users().await.expect("count"), 0);
    let ada = make(&ground, "Ada Lovelace", Role::Supervisor).await;
    assert_eq!(
        (ada.username.as_str(), ada.username_key.as_str(), ada.is_active),
        ("Ada Lovelace", "ada lovelace", true)
    );
    assert_eq!(store.user(ada.user_id).await.expect("user"), Some(ada.clone()));
    assert_eq!(store.user_by_key("ada lovelace").await.expect("user"), Some(ada.clone()));
    assert_eq!(store.user_by_key("Ada Lovelace").await.expect("user"), None);
    let created = &ground.journal().await[0];
    assert_eq!(created.resource, Some(format!("users/{}", ada.user_id)));

    let change = UserChange {
        email: Some(Some("ada@example.org".into())),
        full_name: Some(Some("Augusta Ada, Gräfin 🧮".into())),
        role: Some(Role::Employee),
        ..UserChange::default()
    };
    let changed = store.update_user(ada.user_id, change, ground.activity("Update")).await.expect("change");
    assert_eq!(changed.full_name.as_deref(), Some("Augusta Ada, Gräfin 🧮"));
    assert_eq!(store.user(ada.user_id).await.expect("user"), Some(changed.clone()));
    let change = UserChange { email: Some(None), ..UserChange::default() };
    let changed = store.update_user(ada.user_id, change, ground.activity("Update")).await.expect("change");
    assert_eq!((changed.email, changed.role), (None, Role::Employee));

    let bob = make(&ground, "bob", Role::Admin).await;
    assert_eq!(
        store.users().await.expect("users").iter().map(|user| user.user_id).collect::<Vec<_>>(),
        [ada.user_id, bob.user_id]
    );
    let names: Vec<String> =
        (0..40).map(|n| format!("nobody {n}")).chain(["bob".into(), "ada lovelace".into()]).collect();
    let known = store.known_users(&names).await.expect("known");
    assert_eq!(known.len(), 2);
    assert_eq!(known["bob"], (bob.user_id, Role::Admin));
    let missing = store.update_user(999, UserChange::default(), ground.activity("Update")).await;
    assert!(matches!(missing, Err(Error::NotFound)));
    assert_eq!(ground.actions().await, ["Create", "Update", "Update", "Create"]);
}

async fn a_name_is_taken_in_every_spelling_and_for_ever(ground: Ground) {
    let andre = make(&ground, "André", Role::Employee).await;
    make(&ground, "Andre", Role::Employee).await;
    for spelling in ["ANDRÉ", "andre\u{301}", "ａｎｄｒé"] {
        let user = NewUser {
            username: spelling.into(),
            password_hash: String::new(),
            email: None,
            full_name: None,
            role: Role::Employee,
        };
        let activity = ground.activity("Create");
        let made = ground.store.create_user(user.clone(), move |_| activity).await;
        assert!(matches!(made, Err(Error::Duplicate)), "{spelling}");
    }
    ground.store.delete_user(andre.user_id, ground.activity("Delete")).await.expect("delete");
    assert_eq!(ground.store.user(andre.user_id).await.expect("user"), None);
    assert_eq!(ground.store.user_by_key("andré").await.expect("user"), None);
    assert!(ground.store.known_users(&["andré".into()]).await.expect("known").is_empty());
    let again = ground.store.delete_user(andre.user_id, ground.activity("Delete")).await;
    assert!(matches!(again, Err(Error::NotFound)));
    let user = NewUser {
        username: "andré".into(),
        password_hash: String::new(),
        email: None,
        full_name: None,
        role: Role::Employee,
    };
    let activity = ground.activity("Create");
    assert!(matches!(ground.store.create_user(user, move |_| activity).await, Err(Error::Duplicate)));
    assert_eq!(ground.actions().await, ["Create", "Create", "Delete"], "what was refused left nothing");
}

async fn others_speak_of_our_users_by_name_or_by_number(ground: Ground) {
    let ada = make(&ground, "Ada", Role::Admin).await;
    let record = |text: String| domain::wire::parse(text.as_bytes()).expect("a record");
    let mut records = [
        record(r#"{"action":"View","user":"ADA","user_id":77}"#.into()),
        record(r#"{"action":"View"}"#.into()),
        record(format!(r#"{{"action":"View","user_id":{}}}"#, ada.user_id)),
        record(format!(r#"{{"action":"View","user":"eve","user_id":{}}}"#, ada.user_id)),
        record(r#"{"action":"View","user_id":77}"#.into()),
    ];
    let meant = ground.store.users_meant(records.iter_mut().collect()).await.expect("looked up");
    let ours = Some((ada.user_id, Role::Admin));
    assert_eq!(meant, [ours, None, ours, None, None]);
    let names: Vec<Option<&str>> = records.iter().map(|record| record.user.as_deref()).collect();
    assert_eq!(names, [Some("ADA"), None, Some("Ada"), Some("eve"), None]);
    assert!(ground.store.users_meant(Vec::new()).await.expect("nothing to look up").is_empty());
}

async fn of_several_who_want_a_name_at_once_one_gets_it(ground: Ground) {
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let ground = ground.clone();
            tokio::spawn(async move {
                let user = NewUser {
                    username: "Eve".into(),
                    password_hash: String::new(),
                    email: None,
                    full_name: None,
                    role: Role::Employee,
                };
                let activity = ground.activity("Create");
                ground.store.create_user(user, move |_| activity).await
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        match task.await.expect("task") {
            Ok(_) => made += 1,
            Err(Error::Duplicate) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(ground.actions().await, ["Create"]);
}

async fn the_last_admin_stays_also_when_two_go_at_once(ground: Ground) {
    let only = make(&ground, "root", Role::Admin).await;
    let demote = UserChange { role: Some(Role::Employee), ..UserChange::default() };
    let switch_off = UserChange { is_active: Some(false), ..UserChange::default() };
    for change in [demote.clone(), switch_off] {
        let refused = ground.store.update_user(only.user_id, change, ground.activity("Update")).await;
        assert!(matches!(refused, Err(Error::Conflict(_))));
    }
    assert!(matches!(ground.store.delete_user(only.user_id, ground.activity("Delete")).await, Err(Error::Conflict(_))));
    for round in 0..8 {
        let other = make(&ground, &format!("admin {round}"), Role::Admin).await;
        let admins: Vec<i64> = ground
            .store
            .users()
            .await
            .expect("users")
            .iter()
            .filter(|user| user.role == Role::Admin)
            .map(|user| user.user_id)
            .collect();
        assert_eq!(admins.len(), 2);
        let tasks: Vec<_> = admins
            .into_iter()
            .map(|id| {
                let (ground, demote) = (ground.clone(), demote.clone());
                tokio::spawn(async move {
                    if id == other.user_id {
                        ground.store.update_user(id, demote, ground.activity("Update")).await.map(drop)
                    } else {
                        ground.store.delete_user(id, ground.activity("Delete")).await
                    }
                })
            })
            .collect();
        let mut went = 0;
        for task in tasks {
            went += i32::from(task.await.expect("task").is_ok());
        }
        assert_eq!(went, 1, "exactly one may go");
    }
}

async fn changes_end_sessions_and_spare_the_one_that_made_them(ground: Ground) {
    let user = make(&ground, "ada", Role::Employee).await;
    let other = make(&ground, "bob", Role::Employee).await;
    let endings = [
        UserChange { password_hash: Some("new".into()), ..UserChange::default() },
        UserChange { role: Some(Role::Supervisor), ..UserChange::default() },
        UserChange { is_active: Some(false), ..UserChange::default() },
    ];
    log_in(&ground, "bob", &other).await.expect("log-in");
    for (round, change) in endings.into_iter().enumerate() {
        let (own, away) = (format!("own {round}"), format!("away {round}"));
        let user = ground.store.user(user.user_id).await.expect("user").expect("there");
        log_in(&ground, &own, &user).await.expect("log-in");
        log_in(&ground, &away, &user).await.expect("log-in");
        assert!(alive(&ground, &own).await && alive(&ground, &away).await);
        let change = UserChange { keep_session: Some(own.clone()), ..change };
        ground.store.update_user(user.user_id, change, ground.activity("Update")).await.expect("change");
        assert!(!alive(&ground, &away).await, "{round}");
        assert_eq!(alive(&ground, &own).await, round < 2, "an inactive user has no session");
    }
    let harmless = UserChange { is_active: Some(true), email: Some(None), ..UserChange::default() };
    ground.store.update_user(user.user_id, harmless.clone(), ground.activity("Update")).await.expect("change");
    let user = ground.store.user(user.user_id).await.expect("user").expect("there");
    log_in(&ground, "last", &user).await.expect("log-in");
    let nothing_new = UserChange { role: Some(Role::Supervisor), ..harmless };
    ground.store.update_user(user.user_id, nothing_new, ground.activity("Update")).await.expect("change");
    assert!(alive(&ground, "last").await, "the role that the user has is no change");
    assert!(alive(&ground, "bob").await);
    ground.store.delete_user(user.user_id, ground.activity("Delete")).await.expect("delete");
    assert!(!alive(&ground, "last").await);
}

async fn a_session_lives_until_it_ends_expires_or_its_user_goes(ground: Ground) {
    let user = make(&ground, "ada", Role::Contractor).await;
    log_in(&ground, "one", &user).await.expect("log-in");
    let now = domain::Clock::now(&*ground.clock);
    let live = ground.store.live_session("one", now).await.expect("session").expect("alive");
    assert_eq!((live.session_id.as_str(), live.started_at, live.user), ("one", now, user.clone()));
    assert!(!lives(&ground.store, "two", now).await);
    assert!(!lives(&ground.store, "ONE", now).await, "names are exact");
    assert!(lives(&ground.store, "one", now.plus(12 * HOUR - 1)).await);
    assert!(!lives(&ground.store, "one", now.plus(12 * HOUR)).await);
    assert!(matches!(log_in(&ground, "one", &user).await, Err(Error::Duplicate)));
    ground.store.end_session("one", ground.activity("Logout")).await.expect("end");
    assert!(!alive(&ground, "one").await);
    ground.store.end_session("one", ground.activity("Logout")).await.expect("again");
    assert_eq!(ground.actions().await, ["Create", "Login", "Logout", "Logout"]);
    ground.clock.advance(31 * DAY);
    assert_eq!(ground.store.tidy().await.expect("tidy"), 1, "the old session");
}

async fn a_session_of_a_user_who_is_gone_does_not_start(ground: Ground) {
    let user = make(&ground, "ada", Role::Employee).await;
    let new = UserChange { password_hash: Some("new".into()), ..UserChange::default() };
    let changed = ground.store.update_user(user.user_id, new, ground.activity("Update")).await.expect("change");
    let stale = log_in(&ground, "one", &user).await;
    assert!(matches!(stale, Err(Error::NotFound)), "the password that was checked is not the user's any more");
    log_in(&ground, "two", &changed).await.expect("log-in");
    let off = UserChange { is_active: Some(false), ..UserChange::default() };
    ground.store.update_user(user.user_id, off, ground.activity("Update")).await.expect("change");
    assert!(matches!(log_in(&ground, "one", &changed).await, Err(Error::NotFound)));
    let nobody = UserRow { user_id: 999, ..changed };
    assert!(matches!(log_in(&ground, "one", &nobody).await, Err(Error::NotFound)));
    assert!(!alive(&ground, "one").await);
}

async fn another_process_ends_sessions_too(ground: Ground) {
    let user = make(&ground, "ada", Role::Employee).await;
    log_in(&ground, "one", &user).await.expect("log-in");
    assert!(alive(&ground, "one").await);
    let other = ground.another().await;
    let reset = UserChange { password_hash: Some("reset".into()), ..UserChange::default() };
    other.update_user(user.user_id, reset, ground.activity("Update")).await.expect("reset");
    // On SQLite the writer looks every 200 ms.
    for _ in 0..if ground.mysql { 1 } else { 3_000 } {
        if !alive(&ground, "one").await {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(!alive(&ground, "one").await);
    assert_eq!(ground.store.user(user.user_id).await.expect("user").expect("there").password_hash, "reset");
    other.close().await;
}

async fn whose_a_session_was_and_where_those_that_live_began(ground: Ground) {
    let (ada, bob) = (make(&ground, "Ada", Role::Admin).await, make(&ground, "Bob", Role::Admin).await);
    for session in ["one", "two"] {
        log_in(&ground, session, &ada).await.expect("session");
    }
    let own = async |session, user| ground.store.is_session_of(session, user).await.expect("sessions");
    let now = || domain::Clock::now(&*ground.clock);
    let live = async || ground.store.live_sources(ada.user_id, now()).await.expect("sessions").len();
    assert!(own("two", &ada).await && !own("two", &bob).await && !own("three", &ada).await);
    assert_eq!(live().await, 2);
    let sources = ground.store.live_sources(ada.user_id, now()).await.expect("sessions");
    assert_eq!(sources[0], "192.0.2.1".parse::<IpAddr>().expect("ip"));
    ground.store.end_session("two", ground.activity("Logout")).await.expect("ended");
    assert!(own("two", &ada).await, "also when it has ended");
    assert_eq!(live().await, 1);
    ground.clock.advance(12 * HOUR);
    assert_eq!(live().await, 0);
}
