//! The inventory.

use std::ops::Deref;
use std::sync::Arc;

use domain::{Activity, Timestamp};
use unicode_normalization::UnicodeNormalization;

use crate::cache::Touched;
use crate::db::{Once, Tx, changed, in_db, in_tx, inserted};
use crate::sql::{row_locks, statements};
use crate::{Error, Result, Store};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT item_id, name, description, category, quantity, price_cents, last_updated FROM items", $rest)
    };
}

statements! {
    BY_ID = select!(" WHERE item_id = ?");
    LIST = select!(" WHERE (? IS NULL OR category = ?) AND (? IS NULL OR INSTR(name_key, ?) > 0) ORDER BY item_id LIMIT 10000");
    CATEGORIES = "SELECT DISTINCT category FROM items WHERE category IS NOT NULL AND category <> '' ORDER BY category";
    INSERT = "INSERT INTO items (item_id, name, name_key, description, category, quantity, price_cents, last_updated) \
              VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    UPDATE = "UPDATE items SET name = ?, name_key = ?, description = ?, category = ?, quantity = ?, price_cents = ?, \
              last_updated = ? WHERE item_id = ?";
    SET_STOCK = "UPDATE items SET quantity = ?, last_updated = ? WHERE item_id = ?";
    DELETE = "DELETE FROM items WHERE item_id = ?";
    ORDERS_OF = "SELECT COUNT(*) FROM orders WHERE item_id = ?";
}
row_locks! {
    /// Row lock, on MySQL only. Whoever touches an item's stock takes it first.
    LOCK = "SELECT item_id FROM items WHERE item_id = ? FOR UPDATE";
}

/// An item in stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRow {
    /// Identity, never used twice.
    pub item_id: i64,
    /// Name.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// Name of its category.
    pub category: Option<String>,
    /// Pieces in stock, never negative.
    pub quantity: i64,
    /// Price of a piece in cents, never negative.
    pub price_cents: i64,
    /// When the row last changed, also by an order.
    pub last_updated: Timestamp,
}

type Columns = (i64, String, Option<String>, Option<String>, i64, i64, i64);

impl ItemRow {
    fn read((item_id, name, description, category, quantity, price_cents, updated): Columns) -> Self {
        let last_updated = Timestamp::from_micros(updated);
        Self { item_id, name, description, category, quantity, price_cents, last_updated }
    }
}

/// Items by id, shared with the cache. Iterating by value clones them.
#[derive(Debug, Clone)]
pub struct ItemList(Arc<Vec<ItemRow>>);

impl Deref for ItemList {
    type Target = [ItemRow];

    fn deref(&self) -> &[ItemRow] {
        &self.0
    }
}

impl IntoIterator for ItemList {
    type Item = ItemRow;
    type IntoIter = std::vec::IntoIter<ItemRow>;

    fn into_iter(self) -> Self::IntoIter {
        Arc::unwrap_or_clone(self.0).into_iter()
    }
}

/// An item to be made.
#[derive(Debug, Clone)]
pub struct NewItem {
    /// Name.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// Name of its category.
    pub category: Option<String>,
    /// Pieces in stock.
    pub quantity: i64,
    /// Price of a piece in cents.
    pub price_cents: i64,
}

/// What is to change of an item; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct ItemChange {
    /// Name.
    pub name: Option<String>,
    /// Free text; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// Name of its category; `Some(None)` removes it.
    pub category: Option<Option<String>>,
    /// Pieces in stock.
    pub quantity: Option<i64>,
    /// Price of a piece in cents.
    pub price_cents: Option<i64>,
}

/// The form in which names are searched: NFKC and lower case, letter by letter, so that what is contained in a name
/// is contained in its form. Made here and not by the engines, whose ideas of case differ.
pub(crate) fn folded(text: &str) -> String {
    let lower = text.nfkc().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c });
    lower.nfkc().collect()
}

/// Adds a row, under this id or the next; its id.
pub(crate) async fn insert(tx: &mut Tx, id: Option<i64>, item: &NewItem, last_updated: Timestamp) -> Result<i64> {
    let made = inserted!(
        tx,
        sqlx::query(INSERT)
            .bind(id)
            .bind(item.name.as_str())
            .bind(folded(&item.name))
            .bind(item.description.as_deref())
            .bind(category_of(item.category.as_deref()))
            .bind(item.quantity)
            .bind(item.price_cents)
            .bind(last_updated.micros())
    );
    Ok(id.unwrap_or(made))
}

