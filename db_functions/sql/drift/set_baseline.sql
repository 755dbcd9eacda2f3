create or replace function ml.set_baseline(
    version text default null, since timestamptz default null, until timestamptz default null,
    reason text default null)
returns ml_internal.baselines
language plpgsql security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
declare
    model   record;
    least_  constant integer := (select s.drift_min_rows from ml.settings s);
    found_  record;
    result  ml_internal.baselines;
begin
    if coalesce(reason, '') !~ '[^[:space:]]' then
        raise exception 'setting a baseline needs a reason' using errcode = 'check_violation';
    end if;
    select m.id, m.version into model from ml.models m
    where m.version = coalesce(set_baseline.version, ml.model_at('champion', clock_timestamp()));
    if not found then
        raise exception '%', case
                when version is null then 'there is no champion; name a version'
                else format('no model of version %s is registered', version) end
            using errcode = 'ML003';
    end if;
    perform from ml.models m where m.id = model.id for no key update;

    if since is null and until is null then
        insert into ml_internal.baselines (model_id, source, rows, cells, means, deviations,
                                           set_by, reason)
        select b.model_id, 'training', b.rows, b.cells, b.means, b.deviations, session_user,
               set_baseline.reason
        from ml_internal.baselines b where b.model_id = model.id and b.source = 'training'
        order by b.id limit 1
        returning * into result;
        if result.id is null then
            raise exception 'model % was registered without counts of its training rows',
                    model.version
                using errcode = 'object_not_in_prerequisite_state',
                      hint = 'Give since, and until: a window of live rows.';
        end if;
        return result;
    end if;

    -- Counts are kept by the hour.
    since := date_trunc('hour', since, 'UTC');
    until := coalesce(until, clock_timestamp());
    if since is null or until <= since or until > clock_timestamp() then
        raise exception 'the window from % to % is none; allowed: since before until, '
                        'both in the past', coalesce(since::text, 'null'), until
            using errcode = 'invalid_parameter_value';
    end if;
    if exists (select from ml_internal.bins b where b.model_id = model.id) then
        select * into found_ from ml_internal.count_window(model.id, since, until);
    else
        select * into found_ from ml_internal.add_bins(
            model.id, coalesce(ml_internal.collect_histograms(model.id, since, until), '{}'));
    end if;
    if found_.rows < least_ then
        raise exception 'model % has scored % live rows from % to %; '
                        'a baseline needs % (setting drift_min_rows)',
                model.version, found_.rows, since, until, least_
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    insert into ml_internal.baselines (model_id, source, since, until, rows, cells, means,
                                       deviations, set_by, reason)
    values (model.id, 'window', since, until, found_.rows, found_.cells, found_.means,
            found_.deviations, session_user, set_baseline.reason)
    returning * into result;
    return result;
end
$$;
comment on function ml.set_baseline(text, timestamptz, timestamptz, text) is
    'Measures drift of a model (null: the champion) against its '
    'training rows or, with since, against the live rows of a window';
