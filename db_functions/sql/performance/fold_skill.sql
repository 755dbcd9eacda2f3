-- A change is committed together with its row in the log. Blocks are summed after the log was
-- emptied, by a later snapshot: what is committed in between stays in the log, and its block is
-- summed again.
create function ml_internal.fold_skill() returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    clock    ml_internal.skill_clock;
    horizon  integer;
    wanted   integer;
    models   integer[];
    blocks   integer[];
begin
    if not ml_internal.take_task('fold_skill') then
        return 0;
    end if;
    if not exists (select from ml_internal.stale_skill) then
        return 0;
    end if;
    select c.* into strict clock from ml_internal.skill_clock c;
    select s.label_horizon into strict horizon from ml.settings s;
    wanted := ml_internal.wanted_block_days();
    if wanted is distinct from clock.block_days and wanted is not null then
        delete from ml_internal.skill_sums;
        insert into ml_internal.stale_skill (model_id, day)
        select distinct l.model_id, l.day from ml_internal.labelled l;
    end if;
    if wanted is not null then
        update ml_internal.skill_clock set block_days = wanted, label_horizon = horizon
        where (block_days, label_horizon) is distinct from (wanted, horizon);
    else
        wanted := clock.block_days;
    end if;

    with gone as (
        delete from ml_internal.stale_skill s returning s.model_id, s.day
    ), stale as (
        select distinct g.model_id, g.day / wanted as block from gone g
    )
    select array_agg(s.model_id), array_agg(s.block) into models, blocks from stale s;
    delete from ml_internal.skill_sums s
    using unnest(models, blocks) u (model_id, block)
    where s.model_id = u.model_id and s.block = u.block;
    insert into ml_internal.skill_sums (
        model_id, block, pattern_type, timeframe, score, baseline, rows, difference, spread)
    select u.model_id, u.block, d.*
    from unnest(models, blocks) u (model_id, block)
    cross join lateral ml_internal.sum_skill(u.model_id, u.block, wanted) d;
    return cardinality(models);
end
$$;
comment on function ml_internal.fold_skill() is
    'Sums the blocks of ml.skill in which labels or scores have changed; says how many';
