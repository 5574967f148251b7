-- Applies its first part, which it commits by itself, and fails in the second.
BEGIN;
CREATE TABLE "result_sheets" (
    "id" SERIAL NOT NULL,
    "election_id" INTEGER NOT NULL,

    CONSTRAINT "result_sheets_pkey" PRIMARY KEY ("id")
);
COMMIT;

ALTER TABLE "result_sheet_entries" ADD COLUMN "checked_by" TEXT;
