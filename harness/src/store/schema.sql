-- The tables of a store. `value` has no declared type so that numbers keep
-- their bits; see store.rs.
CREATE TABLE meta (
    key    TEXT PRIMARY KEY,
    value  TEXT NOT NULL
);
CREATE TABLE runs (
    id          TEXT PRIMARY KEY,
    label       TEXT NOT NULL,
    config      TEXT NOT NULL,
    seed        INTEGER NOT NULL,
    model       TEXT NOT NULL,
    learner     TEXT NOT NULL,
    data_label  TEXT NOT NULL
);
CREATE TABLE phases (
    run          TEXT NOT NULL REFERENCES runs(id),
    phase        TEXT NOT NULL,
    finished_at  INTEGER NOT NULL,
    PRIMARY KEY (run, phase)
);
CREATE TABLE scores (
    run      TEXT NOT NULL,
    phase    TEXT NOT NULL,
    battery  TEXT NOT NULL,
    cell     TEXT NOT NULL,
    metric   TEXT NOT NULL,
    value,
    cases    INTEGER NOT NULL,
    PRIMARY KEY (run, phase, battery, cell, metric),
    FOREIGN KEY (run, phase) REFERENCES phases(run, phase)
);
CREATE TABLE curves (
    run     TEXT NOT NULL,
    phase   TEXT NOT NULL,
    series  TEXT NOT NULL,
    step    INTEGER NOT NULL,
    value,
    PRIMARY KEY (run, phase, series, step),
    FOREIGN KEY (run, phase) REFERENCES phases(run, phase)
);
CREATE TABLE artefacts (
    run    TEXT NOT NULL,
    phase  TEXT NOT NULL,
    name   TEXT NOT NULL,
    json   TEXT NOT NULL,
    PRIMARY KEY (run, phase, name),
    FOREIGN KEY (run, phase) REFERENCES phases(run, phase)
);
