-- What the upgrade found, so that a downgrade can put it back exactly.
create table ml.adoption (
    relation     text primary key,
    born         boolean not null,
    added        text[] not null default '{}',
    triggers     jsonb not null default '[]',
    constraints  jsonb not null default '[]',
    reloptions   text[]
);
comment on table ml.adoption is
    'Per public object: born here or adopted, columns added, triggers and checks replaced, storage options found';

-- Adoption adds a column, of the type found, for each column of ours that was there already.
create table ml.adopted_values (
    pattern_id  uuid primary key,
    confidence  double precision
);
comment on table ml.adopted_values is 'Values found in columns of ours that an earlier script had already made';
