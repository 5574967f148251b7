-- migrate:up
CREATE TABLE voters (id bigint PRIMARY KEY, name text NOT NULL);

-- migrate:down
DROP TABLE voters;
