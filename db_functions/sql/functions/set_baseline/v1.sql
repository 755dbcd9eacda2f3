create or replace function ml.set_baseline(
    version text default null, since timestamptz default null, until timestamptz default null, reason text default null)
returns ml.baselines
language plpgsql security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
declare
    model   record;
    least_  constant integer := (select s.drift_min_rows from ml.settings s);
    found_  record;
    result  ml.baselines;
begin
    if coalesce(reason, '') !~ '\S' then
        raise exception 'setting a baseline needs a reason' using errcode = 'check_violation';
    end if;
    select m.id, m.version into model from ml.models m
    where m.version = coalesce(set_baseline.version, ml.model_at('champion', clock_timestamp()));
    if not found then
        raise exception '%', case when version is null then 'there is no champion; name a version'
                                  else format('no model of version %s is registered', version) end using errcode = 'ML003';
    end if;
    perform pg_advisory_xact_lock(hashtext('ml.baseline'), model.id);

    if since is null and until is null then
        insert into ml.baselines (model_id, source, rows, cells, means, deviations, set_by, reason)
        select b.model_id, 'training', b.rows, b.cells, b.means, b.deviations, session_user, set_baseline.reason
        from ml.baselines b where b.model_id = model.id and b.source = 'training' order by b.id limit 1
        returning * into result;
        if result.id is null then
            raise exception 'model % was registered without counts of its training rows', model.version
                using errcode = 'object_not_in_prerequisite_state', hint = 'Give since, and until: a window of live rows.';
        end if;
        return result;
    end if;

    -- Counts are kept by the hour.
    since := date_trunc('hour', since, 'UTC');
    until := coalesce(until, clock_timestamp());
    if since is null or until <= since or until > clock_timestamp() then
        raise exception 'the window from % to % is none; allowed: since before until, both in the past', coalesce(since::text, 'null'), until
            using errcode = 'invalid_parameter_value';
    end if;
    if exists (select from ml.bins b where b.model_id = model.id) then
        select * into found_ from ml.count_window(model.id, since, until);
    else
        select * into found_ from ml.add_bins(model.id, coalesce(ml.collect_histograms(model.id, since, until), '{}'));
    end if;
    if found_.rows < least_ then
        raise exception 'model % has scored % live rows from % to %; a baseline needs % (setting drift_min_rows)',
            model.version, found_.rows, since, until, least_ using errcode = 'object_not_in_prerequisite_state';
    end if;
    insert into ml.baselines (model_id, source, since, until, rows, cells, means, deviations, set_by, reason)
    values (model.id, 'window', since, until, found_.rows, found_.cells, found_.means, found_.deviations, session_user, set_baseline.reason)
    returning * into result;
    return result;
end
$$;
comment on function ml.set_baseline(text, timestamptz, timestamptz, text) is
    'Measures drift of a model (null: the champion) against its training rows or, with since, against the live rows of a window';

create or replace function ml.count_window(
    model integer, since timestamptz, until timestamptz, out rows bigint, out cells double precision[],
    out means double precision[], out deviations double precision[])
language sql stable security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
with taken as materialized (
    select f.rows, f.cells, f.sums, f.squares from ml.feature_counts f
    where f.model_id = count_window.model and f.grain = 'hour' and f.source = 'live' and f.bucket >= count_window.since and f.bucket < count_window.until
), counted as (
    select u.cell, sum(u.n) as n from taken t cross join unnest(t.cells) with ordinality u (n, cell) group by u.cell
), moment as (
    select u.place, sum(u.s) as s, sum(u.q) as q from taken t cross join unnest(t.sums, t.squares) with ordinality u (s, q, place) group by u.place
), variable as (
    select v.position, v.edges is not null as is_number, array_agg(coalesce(c.n, 0) order by cell) as cells,
           sum(c.n) filter (where cell < v.first_cell + v.cells - 1) as finite
    from ml.bins v
    cross join lateral generate_series(v.first_cell + 1, v.first_cell + v.cells) cell
    left join counted c using (cell)
    where v.model_id = count_window.model group by v.position, v.edges
)
select coalesce((select sum(t.rows)::bigint from taken t), 0),
       (select array_agg(u.n order by v.position, u.place) from variable v cross join unnest(v.cells) with ordinality u (n, place)),
       array_agg(case when v.is_number and v.finite > 0 then m.s / v.finite end order by v.position),
       array_agg(case when v.is_number and v.finite > 0 then sqrt(greatest(0, m.q / v.finite - (m.s / v.finite) ^ 2)) end order by v.position)
from variable v left join moment m on m.place = v.position + 1
$$;
comment on function ml.count_window(integer, timestamptz, timestamptz) is
    'Internal: what live rows of whole hours hold in the bins of a model, in the form of ml.baselines';
