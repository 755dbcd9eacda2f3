create or replace function ml_internal.record_parity(
    version text, max_abs_diff double precision, tolerance double precision, rows integer,
    runtime text)
returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    publisher  constant boolean := pg_has_role(session_user, 'ml_publisher', 'member')
                                   or pg_has_role(session_user, 'ml_owner', 'member');
    result     boolean;
begin
    -- A difference may be NaN or Infinity, which is a failed check; a tolerance may not, or
    -- everything would pass.
    if not (tolerance >= 0 and tolerance <= 1) or not (max_abs_diff >= 0) then
        raise exception 'a parity check with tolerance % and difference % proves nothing',
            tolerance, max_abs_diff
            using errcode = 'ML005',
                  hint = 'Allowed: a tolerance of 0 to 1 and a difference of 0 or more.';
    end if;
    if not exists (select from ml.models m where m.version = record_parity.version) then
        raise exception 'no model of version % is registered', version using errcode = 'ML003';
    end if;
    insert into ml.parity_checks (model_id, max_abs_diff, tolerance, rows, runtime, checked_by,
                                  by_publisher)
    select m.id, record_parity.max_abs_diff, record_parity.tolerance, record_parity.rows,
           record_parity.runtime, session_user, publisher
    from ml.models m
    -- A worker is asked to load a model that has or had an alias, and no other.
    where m.version = record_parity.version
      and (publisher or exists (select from ml.aliases a where a.model_id = m.id))
    returning passed into result;
    if not found then
        raise exception '% may not record a parity check of model %, which no worker serves',
            session_user, version using errcode = 'insufficient_privilege';
    end if;
    return result;
end
$$;
comment on function ml_internal.record_parity(text, double precision, double precision,
                                              integer, text) is
    'Records a replay of golden rows by a publisher, or by a worker of a model that it serves';
