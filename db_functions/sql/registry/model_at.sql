create or replace function ml.model_at(alias text, ts timestamptz) returns text
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select m.version
    from ml.aliases a join ml.models m on m.id = a.model_id
    where a.alias = model_at.alias and a.valid_from <= model_at.ts
      and model_at.ts < coalesce(a.valid_to, 'infinity')
    order by a.valid_from desc limit 1
$$;
comment on function ml.model_at(text, timestamptz) is
    'The version that held an alias at a moment; null when none did';