/// A category as it is stored and compared: MySQL's comparison overlooks blanks at the end, SQLite's does not, so
/// there are none.
fn category_of(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

impl Store {
    /// Items by id, up to 10,000: of a category, with `search` contained in the name without regard to case.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn items(&self, category: Option<&str>, search: Option<&str>) -> Result<ItemList> {
        let cache = &self.caches().list;
        let category = category_of(category);
        let all = category.is_none() && search.is_none();
        if all && let Some(list) = cache.get() {
            return Ok(ItemList(list));
        }
        let generation = cache.generation();
        let search = search.map(folded);
        let search = search.as_deref();
        let rows: Vec<Columns> = in_db!(self.db(), db => {
            sqlx::query_as(LIST).bind(category).bind(category).bind(search).bind(search).fetch_all(db).await?
        });
        let list = Arc::new(rows.into_iter().map(ItemRow::read).collect());
        if all {
            cache.put(Arc::clone(&list), generation);
        }
        Ok(ItemList(list))
    }

    /// The item with this id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn item(&self, id: i64) -> Result<Option<ItemRow>> {
        let cache = &self.caches().items;
        if let Some(item) = cache.get(&id) {
            return Ok(Some((*item).clone()));
        }
        let generation = cache.generation();
        let row: Option<Columns> = in_db!(self.db(), db => sqlx::query_as(BY_ID).bind(id).fetch_optional(db).await?);
        let Some(item) = row.map(ItemRow::read) else { return Ok(None) };
        cache.put(id, Arc::new(item.clone()), generation);
        Ok(Some(item))
    }

    /// Names of the categories in use, by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn categories(&self) -> Result<Vec<String>> {
        Ok(in_db!(self.db(), db => sqlx::query_scalar(CATEGORIES).fetch_all(db).await?))
    }

    /// Makes an item; `journal` makes its activity, stored in the same transaction.
    ///
    /// # Errors
    /// Nothing was done.
    pub async fn create_item(
        &self,
        item: NewItem,
        journal: impl FnOnce(&ItemRow) -> Activity + Send + 'static,
    ) -> Result<ItemRow> {
        let (item, journal) = (Arc::new(item), Once::new(journal));
        self.write(move |tx| {
            let (item, journal) = (Arc::clone(&item), journal.clone());
            Box::pin(async move {
                let now = tx.now;
                let item_id = insert(tx, None, &item, now).await?;
                let row = read(tx, item_id).await?.ok_or(Error::NotFound)?;
                tx.touch(Touched::Item(item_id));
                tx.append(&journal.take()?(&row)).await?;
                Ok(row)
            })
        })
        .await
    }

    /// Changes an item; `journal` makes its activity of the old row and the new one.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn update_item(
        &self,
        id: i64,
        change: ItemChange,
        journal: impl FnOnce(&ItemRow, &ItemRow) -> Activity + Send + 'static,
    ) -> Result<ItemRow> {
        let (change, journal) = (Arc::new(change), Once::new(journal));
        self.write(move |tx| {
            let (change, journal) = (Arc::clone(&change), journal.clone());
            Box::pin(async move {
                let old = locked(tx, id).await?.ok_or(Error::NotFound)?;
                let new = ItemRow {
                    item_id: id,
                    name: change.name.clone().unwrap_or_else(|| old.name.clone()),
                    description: change.description.clone().unwrap_or_else(|| old.description.clone()),
                    category: match &change.category {
                        Some(given) => category_of(given.as_deref()).map(str::to_owned),
                        None => old.category.clone(),
                    },
                    quantity: change.quantity.unwrap_or(old.quantity),
                    price_cents: change.price_cents.unwrap_or(old.price_cents),
                    last_updated: tx.now,
                };
                changed!(
                    tx,
                    sqlx::query(UPDATE)
                        .bind(new.name.as_str())
                        .bind(folded(&new.name))
                        .bind(new.description.as_deref())
                        .bind(new.category.as_deref())
                        .bind(new.quantity)
                        .bind(new.price_cents)
                        .bind(new.last_updated.micros())
                        .bind(id)
                );
                tx.touch(Touched::Item(id));
                tx.append(&journal.take()?(&old, &new)).await?;
                Ok(new)
            })
        })
        .await
    }

    /// Removes an item.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where there are orders of it.
    pub async fn delete_item(&self, id: i64, activity: Activity) -> Result<()> {
        let activity = Arc::new(activity);
        self.write(move |tx| {
            let activity = Arc::clone(&activity);
            Box::pin(async move {
                locked(tx, id).await?.ok_or(Error::NotFound)?;
                let orders: i64 = in_tx!(tx, c => sqlx::query_scalar(ORDERS_OF).bind(id).fetch_one(&mut *c).await?);
                if orders > 0 {
                    let (plural, them) = if orders == 1 { ("", "it") } else { ("s", "them") };
                    let sentence = format!("This item has {orders} order{plural}; cancel {them} first.");
                    return Err(Error::Conflict(sentence));
                }
                changed!(tx, sqlx::query(DELETE).bind(id));
                tx.touch(Touched::Item(id));
                tx.append(&activity).await
            })
        })
        .await
    }
}

/// The item, with its row locked until the transaction ends.
pub(crate) async fn locked(tx: &mut Tx, id: i64) -> Result<Option<ItemRow>> {
    tx.lock(LOCK, id).await?;
    read(tx, id).await
}

async fn read(tx: &mut Tx, id: i64) -> Result<Option<ItemRow>> {
    let row: Option<Columns> = in_tx!(tx, c => sqlx::query_as(BY_ID).bind(id).fetch_optional(&mut *c).await?);
    Ok(row.map(ItemRow::read))
}

/// Writes the stock of an item whose row is locked.
pub(crate) async fn set_stock(tx: &mut Tx, id: i64, quantity: i64) -> Result<()> {
    let now = tx.now;
    changed!(tx, sqlx::query(SET_STOCK).bind(quantity).bind(now.micros()).bind(id));
    tx.touch(Touched::Item(id));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn what_is_contained_in_a_name_is_contained_in_its_form() {
        for (name, part) in
            [("Ｂlue PEN", "blue p"), ("ΟΔΟΣ ΑΒ", "οδος"), ("ΟΔΟΣ", "ΟΔΟ"), ("100%_a", "%_"), ("ÉTÉ", "té")]
        {
            assert!(folded(name).contains(&folded(part)), "{name} {part}");
        }
        assert!(!folded("ETE").contains(&folded("é")));
    }
}
