create or replace function ml.rollback(reason text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    current   record;
    previous  record;
    place     bigint;
begin
    if coalesce(reason, '') !~ '[^[:space:]]' then
        raise exception 'a rollback needs a reason' using errcode = 'ML002';
    end if;
    perform ml_internal.close_gate();
    -- A rollback stands where the promotion stands that it restored: the next one goes on from
    -- there, so that two go two models back and none ever brings a bad one forward again.
    select c.model_id, c.version, coalesce(c.restores, c.alias_id) as place into current
    from ml_internal.champion c;
    if not found then
        raise exception 'there is no champion to roll back from' using errcode = 'ML002';
    end if;
    place := current.place;
    loop
        select m.id, m.version, m.retired_at, coalesce(a.restores, a.id) as place into previous
        from ml.aliases a join ml.models m on m.id = a.model_id
        where a.alias = 'champion' and a.id < place
        order by a.id desc limit 1;
        if not found then
            raise exception 'no earlier champion than % is left to roll back to', current.version
                using errcode = 'ML002', hint = 'ml.disable(reason) switches ML off.';
        end if;
        exit when previous.id <> current.model_id and previous.retired_at is null;
        place := previous.place;
    end loop;
    perform ml_internal.set_champion(previous.id, 'rollback', false, reason, previous.place);
    return previous.version;
end
$$;
comment on function ml.rollback(text) is
    'Makes the champion before the current one champion again; returns its version';
