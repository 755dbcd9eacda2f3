create or replace function ml_internal.log_status_columns() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    insert into public.pattern_lifecycle_history
        (pattern_id, previous_status, new_status, rule_confidence, ml_confidence,
         blended_confidence, reason)
    values (new.id, old.status::text, new.status::text, new.rule_confidence, new.ml_confidence,
            new.blended_confidence,
            coalesce(case when jsonb_typeof(new.rule_evaluation) = 'object'
                          then new.rule_evaluation ->> 'reason' end, 'manual'));
    return null;
end
$$;
comment on function ml_internal.log_status_columns() is
    'As ml_internal.log_status, for the history table '
    'that an earlier script gave columns of its own';
