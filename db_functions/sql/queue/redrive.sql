create or replace function ml.redrive(
    failures bigint[] default null, error_like text default null, model text default null)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    queued integer;
begin
    if failures is null and error_like is null and model is null then
        raise exception 'name what to redrive: failures (ids of ml.failures), '
                        'error_like (a LIKE pattern) or model (a version)'
            using errcode = 'ML004';
    end if;
    with again as (
        update ml.failures f
        set redriven_at = clock_timestamp()
        where f.redriven_at is null
          and (failures is null or f.id = any (failures))
          and (error_like is null or f.error like error_like)
          and (model is null or f.model_id = (select m.id from ml.models m where m.version = model))
        returning f.pattern_id
    ), back as (
        insert into ml.queue (pattern_id) select distinct a.pattern_id from again a
        returning 1
    )
    select count(*) into queued from back;
    if queued > 0 then
        perform ml_internal.ring();
    end if;
    return queued;
end
$$;
comment on function ml.redrive(bigint[], text, text) is
    'Puts dead letters back on the queue, by id, error text or model; returns how many patterns';
