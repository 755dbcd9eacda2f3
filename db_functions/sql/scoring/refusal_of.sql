-- What a dead letter says of an error that a trigger or a constraint of the application raised.
create function ml_internal.refusal_of(state text, message text, context text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select concat_ws('; ',
        left(message, 400) || ' (' || state || ')',
        -- The innermost function that is not ours.
        (select 'in ' || left(l, 200) from regexp_split_to_table(context, e'\n') with ordinality
            s (l, n) where l !~ 'ml_internal\.|^SQL statement' and l ~ 'function'
         order by n limit 1),
        case when state in ('42501', '42P01') then
            'triggers run as ml_writer here: ' || (
                select string_agg(g, ', ')
                from ml_internal.foreign_triggers t, unnest(t.lacks) g)
        end)
$$;
comment on function ml_internal.refusal_of(text, text, text) is
    'Internal: an error of an application''s own trigger in a line, and the right that it needs';
