create function ml.rollback(reason text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    current   record;
    previous  record;
begin
    if coalesce(btrim(reason), '') = '' then
        raise exception 'a rollback needs a reason' using errcode = 'ML002';
    end if;
    perform pg_advisory_xact_lock(hashtext('ml.champion'));
    select a.model_id, m.version into current
    from ml.aliases a join ml.models m on m.id = a.model_id
    where a.alias = 'champion' and a.valid_to is null;
    if not found then
        raise exception 'there is no champion to roll back from' using errcode = 'ML002';
    end if;
    -- Before the current model's newest promotion, not merely before now: two rollbacks go two models back and never
    -- bring the first bad one forward again.
    select m.id, m.version into previous
    from ml.aliases a join ml.models m on m.id = a.model_id
    where a.alias = 'champion' and a.model_id <> current.model_id and m.retired_at is null
      and a.id < (select max(p.id) from ml.aliases p
                  where p.alias = 'champion' and p.cause = 'promote' and p.model_id = current.model_id)
    order by a.id desc limit 1;
    if not found then
        raise exception 'no earlier champion than % is left to roll back to', current.version
            using errcode = 'ML002', hint = 'ml.disable(reason) switches ML off.';
    end if;
    perform ml.set_champion(previous.id, 'rollback', false, reason);
    return previous.version;
end
$$;
comment on function ml.rollback(text) is 'Makes the champion before the current one champion again; returns its version';
