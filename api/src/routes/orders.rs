//! `/api/orders`: what was taken out of stock.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use domain::{LogType, Role, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use store::{OrderError, OrderRow};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::both;
use crate::answer::{self, Done, Form};
use crate::auth::caller::Caller;
use crate::auth::rights::{Allowed, UseOrders};
use crate::extract::{Body, Fields, FromFields, PathId, Query};
use crate::openapi::changed;
use crate::paging::{self, Page};
use crate::problem::{Outcome, Problem};
use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    let router = both(OpenApiRouter::new(), routes!(list, create));
    let router = both(router, routes!(of_user));
    both(router, routes!(one, update, remove))
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "order_id": 3, "user_id": 6, "username": "ann", "item_id": 17, "item_name": "Claw hammer", "quantity": 2,
    "order_time": "2026-03-01T08:15:00.000000Z"
}))]
struct Order {
    order_id: i64,
    user_id: i64,
    username: String,
    item_id: i64,
    item_name: String,
    quantity: i64,
    #[schema(value_type = String, format = DateTime)]
    order_time: Timestamp,
}

impl From<OrderRow> for Order {
    fn from(row: OrderRow) -> Self {
        let OrderRow { order_id, user_id, username, item_id, item_name, quantity, order_time } = row;
        Self { order_id, user_id, username, item_id, item_name, quantity, order_time }
    }
}

changed!(OrderChanged { order: Order });

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only this user's orders.
    #[param(value_type = Option<i32>)]
    user_id: Option<i64>,
    /// Only orders of this item.
    #[param(value_type = Option<i32>)]
    item_id: Option<i64>,
    #[param(ignore)]
    page: Page,
    #[param(ignore)]
    form: Form,
}

impl FromFields for Filter {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            user_id: fields.integer("user_id")?,
            item_id: fields.integer("item_id")?,
            page: Page::from_fields(fields)?,
            form: Form::from_fields(fields)?,
        })
    }
}

struct Members {
    item_id: Option<i64>,
    quantity: Option<i64>,
    user_id: Option<i64>,
}

/// An order to make.
#[derive(utoipa::ToSchema)]
#[schema(example = json!({ "item_id": 17, "quantity": 2 }))]
#[expect(dead_code, reason = "describes what `Members` reads for a new order")]
struct NewOrder {
    item_id: i32,
    #[schema(minimum = 1)]
    quantity: i32,
    /// Whose order it is: one's own unless told.
    user_id: Option<i32>,
}

/// What an order may change to.
#[derive(utoipa::ToSchema)]
#[schema(as = OrderMembers, example = json!({ "quantity": 3 }))]
#[expect(dead_code, reason = "describes what `Members` reads for a change")]
struct Quantity {
    #[schema(minimum = 1)]
    quantity: i32,
}

impl FromFields for Members {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            item_id: fields.integer("item_id")?,
            quantity: fields.integer_in("quantity", 1, 2_147_483_647)?,
            user_id: fields.integer("user_id")?,
        })
    }
}

/// Whether the caller may touch everybody's orders.
fn all(caller: &Caller) -> bool {
    matches!(caller.user.role, Role::Admin | Role::Supervisor)
}

fn not_yours() -> Problem {
    Problem::forbidden("You may only use your own orders.").with_reason("not_own")
}

fn listed(filter: &Filter, uri: &Uri, rows: &[OrderRow]) -> Outcome<Response> {
    let (part, next) = filter.page.of_whole(rows, |row| row.order_id)?;
    let part: Vec<Order> = part.iter().cloned().map(Order::from).collect();
    let columns = ["order_id", "user_id", "username", "item_id", "item_name", "quantity", "order_time"];
    let response = answer::list(filter.form, "orders", &columns, &part);
    Ok(paging::link(paging::counted(response, rows.len()), uri, next.as_deref()))
}

/// Orders: everybody's for Admins and Supervisors, otherwise one's own.
#[utoipa::path(
    get, path = "/api/orders", tag = "orders",
    params(Filter, Page, Form),
    responses((status = 200, body = [Order]), Allowed<UseOrders>)
)]
async fn list(
    Allowed(caller, _): Allowed<UseOrders>,
    State(app): State<AppState>,
    uri: Uri,
    Query(filter): Query<Filter>,
) -> Outcome<Response> {
    let own = (!all(&caller)).then_some(caller.user.user_id);
    if own.is_some() && filter.user_id.is_some() && filter.user_id != own {
        return Err(not_yours());
    }
    listed(&filter, &uri, &app.store.orders(own.or(filter.user_id), filter.item_id).await?)
}

/// The orders of one user.
#[utoipa::path(
    get, path = "/api/orders/user/{user_id}", tag = "orders",
    params(("user_id" = i32, Path, description = "The user"), Filter, Page, Form),
    responses((status = 200, body = [Order]), Allowed<UseOrders>)
)]
async fn of_user(
    Allowed(caller, _): Allowed<UseOrders>,
    State(app): State<AppState>,
    PathId(user): PathId,
    uri: Uri,
    Query(filter): Query<Filter>,
) -> Outcome<Response> {
    if !all(&caller) && !caller.is(user) {
        return Err(not_yours());
    }
    listed(&filter, &uri, &app.store.orders(Some(user), filter.item_id).await?)
}

