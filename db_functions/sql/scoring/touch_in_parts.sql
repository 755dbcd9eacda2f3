-- Has patterns decided again, all in one subtransaction; a part that a trigger or a constraint of
-- the application refuses is halved until the row at fault is alone.
create function ml_internal.touch_in_parts(ids uuid[], out touched bigint, out refused bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    firsts   integer[] := array[1];
    lasts    integer[] := array[cardinality(ids)];
    f        integer;
    l        integer;
    done     uuid[];
    errors   ml_internal.refusal[];
    state    text;
    message  text;
    context  text;
begin
    touched := 0;
    while cardinality(firsts) > 0 loop
        f := firsts[cardinality(firsts)];
        l := lasts[cardinality(lasts)];
        firsts := trim_array(firsts, 1);
        lasts := trim_array(lasts, 1);
        state := null;
        begin
            done := coalesce(ml_internal.update_metadata(ids[f:l]), '{}');
        exception when others or assert_failure then
            get stacked diagnostics state = returned_sqlstate, message = message_text,
                                    context = pg_exception_context;
            -- Another session is in the way: the caller tries the page again.
            if state in ('40P01', '55P03') and message ~ 'deadlock detected|lock timeout' then
                raise;
            end if;
        end;
        if state is null then
            touched := touched + cardinality(done);
            if cardinality(done) < l - f + 1 then
                errors := errors || array(
                    select row(p.id, 'not written: a trigger of pattern_events returned NULL, or '
                               'a policy withholds the row')::ml_internal.refusal
                    from public.pattern_events p
                    where p.id = any (ids[f:l]) and p.id <> all (done));
            end if;
        elsif f < l then
            firsts := firsts || array[(f + l) / 2 + 1, f];
            lasts := lasts || array[l, (f + l) / 2];
        else
            errors := errors || row(
                ids[f], ml_internal.refusal_of(state, message, context))::ml_internal.refusal;
        end if;
    end loop;
    insert into ml_internal.refusals as r (task, pattern_id, error)
    select 'reblend', e.pattern_id, e.error from unnest(errors) e
    on conflict on constraint refusals_pkey do update
        set error = excluded.error, refused_at = excluded.refused_at;
    refused := coalesce(cardinality(errors), 0);
end
$$;
comment on function ml_internal.touch_in_parts(uuid[]) is
    'Internal: has patterns decided again; says how many took it and how many refuse';
