//! Orders. An order takes its quantity out of stock exactly once, however many race for it: whoever changes stock
//! holds the item's row, or on SQLite the database.

use std::sync::Arc;

use domain::{Activity, Timestamp};

use crate::db::{Once, Tx, changed, in_db, in_tx, inserted};
use crate::items;
use crate::sql::{row_locks, statements};
use crate::{Error, Result, Store};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT o.order_id, o.user_id, u.username, o.item_id, i.name, o.quantity, o.order_time FROM orders o ",
            "JOIN users u ON u.user_id = o.user_id JOIN items i ON i.item_id = o.item_id",
            $rest
        )
    };
}

statements! {
    BY_ID = select!(" WHERE o.order_id = ?");
    ALL = select!(" ORDER BY o.order_time DESC, o.order_id DESC LIMIT 10000");
    OF_USER = select!(" WHERE o.user_id = ? ORDER BY o.order_time DESC, o.order_id DESC LIMIT 10000");
    OF_ITEM = select!(" WHERE o.item_id = ? ORDER BY o.order_time DESC, o.order_id DESC LIMIT 10000");
    OF_BOTH = select!(" WHERE o.user_id = ? AND o.item_id = ? ORDER BY o.order_time DESC, o.order_id DESC LIMIT 10000");
    USER = "SELECT user_id FROM users WHERE user_id = ? AND deleted_at IS NULL";
    INSERT = "INSERT INTO orders (order_id, user_id, item_id, quantity, order_time) VALUES (?, ?, ?, ?, ?)";
    UPDATE = "UPDATE orders SET quantity = ? WHERE order_id = ?";
    DELETE = "DELETE FROM orders WHERE order_id = ?";
}
row_locks! {
    /// Row lock, on MySQL only.
    LOCK = "SELECT order_id FROM orders WHERE order_id = ? FOR UPDATE";
}

/// An order, with the names that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// Identity, never used twice.
    pub order_id: i64,
    /// Who ordered.
    pub user_id: i64,
    /// Their name, also after they were deleted.
    pub username: String,
    /// What was ordered.
    pub item_id: i64,
    /// Its name.
    pub item_name: String,
    /// How many.
    pub quantity: i64,
    /// When.
    pub order_time: Timestamp,
}

type Columns = (i64, i64, String, i64, String, i64, i64);

impl OrderRow {
    fn read((order_id, user_id, username, item_id, item_name, quantity, time): Columns) -> Self {
        Self { order_id, user_id, username, item_id, item_name, quantity, order_time: Timestamp::from_micros(time) }
    }
}

/// Why an order was not taken, changed or cancelled; nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// There is no such item.
    #[error("there is no such item")]
    NoItem,
    /// There is no such user.
    #[error("there is no such user")]
    NoUser,
    /// There is no such order.
    #[error("there is no such order")]
    NoOrder,
    /// Only so many pieces are left (for a change: beyond those that the order has).
    #[error("only {0} are available")]
    Insufficient(i64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
}

/// What came of a unit of work: a refusal is found out before anything is written.
type Tried<T> = std::result::Result<T, OrderError>;

