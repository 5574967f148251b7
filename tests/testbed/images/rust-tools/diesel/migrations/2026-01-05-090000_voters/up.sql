CREATE TABLE voters (id bigint PRIMARY KEY, name text NOT NULL);
