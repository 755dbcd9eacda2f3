-- What the upgrade found, so that a downgrade can put it back exactly.
create table ml.adoption (
    relation    text primary key,
    born        boolean not null,
    added       text[] not null default '{}',
    triggers    jsonb not null default '[]',
    reloptions  text[]
);
comment on table ml.adoption is 'Per public table: born here or adopted, columns added, triggers replaced, storage options found';

create table ml.adopted_values (
    pattern_id  uuid primary key,
    found       jsonb not null
);
comment on table ml.adopted_values is 'Values found in columns of ours that an earlier script had already made';
