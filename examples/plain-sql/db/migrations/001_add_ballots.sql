-- 2026-01-05: ballots, one for each voter

CREATE TABLE ballots (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    voter bigint NOT NULL,
    cast_at timestamptz NOT NULL
);
