//! `/api/inventory`: the items in stock.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use domain::{LogType, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use store::{ItemChange, ItemRow, NewItem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::both;
use crate::answer::{self, Done, Form};
use crate::auth::rights::{Allowed, LoggedIn, ManageInventory};
use crate::extract::{Body, Fields, FromFields, PathId, Query};
use crate::openapi::changed;
use crate::paging::{self, Page};
use crate::problem::{Outcome, Problem};
use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    let router = both(OpenApiRouter::new(), routes!(list, create));
    let router = both(router, routes!(categories));
    both(router, routes!(one, update, remove))
}

const MOST: i64 = 2_147_483_647;

/// An item as clients see it; `name` repeats `item_name`.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "item_id": 17, "item_name": "Claw hammer", "name": "Claw hammer", "description": null, "category": "Tools",
    "quantity": 40, "unit_price": 12.5, "last_updated": "2026-03-01T08:15:00.000000Z"
}))]
struct Item<'a> {
    item_id: i64,
    item_name: &'a str,
    name: &'a str,
    #[schema(required)]
    description: Option<&'a str>,
    #[schema(required)]
    category: Option<&'a str>,
    quantity: i64,
    #[serde(serialize_with = "answer::amount")]
    #[schema(value_type = f64)]
    unit_price: i64,
    #[schema(value_type = String, format = DateTime)]
    last_updated: Timestamp,
}

impl<'a> From<&'a ItemRow> for Item<'a> {
    fn from(row: &'a ItemRow) -> Self {
        Self {
            item_id: row.item_id,
            item_name: &row.name,
            name: &row.name,
            description: row.description.as_deref(),
            category: row.category.as_deref(),
            quantity: row.quantity,
            unit_price: row.price_cents,
            last_updated: row.last_updated,
        }
    }
}

changed!(ItemChanged { item: Item<'static> });

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Of this category.
    #[param(max_length = 255)]
    category: Option<String>,
    /// With this in its name, in any case.
    #[param(max_length = 255)]
    search: Option<String>,
    #[param(ignore)]
    page: Page,
    #[param(ignore)]
    form: Form,
}

impl FromFields for Filter {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            category: fields.words("category", 255)?,
            search: fields.words("search", 255)?,
            page: Page::from_fields(fields)?,
            form: Form::from_fields(fields)?,
        })
    }
}

/// The members of a body, for a new item and for a change of one.
#[derive(utoipa::ToSchema)]
#[schema(as = ItemMembers, example = json!({ "quantity": 35, "unit_price": 11.95 }))]
struct Members {
    #[schema(rename = "item_name", max_length = 255)]
    name: Option<String>,
    #[schema(value_type = Option<String>, max_length = 10_000)]
    description: Option<Option<String>>,
    #[schema(value_type = Option<String>, max_length = 100)]
    category: Option<Option<String>>,
    #[schema(value_type = Option<i32>, minimum = 0)]
    quantity: Option<i64>,
    /// With at most two decimals.
    #[schema(rename = "unit_price", value_type = Option<f64>, minimum = 0, maximum = 9_999_999_999.99)]
    price_cents: Option<i64>,
}

/// An item to make.
#[derive(utoipa::ToSchema)]
#[schema(as = NewItem, example = json!({
    "item_name": "Claw hammer", "category": "Tools", "quantity": 40, "unit_price": 12.5
}))]
#[expect(dead_code, reason = "describes what `Members` reads for a new item")]
struct NewMembers {
    #[schema(max_length = 255, pattern = r"\S")]
    item_name: String,
    #[schema(max_length = 10_000)]
    description: Option<String>,
    #[schema(max_length = 100)]
    category: Option<String>,
    /// 0 unless told.
    #[schema(minimum = 0)]
    quantity: Option<i32>,
    /// With at most two decimals; 0 unless told.
    #[schema(minimum = 0, maximum = 9_999_999_999.99)]
    unit_price: Option<f64>,
}

impl FromFields for Members {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        let given = |name: &str, max| -> Outcome<Option<Option<String>>> {
            let value = fields.words(name, max)?;
            Ok(fields.raw(name).map(|_| value))
        };
        let name = match fields.words("item_name", 255)? {
            None => fields.words("name", 255)?,
            some => some,
        };
        Ok(Self {
            name: name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()),
            description: given("description", 10_000)?,
            category: given("category", 100)?,
            quantity: fields.integer_in("quantity", 0, MOST)?,
            price_cents: fields.cents("unit_price")?,
        })
    }
}

/// The items in stock.
#[utoipa::path(
    get, path = "/api/inventory", tag = "inventory",
    params(Filter, Page, Form),
    responses((status = 200, body = [Item<'static>]), Allowed<LoggedIn>)
)]
async fn list(
    _: Allowed<LoggedIn>,
    State(app): State<AppState>,
    uri: Uri,
    Query(filter): Query<Filter>,
) -> Outcome<Response> {
    let rows = app.store.items(filter.category.as_deref(), filter.search.as_deref()).await?;
    let (part, next) = filter.page.of_whole(&rows, |row| row.item_id)?;
    let part: Vec<Item<'_>> = part.iter().map(Item::from).collect();
    let columns = ["item_id", "item_name", "category", "description", "quantity", "unit_price", "last_updated"];
    let response = answer::list(filter.form, "inventory", &columns, &part);
    Ok(paging::link(paging::counted(response, rows.len()), &uri, next.as_deref()))
}

/// The categories in use.
#[utoipa::path(
    get, path = "/api/inventory/categories", tag = "inventory",
    responses((status = 200, body = [String], example = json!(["Garden", "Tools"])), Allowed<LoggedIn>)
)]
async fn categories(_: Allowed<LoggedIn>, State(app): State<AppState>) -> Outcome<Response> {
    Ok(answer::seen(&app.store.categories().await?))
}

