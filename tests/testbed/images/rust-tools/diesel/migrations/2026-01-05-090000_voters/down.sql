DROP TABLE voters;
