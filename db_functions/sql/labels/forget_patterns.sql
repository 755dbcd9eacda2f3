create or replace function ml_internal.forget_patterns() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'TRUNCATE' then
        delete from ml_internal.outcome_days;
        with forgotten as (delete from ml_internal.labelled l returning l.model_id, l.day)
        insert into ml_internal.stale_skill (model_id, day)
        select distinct f.model_id, f.day from forgotten f;
        return null;
    end if;
    update ml_internal.outcome_days d
    set positives = d.positives - g.positives, total = d.total - g.total
    from (select o.pattern_type, (o.outcome_at at time zone 'UTC')::date as day,
                 count(*) filter (where o.outcome_label = 'positive') as positives,
                 count(*) as total
          from gone o
          -- A label without a method came with an adopted table, and was never counted.
          where o.outcome_label is not null and o.labeling_method is not null
          group by 1, 2) g
    where d.pattern_type = g.pattern_type and d.day = g.day;
    with forgotten as (
        delete from ml_internal.labelled l using gone g where l.pattern_id = g.id
        returning l.model_id, l.day
    )
    insert into ml_internal.stale_skill (model_id, day)
    select distinct f.model_id, f.day from forgotten f;
    return null;
end
$$;
comment on function ml_internal.forget_patterns() is
    'A deleted pattern is no evidence: takes its outcome out of the daily counts and out of '
    'ml_internal.labelled';