impl Store {
    /// Orders of a user, of an item, or all, newest first, up to 10,000.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn orders(&self, user: Option<i64>, item: Option<i64>) -> Result<Vec<OrderRow>> {
        let rows: Vec<Columns> = in_db!(self.db(), db => match (user, item) {
            (None, None) => sqlx::query_as(ALL).fetch_all(db).await?,
            (Some(user), None) => sqlx::query_as(OF_USER).bind(user).fetch_all(db).await?,
            (None, Some(item)) => sqlx::query_as(OF_ITEM).bind(item).fetch_all(db).await?,
            (Some(user), Some(item)) => sqlx::query_as(OF_BOTH).bind(user).bind(item).fetch_all(db).await?,
        });
        Ok(rows.into_iter().map(OrderRow::read).collect())
    }

    /// The order with this id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn order(&self, id: i64) -> Result<Option<OrderRow>> {
        let row: Option<Columns> = in_db!(self.db(), db => sqlx::query_as(BY_ID).bind(id).fetch_optional(db).await?);
        Ok(row.map(OrderRow::read))
    }

    /// Takes `quantity` of an item out of stock for a user; `journal` makes the activity of it.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn create_order(
        &self,
        user: i64,
        item: i64,
        quantity: i64,
        journal: impl FnOnce(&OrderRow) -> Activity + Send + 'static,
    ) -> Tried<OrderRow> {
        let journal = Once::new(journal);
        self.write(move |tx| {
            let journal = journal.clone();
            Box::pin(async move {
                let known: Option<i64> = in_tx!(tx, c => sqlx::query_scalar(USER).bind(user).fetch_optional(c).await?);
                if known.is_none() {
                    return Ok(Err(OrderError::NoUser));
                }
                let Some(stock) = items::locked(tx, item).await? else { return Ok(Err(OrderError::NoItem)) };
                if stock.quantity < quantity {
                    return Ok(Err(OrderError::Insufficient(stock.quantity)));
                }
                items::set_stock(tx, item, stock.quantity - quantity).await?;
                let now = tx.now;
                let id = insert(tx, None, (user, item), quantity, now).await?;
                let order = read(tx, id).await?.ok_or(Error::NotFound)?;
                tx.append(&journal.take()?(&order)).await?;
                Ok(Ok(order))
            })
        })
        .await?
    }

    /// Changes the quantity of an order and the stock by the difference; `journal` gets the old and the new order.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn update_order(
        &self,
        id: i64,
        quantity: i64,
        journal: impl FnOnce(&OrderRow, &OrderRow) -> Activity + Send + 'static,
    ) -> Tried<OrderRow> {
        let journal = Once::new(journal);
        self.write(move |tx| {
            let journal = journal.clone();
            Box::pin(async move {
                let Some(old) = locked(tx, id).await? else { return Ok(Err(OrderError::NoOrder)) };
                let Some(stock) = items::locked(tx, old.item_id).await? else { return Ok(Err(OrderError::NoItem)) };
                let more = quantity - old.quantity;
                if stock.quantity < more {
                    return Ok(Err(OrderError::Insufficient(stock.quantity)));
                }
                items::set_stock(tx, old.item_id, stock.quantity - more).await?;
                changed!(tx, sqlx::query(UPDATE).bind(quantity).bind(id));
                let new = OrderRow { quantity, ..old.clone() };
                tx.append(&journal.take()?(&old, &new)).await?;
                Ok(Ok(new))
            })
        })
        .await?
    }

    /// Cancels an order and gives its quantity back to the stock.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn delete_order(&self, id: i64, activity: Activity) -> Tried<()> {
        let activity = Arc::new(activity);
        self.write(move |tx| {
            let activity = Arc::clone(&activity);
            Box::pin(async move {
                let Some(order) = locked(tx, id).await? else { return Ok(Err(OrderError::NoOrder)) };
                let Some(stock) = items::locked(tx, order.item_id).await? else { return Ok(Err(OrderError::NoItem)) };
                changed!(tx, sqlx::query(DELETE).bind(id));
                items::set_stock(tx, order.item_id, stock.quantity + order.quantity).await?;
                tx.append(&activity).await?;
                Ok(Ok(()))
            })
        })
        .await?
    }
}

async fn locked(tx: &mut Tx, id: i64) -> Result<Option<OrderRow>> {
    tx.lock(LOCK, id).await?;
    read(tx, id).await
}

/// Adds a row of this user and item, under this id or the next; its id.
pub(crate) async fn insert(
    tx: &mut Tx,
    id: Option<i64>,
    (user, item): (i64, i64),
    quantity: i64,
    at: Timestamp,
) -> Result<i64> {
    let made = inserted!(tx, sqlx::query(INSERT).bind(id).bind(user).bind(item).bind(quantity).bind(at.micros()));
    Ok(id.unwrap_or(made))
}

async fn read(tx: &mut Tx, id: i64) -> Result<Option<OrderRow>> {
    let row: Option<Columns> = in_tx!(tx, c => sqlx::query_as(BY_ID).bind(id).fetch_optional(&mut *c).await?);
    Ok(row.map(OrderRow::read))
}
