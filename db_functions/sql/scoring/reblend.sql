-- Stored rows follow a change of settings only here. The decision itself stays the blend trigger's:
-- a row is touched so that it fires.
create or replace function ml.reblend(
    reason              text default null,
    dry_run             boolean default null,        -- null: true, unless a run is gone on with
    symbol              text default null,
    since               timestamptz default null,    -- only rows detected at or after it
    -- look at so many, so that each call is a short transaction
    max_rows            integer default null,
    -- go on with a run that was begun with max_rows
    inout run           bigint default null,
    out seen            bigint,
    out reblended       bigint,
    out changed         bigint,
    out to_blend        bigint,
    out to_rule         bigint,
    out largest_change  double precision,
    out finished        boolean,
    out refused         bigint)                      -- see ml_internal.refusals
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    page_rows  constant integer := 10000;
    writes     constant boolean := not coalesce(dry_run, run is null);
    s          record;
    page       record;
    done       record;
    job        ml.reblends;
begin
    if max_rows < 1 then
        raise exception 'max_rows is %; allowed: 1 or more, or null for all', max_rows
            using errcode = 'ML004';
    end if;
    select v.enabled, v.threshold, v.ml_weight, v.rule_weight into strict s from ml.settings v;
    if run is not null then
        select * into job from ml.reblends r where r.id = run for update;
        if not found then
            raise exception 'there is no run % of ml.reblend', run using errcode = 'ML004';
        elsif job.finished_at is not null then
            raise exception 'run % of ml.reblend was finished at %', run, job.finished_at
                using errcode = 'ML004';
        elsif (job.enabled, job.threshold, job.ml_weight, job.rule_weight)
              is distinct from (s.enabled, s.threshold, s.ml_weight, s.rule_weight) then
            raise exception 'settings have changed since run % of ml.reblend began', run
                using errcode = 'ML004', hint = 'Begin another run; it looks at all rows anew.';
        end if;
    elsif writes then
        perform ml_internal.require_read_committed();
        if coalesce(reason, '') !~ '[^[:space:]]' then
            raise exception 'reblending needs a reason' using errcode = 'ML004';
        end if;
        insert into ml.reblends (reason, symbol, since, enabled, threshold, ml_weight,
                                 rule_weight, started_by)
        values (reblend.reason, reblend.symbol, reblend.since, s.enabled, s.threshold, s.ml_weight,
                s.rule_weight, session_user)
        returning * into job;
        -- Scores that are being written now may have read the settings of before. Once the gate
        -- that their writers pass has been closed, all of them are committed and the walk sees
        -- them. It is open again while walking.
        perform ml_internal.close_gate(hold => false);
    else
        job.last_id := '00000000-0000-0000-0000-000000000000';
        job.symbol := reblend.symbol;
        job.since := reblend.since;
    end if;
    run := job.id;

    seen := 0; reblended := 0; changed := 0; to_blend := 0; to_rule := 0;
    largest_change := 0; finished := false; refused := 0;
    while not finished and (max_rows is null or seen < max_rows) loop
        select count(*) as rows, (array_agg(v.id order by v.id desc))[1] as last_id,
               array_agg(v.id order by v.id) filter (where v.stale) as stale,
               count(*) filter (where v.stale and (
                   v.change > 1e-6
                   or (v.confidence is null) <> (v.new_confidence is null))) as changed,
               count(*) filter (
                   where v.stale and v.new_source = 'blend' and v.source <> 'blend') as to_blend,
               count(*) filter (
                   where v.stale and v.new_source <> 'blend' and v.source = 'blend') as to_rule,
               max(v.change) filter (where v.stale) as largest_change
        into page
        from (select *, abs(coalesce(p.confidence, 0) - coalesce(p.new_confidence, 0)) as change
              from ml.reblend_preview p
              where p.id > job.last_id
                and (job.symbol is null or p.symbol = job.symbol)
                and (job.since is null or p.detected_at >= job.since)
              order by p.id limit least(page_rows, max_rows - seen)) v;
        if writes and cardinality(page.stale) > 0 then
            select * into done from ml_internal.touch_in_parts(page.stale);
            reblended := reblended + done.touched;
            refused := refused + done.refused;
        elsif not writes then
            reblended := reblended + coalesce(cardinality(page.stale), 0);
        end if;
        job.last_id := coalesce(page.last_id, job.last_id);
        seen := seen + page.rows;
        changed := changed + page.changed;
        to_blend := to_blend + page.to_blend;
        to_rule := to_rule + page.to_rule;
        largest_change := greatest(largest_change, page.largest_change);
        finished := page.rows = 0;
    end loop;
    if writes then
        update ml.reblends r
        set last_id = job.last_id, seen = r.seen + reblend.seen,
            reblended = r.reblended + reblend.reblended,
            refused = r.refused + reblend.refused,
            changed = r.changed + reblend.changed,
            finished_at = case when finished then clock_timestamp() end
        where r.id = job.id;
    end if;
end
$$;
comment on function ml.reblend(text, boolean, text, timestamptz, integer, bigint) is
    'Decides the confidence of stored rows anew with the '
    'settings of now, except of those that refuse; a dry run unless told otherwise';
