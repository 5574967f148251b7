ALTER TABLE `voters` ADD `born` int;
