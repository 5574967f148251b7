exports.up = (knex) => knex.raw(`CREATE TABLE voters (id bigint PRIMARY KEY, name text NOT NULL)`);
exports.down = (knex) => knex.raw('DROP TABLE voters');
