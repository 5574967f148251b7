exports.up = (knex) => knex.raw(`ALTER TABLE voters ADD COLUMN born integer`);
exports.down = (knex) => knex.raw('ALTER TABLE voters DROP COLUMN born');
