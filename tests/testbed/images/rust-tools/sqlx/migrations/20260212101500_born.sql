ALTER TABLE voters ADD COLUMN born integer;
