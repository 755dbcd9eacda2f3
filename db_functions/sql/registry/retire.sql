create or replace function ml.retire(version text, reason text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(reason, '') !~ '[^[:space:]]' then
        raise exception 'retiring % needs a reason', version using errcode = 'ML002';
    end if;
    perform ml_internal.close_gate();
    if exists (select from ml_internal.champion c where c.version = retire.version) then
        raise exception 'model % is the champion and cannot be retired', version
            using errcode = 'ML002',
                  hint = 'Promote another or roll back first; ml.disable(reason) switches ML off.';
    end if;
    update ml.models m
    set retired_at = clock_timestamp(), retired_by = session_user, retired_reason = retire.reason
    where m.version = retire.version and m.retired_at is null;
    if not found and not exists (select from ml.models m where m.version = retire.version) then
        raise exception 'no model of version % is registered', version using errcode = 'ML003';
    end if;
    update ml.aliases a set valid_to = greatest(clock_timestamp(), a.valid_from)
    from ml.models m
    where m.id = a.model_id and m.version = retire.version and a.alias = 'challenger'
      and a.valid_to is null;
end
$$;
comment on function ml.retire(text, text) is
    'Takes a model out of use: it can no longer be promoted or rolled back to';
