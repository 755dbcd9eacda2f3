create function ml_internal.forget_patterns() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'TRUNCATE' then
        with gone as (delete from ml_internal.labelled l returning l.model_id, l.day)
        insert into ml_internal.stale_skill (model_id, day)
        select distinct g.model_id, g.day from gone g;
        return null;
    end if;
    with gone as (
        delete from ml_internal.labelled l using deleted d where l.pattern_id = d.id
        returning l.model_id, l.day
    )
    insert into ml_internal.stale_skill (model_id, day)
    select distinct g.model_id, g.day from gone g;
    return null;
end
$$;
comment on function ml_internal.forget_patterns() is
    'A deleted pattern is no evidence: takes its rows out of ml_internal.labelled';