/// One item.
#[utoipa::path(
    get, path = "/api/inventory/{item_id}", tag = "inventory",
    params(("item_id" = i32, Path, description = "The item")),
    responses((status = 200, body = Item<'static>), Allowed<LoggedIn>)
)]
async fn one(_: Allowed<LoggedIn>, State(app): State<AppState>, PathId(id): PathId) -> Outcome<Response> {
    let item = app.store.item(id).await?.ok_or_else(missing)?;
    Ok(answer::seen(&Item::from(&item)))
}

/// Adds an item.
#[utoipa::path(
    post, path = "/api/inventory", tag = "inventory",
    request_body = NewMembers,
    responses((status = 201, body = ItemChanged), Allowed<ManageInventory>)
)]
async fn create(
    Allowed(caller, _): Allowed<ManageInventory>,
    State(app): State<AppState>,
    Body(members): Body<Members>,
) -> Outcome<Response> {
    let name = members.name.ok_or_else(|| Problem::field("item_name", "Item name is required"))?;
    let item = NewItem {
        name,
        description: members.description.flatten(),
        category: members.category.flatten(),
        quantity: members.quantity.unwrap_or(0),
        price_cents: members.price_cents.unwrap_or(0),
    };
    let keep = answer::Keep::new();
    let journal = move |row: &ItemRow| {
        keep.changed(StatusCode::CREATED, "Item created successfully", "item", &Item::from(row));
        let mut activity = caller.activity("Create", &format!("inventory/{}", row.item_id), LogType::DataAccess);
        activity.detail = Some(format!("Created item {} ({})", row.item_id, row.name));
        activity
    };
    let item = app.store.create_item(item, journal).await?;
    Ok(answer::changed(StatusCode::CREATED, "Item created successfully", "item", &Item::from(&item)))
}

/// Changes an item.
#[utoipa::path(
    put, path = "/api/inventory/{item_id}", tag = "inventory",
    params(("item_id" = i32, Path, description = "The item")),
    request_body = Members,
    responses((status = 200, body = ItemChanged), Allowed<ManageInventory>)
)]
async fn update(
    Allowed(caller, _): Allowed<ManageInventory>,
    State(app): State<AppState>,
    PathId(id): PathId,
    Body(members): Body<Members>,
) -> Outcome<Response> {
    let change = ItemChange {
        name: members.name,
        description: members.description,
        category: members.category,
        quantity: members.quantity,
        price_cents: members.price_cents,
    };
    let journal = move |old: &ItemRow, new: &ItemRow| {
        let mut activity = caller.activity("Update", &format!("inventory/{}", new.item_id), LogType::DataAccess);
        let changed = differences(old, new);
        activity.detail = Some(format!("Updated item {} ({}){}", new.item_id, new.name, told(&changed)));
        activity.attributes.insert("changed".into(), changed);
        activity
    };
    let item = app.store.update_item(id, change, journal).await.map_err(|error| match error {
        store::Error::NotFound => missing(),
        other => other.into(),
    })?;
    Ok(answer::changed(StatusCode::OK, "Item updated successfully", "item", &Item::from(&item)))
}

/// Deletes an item.
#[utoipa::path(
    delete, path = "/api/inventory/{item_id}", tag = "inventory",
    params(("item_id" = i32, Path, description = "The item")),
    responses(
        (status = 200, body = Done),
        (status = 409, description = "The item has orders."),
        Allowed<ManageInventory>
    )
)]
async fn remove(
    Allowed(caller, _): Allowed<ManageInventory>,
    State(app): State<AppState>,
    PathId(id): PathId,
) -> Outcome<Response> {
    let item = app.store.item(id).await?.ok_or_else(missing)?;
    let mut activity = caller.activity("Delete", &format!("inventory/{id}"), LogType::DataAccess);
    activity.detail = Some(format!("Deleted item {id} ({})", item.name));
    app.store.delete_item(id, activity).await.map_err(|error| match error {
        store::Error::NotFound => missing(),
        other => other.into(),
    })?;
    Ok(answer::changed(StatusCode::OK, "Item deleted successfully", "item", &Value::Null))
}

fn missing() -> Problem {
    Problem::not_found("Item not found").with_reason("not_found")
}

/// Which members changed, with the old and the new value.
fn differences(old: &ItemRow, new: &ItemRow) -> Value {
    let pairs = [
        ("item_name", json!(old.name), json!(new.name)),
        ("description", json!(old.description), json!(new.description)),
        ("category", json!(old.category), json!(new.category)),
        ("quantity", json!(old.quantity), json!(new.quantity)),
        ("unit_price", cents(old.price_cents), cents(new.price_cents)),
    ];
    let changed = pairs.into_iter().filter(|(_, old, new)| old != new);
    Value::Array(changed.map(|(field, old, new)| json!({ "field": field, "old": old, "new": new })).collect())
}

fn cents(cents: i64) -> Value {
    Value::String(format!("{}.{:02}", cents / 100, cents % 100))
}

fn told(changed: &Value) -> String {
    let parts = changed.as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let parts: Vec<String> =
        parts.map(|c| format!("{} {} → {}", c["field"].as_str().unwrap_or_default(), c["old"], c["new"])).collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")).chars().take(500).collect() }
}
