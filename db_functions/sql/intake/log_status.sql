create or replace function ml_internal.log_status() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    insert into public.pattern_lifecycle_history (id, pattern_id, old_status, new_status,
                                                  transition_reason, metadata, created_at)
    values (gen_random_uuid(), new.id, old.status, new.status,
            coalesce(case when jsonb_typeof(new.rule_evaluation) = 'object'
                          then new.rule_evaluation ->> 'reason' end, 'manual'),
            jsonb_build_object(
                'confidence', new.confidence, 'old_confidence', old.confidence,
                'rule_confidence', new.rule_confidence, 'ml_confidence', new.ml_confidence,
                'blended_confidence', new.blended_confidence,
                'auto_generated', new.auto_generated, 'verdict', new.verdict), now());
    return null;
end
$$;
comment on function ml_internal.log_status() is
    'Logs a changed status with the three confidences of that moment';
