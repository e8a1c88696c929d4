-- Activities and sessions by the name of somebody who has no account: other systems tell of such people. Of those who have
-- one they are found by its id. Twin of mysql/0008_names.sql.

CREATE INDEX user_logs_by_name ON user_logs (username_key, occurred_at) WHERE user_id IS NULL;

-- The name as it is compared (see users.username_key). Of sessions from before it is made here, as well as it can be.
ALTER TABLE sessions ADD COLUMN username_key TEXT;
UPDATE sessions SET username_key = LOWER(TRIM(username)) WHERE username IS NOT NULL;
CREATE INDEX sessions_by_name ON sessions (username_key, start_time) WHERE user_id IS NULL;
