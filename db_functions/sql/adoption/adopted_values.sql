-- Adoption adds a column, of the type found, for each of our columns that was there already.
create table ml_internal.adopted_values (
    pattern_id  uuid primary key,
    confidence  double precision
);
comment on table ml_internal.adopted_values is
    'Values found in our columns where an earlier script had already made them';
