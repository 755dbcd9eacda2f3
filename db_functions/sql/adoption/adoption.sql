-- What the upgrade found, so that a downgrade can put it back exactly.
create table ml_internal.adoption (
    relation     text primary key,
    born         boolean not null,
    added        text[] not null default '{}',
    triggers     jsonb not null default '[]',
    constraints  jsonb not null default '[]',
    widened      jsonb not null default '[]',
    reloptions   text[]
);
comment on table ml_internal.adoption is
    'Per public object: born here or adopted, columns added, '
    'triggers and checks replaced, types widened, storage options found';
