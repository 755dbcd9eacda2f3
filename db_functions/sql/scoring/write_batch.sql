-- The worker's one way to write: what it acted on must still hold when it writes.
create function ml_internal.write_batch(
    champion        integer,                  -- that the worker acted on, null when it saw none
    source          text,
    runs            ml_internal.run[],
    scores          ml_internal.score[],
    pairs           ml_internal.pair[],
    failures        ml_internal.failure[],
    failed_model    integer,
    queue_ids       bigint[],
    cache_hits      integer,
    cache_misses    integer,
    rescore         boolean,
    worker          bigint,
    out written_at  timestamptz,
    out written     integer[],
    out kept        uuid[],
    out refused     ml_internal.refusal[])
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    allowed  boolean := source in ('live', 'backfill');
    beside   boolean := false;
    run      ml_internal.run;
    done     record;
begin
    foreach run in array runs loop
        beside := beside or run.role in ('challenger', 'canary');
        allowed := allowed and run.role in ('champion', 'standby', 'canary', 'challenger');
    end loop;
    if not allowed then
        raise exception 'a worker writes live and backfill scores of serving models and challengers'
            using errcode = 'invalid_parameter_value';
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
        perform ml_internal.require_read_committed();
    end if;
    if current_setting('session_replication_role') = 'replica' then
        raise exception 'no score would be blended: session_replication_role is replica, so '
                        'triggers do not fire'
            using errcode = 'invalid_transaction_state',
                  hint = 'Take the setting away from the role or the database.';
    end if;
    lock table ml_internal.gate in row share mode;
    if (select c.model_id from ml_internal.champion c) is distinct from champion then
        raise exception 'the champion has changed' using errcode = 'ML001';
    end if;
    if beside then
        if exists (
            select from unnest(runs) r
            where r.role in ('challenger', 'canary') and not exists (
                select from ml_internal.challengers c where c.model_id = r.model_id))
        then
            raise exception 'the challenger has changed' using errcode = 'ML001';
        end if;
    end if;
    done := ml_internal.write_scores(source, runs, scores, pairs, failures, failed_model, queue_ids,
                                     cache_hits, cache_misses, rescore, worker);
    written_at := done.written_at;
    written := done.written;
    kept := done.kept;
    refused := done.refused;
end
$$;
comment on function ml_internal.write_batch(
    integer, text, ml_internal.run[], ml_internal.score[], ml_internal.pair[],
    ml_internal.failure[], integer, bigint[], integer, integer, boolean, bigint) is
    'Writes a worker''s batch, unless champion or challengers have changed since it began; '
    'says which scores were written and which patterns stay in the queue';
