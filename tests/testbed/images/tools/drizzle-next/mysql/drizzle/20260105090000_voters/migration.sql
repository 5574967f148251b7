CREATE TABLE `voters` (
	`id` bigint NOT NULL,
	`name` text NOT NULL,
	CONSTRAINT `voters_id` PRIMARY KEY(`id`)
);
