-- Bins are frozen with the model: what it saw in training and what it sees live are counted into
-- the same cells, so two counts are comparable however far apart they were taken. A variable has
-- its regular bins, then one cell for what is missing, then one for what is infinite (a number) or
-- unseen (a category).
create table ml_internal.bins (
    model_id    integer not null references ml.models,
    position    integer not null check (position >= 0),
    kind        text not null check (kind in ('feature', 'input', 'output')),
    name        text not null,
    edges       double precision[],
    categories  text[],
    first_cell  integer not null check (first_cell >= 0),
    cells       integer not null generated always as (
                    case when edges is null then cardinality(categories)
                         else cardinality(edges) + 1 end + 2) stored,
    primary key (model_id, position),
    check ((edges is null) <> (categories is null))
);
comment on table ml_internal.bins is
    'The frozen bins of a model''s features, inputs and outputs, and their place in its cells';
comment on column ml_internal.bins.edges is
    'of a number: bin i holds the values with exactly i edges at '
    'or below them, as width_bucket(value, edges) counts';
comment on column ml_internal.bins.first_cell is
    'the place of its first bin, from 0, in the cells of the model';
