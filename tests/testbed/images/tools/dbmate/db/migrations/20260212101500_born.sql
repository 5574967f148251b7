-- migrate:up
ALTER TABLE voters ADD COLUMN born integer;

-- migrate:down
ALTER TABLE voters DROP COLUMN born;
