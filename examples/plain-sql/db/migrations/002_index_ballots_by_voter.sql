-- 2026-02-12: ballots are looked for by their voter
-- landfall: no-transaction

CREATE INDEX CONCURRENTLY ballots_by_voter ON ballots (voter);