/// The order, if there is one that is the caller's business: whose right is "own" learns nothing of other ids.
async fn reachable(app: &AppState, caller: &Caller, id: i64) -> Outcome<OrderRow> {
    match app.store.order(id).await? {
        Some(order) if all(caller) || caller.is(order.user_id) => Ok(order),
        None if all(caller) => Err(missing()),
        _ => Err(not_yours()),
    }
}

/// One order.
#[utoipa::path(
    get, path = "/api/orders/{order_id}", tag = "orders",
    params(("order_id" = i32, Path, description = "The order")),
    responses((status = 200, body = Order), Allowed<UseOrders>)
)]
async fn one(
    Allowed(caller, _): Allowed<UseOrders>,
    State(app): State<AppState>,
    PathId(id): PathId,
) -> Outcome<Response> {
    Ok(answer::seen(&Order::from(reachable(&app, &caller, id).await?)))
}

/// Orders an item: it is taken out of stock exactly once.
#[utoipa::path(
    post, path = "/api/orders", tag = "orders",
    request_body = NewOrder,
    responses(
        (status = 201, body = OrderChanged),
        (status = 404, description = "There is no such item, or no such user."),
        Allowed<UseOrders>
    )
)]
async fn create(
    Allowed(caller, _): Allowed<UseOrders>,
    State(app): State<AppState>,
    Body(members): Body<Members>,
) -> Outcome<Response> {
    let item = members.item_id.ok_or_else(|| Problem::field("item_id", "item_id is required"))?;
    let quantity = members.quantity.ok_or_else(|| Problem::field("quantity", "quantity is required"))?;
    let user = members.user_id.unwrap_or(caller.user.user_id);
    if !all(&caller) && !caller.is(user) {
        return Err(Problem::forbidden("You may only order for yourself.").with_reason("not_own"));
    }
    let keep = answer::Keep::new();
    let journal = move |row: &OrderRow| {
        keep.changed(StatusCode::CREATED, "Order created successfully", "order", &Order::from(row.clone()));
        let mut activity = caller.activity("Create", &format!("orders/{}", row.order_id), LogType::DataAccess);
        let OrderRow { order_id, quantity, item_name, username, .. } = row;
        activity.detail = Some(format!("Created order {order_id}: {quantity} × {item_name} for {username}"));
        activity
    };
    let order = app.store.create_order(user, item, quantity, journal).await.map_err(|e| refused(e, ""))?;
    Ok(answer::changed(StatusCode::CREATED, "Order created successfully", "order", &Order::from(order)))
}

/// Changes the quantity of an order, and the stock with it.
#[utoipa::path(
    put, path = "/api/orders/{order_id}", tag = "orders",
    params(("order_id" = i32, Path, description = "The order")),
    request_body = Quantity,
    responses((status = 200, body = OrderChanged), Allowed<UseOrders>)
)]
async fn update(
    Allowed(caller, _): Allowed<UseOrders>,
    State(app): State<AppState>,
    PathId(id): PathId,
    Body(members): Body<Members>,
) -> Outcome<Response> {
    reachable(&app, &caller, id).await?;
    let quantity = members.quantity.ok_or_else(|| Problem::field("quantity", "quantity is required"))?;
    let journal = move |old: &OrderRow, new: &OrderRow| {
        let mut activity = caller.activity("Update", &format!("orders/{}", new.order_id), LogType::DataAccess);
        activity.detail = Some(format!("Updated order {}: quantity {} → {}", new.order_id, old.quantity, new.quantity));
        let changed = json!([{ "field": "quantity", "old": old.quantity, "new": new.quantity }]);
        activity.attributes.insert("changed".into(), changed);
        activity
    };
    let order = app.store.update_order(id, quantity, journal).await.map_err(|e| refused(e, "additional units "))?;
    Ok(answer::changed(StatusCode::OK, "Order updated successfully", "order", &Order::from(order)))
}

/// Deletes an order; what it took goes back into stock.
#[utoipa::path(
    delete, path = "/api/orders/{order_id}", tag = "orders",
    params(("order_id" = i32, Path, description = "The order")),
    responses((status = 200, body = Done), Allowed<UseOrders>)
)]
async fn remove(
    Allowed(caller, _): Allowed<UseOrders>,
    State(app): State<AppState>,
    PathId(id): PathId,
) -> Outcome<Response> {
    let order = reachable(&app, &caller, id).await?;
    let mut activity = caller.activity("Delete", &format!("orders/{id}"), LogType::DataAccess);
    activity.detail = Some(format!("Deleted order {id}: {} × {}", order.quantity, order.item_name));
    app.store.delete_order(id, activity).await.map_err(|e| refused(e, ""))?;
    Ok(answer::changed(StatusCode::OK, "Order deleted successfully", "order", &Value::Null))
}

fn missing() -> Problem {
    Problem::not_found("Order not found").with_reason("not_found")
}

fn refused(error: OrderError, units: &str) -> Problem {
    match error {
        OrderError::NoItem => Problem::not_found("Item not found").with_reason("not_found"),
        OrderError::NoUser => Problem::not_found("User not found").with_reason("not_found"),
        OrderError::NoOrder => missing(),
        OrderError::Insufficient(left) => {
            Problem::field("quantity", format!("Insufficient inventory. Only {left} {units}available"))
        }
        OrderError::Store(error) => error.into(),
    }
}
