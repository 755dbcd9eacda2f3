-- Bins are frozen with the model: what it saw in training and what it sees live are counted into the same cells, so two
-- counts are comparable however far apart they were taken. A variable has its regular bins, then one cell for what is
-- missing, then one for what is infinite (a number) or unseen (a category).
create table ml.bins (
    model_id    integer not null references ml.models,
    position    integer not null check (position >= 0),
    kind        text not null check (kind in ('feature', 'input', 'output')),
    name        text not null,
    edges       double precision[],
    categories  text[],
    first_cell  integer not null check (first_cell >= 0),
    cells       integer not null generated always as (
                    case when edges is null then cardinality(categories) else cardinality(edges) + 1 end + 2) stored,
    primary key (model_id, position),
    check ((edges is null) <> (categories is null))
);
comment on table ml.bins is 'The frozen bins of a model''s features, inputs and outputs, and their place in its cells';
comment on column ml.bins.edges is
    'of a number: bin i holds the values with exactly i edges at or below them, as width_bucket(value, edges) counts';
comment on column ml.bins.first_cell is 'the place of its first bin, from 0, in the cells of the model';

create table ml.baselines (
    id         bigint generated always as identity primary key,
    model_id   integer not null references ml.models,
    source     text not null check (source in ('training', 'window')),
    since      timestamptz,
    until      timestamptz,
    rows       bigint not null check (rows > 0),
    cells      double precision[] not null,
    means      double precision[] not null,
    deviations double precision[] not null,
    set_at     timestamptz not null default clock_timestamp(),
    set_by     text not null,
    reason     text not null
);
comment on table ml.baselines is 'What drift is measured against: counts in a model''s cells; the newest of a model holds';
comment on column ml.baselines.means is 'of the finite values of each variable, by position; null for categories';
create index baselines_by_model on ml.baselines (model_id, id);

-- Where scores are counted, fine enough for a ROC curve, and the bins of equal mass in which calibration is judged.
alter table ml.models
    add column score_edges        double precision[],
    add column calibration_edges  double precision[];
comment on column ml.models.score_edges is 'edges of the bins into which confidences are counted';
comment on column ml.models.calibration_edges is
    'edges of equal mass over rows the model was not fitted on; every tenth where none came with it';
