-- Who may do what. Nothing for PUBLIC; applications need no right in schema ml at all.
do $$
declare
    object record;
begin
    -- ml_owner, who cannot log in, owns everything here: what the functions may do is what ml_owner may do.
    execute 'alter schema ml owner to ml_owner';
    for object in
        select case c.relkind when 'S' then 'sequence' when 'v' then 'view' else 'table' end as kind, c.oid::regclass::text as name
        from pg_catalog.pg_class c
        where c.relnamespace = 'ml'::regnamespace and c.relkind in ('r', 'p', 'v', 'S')
          -- An identity's sequence follows its table.
          and not exists (select from pg_catalog.pg_depend d
                          where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'i' and c.relkind = 'S')
        union all
        select case p.prokind when 'p' then 'procedure' else 'function' end, p.oid::regprocedure::text
        from pg_catalog.pg_proc p
        where p.pronamespace = 'ml'::regnamespace
    loop
        execute format('alter %s %s owner to ml_owner', object.kind, object.name);
    end loop;
end
$$;
revoke all on all functions in schema ml from public;
revoke all on all procedures in schema ml from public;

grant usage on schema public to ml_owner, ml_app, ml_worker, ml_analyst, ml_publisher, ml_operator;
grant usage on schema ml to ml_worker, ml_analyst, ml_publisher, ml_operator;
grant select, update on public.pattern_events to ml_owner;
grant select on public.price_bars to ml_owner;

grant select, insert, update, delete on public.pattern_events to ml_app;
grant select, insert on public.pattern_lifecycle_history to ml_app;
grant select, insert, update, delete on public.price_bars to ml_app;

grant select on public.pattern_events, public.price_bars to ml_worker;
grant select on ml.settings, ml.models, ml.aliases, ml.outcome_days, ml.bar_changes, ml.workers, ml.failures, ml.predictions,
    ml.doorbell_muted_until, ml.queue_id_seq, ml.queue_status, ml.model_timeline to ml_worker;
-- A row lock needs more than SELECT; the worker takes rows off only through ml.write_scores.
grant select, update on ml.queue to ml_worker;
grant execute on function
    ml.write_scores, ml.write_failures, ml.start_worker, ml.heartbeat, ml.mute_doorbell, ml.mark_suspect, ml.clear_suspect, ml.bury_workers, ml.prune, ml.make_partitions, ml.label_outcomes,
    ml.apply_environment, ml.record_parity, ml.model_at to ml_worker;

grant select on public.pattern_events, public.price_bars, public.pattern_lifecycle_history to ml_analyst, ml_publisher, ml_operator;
grant select on ml.settings, ml.settings_history, ml.aliases, ml.parity_checks, ml.queue, ml.failures, ml.predictions,
    ml.workers, ml.outcome_days, ml.label_history, ml.queue_status, ml.model_timeline to ml_analyst, ml_publisher, ml_operator;
grant select (id, version, algorithm, bytes, sha256, contract_version, inputs, outputs, feature_names, min_bars, metrics, model_card,
    toolchain, created_at, created_by, retired_at, retired_by, retired_reason) on ml.models to ml_analyst, ml_operator;
grant execute on function ml.model_at to ml_analyst, ml_publisher, ml_operator;
grant execute on function ml.label to ml_analyst, ml_operator;
grant select on ml.models, ml.bar_changes to ml_publisher;
grant execute on function ml.register_model, ml.record_parity, ml.label_outcomes to ml_publisher;
grant execute on function
    ml.set(text, text, text), ml.set(text, double precision, text), ml.set(text, boolean, text), ml.enable, ml.disable,
    ml.promote, ml.rollback, ml.retire, ml.redrive, ml.label_outcomes, ml.make_partitions to ml_operator;
