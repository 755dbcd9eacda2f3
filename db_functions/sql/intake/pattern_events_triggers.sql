-- BEFORE triggers fire in order of name; the blend sees what intake and guard made of the row. A
-- row without detected_at was there before the upgrade and has not been adopted yet: until then it
-- is its application's alone.
create trigger ml_1_intake before insert on public.pattern_events
    for each row execute function ml_internal.intake_pattern();
create trigger ml_1_guard before update on public.pattern_events
    for each row when (
        old.detected_at is not null
        -- The system writes through functions that run as ml_writer, who cannot log in; a trigger
        -- that writes while it runs as ml_writer is further down. (A setting in those functions
        -- would not do: to name one of its own takes a superuser.)
        and (current_user is distinct from 'ml_writer' or pg_trigger_depth() > 0))
    execute function ml_internal.guard_pattern();
create trigger ml_2_blend before update on public.pattern_events
    for each row when (
        old.detected_at is not null and (
            new.rule_confidence is distinct from old.rule_confidence
            or new.ml_confidence is distinct from old.ml_confidence
            or new.ml_metadata is distinct from old.ml_metadata))
    execute function ml_internal.blend_pattern();
create trigger ml_recount after update of pattern_type on public.pattern_events
    for each row when (
        old.pattern_type is distinct from new.pattern_type and new.outcome_label is not null
        and new.outcome_at is not null)
    execute function ml_internal.recount_pattern();
create trigger ml_enqueue after insert on public.pattern_events
    referencing new table as inserted
    for each statement execute function ml_internal.enqueue_patterns();
create trigger ml_forget after delete on public.pattern_events
    referencing old table as gone
    for each statement execute function ml_internal.forget_patterns();
create trigger ml_forget_all after truncate on public.pattern_events
    for each statement execute function ml_internal.forget_patterns();
create trigger ml_requeue after update of id on public.pattern_events
    for each row when (old.id is distinct from new.id and new.scored_at is null)
    execute function ml_internal.requeue_pattern();
